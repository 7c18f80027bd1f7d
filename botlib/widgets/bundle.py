"""The built JavaScript and styles of the widgets, which are part of the package."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from botlib.core.errors import WidgetError

STATIC: Final = Path(__file__).parent / "static"
"""The folder of ``chart.js``, ``chart.css``, ``dashboard.js`` and ``dashboard.css``."""


def asset(name: str) -> Path:
    """Return the path of one built file, such as ``"chart.js"``.

    Raises:
        WidgetError: the package was built without it.
    """
    path = STATIC / name
    if not path.is_file():
        raise WidgetError(
            f"{name} is not there: this installation carries no built widgets. In a checkout run "
            "'make js', or install again with 'pip install -e .'. "
            "BOTLIB_WIDGETS=static draws pictures without them."
        )
    return path
