"""Market data from a copy of the venue that lags behind: what happened lately is not in it yet.

What an account is told of itself is made of its past where it is asked for; see `Past`.
"""

from __future__ import annotations

from typing import Any

from botlib.paper.protocol.operation import Key

_CLOSE_TIME = 6
"""Where a kline has its close time, ms."""


def lagging(key: Key, answer: Any, then: int) -> Any:
    """Return what an answer would have been at an earlier market time (ms), as far as it shows.

    Candles that had not closed are left out.
    """
    if key == ("GET", "klines"):
        return [row for row in answer if row[_CLOSE_TIME] <= then]
    return answer
