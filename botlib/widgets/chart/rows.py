"""The candles of a chart, with the values of its indicators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from botlib.core.timeframe import timeframe_ms
from botlib.frames.frame import candle_frame, open_times
from botlib.indicators import COLUMNS, Incremental, compute

if TYPE_CHECKING:
    import pandas as pd

    from botlib.widgets.chart.studies import Study

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]
Values = tuple[float, ...]
"""Open, high, low, close and volume of one candle."""

WIDEST_GAP: Final = 500
"""Most missing candles that are drawn as empty space; a longer gap is not drawn."""


class ChartRows:
    """Closed candles, oldest first, the values of the studies, and the forming candle.

    The first `hidden` rows are not shown: the values of the later ones depend on them.

    Args:
        keep: how many of the newest candles are shown even if their values are not settled.
    """

    def __init__(self, timeframe: str, *, keep: int = 0) -> None:
        self.timeframe = timeframe
        self.step = timeframe_ms(timeframe)
        self.keep = keep
        self.hidden = 0
        self._unsettled = 0
        self.whole = True
        """Whether it starts with the first candle of the history."""
        self.studies: list[Study] = []
        self._size = 0
        self._times = np.empty(0, dtype=np.int64)
        self._values = np.empty((0, len(COLUMNS)))
        self._followers: list[tuple[Incremental, float]] | None = None
        self._stale = False
        self._forming: tuple[int, Values] | None = None

    def __len__(self) -> int:
        return self._size - self.hidden + (self._forming is not None)

    @property
    def times(self) -> Times:
        """Open times of the closed candles that are shown, ms."""
        return self._times[self.hidden : self._size]

    @property
    def candles(self) -> Floats:
        """Open, high, low, close and volume of the closed candles that are shown."""
        return self._values[self.hidden : self._size, : len(COLUMNS)]

    @property
    def first(self) -> int | None:
        """Open time of the oldest candle, shown or not, ms."""
        return int(self._times[0]) if self._size else None

    @property
    def last(self) -> int | None:
        """Open time of the newest closed candle, ms."""
        return int(self._times[self._size - 1]) if self._size else None

    @property
    def price(self) -> float | None:
        """The newest price, of the forming candle if there is one."""
        if self._forming is not None:
            return float(self._forming[1][3])
        return float(self._values[self._size - 1, 3]) if self._size else None

    @property
    def warmup(self) -> int:
        """Number of candles that the studies need before the first one shown."""
        return max((study.warmup for study in self.studies), default=1) - 1

    def missing_before(self, count: int) -> int:
        """Return how many candles before the oldest are needed for right values of ``count``."""
        return 0 if self.whole else max(0, count + self.warmup - self._size)

    # Many candles at once

    def load(self, frame: pd.DataFrame, *, whole: bool) -> None:
        """Replace all candles by those of a frame.

        Args:
            whole: whether there are no candles before it.
        """
        self._times = open_times(frame.index)
        self._size = len(self._times)
        self._values = np.asarray(frame[list(COLUMNS)], dtype=np.float64)
        self.whole = whole
        self.recompute()

    def prepend(self, frame: pd.DataFrame, *, whole: bool) -> None:
        """Add candles before the oldest, and correct the values that depend on them.

        Args:
            whole: whether there are no candles before these.
        """
        self._settle()
        times = open_times(frame.index)
        first = self.first
        older = len(times) if first is None else int(np.searchsorted(times, first))
        times = times[:older]
        candles = np.asarray(frame[list(COLUMNS)], dtype=np.float64)[:older]
        # The unsettled rows and one more: the first of the old values.
        joint = min(self._unsettled + 1, self._size)
        place = np.concatenate([times, self._times[:joint]])
        part = np.concatenate([candles, self._values[:joint, : len(COLUMNS)]])
        blocks = [part]
        for study, start in zip(self.studies, self._starts(), strict=True):
            values = self._batch(study, place, part)
            if not study.settles and joint:  # its level is relative to the first candle
                values += self._values[joint - 1, start : start + values.shape[1]] - values[-1]
            blocks.append(values)
        wrong = self._unsettled
        head = np.column_stack(blocks)[: len(times) + wrong]
        self._times = np.concatenate([times, self._times[: self._size]])
        self._values = np.concatenate([head, self._values[wrong : self._size]])
        self._size = len(self._times)
        self.whole = whole
        self._followers = None  # they may have started with too few candles
        self._hide()

    def include(self, study: Study) -> None:
        """Add a study after the others."""
        self._settle()
        times, values = self._times[: self._size], self._values[: self._size]
        block = self._batch(study, times, values[:, : len(COLUMNS)])
        self._times, self._values = times, np.column_stack([values, block])
        self.studies.append(study)
        self._followers = None
        self._hide()

    def recompute(self) -> None:
        """Compute every study over all candles."""
        candles = self._values[: self._size, : len(COLUMNS)]
        times = self._times[: self._size]
        blocks = [self._batch(study, times, candles) for study in self.studies]
        self._times, self._values = times, np.column_stack([candles, *blocks])
        self._followers = None
        self._stale = False
        self._hide()

    # One candle at a time

    def close(self, timestamp: int, values: Values) -> bool:
        """Add a closed candle at its place; return whether it is new or changed."""
        candle = np.array(values)
        last = self.last
        if self._forming is not None and self._forming[0] <= timestamp:
            self._forming = None
        if last is not None and timestamp <= last:
            return self._correct(timestamp, candle)
        self._settle()
        self._append(timestamp, self._follow(timestamp, candle))
        return True

    def form(self, timestamp: int, values: Values) -> bool:
        """Set the state of the forming candle; return False for one that is older."""
        newest = self._forming[0] if self._forming is not None else self.last
        if (newest is not None and timestamp < newest) or timestamp == self.last:
            return False
        self._forming = (timestamp, values)
        return True

    # Drawing

    def cells(self, start: int = 0, end: int | None = None) -> Floats:
        """Return rows to draw: the time in seconds, the candle, the studies' values.

        Args:
            start: first row, counted among the closed ones that are shown.
            end: the row after the last; None is all, the forming candle included.

        Returns:
            float64, NaN if there is no value; missing candles are rows of NaN.
        """
        self._settle()
        stop = self._size if end is None else self.hidden + end
        times = self._times[self.hidden + start : stop]
        values = self._values[self.hidden + start : stop]
        if end is None and self._forming is not None:
            times = np.append(times, self._forming[0])
            values = np.concatenate([values, [self._formed(*self._forming)]])
        return _spaced(times, values, self.step)

    def forming_row(self, timestamp: int) -> list[float] | None:
        """Return the row of the forming candle, as `cells`, if it opens at a time, ms.

        None if there is more to draw from then on: closed candles, or a gap before it.
        """
        if self._forming is None or self._forming[0] != timestamp or not self._size:
            return None
        if timestamp - int(self._times[self._size - 1]) != self.step:
            return None
        self._settle()
        return [timestamp / 1_000, *self._formed(*self._forming)]

    def since(self, timestamp: int) -> Floats:
        """Return the rows from an open time (ms) on, as `cells`, with the gap before them."""
        start = int(np.searchsorted(self.times, timestamp))
        found = self.cells(start)
        if start == 0 or not len(found):
            return found
        before = self.times[start - 1] / 1_000
        joined = _spaced_seconds(np.concatenate([[before], found[:, 0]]), found, self.step)
        return joined

    def count_before(self, timestamp: int) -> int:
        """Return how many of the closed candles that are shown opened before a time, ms."""
        return int(np.searchsorted(self.times, timestamp))

    def column(self, study: Study) -> int:
        """Return the column of the first value of a study in a row of cells."""
        return 1 + self._starts()[self.studies.index(study)]

    def missing(self, start: int) -> list[tuple[int, int]]:
        """Return the ranges without candles from an open time on: first and last, ms."""
        times = self.times
        times = times[np.searchsorted(times, start) :]
        edges = np.flatnonzero(np.diff(times) > self.step)
        return [(int(times[i]) + self.step, int(times[i + 1]) - self.step) for i in edges]

    def _hide(self) -> None:
        self._unsettled = 0 if self.whole else min(self.warmup, self._size)
        self.hidden = min(self._unsettled, max(0, self._size - self.keep))

    def _starts(self) -> list[int]:
        starts, place = [], len(COLUMNS)
        for study in self.studies:
            starts.append(place)
            place += len(study.names)
        return starts

    def _batch(self, study: Study, times: Times, candles: Floats) -> Floats:
        if not len(times):
            return np.empty((0, len(study.names)))
        found = compute(study.indicator, candle_frame(times, candles)).to_numpy(np.float64)
        return study.pick(found.reshape(len(times), -1))

    def _settle(self) -> None:
        if self._stale:
            self.recompute()

    def _correct(self, timestamp: int, candle: Floats) -> bool:
        place = int(np.searchsorted(self._times[: self._size], timestamp))
        known = place < self._size and self._times[place] == timestamp
        if known and np.array_equal(self._values[place, : len(COLUMNS)], candle, equal_nan=True):
            return False
        if place == 0 and not known:
            return False  # before the oldest: `prepend` adds it
        if not known:
            row = np.full(self._values.shape[1], np.nan)
            self._times = np.insert(self._times[: self._size], place, timestamp)
            self._values = np.insert(self._values[: self._size], place, row, axis=0)
            self._size += 1
        self._values[place, : len(COLUMNS)] = candle
        # Recomputed at the next drawing, since a repair corrects many candles at once.
        self._stale = True
        return True

    def _append(self, timestamp: int, row: Floats) -> None:
        if self._size == len(self._times):
            room = max(256, self._size // 2)
            self._times = np.concatenate([self._times, np.zeros(room, dtype=np.int64)])
            self._values = np.concatenate([self._values, np.empty((room, self._values.shape[1]))])
        self._times[self._size] = timestamp
        self._values[self._size] = row
        self._size += 1

    def _follow(self, timestamp: int, candle: Floats) -> Floats:
        parts = [candle]
        moment, one = np.array([timestamp]), candle.reshape(1, -1)
        for study, (follower, shift) in zip(self.studies, self._up_to_date(), strict=True):
            parts.append(study.pick(follower.update(moment, one)[0]) + shift)
        return np.concatenate(parts)

    def _formed(self, timestamp: int, values: Values) -> list[float]:
        found = list(values)
        for study, (follower, shift) in zip(self.studies, self._up_to_date(), strict=True):
            peeked = follower.peek(timestamp, values)
            found += [peeked[column] + shift for column in study.columns]
        return found

    def _up_to_date(self) -> list[tuple[Incremental, float]]:
        """Return the incremental computation of each study, and the offset of its level."""
        if self._followers is None:
            self._followers = [
                self._start(study, column)
                for study, column in zip(self.studies, self._starts(), strict=True)
            ]
        return self._followers

    def _start(self, study: Study, column: int) -> tuple[Incremental, float]:
        follower = study.follower()
        begin = max(0, self._size - study.warmup) if study.settles else 0
        rows = slice(begin, self._size)
        if begin == self._size:
            return follower, 0.0
        values = follower.update(self._times[rows], self._values[rows, : len(COLUMNS)])
        if study.settles:
            return follower, 0.0
        shift = self._values[self._size - 1, column] - study.pick(values[-1])[0]
        return follower, float(shift) if np.isfinite(shift) else 0.0


def _spaced(times: Times, values: Floats, step: int) -> Floats:
    """Return rows of time (s) and values, with empty rows for missing candles."""
    seconds = times / 1_000
    return _spaced_seconds(seconds, np.column_stack([seconds, values]), step)


def _spaced_seconds(seconds: Floats, rows: Floats, step: int) -> Floats:
    """Return rows with empty ones inserted for missing candles.

    Args:
        seconds: times of the rows, optionally with the time before the first.
        step: length of a candle, ms.
    """
    length = step / 1_000
    gaps = np.diff(seconds)
    offset = len(rows) - len(seconds) + 1
    wide = np.flatnonzero((gaps > 1.5 * length) & (gaps <= (WIDEST_GAP + 1.5) * length))
    if not len(wide):
        return rows
    pieces, begin = [], 0
    for gap in wide.tolist():
        row = gap + offset
        empty = np.arange(seconds[gap] + length, seconds[gap + 1] - length / 2, length)
        filler = np.full((len(empty), rows.shape[1]), np.nan)
        filler[:, 0] = empty
        pieces += [rows[begin:row], filler]
        begin = row
    return np.concatenate([*pieces, rows[begin:]])
