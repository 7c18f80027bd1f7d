"""How a widget is displayed: by a live front end, or as a picture in a headless notebook.

A headless notebook gets no widget view: exporters would prefer it to the picture, and then load a
front end from the network.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, Final, Literal
from uuid import uuid4

from botlib.core.errors import ConfigError
from botlib.core.text.masking import masked
from botlib.runtime import HEADLESS

logger = logging.getLogger(__name__)

Mode = Literal["live", "static"]

WIDGETS: Final = "BOTLIB_WIDGETS"
"""Environment variable: ``live``, ``static``, or ``auto`` (the default)."""

_FRONT_ENDS: Final = ("JPY_SESSION_NAME", "VSCODE_PID", "VSCODE_CWD")


def mode() -> Mode:
    """Return how widgets are displayed in this process.

    ``auto`` is live if a front end started the kernel, and static in headless runs, papermill and
    programs. A papermill run inside a Jupyter terminal may inherit the variables of a front end:
    set ``BOTLIB_WIDGETS=static`` there.

    Raises:
        ConfigError: ``BOTLIB_WIDGETS`` names no mode.
    """
    asked = os.environ.get(WIDGETS, "auto").strip().lower() or "auto"
    if asked == "live":
        return "live"
    if asked == "static":
        return "static"
    if asked != "auto":
        raise ConfigError(f"{WIDGETS}={asked!r} names no mode. Accepted: live, static, auto.")
    if HEADLESS in os.environ:
        return "static"
    front_end = any(name in os.environ for name in _FRONT_ENDS) or "google.colab" in sys.modules
    return "live" if front_end else "static"


def show_text(value: object) -> None:
    """Show a value in the cell that runs, or write its text to the output of a program."""
    module = sys.modules.get("IPython")
    if module is not None and module.get_ipython() is not None:
        from IPython import display

        display.display(value)  # type: ignore[no-untyped-call]
    else:
        sys.stdout.write(masked(f"{value}\n"))


class Output:
    """One output of a notebook, which can be updated from any thread."""

    def __init__(self) -> None:
        self._id = uuid4().hex

    def show(self, bundle: dict[str, Any]) -> None:
        """Display a mime bundle in the cell that runs."""
        from IPython import display

        display.display(bundle, raw=True, display_id=self._id)  # type: ignore[no-untyped-call]

    def update(self, bundle: dict[str, Any]) -> None:
        """Replace the displayed bundle; a kernel that ends meanwhile is no error."""
        from IPython import display

        try:
            display.update_display(  # type: ignore[no-untyped-call]
                bundle, raw=True, display_id=self._id
            )
        except Exception:
            logger.debug("a picture could not be updated", exc_info=True)
