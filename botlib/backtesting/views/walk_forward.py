"""The plotly figures of a walk forward and of a cross-validation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from botlib.backtesting.views.plots import DOWN, FAINT, GRID, LINE, LOOK, sampled

if TYPE_CHECKING:
    from botlib.backtesting.forward.paths import CrossValidationResult
    from botlib.backtesting.forward.result import WalkForwardResult

# More points than a screen has columns slow the browser down.
_POINTS: Final = 2_000


def plot_walk_forward(result: WalkForwardResult) -> Any:
    """Return a plotly figure in three rows: equity, drawdown, the metric in and out of sample."""
    from plotly.subplots import make_subplots

    figure = make_subplots(
        rows=3, cols=1, shared_xaxes=True, row_heights=[0.5, 0.18, 0.32], vertical_spacing=0.04
    )
    _draw_equity(figure, result)
    _draw_metric(figure, result)
    figure.update_layout(
        title={
            "text": f"{result.strategy.__name__} · {result.symbol or 'walk forward'} "
            f"{result.timeframe} · {len(result.windows)} "
            f"{'anchored' if result.anchored else 'rolling'} windows",
            "x": 0.01,
        },
        height=600,
        margin={"l": 60, "r": 20, "t": 48, "b": 32},
        **LOOK,
        hovermode="x",
        barmode="overlay",
        legend={"orientation": "h", "y": 1.04, "x": 1, "xanchor": "right"},
    )
    figure.update_xaxes(**GRID)
    figure.update_yaxes(**GRID)
    for row, title in enumerate(("equity", "drawdown", result.metric), start=1):
        figure.update_yaxes(title_text=title, row=row, col=1)
    figure.update_yaxes(tickformat=".1%", row=2, col=1)
    for window in result.windows:
        figure.add_vline(
            x=window.test_from, line={"color": FAINT, "width": 0.6, "dash": "dot"}, row=1, col=1
        )
    return figure


def _draw_equity(figure: Any, result: WalkForwardResult) -> None:
    import plotly.graph_objects as go

    equity = result.equity
    drawdowns = equity / equity.cummax().clip(lower=result.cash) - 1
    step = max(1, -(-len(equity) // _POINTS))
    # The deepest point of each group is kept: a sampled drawdown would look milder.
    deepest = drawdowns.groupby(np.arange(len(drawdowns)) // step).min()
    drawn = sampled(equity, step)
    figure.add_trace(
        go.Scatter(
            x=drawn.index,
            y=drawn.to_numpy(),
            mode="lines",
            line={"color": LINE, "width": 1.6},
            name="out-of-sample equity",
        ),
        row=1,
        col=1,
    )
    figure.add_trace(
        go.Scatter(
            x=drawdowns.index[::step],
            y=deepest.to_numpy(),
            mode="lines",
            line={"color": DOWN, "width": 1},
            fill="tozeroy",
            name="drawdown",
            showlegend=False,
        ),
        row=2,
        col=1,
    )


def _draw_metric(figure: Any, result: WalkForwardResult) -> None:
    import plotly.graph_objects as go

    windows = result.windows
    middles = [window.test_from + (window.test_until - window.test_from) / 2 for window in windows]
    lengths = [
        (window.test_until - window.test_from) / np.timedelta64(1, "ms") for window in windows
    ]
    texts = [
        ", ".join(f"{name}={value}" for name, value in window.parameters.items())
        for window in windows
    ]
    for name, values, width, colour in (
        ("in sample", [window.in_sample for window in windows], 0.86, FAINT),
        ("out of sample", [window.out_of_sample for window in windows], 0.5, LINE),
    ):
        figure.add_trace(
            go.Bar(
                x=middles,
                y=values,
                width=[length * width for length in lengths],
                marker={"color": colour, "opacity": 0.45 if colour == FAINT else 0.95},
                name=name,
                hovertext=texts,
            ),
            row=3,
            col=1,
        )


def plot_paths(result: CrossValidationResult) -> Any:
    """Return a plotly figure with the equity of every path of a cross-validation."""
    import plotly.graph_objects as go

    paths = result.paths
    step = max(1, -(-len(paths) // _POINTS))
    figure = go.Figure()
    for number in paths:
        drawn = sampled(paths[number], step)
        figure.add_trace(
            go.Scatter(
                x=drawn.index,
                y=drawn.to_numpy(),
                mode="lines",
                line={"color": LINE, "width": 1.2},
                opacity=0.7,
                name=f"path {number}",
            )
        )
    for first in result.edges[1:-1]:
        figure.add_vline(
            x=paths.index[int(first)], line={"color": FAINT, "width": 0.6, "dash": "dot"}
        )
    figure.update_layout(
        title={"text": f"{result.strategy.__name__} · {len(paths.columns)} paths", "x": 0.01},
        height=420,
        margin={"l": 60, "r": 20, "t": 48, "b": 32},
        **LOOK,
        showlegend=False,
    )
    figure.update_xaxes(**GRID)
    figure.update_yaxes(title_text="equity", **GRID)
    return figure
