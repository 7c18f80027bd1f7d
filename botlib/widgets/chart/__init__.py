"""The candle chart: live in a page, or as a picture where nobody looks.

::

    chart = bl.chart(frame, overlays=["ema(20)", "bbands(20, 2)"], panes=["rsi(14)", "macd"])

The page draws a window of the newest candles and asks for older ones as it scrolls. It is sent
numbered updates, and asks for the whole where a number is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from botlib.widgets.chart.axes import price_decimals
from botlib.widgets.chart.chart import Chart, Click
from botlib.widgets.chart.checked import check_timeframe, checked, timeframe_of
from botlib.widgets.chart.marks import Line, Marker, Shade
from botlib.widgets.chart.rows import Rows
from botlib.widgets.chart.scene import Facts
from botlib.widgets.chart.source import Source, Stretch

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

__all__ = [
    "Chart",
    "Click",
    "Facts",
    "Line",
    "Marker",
    "Rows",
    "Shade",
    "Source",
    "Stretch",
    "chart",
    "furnish",
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
    """Draw candles from a frame, with indicators of the kit's vocabulary.

    Args:
        frame: columns open, high, low, close and volume (where there is one), indexed by open time
            (UTC), ascending. Rows whose prices are not finite are drawn as missing candles.
        overlays: drawn over the candles, such as ``"ema(20)"``.
        panes: drawn below, one pane each; a list of several share one.
        height: of the whole, in pixels.
        timeframe: of the candles; None is the distance that most of them have.
        markers: what happened; `botlib.widgets.chart.Marker`.
        lines: prices that matter; `botlib.widgets.chart.Line`.
        window: candles the page gets first; older ones come when it scrolls to them.

    Raises:
        InvalidInput: the frame is out of order or lacks something, or there is no such indicator.
    """
    candles = checked(frame)
    length = timeframe or timeframe_of(candles)
    check_timeframe(candles, length)
    rows = Rows(length)
    rows.load(candles, whole=True)
    facts = Facts(
        symbol=symbol,
        timeframe=length,
        title=title,
        decimals=price_decimals(candles["close"]),
    )
    made = Chart(facts, rows, height=height, window=window)
    made.mark(markers=markers, lines=lines)
    return furnish(made, overlays, panes)


def furnish(made: Chart, overlays: Sequence[str], panes: Sequence[str | Sequence[str]]) -> Chart:
    """Add indicators over the candles and in panes below, and return the chart."""
    for spec in [overlays] if isinstance(overlays, str) else overlays:
        made.add(spec, pane=False)
    for one in [panes] if isinstance(panes, str) else panes:
        made.add_pane([one] if isinstance(one, str) else one)
    return made
