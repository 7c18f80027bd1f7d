"""The candles of a chart with the values of its indicators beside them."""

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
"""Missing candles that are drawn as empty space; a longer halt is drawn as a joint."""


class ChartRows:
    """Closed candles, oldest first, the values of the studies, and the candle that still forms.

    The first `hidden` rows are only there so that the values behind them are right.

    Args:
        keep: how many of the newest are shown whatever their values.
    """

    def __init__(self, timeframe: str, *, keep: int = 0) -> None:
        self.timeframe = timeframe
        self.step = timeframe_ms(timeframe)
        self.keep = keep
        self.hidden = 0
        self._unsettled = 0
        self.whole = True
        """Whether it begins where the history does, so that nothing before it is to be had."""
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
        """Open time of the oldest candle there is, shown or not, ms."""
        return int(self._times[0]) if self._size else None

    @property
    def last(self) -> int | None:
        """Open time of the newest closed candle, ms."""
        return int(self._times[self._size - 1]) if self._size else None

    @property
    def price(self) -> float | None:
        """The newest price."""
        if self._forming is not None:
            return float(self._forming[1][3])
        return float(self._values[self._size - 1, 3]) if self._size else None

    @property
    def warmup(self) -> int:
        """How many candles before the first shown one the studies need."""
        return max((study.warmup for study in self.studies), default=1) - 1

    def lacking(self, count: int) -> int:
        """Return how many candles before the oldest make the newest ``count`` right."""
        return 0 if self.whole else max(0, count + self.warmup - self._size)

    # Whole stretches

    def load(self, frame: pd.DataFrame, *, whole: bool) -> None:
        """Take a candle frame in place of everything; ``whole`` says that nothing is before it."""
        self._times = open_times(frame.index)
        self._size = len(self._times)
        self._values = np.asarray(frame[list(COLUMNS)], dtype=np.float64)
        self.whole = whole
        self.recompute()

    def prepend(self, frame: pd.DataFrame, *, whole: bool) -> None:
        """Take the candles before the oldest; those that lacked them get their right values."""
        self._settle()
        times = open_times(frame.index)
        first = self.first
        older = len(times) if first is None else int(np.searchsorted(times, first))
        times = times[:older]
        candles = np.asarray(frame[list(COLUMNS)], dtype=np.float64)[:older]
        # One row more than was wrong: where the old values begin.
        joint = min(self._unsettled + 1, self._size)
        place = np.concatenate([times, self._times[:joint]])
        part = np.concatenate([candles, self._values[:joint, : len(COLUMNS)]])
        blocks = [part]
        for study, start in zip(self.studies, self._starts(), strict=True):
            values = self._batch(study, place, part)
            if not study.settles and joint:  # its level counts from where the chart began
                values += self._values[joint - 1, start : start + values.shape[1]] - values[-1]
            blocks.append(values)
        wrong = self._unsettled
        head = np.column_stack(blocks)[: len(times) + wrong]
        self._times = np.concatenate([times, self._times[: self._size]])
        self._values = np.concatenate([head, self._values[wrong : self._size]])
        self._size = len(self._times)
        self.whole = whole
        self._followers = None  # they may have begun with too little
        self._hide()

    def include(self, study: Study) -> None:
        """Show one more study, the last."""
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
        """Take a closed candle, wherever it belongs; return whether it is a new or another one."""
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
        """Take the state of the candle that forms; an older one changes nothing (False)."""
        newest = self._forming[0] if self._forming is not None else self.last
        if (newest is not None and timestamp < newest) or timestamp == self.last:
            return False
        self._forming = (timestamp, values)
        return True

    # What is drawn

    def cells(self, start: int = 0, end: int | None = None) -> Floats:
        """Return rows as they are drawn: the time in seconds, the candle, the studies' values.

        Args:
            start: first row, counted among the closed ones that are shown.
            end: the row behind the last; None takes all, the candle that forms included.

        Returns:
            float64, NaN where there is no value; missing candles are rows of NaN.
        """
        self._settle()
        stop = self._size if end is None else self.hidden + end
        times = self._times[self.hidden + start : stop]
        values = self._values[self.hidden + start : stop]
        if end is None and self._forming is not None:
            times = np.append(times, self._forming[0])
            values = np.concatenate([values, [self._formed(*self._forming)]])
        return _spaced(times, values, self.step)

    def alone(self, timestamp: int) -> list[float] | None:
        """Return the candle that forms, as `cells`, where nothing else is at or near a time, ms.

        None where there is more to draw: closed candles, or a gap before it.
        """
        if self._forming is None or self._forming[0] != timestamp or not self._size:
            return None
        if timestamp - int(self._times[self._size - 1]) != self.step:
            return None
        self._settle()
        return [timestamp / 1_000, *self._formed(*self._forming)]

    def since(self, timestamp: int) -> Floats:
        """Return the rows from an open time (ms) on, as `cells`, after a gap its space too."""
        start = int(np.searchsorted(self.times, timestamp))
        found = self.cells(start)
        if start == 0 or not len(found):
            return found
        before = self.times[start - 1] / 1_000
        joined = _spaced_seconds(np.concatenate([[before], found[:, 0]]), found, self.step)
        return joined

    def place(self, timestamp: int) -> int:
        """Return how many closed candles that are shown opened before a time, ms."""
        return int(np.searchsorted(self.times, timestamp))

    def column(self, study: Study) -> int:
        """Return where the first value of a study is in a row of cells."""
        return 1 + self._starts()[self.studies.index(study)]

    def missing(self, start: int) -> list[tuple[int, int]]:
        """Return the stretches without candles from an open time on: first and last, ms."""
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
            return False  # before everything: it comes with the older ones
        if not known:
            row = np.full(self._values.shape[1], np.nan)
            self._times = np.insert(self._times[: self._size], place, timestamp)
            self._values = np.insert(self._values[: self._size], place, row, axis=0)
            self._size += 1
        self._values[place, : len(COLUMNS)] = candle
        # Computed when it is drawn next: a repair brings many at once.
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
        """Return what follows the candles, study by study, with the level its values count from."""
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
    """Put times (ms, as s) before values, with empty rows where candles are missing."""
    seconds = times / 1_000
    return _spaced_seconds(seconds, np.column_stack([seconds, values]), step)


def _spaced_seconds(seconds: Floats, rows: Floats, step: int) -> Floats:
    """Insert empty rows before those that do not follow at once.

    ``seconds`` are the times of ``rows``, or those with the time before the first.
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
