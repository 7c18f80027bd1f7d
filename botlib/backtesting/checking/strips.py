"""Every candle at once: strips of candles are altered, and the candle before each must not change.

A history is divided into strips of altered candles with enough real ones between them. One call
then tests a candle in each period for what it knows of the strip after it, and as many calls as a
period has candles test them all, whatever their number. A candle that changes is cut at: it may
only remember an earlier strip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from botlib.core.text import formats
from botlib.core.timeframe import timeframe_ms
from botlib.frames import COLUMNS, Frames, open_times
from botlib.indicators.columns import CandleColumns

if TYPE_CHECKING:
    from botlib.backtesting.checking.lookahead import LookAheadCheck
    from botlib.backtesting.checking.subject import Deadline
    from botlib.backtesting.checking.windows import WindowCuts

WIDTH: Final = 32
"""Altered candles of a strip."""

_LEAST_REAL: Final = 64
_MOST_REAL: Final = 4_096
"""Real candles between two strips, at first and at most."""

_SUSPECT: Final = 0.05
"""Share of the candles that may change for another reason before there are more real ones."""

_SIZE: Final = 20.0
"""How far a strip lies from its prices, in usual moves of a candle."""


@dataclass(frozen=True, slots=True)
class StripsMade:
    """How many candles were tested, of how many there are; ``why`` it was not all."""

    candles: int
    all_candles: int
    why: str = ""

    @property
    def words(self) -> str:
        """The counts in words."""
        return f"{formats.count(self.candles)} of {formats.count(self.all_candles)} candles"

    @property
    def complete(self) -> bool:
        """Whether every candle was tested."""
        return self.candles == self.all_candles


def compare_strips(
    ahead: LookAheadCheck, cuts: WindowCuts, random: np.random.Generator, deadline: Deadline
) -> StripsMade:
    """Alter strips until the candle before a strip was each candle once.

    Args:
        cuts: looks at the candles that change.
    """
    rows = len(ahead.frames.index)
    ends = np.arange(ahead.least - 1, rows - 1)
    strips = _Strips(ahead.frames)
    if strips.unusual:
        return StripsMade(0, len(ends), "the candles have other columns as well")
    real = _LEAST_REAL
    while True:
        made, suspects = np.zeros(rows, dtype=bool), 0
        for place in random.permutation(real + WIDTH):
            if deadline.over:
                return StripsMade(int(made[ends].sum()), len(ends), "the time was up")
            chosen = ends[ends % (real + WIDTH) == place]
            changed = _changed(ahead, strips, chosen)
            if changed is None:
                return StripsMade(0, len(ends), "it fails on altered prices")
            suspects += len(changed)
            made[chosen] = True
            if len(changed) > _SUSPECT * len(chosen) + 3 and not ahead.leaks:
                # A few of them are enough to know a leak from a long memory.
                changed = random.permutation(changed)[:8]
            for row in changed:
                if deadline.over or cuts.enough:
                    break
                cuts.look(int(row))
            if cuts.enough:
                return StripsMade(int(made[ends].sum()), len(ends), "what was found is enough")
            if suspects > _SUSPECT * made.sum() + 10 and not ahead.leaks:
                break
        else:
            return StripsMade(len(ends), len(ends))
        real *= 2
        if real > min(_MOST_REAL, rows // 4):
            return StripsMade(0, len(ends), "it remembers more candles than can be left between")


def _changed(
    ahead: LookAheadCheck, strips: _Strips, chosen: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64] | None:
    """Return the candles whose signals change with the strips after them, None if it fails."""
    changed = np.zeros(len(chosen), dtype=bool)
    for up in (True, False):
        try:
            signals = ahead.subject.fresh().signals(strips.after(chosen, up=up))
        except Exception:
            return None
        for name, column in ahead.whole.items():
            if not column.acted_on:
                continue
            values, expected = getattr(signals, name).to_numpy()[chosen], column.values[chosen]
            if column.is_signal:
                changed |= values != expected
            else:
                changed |= ~np.isclose(values, expected, 1e-6, 0.0, equal_nan=True)
    return chosen[changed]


class _Strips:
    """Frames with strips of other prices, made quickly.

    Attributes:
        unusual: whether a frame has columns beyond the usual ones, which cannot be altered.
    """

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self.unusual = any(tuple(frame.columns) != COLUMNS for frame in frames.values())
        if self.unusual:
            return
        close = frames.frame["close"].to_numpy(dtype=float)
        steps = np.abs(np.diff(np.log(close)))
        size = min(max(_SIZE * float(np.mean(steps)), 0.02), 1.0)
        base = frames.timeframes[0]
        closes = open_times(frames.frame.index) + timeframe_ms(base)
        self._real, self._place = {}, {}
        self._other: dict[bool, dict[str, npt.NDArray[np.float64]]] = {True: {}, False: {}}
        for timeframe, frame in frames.items():
            values = frame.to_numpy(dtype=np.float64)
            ends = open_times(frame.index) + timeframe_ms(timeframe)
            # The trading candle with which a candle is known.
            self._place[timeframe] = np.minimum(np.searchsorted(closes, ends), len(closes) - 1)
            self._real[timeframe] = values
            for up in (True, False):
                self._other[up][timeframe] = _moved(values, size if up else -size)

    def after(self, rows: npt.NDArray[np.int64], *, up: bool) -> Frames:
        """Return the frames with the strips after these trading candles moved up or down."""
        edges = np.zeros(len(self._frames.index) + WIDTH + 1)
        edges[rows + 1] += 1
        edges[rows + 1 + WIDTH] -= 1
        altered = np.cumsum(edges)[: len(self._frames.index)] > 0
        columns = {}
        for timeframe, real in self._real.items():
            values = real.copy()
            there = altered[self._place[timeframe]]
            values[there] = self._other[up][timeframe][there]
            columns[timeframe] = CandleColumns.of(self._frames[timeframe].index, values)
        return Frames.of(self._frames.symbol, columns)


def _moved(values: npt.NDArray[np.float64], size: float) -> npt.NDArray[np.float64]:
    """Return candles with all prices moved and the open and the close of each exchanged."""
    made: npt.NDArray[np.float64] = values * np.exp(size)
    made[:, [0, 3]] = made[:, [3, 0]]
    made[:, 4] = values[:, 4] * (10.0 if size > 0 else 0.1)
    return made
