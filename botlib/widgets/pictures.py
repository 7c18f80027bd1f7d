"""The static pictures of a widget: alone in a headless notebook, or beside its live views.

A notebook that is opened without its kernel cannot draw a live view. It shows the picture beside
it, which the page hides while it has the view.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

from botlib.core.clock import iso
from botlib.widgets.display import Output

ALONE_EVERY: Final = 5.0
"""Seconds between two pictures in a headless notebook."""

BESIDE_EVERY: Final = 60.0
"""Seconds between two pictures beside a live view; Jupyter keeps them for a page that is closed."""

NO_TEXT: Final = {"text/plain": ""}
"""The text of a live view, which a notebook keeps: the picture beside it has the last one."""

# JupyterLab writes an error in place of a view whose model is gone.
_NO_ERROR: Final = (
    "<style>.jp-OutputArea-child:not(:has(.botlib)):has(+ .jp-OutputArea-child .botlib-still)"
    "{display:none}</style>"
)


class Pictures:
    """The pictures of one widget, which hold the same.

    Args:
        draw: returns the picture as HTML, and its text.
    """

    def __init__(self, draw: Callable[[], tuple[str, str]]) -> None:
        self.still = f"botlib-still-{uuid4().hex[:12]}"
        """The CSS class of the pictures beside its live views."""
        self._draw = draw
        self._alone: list[Output] = []
        self._beside: list[Output] = []
        self._drawn = 0.0

    @property
    def alone(self) -> bool:
        """Whether there is a picture in a headless notebook."""
        return bool(self._alone)

    @property
    def due(self) -> bool:
        """Whether a changed widget is to be drawn again."""
        passed = time.monotonic() - self._drawn
        return bool(
            (self._alone and passed >= ALONE_EVERY) or (self._beside and passed >= BESIDE_EVERY)
        )

    def show(self, *, beside: bool) -> Callable[[], None]:
        """Add a picture to the running cell, alone or beside a live view.

        Returns:
            a function that displays it, which has to be called on the thread of the cell.
        """
        output = Output()
        (self._beside if beside else self._alone).append(output)
        self._drawn = time.monotonic()
        bundle = self._bundle(beside=beside)
        return lambda: output.show(bundle)

    def update(self) -> None:
        """Draw every picture again."""
        self._drawn = time.monotonic()
        for outputs, beside in ((self._alone, False), (self._beside, True)):
            if outputs:
                bundle = self._bundle(beside=beside)
                for output in outputs:
                    output.update(bundle)

    def _bundle(self, *, beside: bool) -> dict[str, Any]:
        html, text = self._draw()
        if beside:
            drawn = f"{iso(round(time.time() * 1_000))} UTC"
            html = (
                f'{_NO_ERROR}<div class="botlib-still {self.still}">{html}'
                '<div style="font:11px/1.5 system-ui,sans-serif;opacity:.65">'
                f"The last picture, of {drawn}. Run the cell for the live one.</div></div>"
            )
        return {"text/plain": text, "text/html": html}
