"""Market data from a replica of the venue that lags behind the present.

The data of accounts at an earlier time come from their snapshots (`accounts.snapshots`).
"""

from __future__ import annotations

from typing import Any

from botlib.paper.protocol.operation import Key

_CLOSE_TIME = 6
"""Position of the close time (ms) in a kline."""


def lagging(key: Key, answer: Any, then: int) -> Any:
    """Return an answer as it would have been at an earlier market time (ms).

    Only klines differ: candles that were not closed then are removed.
    """
    if key == ("GET", "klines"):
        return [row for row in answer if row[_CLOSE_TIME] <= then]
    return answer
