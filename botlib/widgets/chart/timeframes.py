"""The timeframes of a chart: those a reader can choose, and those of a frame's candles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from botlib.core.timeframe import open_time, timeframe_ms
from botlib.frames.frame import candle_frame
from botlib.frames.resampling import divides, resample
from botlib.widgets.chart.rows import ChartRows
from botlib.widgets.chart.source import CandleHistory

if TYPE_CHECKING:
    from botlib.core.model import Candle
    from botlib.widgets.chart.figure import Chart

USUAL: Final = ("1m", "5m", "15m", "1h", "4h", "1d")
"""The timeframes that a chart offers besides those that are streamed or given."""

LEAST: Final = 20
"""Candles of a frame from which on a timeframe is offered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeframeChoice:
    """The timeframes that a reader can choose, shortest first.

    Attributes:
        choose: called with the chosen one, from the thread that receives the messages of pages. It
            shows its candles at once or later, by `Chart.show_timeframe`.
        drawn: returns a candle that was added to the chart as one of the timeframe shown.
    """

    offered: tuple[str, ...]
    choose: Callable[[str], None]
    drawn: Callable[[Candle], Candle] = lambda candle: candle


class FrameTimeframes:
    """The candles of a chart of a frame, in its own and in longer timeframes."""

    def __init__(self, chart: Chart, rows: ChartRows) -> None:
        self._chart = chart
        self._base = rows.timeframe
        self._first = rows
        self._rows: ChartRows | None = None
        """The candles of the frame, once others are shown in their place."""
        span = len(rows.times) * rows.step
        self.choice = TimeframeChoice(
            offered=tuple(
                name
                for name in dict.fromkeys((self._base, *USUAL))
                if name == self._base
                or (divides(self._base, name) and span >= LEAST * timeframe_ms(name))
            ),
            choose=self.choose,
            drawn=self.drawn,
        )

    def choose(self, timeframe: str) -> None:
        """Show the candles of a timeframe."""
        if self._rows is None:
            self._rows = ChartRows(self._base)
            self._rows.load(
                candle_frame(self._first.times, self._first.candles), whole=self._first.whole
            )
        rows = self._rows
        frame = candle_frame(rows.times, rows.candles)
        if timeframe != self._base:
            frame = resample(frame, timeframe, base=self._base)
        self._chart.show_timeframe(timeframe, CandleHistory(frame=frame, whole=True))

    def drawn(self, candle: Candle) -> Candle:
        """Keep a candle of the frame's timeframe; return the one shown that contains it."""
        if self._rows is None:
            return candle
        values = (candle.open, candle.high, candle.low, candle.close, candle.volume)
        keep = self._rows.close if candle.closed else self._rows.form
        keep(candle.timestamp, values)
        shown = self._chart.timeframe
        return candle if shown == self._base else self._merged(candle, shown)

    def _merged(self, candle: Candle, timeframe: str) -> Candle:
        assert self._rows is not None
        opened, times = open_time(candle.timestamp, timeframe), self._rows.times
        start, stop = np.searchsorted(times, [opened, opened + timeframe_ms(timeframe)])
        parts = self._rows.candles[start:stop]
        if not candle.closed:
            now = [candle.open, candle.high, candle.low, candle.close, candle.volume]
            parts = np.concatenate([parts, [now]])
        known_until = int(times[-1]) + self._rows.step if len(times) else 0
        ended = known_until >= opened + timeframe_ms(timeframe)
        return replace(
            candle,
            timeframe=timeframe,
            timestamp=opened,
            open=float(parts[0, 0]),
            high=float(parts[:, 1].max()),
            low=float(parts[:, 2].min()),
            close=float(parts[-1, 3]),
            volume=float(parts[:, 4].sum()),
            closed=candle.closed and ended,
        )
