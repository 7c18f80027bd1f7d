"""Histories with the same candles' times and other prices, and with other times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from botlib.core.timeframe import timeframe_ms
from botlib.frames import Frames, open_times

if TYPE_CHECKING:
    import pandas as pd

_MEMORY: Final = 100
"""Candles after which the walk of altered prices has forgotten where it was."""

CALENDAR_DAYS: Final = 10_227
"""28 years, after which weekdays and dates are the same again (from 1901 to 2099)."""

ROUND_DAYS: Final = 10_080
"""A number of days that every whole number of days up to 10 divides, and every week."""


def altered(frames: Frames, random: np.random.Generator, *, after: int = -1) -> Frames:
    """Return frames with the same index and other prices and volumes.

    Prices are moved along a random walk, by about ten times what a candle moves, and the shapes of
    candles (and all other columns) change places.

    Args:
        after: row of the trading frame; candles that close later than it does are altered, in every
            timeframe. -1 alters all.
    """
    base = frames.timeframes[0]
    closes = open_times(frames.frame.index) + timeframe_ms(base)
    known = int(closes[after]) if after >= 0 else int(np.iinfo(np.int64).min)
    walk = _walk(frames.frame["close"].to_numpy(dtype=float), random)
    made = {}
    for timeframe, frame in frames.items():
        ends = open_times(frame.index) + timeframe_ms(timeframe)
        place = np.clip(np.searchsorted(closes, ends, side="right") - 1, 0, None)
        made[timeframe] = _with_prices(frame, walk[place], ends > known, random)
    return Frames(frames.symbol, made)


def moved(frames: Frames, days: int) -> Frames:
    """Return frames with the same prices some days later."""
    import pandas as pd

    made = {}
    for timeframe, frame in frames.items():
        made[timeframe] = frame.copy(deep=False)
        index = pd.DatetimeIndex(frame.index)
        made[timeframe].index = (index + pd.Timedelta(days=days)).rename(index.name)
    return Frames(frames.symbol, made)


def altered_data(
    value: Any, random: np.random.Generator, *, after: pd.Timestamp | None = None
) -> object:
    """Return a copy of a frame, an array or a container with other values in the same places.

    Truths are turned into their contrary, other values change places, and numbers are moved.

    Args:
        after: only rows with a later time are altered; the value has an index of times.

    Raises:
        TypeError: its values cannot be changed.
    """
    import pandas as pd

    if isinstance(value, (pd.DataFrame, pd.Series)):
        rows = np.ones(len(value), dtype=bool)
        if after is not None:
            assert isinstance(value.index, pd.DatetimeIndex)
            moment = after if value.index.tz is None else after.tz_localize("UTC")
            rows = np.asarray(value.index > moment)
        if isinstance(value, pd.Series):
            made = _other(value.to_numpy(copy=True), rows, random)
            return pd.Series(made, index=value.index, name=value.name)
        columns = {
            place: _other(value.iloc[:, place].to_numpy(copy=True), rows, random)
            for place in range(value.shape[1])
        }
        return pd.DataFrame(columns, index=value.index).set_axis(value.columns, axis=1)
    if isinstance(value, dict):
        others = _other(np.array(list(value.values())), None, random)
        return dict(zip(value, others.tolist(), strict=True))
    if isinstance(value, (list, tuple)):
        return type(value)(_other(np.array(value), None, random).tolist())
    return _other(np.array(value), None, random)


def _other(
    values: npt.NDArray[Any], rows: npt.NDArray[np.bool_] | None, random: np.random.Generator
) -> npt.NDArray[Any]:
    """Return an array with other values in some rows, by default in all."""
    places = np.arange(len(values)) if rows is None else np.flatnonzero(rows)
    if values.dtype == bool:
        values[places] = ~values[places]
        return values
    values[places] = values[random.permutation(places)]
    if np.issubdtype(values.dtype, np.floating):
        values[places] *= 1 + 0.3 * random.standard_normal(values[places].shape)
    return values


def _walk(close: npt.NDArray[np.float64], random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return a factor for every candle: a random walk that returns to 1."""
    steps = np.abs(np.diff(np.log(close)))
    usual = max(float(np.mean(steps)) if len(steps) else 0.0, 1e-4)
    fading = np.exp(-np.arange(3 * _MEMORY) / _MEMORY)
    noise = random.standard_normal(len(close)) * 2 * usual
    walk: npt.NDArray[np.float64] = np.exp(np.convolve(noise, fading)[: len(close)])
    return walk


def _with_prices(
    frame: pd.DataFrame,
    walk: npt.NDArray[np.float64],
    rows: npt.NDArray[np.bool_],
    random: np.random.Generator,
) -> pd.DataFrame:
    places = np.flatnonzero(rows)
    if not len(places):
        return frame
    others = random.permutation(places)
    changed = {}
    for name in frame.columns:
        values = frame[name].to_numpy(copy=True)
        if name in ("open", "high", "low", "close"):
            close = frame["close"].to_numpy(dtype=float)
            shape = frame[name].to_numpy(dtype=float)[others] / close[others]
            values = values.astype(float)
            values[places] = close[places] * walk[places] * shape
        else:
            values[places] = values[others]
        changed[name] = values
    made = frame.copy(deep=False)
    for name, values in changed.items():
        made[name] = values
    return made
