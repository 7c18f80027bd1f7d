"""The plotly figure of a backtest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from botlib.backtesting.result import BacktestResult

# Colours that keep their contrast on white and on dark grey alike.
UP: Final = "#2e9e6b"
DOWN: Final = "#d9534f"
LINE: Final = "#4a90d9"
FAINT: Final = "#8a8f98"

LOOK: Final[dict[str, Any]] = {
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"size": 12, "color": FAINT},
}
"""The layout of every figure: it lies on the page, whatever the theme."""

GRID: Final[dict[str, Any]] = {"gridcolor": "rgba(138,143,152,0.22)", "zeroline": False}
"""The axes of every figure."""


def plot_result(result: BacktestResult, *, candles: int = 2_000) -> Any:
    """Return a plotly figure in three rows: price with round trips, equity, drawdown."""
    from plotly.subplots import make_subplots

    figure = make_subplots(
        rows=3, cols=1, shared_xaxes=True, row_heights=[0.55, 0.27, 0.18], vertical_spacing=0.03
    )
    _draw_price(figure, result, candles)
    _draw_equity(figure, result, candles)
    figure.update_layout(
        title={"text": f"{result.strategy} · {result.symbol} {result.timeframe}", "x": 0.01},
        height=640,
        margin={"l": 60, "r": 20, "t": 64, "b": 32},
        **LOOK,
        hovermode="x",
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        xaxis_rangeslider_visible=False,
    )
    figure.update_xaxes(**GRID)
    figure.update_yaxes(**GRID)
    for row, title in enumerate(("price", "equity", "drawdown"), start=1):
        figure.update_yaxes(title_text=title, row=row, col=1)
    figure.update_yaxes(tickformat=".1%", row=3, col=1)
    return figure


def _draw_price(figure: Any, result: BacktestResult, candles: int) -> None:
    import plotly.graph_objects as go

    coarse = coarser(result.frame, candles)
    figure.add_trace(
        go.Candlestick(
            x=coarse.index,
            open=coarse["open"],
            high=coarse["high"],
            low=coarse["low"],
            close=coarse["close"],
            increasing={"line": {"color": UP, "width": 1}, "fillcolor": UP},
            decreasing={"line": {"color": DOWN, "width": 1}, "fillcolor": DOWN},
            name="price",
            showlegend=False,
        ),
        row=1,
        col=1,
    )
    trips = result.roundtrips
    if len(trips) > candles:  # Thousands of marks hide the price below them.
        return
    done = trips[trips["exit_time"].notna()]
    size = 10 if len(trips) <= 60 else 7 if len(trips) <= 300 else 4
    for name, times, prices, symbol, colour, texts in (
        ("entry", trips["entry_time"], trips["entry_price"], "triangle-up", LINE, None),
        (
            "exit",
            done["exit_time"],
            done["exit_price"],
            "triangle-down",
            np.where(done["pnl"] > 0, UP, DOWN),
            [
                f"{reason} {gain:+.2%}"
                for reason, gain in zip(done["reason"], done["return"], strict=True)
            ],
        ),
    ):
        figure.add_trace(
            go.Scatter(
                x=times,
                y=prices,
                mode="markers",
                name=name,
                text=texts,
                marker={
                    "symbol": symbol,
                    "size": size,
                    "color": colour,
                    "line": {"width": 0.5, "color": "white"},
                },
            ),
            row=1,
            col=1,
        )


def _draw_equity(figure: Any, result: BacktestResult, candles: int) -> None:
    import plotly.graph_objects as go

    equity = result.equity
    drawdowns = equity / equity.cummax().clip(lower=result.cash) - 1
    closes = result.frame["close"]
    step = max(1, -(-len(equity) // candles))
    lines: tuple[tuple[str, pd.Series, dict[str, Any], int], ...] = (
        ("equity", equity, {"color": LINE, "width": 1.6}, 2),
        (
            "hold",
            closes / float(closes.iloc[0]) * result.cash,
            {"color": FAINT, "width": 1, "dash": "dot"},
            2,
        ),
        ("drawdown", drawdowns, {"color": DOWN, "width": 1}, 3),
    )
    for name, values, line, row in lines:
        # The deepest point of each group is kept: a sampled drawdown would look milder.
        deepest = (
            values.groupby(np.arange(len(values)) // step).min().set_axis(values.index[::step])
        )
        drawn = deepest if row == 3 else sampled(values, step)
        figure.add_trace(
            go.Scatter(
                x=drawn.index,
                y=drawn.to_numpy(),
                mode="lines",
                line=line,
                name=name,
                fill="tozeroy" if row == 3 else None,
                showlegend=row == 2,
            ),
            row=row,
            col=1,
        )


def sampled(values: pd.Series, step: int) -> pd.Series:
    """Return every ``step``-th value, and the last: a curve ends at the figure that is written."""
    places = np.arange(0, len(values), step)
    return values.iloc[np.union1d(places, [len(values) - 1])] if len(values) else values


def coarser(frame: pd.DataFrame, candles: int) -> pd.DataFrame:
    """Return a frame of at most about ``candles`` rows, neighbours merged into one candle each."""
    step = -(-len(frame) // candles)
    if step <= 1:
        return frame
    groups = frame.groupby(np.arange(len(frame)) // step)
    merged = groups.agg(
        {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    )
    merged.index = frame.index[::step]
    return merged
