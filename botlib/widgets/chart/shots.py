"""Pictures that a page takes of itself, on their way to a file."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


class Shots:
    """The pictures that were asked for and are not written yet.

    Args:
        say: shows a text to who looks at the chart.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._waiting: dict[int, Path] = {}
        self._numbers = itertools.count(1)

    def expect(self, path: Path) -> int:
        """Return the number to ask the page under; its answer is written to ``path``."""
        number = next(self._numbers)
        self._waiting[number] = path.absolute()
        return number

    def awaited(self) -> tuple[int, ...]:
        """Return the numbers that no page has answered yet."""
        return tuple(self._waiting)

    def take(self, message: dict[str, Any], image: bytes | None) -> None:
        """Write what a page sent; another view of the same chart comes too late, no error."""
        path = self._waiting.pop(int(message["id"]), None)
        if path is None:
            return
        if image is None:
            self._failed(path, str(message.get("error") or "the page sent no picture"))
            return
        draft = path.with_name(f".{path.name}.part")
        try:
            draft.write_bytes(image)
            draft.replace(path)
        except OSError as error:
            self._failed(path, str(error))

    def _failed(self, path: Path, reason: str) -> None:
        logger.error("no screenshot was written to %s: %s", path, reason)
        self._say(f"screenshot: {reason}")
