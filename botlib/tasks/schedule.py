"""Schedules: when a task runs.

An `Interval` follows the loop's monotonic timer. `Cron` and `EveryCandle` name calendar times,
always in UTC, and follow a `botlib.core.clock.Clock`; their times are in ms since the epoch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from cronsim import CronSim, CronSimError

from botlib.core.clock import utc
from botlib.core.errors import TaskConfigError
from botlib.core.text.formats import interval
from botlib.core.timeframe import open_time, timeframe_ms

_COUNTED: Final = 1_000
"""Limit up to which missed cron ticks are counted, one by one."""


@dataclass(frozen=True, slots=True)
class Once:
    """One run at the start."""

    def __str__(self) -> str:
        return "once"


@dataclass(frozen=True, slots=True)
class Forever:
    """One run that lasts until it is stopped, such as a stream."""

    def __str__(self) -> str:
        return "for ever"


@dataclass(frozen=True, slots=True)
class Interval:
    """Runs at the start and then every so many seconds, on a fixed grid."""

    seconds: float

    def __str__(self) -> str:
        return f"every {interval(self.seconds)}"

    def following(self, due: float, now: float, not_before: float) -> tuple[float, int]:
        """Return the next tick of the grid, and the number of ticks missed up to ``now``.

        Args:
            due: a tick of the grid, loop time in seconds.
            now: the present loop time; the tick returned is later.
            not_before: earliest loop time of the tick returned.
        """
        step = self.seconds
        tick = due + step
        missed = 0
        if tick <= now:
            missed = int((now - due) / step)
            tick = due + (missed + 1) * step
        if tick < not_before:
            tick += math.ceil((not_before - tick) / step) * step
        return tick, missed


@dataclass(frozen=True, slots=True)
class Cron:
    """Runs at the UTC times of a cron expression of five fields, or six with seconds first.

    Raises:
        TaskConfigError: the expression cannot be read, or matches no time.
    """

    expression: str

    def __post_init__(self) -> None:
        try:
            next(CronSim(self.expression, utc(0)))
        except (CronSimError, AttributeError, StopIteration) as error:
            reason = str(error) or "it names a time that never comes"
            raise TaskConfigError(
                f"Cannot use cron={self.expression!r}: {reason}. Accepted: five fields 'minute "
                "hour day month weekday' in UTC, such as '*/5 * * * *', or six with seconds first."
            ) from None

    def __str__(self) -> str:
        return f"cron {self.expression}"

    def following(self, timestamp: int) -> int:
        """Return the first tick after ``timestamp`` (ms)."""
        return _ms(CronSim(self.expression, utc(timestamp)))

    def latest(self, due: int, now: int) -> tuple[int, int]:
        """Return the last tick up to ``now`` (ms), and how many there are after ``due``."""
        ticks = CronSim(self.expression, utc(due))
        missed = 0
        while missed < _COUNTED and _ms(ticks) <= now:
            missed += 1
        if missed == 0:
            return due, 0
        # Backwards, CronSim starts a second before the time given.
        after = utc(now).replace(microsecond=0) + timedelta(seconds=1)
        return _ms(CronSim(self.expression, after, reverse=True)), missed


@dataclass(frozen=True, slots=True)
class EveryCandle:
    """Runs at every close of a candle, ``offset`` ms after it.

    Raises:
        UnknownTimeframe: the timeframe is not known.
        TaskConfigError: the offset does not lie within the candle.
    """

    timeframe: str
    offset: int = 0

    def __post_init__(self) -> None:
        length = timeframe_ms(self.timeframe)
        if not 0 <= self.offset < length:
            raise TaskConfigError(
                f"Cannot use offset={self.offset / 1_000:g} s with every_candle="
                f"{self.timeframe!r}. Accepted: from 0 up to less than {length / 1_000:g} s."
            )

    def __str__(self) -> str:
        offset = f" + {interval(self.offset / 1_000)}" if self.offset else ""
        return f"every {self.timeframe} candle{offset}"

    def following(self, timestamp: int) -> int:
        """Return the first tick after ``timestamp`` (ms)."""
        opened = open_time(timestamp - self.offset, self.timeframe)
        return opened + timeframe_ms(self.timeframe) + self.offset

    def latest(self, due: int, now: int) -> tuple[int, int]:
        """Return the last tick up to ``now`` (ms), and how many there are after ``due``."""
        last = max(due, open_time(now - self.offset, self.timeframe) + self.offset)
        return last, (last - due) // timeframe_ms(self.timeframe)


Calendar = Cron | EveryCandle
"""A schedule that names calendar times."""

Schedule = Once | Forever | Interval | Calendar


def _ms(ticks: CronSim) -> int:
    return round(next(ticks).timestamp() * 1_000)
