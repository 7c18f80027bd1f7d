"""Pictures that a page takes of itself, on their way to a file."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

logger = logging.getLogger(__name__)

PATIENCE: Final = 2.0
"""Seconds until somebody who looks at the chart is told that its picture is still to come."""


class Screenshots:
    """The pictures that were asked for and are not written yet.

    Args:
        say: shows a text to who looks at the chart.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._waiting: dict[int, Path] = {}
        self._told: set[int] = set()
        self._numbers = itertools.count(1)

    def expect(self, path: Path) -> int:
        """Return the number to ask the page under; its answer is written to ``path``."""
        number = next(self._numbers)
        self._waiting[number] = path.absolute()
        late = threading.Timer(PATIENCE, self._late, (number,))
        late.name, late.daemon = "chart", True
        late.start()
        return number

    def awaited(self) -> tuple[int, ...]:
        """Return the numbers that no page has answered yet."""
        return tuple(self._waiting)

    def take(self, message: dict[str, Any], image: bytes | None) -> None:
        """Write what a page sent; another view of the same chart comes too late, no error."""
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
            draft.write_bytes(image)
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
