"""Screenshots that a page makes of a chart, and the files they are written to."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from botlib.core.files import open_private

logger = logging.getLogger(__name__)

PATIENCE: Final = 2.0
"""Seconds until the chart shows a notice that its screenshot is still to come."""


class Screenshots:
    """The screenshots that were requested and are not written yet.

    Args:
        say: shows a text over the chart.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._waiting: dict[int, Path] = {}
        self._told: set[int] = set()
        self._numbers = itertools.count(1)

    def expect(self, path: Path) -> int:
        """Return the number of a request to the page, whose answer is written to ``path``."""
        number = next(self._numbers)
        self._waiting[number] = path.absolute()
        late = threading.Timer(PATIENCE, self._late, (number,))
        late.name, late.daemon = "chart", True
        late.start()
        return number

    def awaited(self) -> tuple[int, ...]:
        """Return the numbers of the requests that no page has answered yet."""
        return tuple(self._waiting)

    def save(self, message: dict[str, Any], image: bytes | None) -> None:
        """Write the answer of a page; a second one, from another view, is ignored."""
        number = int(message["id"])
        path = self._waiting.pop(number, None)
        if path is None:
            return
        if number in self._told:
            self._told.discard(number)
            self._say("")
        if image is None:
            self._failed(path, str(message.get("error") or "the page sent no picture"))
            return
        draft = path.with_name(f".{path.name}.part")
        try:
            with open_private(draft, "wb") as file:
                file.write(image)
            draft.replace(path)
        except OSError as error:
            self._failed(path, str(error))

    def _late(self, number: int) -> None:
        path = self._waiting.get(number)
        if path is not None:
            self._told.add(number)
            self._say(f"{path.name} is written when the running cell has ended")

    def _failed(self, path: Path, reason: str) -> None:
        logger.error("no screenshot was written to %s: %s", path, reason)
        self._say(f"screenshot: {reason}")
