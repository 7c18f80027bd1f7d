"""Candle frames of one symbol, in one timeframe or several.

A candle frame is a pandas DataFrame: one row per closed candle, ascending, columns
``open high low close volume`` (float64), index ``timestamp``: the open time as tz-naive UTC
``datetime64[ms]``. Candles of a higher timeframe are visible from the moment they closed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from botlib.core.errors import InvalidInput
from botlib.core.timeframe import timeframe_ms
from botlib.indicators import COLUMNS, Indicator, parse
from botlib.indicators.columns import CandleColumns
from botlib.indicators.compute import compute_from

if TYPE_CHECKING:
    import pandas as pd


def candle_frame(timestamps: npt.ArrayLike, values: npt.ArrayLike) -> pd.DataFrame:
    """Build a candle frame.

    Args:
        timestamps: n open times, int ms UTC, ascending.
        values: n rows of open, high, low, close, volume.
    """
    return candle_columns(timestamps, values).frame


def candle_columns(timestamps: npt.ArrayLike, values: npt.ArrayLike) -> CandleColumns:
    """Return the columns of a candle frame, which is built when it is first used."""
    import pandas as pd

    index = pd.DatetimeIndex(
        np.asarray(timestamps, dtype=np.int64).astype("datetime64[ms]"), name="timestamp"
    )
    array = np.asarray(values, dtype=np.float64).reshape(len(index), len(COLUMNS))
    return CandleColumns.of(index, array)


class Frames(Mapping[str, "pd.DataFrame"]):
    """The frames of one symbol at one moment, the input of a strategy.

    ``data["4h"]`` is the frame of a timeframe; `frame` is the trading one, the first of
    `timeframes`. No candle in any of them closes after the last one of the trading frame.
    """

    def __init__(self, symbol: str, frames: Mapping[str, pd.DataFrame]) -> None:
        self.symbol = symbol
        self._frames: dict[str, pd.DataFrame | None] = dict(frames)
        self._columns: dict[str, CandleColumns] = {}
        self._indicators: dict[tuple[str, Indicator], pd.Series | pd.DataFrame] = {}

    @classmethod
    def of(cls, symbol: str, columns: Mapping[str, CandleColumns]) -> Self:
        """Return frames that are built from their columns, by timeframe, when they are used."""
        frames = cls(symbol, {})
        frames._frames = dict.fromkeys(columns)
        frames._columns.update(columns)
        return frames

    @property
    def timeframes(self) -> tuple[str, ...]:
        """The timeframes, the trading one first."""
        return tuple(self._frames)

    @property
    def frame(self) -> pd.DataFrame:
        """The frame of the trading timeframe."""
        return self[self.timeframes[0]]

    @property
    def index(self) -> pd.Index:
        """The open times of the trading frame, which does not build the frame."""
        columns = self._columns.get(self.timeframes[0])
        return self.frame.index if columns is None else columns.index

    def rows_of(self, timeframe: str) -> int:
        """Return the number of candles of a timeframe; no frame is built for it."""
        columns = self._columns.get(timeframe)
        return len(self[timeframe] if columns is None else columns.index)

    def indicator(
        self, spec: str | Indicator, timeframe: str | None = None
    ) -> pd.Series | pd.DataFrame:
        """Return an indicator over the frame of a timeframe, by default the trading one.

        Each distinct indicator is computed once for as long as this object lives.

        Args:
            spec: such as ``"ema(20)"``, ``"bbands(20, 2)"`` or ``"sma(10, source=high)"``.

        Returns:
            float64 on the index of that timeframe's frame, NaN before the first value: a Series, or
            a DataFrame if the indicator gives several columns. `align` joins one of a higher
            timeframe to the trading frame.

        Raises:
            InvalidInput: the specification or the timeframe is not accepted.
        """
        key = (timeframe or self.timeframes[0], parse(spec))
        found = self._indicators.get(key)
        if found is None:
            columns = self._columns.get(key[0])
            if columns is None:
                columns = self._columns[key[0]] = CandleColumns(self[key[0]])
            found = self._indicators[key] = compute_from(columns, key[1])
        # Shallow: with pandas' copy-on-write, a caller's changes do not reach the stored one.
        return found.copy(deep=False)

    def align(self, values: pd.Series, timeframe: str) -> pd.Series:
        """Join values of a higher timeframe to the trading frame, by close time.

        Args:
            values: one value per candle of ``timeframe``, indexed by its open time.

        Returns:
            One value per candle of the trading frame: that of the newest candle of ``timeframe``
            that had closed when the trading candle closed; NaN before the first one.
        """
        import pandas as pd

        base = self.frame.index
        closes = open_times(base) + timeframe_ms(self.timeframes[0])
        known = open_times(values.index) + timeframe_ms(timeframe)
        place = np.searchsorted(known, closes, side="right") - 1
        picked = values.to_numpy(dtype=float)[np.maximum(place, 0)] if len(values) else np.nan
        return pd.Series(np.where(place >= 0, picked, np.nan), index=base, name=values.name)

    def __getitem__(self, timeframe: str) -> pd.DataFrame:
        try:
            frame = self._frames[timeframe]
        except KeyError:
            raise InvalidInput(
                f"No frame for {timeframe!r}: this strategy sees {', '.join(self.timeframes)}. "
                "Add it to the strategy's timeframes."
            ) from None
        if frame is None:
            frame = self._frames[timeframe] = self._columns[timeframe].frame
        return frame

    def __iter__(self) -> Iterator[str]:
        return iter(self._frames)

    def __len__(self) -> int:
        return len(self._frames)


def open_times(index: pd.Index) -> npt.NDArray[np.int64]:
    """Return the open times of a candle frame's index, ms."""
    return np.asarray(index, dtype="datetime64[ms]").astype(np.int64)
