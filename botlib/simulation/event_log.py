"""The event log of a simulation: one line for each event, and a digest of all lines."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

import orjson

from botlib.core.bus import EventBus
from botlib.core.files import open_private, private_directory
from botlib.core.model import (
    CandleClosed,
    Event,
    FillReceived,
    GapFilled,
    Halted,
    OrderUpdated,
    PositionChanged,
    SignalRaised,
    TaskFailed,
)

RECORDED: Final[tuple[type[Event], ...]] = (
    CandleClosed,
    GapFilled,
    SignalRaised,
    OrderUpdated,
    FillReceived,
    PositionChanged,
    TaskFailed,
    Halted,
)
"""Every event except `CandleUpdated`, which is published only while something subscribes to it."""


class EventLog:
    """The lines of JSON of a simulation, each ``[calendar time in ms, kind, event]``.

    Each line is added to the digest, and written to a file if one is given; none stays in memory.

    Args:
        now: returns the calendar time, ms.
        path: the file, which is overwritten; None writes no file.
    """

    def __init__(self, now: Callable[[], int], path: Path | None = None) -> None:
        self.path = path
        self.lines = 0
        self._now = now
        self._hash = hashlib.sha256()
        self._file: IO[bytes] | None = None
        if path is not None:
            private_directory(path.parent)
            self._file = open_private(path, "wb")

    @property
    def digest(self) -> str:
        """SHA-256 of all lines so far, as hexadecimal text."""
        return self._hash.hexdigest()

    def add(self, kind: str, content: object) -> None:
        """Write a line; ``content`` is a dataclass, or a value that JSON can hold."""
        line = orjson.dumps(
            [self._now(), kind, content],
            default=str,
            option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS,
        )
        self._hash.update(line)
        self.lines += 1
        if self._file is not None:
            self._file.write(line)

    async def follow(self, bus: EventBus) -> None:
        """Write every event of a bus until cancelled, including those that still wait then."""
        with bus.subscribe(*RECORDED, name="event log", maxsize=100_000) as events:
            try:
                async for event in events:
                    self.add(type(event).__name__, event)
            finally:
                while (left := events.get_nowait()) is not None:
                    self.add(type(left).__name__, left)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
