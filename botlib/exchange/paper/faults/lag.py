"""Answers from a copy of the venue that lags behind: what happened lately is not in them yet."""

from __future__ import annotations

from typing import Any

from botlib.exchange.paper.operation import Key
from botlib.exchange.paper.refusals import refusal

_CLOSE_TIME = 6
"""Where a kline has its close time, ms."""

_LISTS = frozenset({("GET", "openOrders"), ("GET", "allOrders"), ("GET", "myTrades")})


def lagging(key: Key, answer: Any, then: int) -> Any:
    """Return what an answer would have been at an earlier market time (ms), as far as it shows.

    Candles that had not closed, and orders and trades that were not there yet, are left out.

    Raises:
        Refusal: the order that is asked for was not there yet.
    """
    if key == ("GET", "klines"):
        return [row for row in answer if row[_CLOSE_TIME] <= then]
    if key == ("GET", "order") and answer["time"] > then:
        raise refusal(-2013)
    if key in _LISTS:
        return [row for row in answer if row["time"] <= then]
    return answer
