"""Validation of a user's DataFrame, and its conversion to a candle frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from botlib.core.errors import InvalidInput
from botlib.core.timeframe import TIMEFRAMES, timeframe_ms
from botlib.frames.frame import candle_frame
from botlib.indicators import COLUMNS

if TYPE_CHECKING:
    import pandas as pd

_PRICES = ("open", "high", "low", "close")


def checked(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a DataFrame as a candle frame.

    Rows whose prices are not finite are left out: they are missing candles. A frame without volume
    gets a volume of NaN.

    Raises:
        InvalidInput: it is no DataFrame, lacks a price or times, or is out of order.
    """
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise InvalidInput(
            f"A chart is drawn from a DataFrame of candles, not {type(frame).__name__}. "
            "bot.candles(symbol, timeframe) gives one."
        )
    lacking = [name for name in _PRICES if name not in frame]
    if lacking:
        raise InvalidInput(
            f"The frame has no column {lacking[0]!r}; it has {', '.join(map(str, frame)) or 'none'}"
            f". A chart needs {', '.join(_PRICES)}, and volume where there is one."
        )
    times = _times(frame)
    late = np.flatnonzero(np.diff(times) <= 0)
    if len(late):
        row = int(late[0]) + 1
        before, then = (pd.Timestamp(int(times[i]), unit="ms") for i in (row - 1, row))
        raise InvalidInput(
            f"The candles are out of order: row {row} is of {then}, after one of {before}. "
            "Sort them by time, each time once: frame[~frame.index.duplicated()].sort_index()."
        )
    columns = [frame[name] if name in frame else np.full(len(frame), np.nan) for name in COLUMNS]
    values = np.column_stack([np.asarray(one, dtype=np.float64) for one in columns])
    sound = np.isfinite(values[:, :4]).all(axis=1)
    return candle_frame(times[sound], values[sound])


def timeframe_of(frame: pd.DataFrame) -> str:
    """Return the timeframe of a candle frame: the distance between most of its candles.

    Raises:
        InvalidInput: that is no timeframe.
    """
    times = _times(frame)
    if len(times) < 2:
        return "1m"
    distances, counts = np.unique(np.diff(times), return_counts=True)
    usual = int(distances[counts.argmax()])
    for name, length in TIMEFRAMES.items():
        if length == usual:
            return name
    raise InvalidInput(
        f"The candles are mostly {usual / 1_000:g} s apart, which is none of the timeframes "
        f"{', '.join(TIMEFRAMES)}. Resample them to one of these."
    )


def check_timeframe(frame: pd.DataFrame, timeframe: str) -> None:
    """Check that candles are not closer together than a timeframe.

    Raises:
        InvalidInput: they are.
    """
    times = _times(frame)
    if len(times) > 1 and int(np.diff(times).min()) < timeframe_ms(timeframe):
        raise InvalidInput(
            f"The candles are closer together than {timeframe}. "
            f"Leave timeframe out, or give {timeframe_of(frame)!r}."
        )


def _times(frame: pd.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    import pandas as pd

    index = frame.index
    if "timestamp" in frame and not isinstance(index, pd.DatetimeIndex):
        column = frame["timestamp"]
        if not pd.api.types.is_datetime64_any_dtype(column):
            column = pd.to_datetime(column, unit="ms")
        index = pd.DatetimeIndex(column)
    if not isinstance(index, pd.DatetimeIndex):
        raise InvalidInput(
            f"The frame has no times: its index is {type(index).__name__}. Index it by the open "
            "times of its candles (UTC), or give it a column 'timestamp' in ms."
        )
    if index.hasnans:
        raise InvalidInput("A time is missing (NaT). Leave that row out.")
    if index.tz is not None:
        index = index.tz_convert("UTC").tz_localize(None)
    return np.asarray(index, dtype="datetime64[ms]").astype(np.int64)
