"""The candle chart: live in a page, or as a static picture in a headless notebook.

::

    chart = bl.chart(frame, overlays=["ema(20)", "bbands(20, 2)"], panes=["rsi(14)", "macd"])

Candles, specifications of indicators, markers and price lines enter; a widget or an SVG picture
leaves. The page draws a window of the newest candles and requests older ones as it scrolls. It
receives numbered updates, and requests the whole window if a number is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botlib.widgets.chart.axes import price_decimals
from botlib.widgets.chart.checked_frame import check_timeframe, checked, timeframe_of
from botlib.widgets.chart.clicks import Click
from botlib.widgets.chart.figure import Chart
from botlib.widgets.chart.marks import Line, Marker, Shade
from botlib.widgets.chart.rows import ChartRows
from botlib.widgets.chart.scene import ChartInfo
from botlib.widgets.chart.source import CandleHistory, HistorySource
from botlib.widgets.chart.studies import Study
from botlib.widgets.chart.timeframes import USUAL, FrameTimeframes, TimeframeChoice

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

__all__ = [
    "USUAL",
    "CandleHistory",
    "Chart",
    "ChartInfo",
    "ChartRows",
    "Click",
    "HistorySource",
    "Line",
    "Marker",
    "Shade",
    "TimeframeChoice",
    "add_indicators",
    "chart",
    "price_decimals",
    "specs_of",
    "warmup_of",
]


def chart(
    frame: pd.DataFrame,
    *,
    overlays: Sequence[str] = (),
    panes: Sequence[str | Sequence[str]] = (),
    height: int = 520,
    title: str = "",
    symbol: str = "",
    timeframe: str | None = None,
    markers: Sequence[Marker] = (),
    lines: Sequence[Line] = (),
    window: int = 2_000,
) -> Chart:
    """Draw the candles of a frame, with indicators.

    Args:
        frame: columns open, high, low, close and optionally volume, indexed by open time (UTC),
            ascending. Rows whose prices are not finite are drawn as missing candles.
        overlays: drawn over the candles, such as ``"ema(20)"``.
        panes: drawn below, one pane each; those of a list share one.
        height: of the chart, in pixels.
        timeframe: of the candles; None is the distance between most of them.
        markers: events, as `botlib.widgets.chart.Marker`.
        lines: prices, as `botlib.widgets.chart.Line`.
        window: candles that the page receives first; older ones follow when it scrolls to them.

    Raises:
        InvalidInput: the frame is out of order or lacks a column, or there is no such indicator.
    """
    candles = checked(frame)
    length = timeframe or timeframe_of(candles)
    check_timeframe(candles, length)
    rows = ChartRows(length)
    rows.load(candles, whole=True)
    facts = ChartInfo(
        symbol=symbol,
        timeframe=length,
        title=title,
        decimals=price_decimals(candles["close"]),
    )
    made = Chart(facts, rows, height=height, window=window)
    made.offer(FrameTimeframes(made, rows).choice)
    made.mark(markers=markers, lines=lines)
    return add_indicators(made, overlays, panes)


def add_indicators(
    made: Chart, overlays: Iterable[str], panes: Iterable[str | Sequence[str]]
) -> Chart:
    """Add indicators over the candles and in panes below, and return the chart."""
    for spec in _several(overlays):
        made.add(spec, pane=False)
    for pane in _several(panes):
        made.add_pane(list(_several(pane)))
    return made


def specs_of(overlays: Iterable[str], panes: Iterable[str | Sequence[str]]) -> list[str]:
    """Return the specifications of all overlays and panes."""
    return [*_several(overlays), *(spec for pane in _several(panes) for spec in _several(pane))]


def warmup_of(specs: Iterable[str], timeframe: str) -> int:
    """Return how many candles before the first one shown are needed for right values.

    Raises:
        InvalidInput: there is no such indicator.
    """
    studies = [Study(spec, group=0, place=0, timeframe=timeframe) for spec in specs]
    return max((study.warmup - 1 for study in studies), default=0)


def _several(given: Iterable[Any] | str) -> Iterable[Any]:
    """Return an iterable; a text is a single element."""
    return [given] if isinstance(given, str) else given
