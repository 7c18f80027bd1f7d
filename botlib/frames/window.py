"""The newest candles of one symbol and timeframe, with the values of tracked indicators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from botlib.frames.frame import candle_columns
from botlib.frames.resampling import Row
from botlib.indicators import COLUMNS, Incremental, Indicator
from botlib.indicators.columns import CandleColumns

if TYPE_CHECKING:
    import pandas as pd


class CandleWindow:
    """The newest closed candles.

    The arrays are twice as long as required, so that the candles are rarely moved.

    Args:
        rows: candles that are kept at least.
    """

    def __init__(self, timeframe: str, rows: int) -> None:
        self.timeframe = timeframe
        self.rows = rows
        self.size = 0
        self.timestamps = np.empty(2 * rows, dtype=np.int64)
        self.values = np.empty((2 * rows, len(COLUMNS)), dtype=np.float64)
        self._followers: dict[Indicator, _TrackedIndicator] = {}

    @property
    def last_open(self) -> int | None:
        """Open time of the newest candle, ms; None before the first."""
        return int(self.timestamps[self.size - 1]) if self.size else None

    def append(self, timestamp: int, row: Row) -> bool:
        """Add a candle and return whether it is newer than all others; an older one is ignored."""
        if self.size and timestamp <= self.timestamps[self.size - 1]:
            return False
        if self.size == len(self.timestamps):
            self.follow()
            for array in (self.timestamps, self.values, *self._follower_values()):
                array[: self.rows] = array[-self.rows :]
            self.size = self.rows
            for follower in self._followers.values():
                follower.size = self.rows
        self.timestamps[self.size] = timestamp
        self.values[self.size] = row
        self.size += 1
        return True

    def last_before(self, timestamp: int) -> int | None:
        """Return the open time of the newest candle that opened before ``timestamp``, ms."""
        end = int(np.searchsorted(self.timestamps[: self.size], timestamp, side="left"))
        return int(self.timestamps[end - 1]) if end else None

    def grow(self, rows: int) -> CandleWindow:
        """Return a window of at least ``rows`` candles with the contents of this one."""
        if rows <= self.rows:
            return self
        self.follow()
        larger = CandleWindow(self.timeframe, rows)
        larger.size = self.size
        larger.timestamps[: self.size] = self.timestamps[: self.size]
        larger.values[: self.size] = self.values[: self.size]
        larger._followers = {key: one.grow(2 * rows) for key, one in self._followers.items()}
        return larger

    def emptied(self) -> CandleWindow:
        """Return an empty window of the same size, with the same indicators."""
        fresh = CandleWindow(self.timeframe, self.rows)
        for indicator in self._followers:
            fresh.track(indicator)
        return fresh

    def columns(self, last_open: int) -> CandleColumns:
        """Return the newest candles up to the one that opened at ``last_open``, ms."""
        end = int(np.searchsorted(self.timestamps[: self.size], last_open, side="right"))
        start = max(0, end - self.rows)
        values = self.values[start:end].copy()
        return candle_columns(self.timestamps[start:end], values)

    @property
    def tracked(self) -> tuple[Indicator, ...]:
        """The indicators kept up to date."""
        return tuple(self._followers)

    def track(self, indicator: Indicator) -> None:
        """Keep an indicator up to date from now on, starting with the candles kept."""
        if indicator not in self._followers:
            follower = _TrackedIndicator(
                Incremental(indicator, timeframe=self.timeframe), 2 * self.rows
            )
            follower.catch_up(self)
            self._followers[indicator] = follower

    def follow(self) -> None:
        """Update every indicator to the newest candle."""
        for follower in self._followers.values():
            follower.catch_up(self)

    def indicator(self, indicator: Indicator) -> pd.Series | pd.DataFrame:
        """Return the values of a tracked indicator over the newest candles."""
        import pandas as pd

        start = max(0, self.size - self.rows)
        follower = self._followers[indicator]
        values = follower.values[start : self.size].copy()
        opens = self.timestamps[start : self.size].astype("datetime64[ms]")
        index = pd.DatetimeIndex(opens, name="timestamp")
        outputs = follower.incremental.outputs
        if outputs == ("",):
            return pd.Series(values[:, 0], index=index, name=str(indicator))
        return pd.DataFrame(values, index=index, columns=list(outputs))

    def _follower_values(self) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
        return [follower.values for follower in self._followers.values()]


class _TrackedIndicator:
    """The values of an indicator, one row for each candle of a window."""

    def __init__(self, incremental: Incremental, capacity: int) -> None:
        self.incremental = incremental
        self.size = 0
        self.values = np.empty((capacity, len(incremental.outputs)))

    def catch_up(self, window: CandleWindow) -> None:
        if self.size < window.size:
            new = slice(self.size, window.size)
            self.values[new] = self.incremental.update(window.timestamps[new], window.values[new])
            self.size = window.size

    def grow(self, capacity: int) -> _TrackedIndicator:
        larger = _TrackedIndicator(self.incremental, capacity)
        larger.size = self.size
        larger.values[: self.size] = self.values[: self.size]
        return larger
