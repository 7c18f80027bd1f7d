"""Clocks: sources of calendar time.

In live trading, calendar time is the computer's. In a replay it is the market's: the event times of
the stream, which may run thousands of times faster. In a simulation it belongs to the event loop,
whose time jumps from one timer to the next. Schedules with calendar times (cron, candle closes) use
a clock; intervals and timeouts use the loop's monotonic timer.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from datetime import UTC, datetime
from typing import Final, Protocol

MAX_SLEEP: Final = 30.0
"""Longest single sleep in seconds, so that a suspended laptop or a corrected clock is noticed."""


class Clock(Protocol):
    """A source of calendar time, in ms since the epoch, UTC."""

    def now(self) -> int:
        """Return the current time in ms."""

    async def sleep_until(self, timestamp: int) -> None:
        """Wait until `now` has reached ``timestamp`` (ms)."""


class SystemClock:
    """The computer's clock, or the calendar of a loop that has one (``calendar()``, ms)."""

    def now(self) -> int:
        calendar = getattr(asyncio._get_running_loop(), "calendar", None)
        return calendar() if calendar is not None else time.time_ns() // 1_000_000

    async def sleep_until(self, timestamp: int) -> None:
        # Wall time cannot be awaited: it is read again after every bounded sleep.
        while (remaining := (timestamp - self.now()) / 1_000) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(remaining, MAX_SLEEP))


class MarketClock:
    """The market's time: the latest event time seen, which never decreases.

    It belongs to one loop: `advance` and `sleep_until` are called on that loop's thread.
    """

    def __init__(self, start: int = 0) -> None:
        self._now = start
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._cancelled = 0

    def now(self) -> int:
        """Return the latest event time in ms, 0 before the first event."""
        return self._now

    def advance(self, timestamp: int) -> None:
        """Set the time to ``timestamp`` (ms) and wake sleepers; an earlier time changes nothing."""
        if timestamp <= self._now:
            return
        self._now = timestamp
        while self._waiting and self._waiting[0][0] <= timestamp:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)

    async def sleep_until(self, timestamp: int) -> None:
        while timestamp > self._now:
            future = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (timestamp, next(self._order), future))
            try:
                await future
            except asyncio.CancelledError:
                self._remove_cancelled()
                raise

    def _remove_cancelled(self) -> None:
        """Remove cancelled sleepers once they are half of all, as a market may stand still."""
        self._cancelled += 1
        if 2 * self._cancelled >= len(self._waiting):
            self._waiting = [entry for entry in self._waiting if not entry[2].done()]
            heapq.heapify(self._waiting)
            self._cancelled = 0


def utc(timestamp: int) -> datetime:
    """Return ``timestamp`` (ms) as an aware UTC datetime."""
    return datetime.fromtimestamp(timestamp / 1_000, UTC)


def iso(timestamp: int) -> str:
    """Return ``timestamp`` (ms) as the text ``2026-01-31 12:00:00`` (UTC)."""
    return utc(timestamp).strftime("%Y-%m-%d %H:%M:%S")


class MarketTime(int):
    """A moment in ms since the epoch, which is shown as a date and time."""

    def __repr__(self) -> str:
        return f"{iso(self)} UTC"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(int(self), spec) if spec else repr(self)
