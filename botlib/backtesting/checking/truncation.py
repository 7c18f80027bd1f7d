"""Truncated histories, cut by close time, and the columns of a strategy over them.

Cut at its end, a history is what was known live at that candle; cut at its start, it is what a
strategy sees that was started later.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from botlib.core.timeframe import timeframe_ms
from botlib.frames import COLUMNS, Frames, open_times
from botlib.indicators import parse

if TYPE_CHECKING:
    import pandas as pd

    from botlib.indicators import Indicator
    from botlib.strategy import Strategy

# Columns computed twice from the same candles differ at most by the order of summation.
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedColumn:
    """A column that a strategy computed: a signal, or an indicator it used."""

    name: str
    timeframe: str
    index: pd.DatetimeIndex
    values: npt.NDArray[np.bool_] | npt.NDArray[np.float64]
    acted_on: bool = False
    """Whether it is a column of the signals, such as an entry or a size, not an indicator."""

    @property
    def is_signal(self) -> bool:
        """Whether it is a signal, not an indicator."""
        return self.values.dtype == np.bool_

    def differs(
        self, whole: ObservedColumn, *, tolerance: float = _ROUNDING
    ) -> npt.NDArray[np.bool_]:
        """Return for every row whether the column of the whole history has another value there.

        Args:
            whole: the same column over a history that includes this one.
            tolerance: for numbers, a fraction of the median size of the whole column.
        """
        if not len(self.values):
            return np.zeros(0, dtype=bool)
        first = int(whole.index.searchsorted(self.index[0]))
        other = whole.values[first : first + len(self.values)]
        if self.is_signal:
            return np.asarray(self.values != other)
        size = np.abs(whole.values[np.isfinite(whole.values)])
        allowed = tolerance * float(np.median(size)) if len(size) else 0.0
        with np.errstate(invalid="ignore"):
            same = (np.abs(self.values - other) <= allowed) | (self.values == other)
        same |= np.isnan(self.values) & np.isnan(other)
        return np.asarray(~same)


Columns = dict[str, ObservedColumn]
"""The columns of a strategy, by name."""


def observe(strategy: Strategy, frames: Frames) -> Columns:
    """Return the signals of a strategy and every indicator it used, by name.

    Raises:
        ConfigError: the signals do not fit the frames.
    """
    watched = _RecordingFrames(
        frames.symbol, {name: frame.copy(deep=False) for name, frame in frames.items()}
    )
    index = frames.frame.index
    signals = strategy.signals(watched)
    signals.check(frames.index)
    columns = {
        field.name: _column(
            field.name, frames.timeframes[0], index, getattr(signals, field.name), acted_on=True
        )
        for field in dataclasses.fields(signals)
        if hasattr(getattr(signals, field.name), "index")
    }
    for (timeframe, name), values in watched.asked.items():
        label = name if timeframe == frames.timeframes[0] else f"{name} of {timeframe}"
        for part, series in _series(values):
            full = f"{label}.{part}" if part else label
            columns[full] = _column(full, timeframe, frames[timeframe].index, series)
    return columns


def truncate_end(frames: Frames, rows: int, *, uncut: str = "") -> Frames:
    """Return the frames as known at the close of the trading candle number ``rows``, from 1.

    Args:
        uncut: a higher timeframe that is not cut.
    """
    return truncate(frames, 0, rows, uncut=uncut)


def truncate(frames: Frames, first: int, rows: int, *, back: int = 0, uncut: str = "") -> Frames:
    """Return the frames that begin with trading candle ``first`` and end with ``rows`` - 1.

    Higher timeframes end with the newest candle that had closed by then. They begin with the first
    candle that opened no earlier than the trading frame, or earlier, so that ``back`` of them have
    closed when ``back`` trading candles have.
    """
    base = frames.timeframes[0]
    length = timeframe_ms(base)
    opens = open_times(frames.frame.index)
    cut = {base: frames.frame.iloc[first:rows]}
    for timeframe in frames.timeframes[1:]:
        frame = frames[timeframe]
        if timeframe == uncut:
            cut[timeframe] = frame
            continue
        times = open_times(frame.index)
        closed = times + timeframe_ms(timeframe)
        end = int(np.searchsorted(closed, opens[rows - 1] + length, side="right"))
        begin = 0
        if first:
            begin = int(np.searchsorted(times, opens[first]))
            ready = opens[min(first + max(back, 1) - 1, rows - 1)] + length
            enough = int(np.searchsorted(closed, ready, side="right")) - back
            begin = max(min(begin, enough), 0)
        cut[timeframe] = frame.iloc[min(begin, end) : end]
    return Frames(frames.symbol, cut)


def perturb(frames: Frames, share: float, random: np.random.Generator) -> Frames:
    """Return the frames with every value changed at random by about a fraction ``share``."""
    moved = {}
    for timeframe, frame in frames.items():
        columns = frame[list(COLUMNS)]
        moved[timeframe] = columns * (1 + share * random.standard_normal(columns.shape))
    return Frames(frames.symbol, moved)


def has_signal(columns: Columns) -> npt.NDArray[np.bool_]:
    """Return for every candle whether it has a signal."""
    return np.logical_or(columns["entry"].values, columns["exit"].values)


def sample_rows(rows: npt.NDArray[np.int64], count: int, random: np.random.Generator) -> set[int]:
    """Return ``count`` of the rows, chosen at random, or all if there are fewer."""
    picked = rows if len(rows) <= count else random.choice(rows, count, replace=False)
    return {int(row) for row in picked}


def python_value(value: object) -> object:
    """Return a numpy scalar as the Python value it is."""
    return value.item() if isinstance(value, np.generic) else value


class _RecordingFrames(Frames):
    """Frames that record the indicators that were used, with their values."""

    def __init__(self, symbol: str, frames: dict[str, pd.DataFrame]) -> None:
        super().__init__(symbol, frames)
        self.asked: dict[tuple[str, str], pd.Series | pd.DataFrame] = {}

    def indicator(
        self, spec: str | Indicator, timeframe: str | None = None
    ) -> pd.Series | pd.DataFrame:
        found = super().indicator(spec, timeframe)
        self.asked[timeframe or self.timeframes[0], str(parse(spec))] = found
        return found


def _series(values: pd.Series | pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    import pandas as pd

    if isinstance(values, pd.Series):
        yield "", values
    else:
        yield from ((str(name), column) for name, column in values.items())


def _column(
    name: str, timeframe: str, index: pd.Index, values: pd.Series, *, acted_on: bool = False
) -> ObservedColumn:
    kind = np.bool_ if values.dtype == bool else np.float64
    return ObservedColumn(
        name=name,
        timeframe=timeframe,
        index=index,  # type: ignore[arg-type]
        values=values.to_numpy(dtype=kind, copy=True),
        acted_on=acted_on,
    )
