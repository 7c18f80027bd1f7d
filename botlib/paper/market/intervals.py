"""The intervals of klines: the timeframes, and the intervals that only Binance has.

The latter are ``1s``, the calendar month ``1M``, and any interval on the days of another time zone
(``1d@+08:00``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from botlib.core.timeframe import DAY, HOUR, MINUTE, SECOND, TIMEFRAMES, open_time

MONTH: Final = "1M"
TICK: Final = "1s"
INTERVALS: Final = (TICK, *TIMEFRAMES, MONTH)
_ZONE: Final = re.compile(r"([+-]?)(\d{1,2})(?::(\d{2}))?")


@dataclass(frozen=True, slots=True)
class KlineInterval:
    """One interval of klines.

    Attributes:
        name: as in names of streams, with the time zone if there is one.
        code: without the time zone, as klines carry it.
        offset: how far the time zone is ahead of UTC, ms.
        length: duration in ms; that of the longest month for a month.
        plain: whether it is a timeframe on its own UTC grid.
    """

    name: str
    code: str
    offset: int
    length: int
    plain: bool

    def open(self, time: int) -> int:
        """Return the open time of the kline that contains a time (ms)."""
        local = time + self.offset
        if self.code == TICK:
            local -= local % SECOND
        elif self.code == MONTH:
            local = _month(local, 0)
        else:
            local = open_time(local, self.code)
        return local - self.offset

    def next(self, opened: int) -> int:
        """Return the open time of the kline after the one that opens at ``opened`` (ms)."""
        if self.code == MONTH:
            return _month(opened + self.offset, 1) - self.offset
        return opened + self.length


@lru_cache(maxsize=1_024)
def interval(name: str) -> KlineInterval | None:
    """Return an interval by its name, ``1h`` or ``1h@+08:00``, None if there is no such one."""
    code, at, zone = name.partition("@")
    offset = zone_offset(zone) if at else 0
    if code not in INTERVALS or offset is None:
        return None
    length = {TICK: SECOND, MONTH: 31 * DAY}.get(code) or TIMEFRAMES[code]
    return KlineInterval(name, code, offset, length, code in TIMEFRAMES and offset % length == 0)


def zone_offset(zone: str) -> int | None:
    """Return how many ms a zone such as ``8``, ``-1:00`` or ``+05:45`` is ahead of UTC.

    None if it is not a time zone that Binance accepts.
    """
    found = _ZONE.fullmatch(zone)
    if found is None or int(found[3] or 0) > 59:
        return None
    ahead = int(found[2]) * HOUR + int(found[3] or 0) * MINUTE
    ahead = -ahead if found[1] == "-" else ahead
    return ahead if -12 * HOUR <= ahead <= 14 * HOUR else None


def _month(time: int, later: int) -> int:
    day = datetime.fromtimestamp(time // 1_000, UTC)
    months = day.year * 12 + day.month - 1 + later
    first = datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
    return int(first.timestamp()) * 1_000
