"""Timeframes and durations: their names, lengths and positions in UTC.

A timeframe is a candle interval of a fixed length, written as ccxt writes it
(``"1m"``, ``"4h"``, ``"1d"``). A candle is stamped with the time it opens, in ms since the epoch,
UTC; weekly candles open on Mondays. Months are not supported, as their length varies.
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final

from botlib.core.errors import InvalidInput, UnknownTimeframe, did_you_mean

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY

TIMEFRAMES: Final[dict[str, int]] = {
    "1m": MINUTE,
    "3m": 3 * MINUTE,
    "5m": 5 * MINUTE,
    "15m": 15 * MINUTE,
    "30m": 30 * MINUTE,
    "1h": HOUR,
    "2h": 2 * HOUR,
    "4h": 4 * HOUR,
    "6h": 6 * HOUR,
    "8h": 8 * HOUR,
    "12h": 12 * HOUR,
    "1d": DAY,
    "3d": 3 * DAY,
    "1w": WEEK,
}
"""Length of each accepted timeframe in ms."""


class TimeFrame(StrEnum):
    """The accepted timeframes by name; a member is the text, and is accepted wherever one is."""

    M1 = "1m"
    M3 = "3m"
    M5 = "5m"
    M15 = "15m"
    M30 = "30m"
    H1 = "1h"
    H2 = "2h"
    H4 = "4h"
    H6 = "6h"
    H8 = "8h"
    H12 = "12h"
    D1 = "1d"
    D3 = "3d"
    W1 = "1w"


# The epoch was a Thursday; weekly candles open on Monday 00:00 UTC.
_WEEK_ORIGIN: Final = 4 * DAY

_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
# Nothing was traded before 2009: a smaller number is in seconds.
_EARLIEST: Final = 1_230_768_000_000
_UNIT_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def timeframe_ms(timeframe: str) -> int:
    """Return the length of a timeframe in ms.

    Raises:
        UnknownTimeframe: it is none of `TIMEFRAMES`.
    """
    try:
        return TIMEFRAMES[timeframe]
    except (KeyError, TypeError):
        hint = did_you_mean(timeframe, TIMEFRAMES) if isinstance(timeframe, str) else ""
        raise UnknownTimeframe(
            f"Unknown timeframe {timeframe!r}. Accepted: {', '.join(TIMEFRAMES)}.{hint}"
        ) from None


def open_time(timestamp: int, timeframe: str) -> int:
    """Return the open time (ms) of the candle that contains ``timestamp`` (ms)."""
    length = timeframe_ms(timeframe)
    origin = _WEEK_ORIGIN if timeframe == "1w" else 0
    return timestamp - (timestamp - origin) % length


def is_open_time(timestamp: int, timeframe: str) -> bool:
    """Return whether a candle of a timeframe opens at ``timestamp`` (ms)."""
    return open_time(timestamp, timeframe) == timestamp


def parse_duration(value: float | str) -> float:
    """Return a duration in seconds.

    Args:
        value: a number of seconds, or a text such as ``"30s"``, ``"1.5h"`` or ``"1h 30m"``
            with the units ms, s, m, h, d and w.

    Raises:
        InvalidInput: it cannot be read, or is negative or not finite.
    """
    seconds: float | None = None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = value
    elif isinstance(value, str):
        parts = list(_DURATION.finditer(value))
        if parts and "".join(part.group(0) for part in parts) == value:
            seconds = sum(float(part[1]) * _UNIT_SECONDS[part[2]] for part in parts)
    # Compared before the conversion, as an int may be too large for a float.
    if seconds is None or not 0 <= seconds <= sys.float_info.max:
        raise InvalidInput(
            f"Cannot use {value!r} as a duration. "
            "Accepted: a number of seconds from 0 up, or a text such as '30s', '5m', '1h 30m'."
        )
    return float(seconds)


def parse_since(value: float | str | date, now: int) -> int:
    """Return a point in time in ms, UTC.

    Args:
        value: ms since the epoch, UTC (0 is the earliest time); an ISO text such as
            ``"2024-01-31"`` or ``"2024-01-31T12:00"``, UTC if it has no zone; a duration back
            from now such as ``"180d"``; ``"now"``; a datetime or date, UTC if it has no zone.
        now: the present in ms.

    Raises:
        InvalidInput: it cannot be read, or lies before 2009.
    """
    moment: float | None = None
    try:
        if isinstance(value, str):
            moment = _text_moment(value.strip(), now)
        elif isinstance(value, datetime):
            moment = _instant(value)
        elif isinstance(value, date):
            moment = _instant(datetime.combine(value, time()))
        elif not isinstance(value, bool) and (value == 0 or value >= _EARLIEST):
            moment = value
        if moment is not None:
            return max(0, int(moment))
    except (TypeError, ValueError, OverflowError):
        pass  # refused below
    raise InvalidInput(
        f"Cannot use {value!r} as a time. Accepted: ms since the epoch (from 2009 on; not "
        "seconds), '2024-01-31', '2024-01-31T12:00' (UTC), '180d' (back from now), 'now', "
        "or a datetime."
    )


def _text_moment(text: str, now: int) -> float:
    if text == "now":
        return now
    if _DURATION.match(text):
        return now - 1_000 * parse_duration(text)
    return _instant(datetime.fromisoformat(text))


def _instant(value: datetime) -> float:
    # Not by `datetime.timestamp`: a float of seconds is not exact to the millisecond.
    return ((value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND
