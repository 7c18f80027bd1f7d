"""`LogTail`: the newest lines of the log, in memory and with secrets masked."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from itertools import count
from typing import Final

from botlib.core.text.masking import masked

LINES: Final = 60
"""Lines that are kept."""

LONGEST: Final = 500
"""Most characters of a line; the log file has the rest."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One record of the log. ``time`` is wall time in ms."""

    number: int
    time: int
    level: str
    name: str
    text: str


class LogTail(logging.Handler):
    """A log handler that keeps the newest records; other threads may log while it is read.

    Args:
        lines: number of lines to keep.
    """

    def __init__(self, *, lines: int = LINES) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[LogLine] = deque(maxlen=lines)
        self._numbers = count(1)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError):
            text = f"{record.msg} (with arguments that do not fit)"
        if record.exc_info and record.exc_info[1] is not None:
            error = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
            if error not in text:
                text = f"{text} ({error})"
        # Masked before it is cut, or half of a secret could remain.
        text = " ".join(masked(text).split())[:LONGEST]
        self._lines.append(
            LogLine(
                number=next(self._numbers),
                time=int(record.created * 1_000),
                level=record.levelname,
                name=record.name.removeprefix("botlib."),
                text=text,
            )
        )

    def tail(self) -> list[LogLine]:
        """Return the kept lines, oldest first."""
        self.acquire()
        try:
            return list(self._lines)
        finally:
            self.release()
