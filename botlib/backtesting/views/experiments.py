"""The equity curves of several runs in one picture, for a page and for a card."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from botlib.backtesting.views.plots import GRID, LOOK
from botlib.core.text import formats
from botlib.core.text.masking import masked
from botlib.core.text.tables import html_picture

if TYPE_CHECKING:
    from botlib.store.experiment_book import Experiment

# Colours that keep their contrast on white and on dark grey alike.
COLOURS: Final = ("#3b82d0", "#d9730d", "#2e9e6b", "#b0489f", "#c4443c", "#7c6fd1")
_WIDTH: Final = 640
_HEIGHT: Final = 180


def plot_curves(runs: Sequence[Experiment]) -> Any:
    """Return a plotly figure: the growth of each run over time."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for place, run in enumerate(runs):
        figure.add_trace(
            go.Scatter(
                x=run.times.astype("datetime64[ms]"),
                y=run.equity / run.cash - 1,
                mode="lines",
                line={"color": _colour(place), "width": 1.6},
                name=_name(run),
            )
        )
    figure.update_layout(
        height=420,
        margin={"l": 60, "r": 20, "t": 48, "b": 32},
        **LOOK,
        hovermode="x",
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        showlegend=True,
    )
    figure.update_xaxes(**GRID)
    figure.update_yaxes(tickformat="+.1%", **GRID)
    return figure


def curves_picture(runs: Sequence[Experiment]) -> str:
    """Return the growth of each run as an image for a card, its scale written at the left."""
    growth = [run.equity / run.cash - 1 for run in runs]
    values = np.concatenate([*growth, [0.0]])
    low, high = float(values.min()), float(values.max())
    first, last = min(run.times[0] for run in runs), max(run.times[-1] for run in runs)
    span, reach = max(int(last - first), 1), (high - low) or 1.0

    def y(value: float) -> float:
        return _HEIGHT - 14 - (value - low) / reach * (_HEIGHT - 28)

    lines = []
    for place, (run, curve) in enumerate(zip(runs, growth, strict=True)):
        points = " ".join(
            f"{56 + (time - first) / span * (_WIDTH - 60):.1f},{y(value):.1f}"
            for time, value in zip(run.times.tolist(), curve.tolist(), strict=True)
        )
        lines.append(
            f'<polyline points="{points}" fill="none" stroke="{_colour(place)}" '
            'stroke-width="1.5"/>'
        )
    levels = "".join(
        f'<text x="50" y="{y(level) + 4:.1f}" text-anchor="end" fill="currentColor" '
        f'font-family="monospace" font-size="11">{formats.percent(level, 1, sign=True)}</text>'
        f'<line x1="56" x2="{_WIDTH - 4}" y1="{y(level):.1f}" y2="{y(level):.1f}" '
        'stroke="currentColor" stroke-opacity=".35" stroke-dasharray="3 3"/>'
        for level in sorted({low, 0.0, high})
        if level in (low, high) or min(level - low, high - level) > reach / 8
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}">{levels}{"".join(lines)}</svg>'
    )
    return html_picture(svg, "equity curves")


def legend(runs: Sequence[Experiment]) -> str:
    """Return the names of the runs in the colours of their curves, as HTML."""
    return "".join(
        f'<div><span style="color:{_colour(place)}">━━</span> {escape(masked(_name(run)))}</div>'
        for place, run in enumerate(runs)
    )


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _name(run: Experiment) -> str:
    values = ", ".join(f"{name}={value}" for name, value in run.parameters.items() if value)
    return f"run {run.id} · {run.strategy}({values}) {run.symbol} {run.timeframe}"
