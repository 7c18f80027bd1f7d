"""Candles of a higher timeframe, built from closed ones of a lower, the base.

A candle is built once it has closed, and only if the base is known from its open on: one in whose
middle the history starts or ends is left out. After a halt of the venue, it is built from the
candles that exist, as the venue builds its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from botlib.core.errors import InvalidInput
from botlib.core.timeframe import TIMEFRAMES, open_time, timeframe_ms
from botlib.frames.frame import candle_frame, open_times
from botlib.indicators import COLUMNS

if TYPE_CHECKING:
    import pandas as pd

Row = tuple[float, float, float, float, float]
"""Open, high, low, close, volume."""


def divides(base: str, timeframe: str) -> bool:
    """Return whether candles of ``timeframe`` consist of whole candles of ``base``."""
    shorter, longer = timeframe_ms(base), timeframe_ms(timeframe)
    # Weeks begin on Mondays; candles that do not fit into a day need not begin with them.
    fits = timeframe != "1w" or TIMEFRAMES["1d"] % shorter == 0
    return shorter < longer and longer % shorter == 0 and fits


def check_divides(base: str, timeframe: str) -> None:
    """Check that candles of ``timeframe`` consist of whole candles of ``base``.

    Raises:
        InvalidInput: they do not.
    """
    if not divides(base, timeframe):
        accepted = [name for name in TIMEFRAMES if divides(base, name)]
        raise InvalidInput(
            f"Cannot build {timeframe} candles from {base} ones. "
            f"From {base} can be built: {', '.join(accepted) or 'none'}."
        )


def resample(frame: pd.DataFrame, timeframe: str, *, base: str) -> pd.DataFrame:
    """Build the closed candles of a higher timeframe from a candle frame.

    Args:
        frame: one row per closed candle of ``base``, ascending.

    Raises:
        InvalidInput: a candle of ``timeframe`` does not consist of whole candles of ``base``.
    """
    check_divides(base, timeframe)
    opens = open_times(frame.index)
    if not len(opens):
        return candle_frame([], [])
    length = timeframe_ms(timeframe)
    origin = open_time(int(opens[0]), timeframe)
    buckets = origin + (opens - origin) // length * length
    starts = np.flatnonzero(np.diff(buckets, prepend=buckets[0] - 1))
    values = frame[list(COLUMNS)].to_numpy(np.float64)
    rows = np.column_stack(
        [
            values[starts, 0],
            np.maximum.reduceat(values[:, 1], starts),
            np.minimum.reduceat(values[:, 2], starts),
            values[np.append(starts[1:], len(values)) - 1, 3],
            np.add.reduceat(values[:, 4], starts),
        ]
    )
    first = 0 if opens[0] == buckets[0] else 1
    closed = int(opens[-1]) + timeframe_ms(base)
    last = len(starts) if buckets[-1] + length <= closed else len(starts) - 1
    return candle_frame(buckets[starts][first:last], rows[first:last])


class CandleBuilder:
    """The candles of a timeframe, built as those of its base close."""

    def __init__(self, base: str, timeframe: str) -> None:
        check_divides(base, timeframe)
        self.base = base
        self.timeframe = timeframe
        self._base_length = timeframe_ms(base)
        self._length = timeframe_ms(timeframe)
        self.reset()

    def reset(self) -> None:
        """Forget every candle."""
        self._open: int | None = None
        self._row: Row | None = None

    def take(self, timestamp: int, row: Row) -> list[tuple[int, Row]]:
        """Add the next closed candle of the base; return the candles that it completes."""
        finished = self.close(timestamp)
        _, high, low, close, volume = row
        bucket = open_time(timestamp, self.timeframe)
        if bucket == self._open and self._row is not None:
            first, highest, lowest, _, total = self._row
            self._row = (first, max(highest, high), min(lowest, low), close, total + volume)
        elif bucket != self._open and (self._open is not None or bucket == timestamp):
            self._row = row
        self._open = bucket
        return finished + self.close(timestamp + self._base_length)

    def close(self, now: int) -> list[tuple[int, Row]]:
        """Return the candle that is being built if it has ended by ``now``, ms.

        All candles of its base up to then must have been added.
        """
        if self._open is None or self._row is None or now < self._open + self._length:
            return []
        finished = [(self._open, self._row)]
        self._row = None
        return finished
