"""Cuts at every signal: the newest candles alone, as a running bot hands them to a strategy.

A strategy that has settled says on a window what it says over the whole history, so a cut costs as
little as a live candle. Where a window differs, the whole history is cut there, which decides.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from botlib.core.text import formats
from botlib.core.timeframe import timeframe_ms
from botlib.frames import COLUMNS, Frames, open_times
from botlib.indicators.columns import CandleColumns

if TYPE_CHECKING:
    import pandas as pd

    from botlib.backtesting.checking.lookahead import LookAheadCheck
    from botlib.backtesting.checking.subject import Deadline
    from botlib.backtesting.checking.truncation import Columns

_LEAST_WINDOW: Final = 128

_ROUNDING: Final = 1e-6
"""Fraction of the usual size by which a number may differ with where its history began."""

_PATIENCE: Final = 4
"""Windows that differ for no other reason than where they began, before they are doubled."""

_ENOUGH: Final = 25
"""Cuts that differ, after which one more says nothing new."""


_OTHER: Final = 2
"""Rank of a candle without a signal; 0 is one whose signal is new, 1 one whose signal goes on."""


@dataclass(frozen=True, slots=True)
class CutsMade:
    """How many candles were cut at, of how many there are.

    Attributes:
        signals: of the candles with a signal.
        others: of the candles without one.
        stopped: whether enough differences were found to stop.
    """

    signals: int
    all_signals: int
    others: int
    all_others: int
    stopped: bool = False
    late: bool = False
    """Whether the time was up."""

    @property
    def words(self) -> str:
        """The counts in words."""
        return (
            f"{formats.count(self.signals)} of {formats.count(self.all_signals)} signals and "
            f"{formats.count(self.others)} of {formats.count(self.all_others)} other candles"
        )

    @property
    def every_signal(self) -> bool:
        """Whether all signals were cut at."""
        return self.signals == self.all_signals


class WindowCuts:
    """Cuts of the newest candles alone.

    Args:
        ahead: the look-ahead check that decides where a window differs, and keeps what it finds.
    """

    def __init__(self, ahead: LookAheadCheck) -> None:
        self._ahead = ahead
        self._windows = _Windows(ahead.frames, max(4 * ahead.least, _LEAST_WINDOW))
        self._strange = 0

    @property
    def enough(self) -> bool:
        """Whether so much was found that more says nothing new."""
        leaks = self._ahead.leaks.values()
        return bool(self._ahead.failed) or any(leak.cuts >= _ENOUGH for leak in leaks)

    def look(self, row: int) -> None:
        """Compare the window that ends with a row; if it differs, the whole history up to it."""
        ahead, windows = self._ahead, self._windows
        ahead.made += 1
        if _same(ahead, windows, row):
            return
        known = sum(leak.cuts for leak in ahead.leaks.values())
        ahead.compare(row + 1)
        if known == sum(leak.cuts for leak in ahead.leaks.values()):
            self._strange += 1
            if self._strange >= _PATIENCE and windows.rows < len(ahead.frames.index):
                windows.rows, self._strange = 2 * windows.rows, 0

    def compare(self, cuts: int, random: np.random.Generator, deadline: Deadline) -> CutsMade:
        """Compare windows that end with a signal, then some that end with another candle.

        Args:
            cuts: windows at most. If there are more candles with a signal, they are drawn by
                chance, first of those whose signal differs from that of the candle before.
        """
        least, rows = self._ahead.least, len(self._ahead.frames.index)
        ranks = _ranks(self._ahead.whole, rows)
        ends = np.arange(least - 1, rows - 1)
        order = random.permutation(ends)
        order = order[np.argsort(ranks[order], kind="stable")]
        there = int((ranks[ends] < _OTHER).sum())
        order = order[:cuts]
        made = 0
        while made < len(order) and not (deadline.over or self.enough):
            self.look(int(order[made]))
            made += 1
        return CutsMade(
            signals=min(made, there),
            all_signals=there,
            others=max(made - there, 0),
            all_others=len(ends) - there,
            stopped=self.enough,
            late=made < len(order) and not self.enough,
        )


def _ranks(whole: Columns, rows: int) -> npt.NDArray[np.int64]:
    any_signal, new = np.zeros(rows, dtype=bool), np.zeros(rows, dtype=bool)
    for name in ("entry", "exit"):
        values = np.asarray(whole[name].values, dtype=bool)
        any_signal |= values
        new[1:] |= values[1:] != values[:-1]
    return np.where(any_signal, np.where(new, 0, 1), _OTHER)


def _same(ahead: LookAheadCheck, windows: _Windows, row: int) -> bool:
    """Return whether a window that ends with a row says of its later half what the whole says."""
    try:
        signals = ahead.subject.fresh().signals(windows.ending(row))
        answers = {
            field.name: value.to_numpy()
            for field in dataclasses.fields(signals)
            if hasattr(value := getattr(signals, field.name), "index")
        }
    except Exception:
        return False  # The cut of the whole history tells why.
    for name, values in answers.items():
        column = ahead.whole.get(name)
        if column is None:
            return False
        size = len(values) if len(values) == row + 1 else len(values) - len(values) // 2
        expected = column.values[row + 1 - size : row + 1]
        if column.is_signal:
            if not np.array_equal(values[-size:], expected):
                return False
        elif not np.allclose(values[-size:], expected, _ROUNDING, 0.0, equal_nan=True):
            return False
    return True


class _Windows:
    """Windows of some frames, cut quickly.

    Attributes:
        rows: candles of each timeframe in a window.
    """

    def __init__(self, frames: Frames, rows: int) -> None:
        self._frames = frames
        self.rows = rows
        self._length = timeframe_ms(frames.timeframes[0])
        self._parts = {name: _Part(name, frame) for name, frame in frames.items()}

    def ending(self, row: int) -> Frames:
        """Return the newest candles at the close of a trading candle."""
        made, plain = {}, {}
        base = self._frames.timeframes[0]
        for name, part in self._parts.items():
            end = row + 1
            if name != base:
                close = self._parts[base].opens[row] + self._length
                end = int(np.searchsorted(part.closes, close, side="right"))
            first = max(end - self.rows, 0)
            if part.values is None:
                made[name] = part.frame.iloc[first:end]
            else:
                plain[name] = CandleColumns.of(part.index[first:end], part.values[first:end].copy())
        if not made:
            return Frames.of(self._frames.symbol, plain)
        return Frames(
            self._frames.symbol,
            {
                name: made[name] if name in made else plain[name].frame
                for name in self._frames.timeframes
            },
        )


class _Part:
    """One timeframe of windows: its times and, if it has the usual columns only, its values."""

    def __init__(self, timeframe: str, frame: pd.DataFrame) -> None:
        self.frame = frame
        self.index = frame.index
        self.opens = open_times(frame.index)
        self.closes = self.opens + timeframe_ms(timeframe)
        usual = tuple(frame.columns) == COLUMNS
        self.values = frame.to_numpy(dtype=np.float64) if usual else None
