"""The heat map of a sweep, and its card for a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from botlib.core import formats
from botlib.core.cards import Tone, card
from botlib.core.tables import html_table

if TYPE_CHECKING:
    from botlib.backtesting.sweeps.result import SweepResult

_CARD_ROWS: Final = 5
_PERCENTS: Final = {
    "total_return": 2,
    "annual_return": 2,
    "max_drawdown": 2,
    "win_rate": 1,
    "exposure": 1,
}
"""Metrics shown as percentages, with their decimals."""

_SHOWN: Final = ("total_return", "sharpe", "max_drawdown", "round_trips", "win_rate")


def heatmap(result: SweepResult, x: str, y: str, metric: str) -> Any:
    """Return a plotly heat map: the median of a metric over two parameters, the best marked."""
    import plotly.graph_objects as go

    table = result.frame.pivot_table(
        index=y, columns=x, values=metric, aggfunc="median", observed=True
    )
    figure = go.Figure(
        go.Heatmap(
            x=list(table.columns),
            y=list(table.index),
            z=table.to_numpy(),
            colorscale="RdBu" if (table.to_numpy() < 0).any() else "Blues",
            zmid=0 if (table.to_numpy() < 0).any() else None,
            colorbar={"title": metric},
            hovertemplate=f"{x} %{{x}}<br>{y} %{{y}}<br>{metric} %{{z:.4g}}<extra></extra>",
        )
    )
    best = result.best_parameters
    figure.add_trace(
        go.Scatter(
            x=[best[x]],
            y=[best[y]],
            mode="markers",
            marker={"symbol": "circle-open", "size": 14, "color": "#111", "line": {"width": 2}},
            hovertemplate=f"best by {result.metric}<extra></extra>",
            showlegend=False,
        )
    )
    figure.update_layout(
        title=f"{result.strategy.__name__}: {metric} of {formats.count(len(result))} combinations",
        xaxis_title=x,
        yaxis_title=y,
        template="plotly_white",
        width=760,
        height=520,
    )
    return figure


def sweep_card(result: SweepResult) -> str:
    """Return a compact HTML card: what was computed, and the best with their neighbours."""
    terms = result.settings.terms
    notes = [
        f"{formats.count(len(result))} of {formats.count(result.wanted)} combinations",
        f"ranked by {result.metric}",
    ]
    if len(result.failures):
        notes.append(f"{formats.count(len(result.failures))} failed")
    if result.interrupted:
        notes.append("interrupted")
    notes.append(f"fee {terms.fee:g}, slippage {terms.slippage:g}")
    shown = [name for name in dict.fromkeys((result.metric, *_SHOWN))]
    best = result.best(_CARD_ROWS)
    headers = [*result.parameters, *shown, f"neighbours' {result.metric}"]
    rows = [
        [
            *(str(row[name]) for name in result.parameters),
            *(_text(name, row[name]) for name in shown),
            _text(result.metric, row["neighbours"]),
        ]
        for row in best.to_dict("records")
    ]
    return card(
        f"{result.strategy.__name__} sweep",
        html_table(headers, rows),
        notes=" · ".join(notes),
        tone=Tone.WARN if result.interrupted or len(result.failures) else Tone.PLAIN,
    )


def _text(name: str, value: float) -> str:
    if name == "round_trips":
        return formats.number(value, 0)
    if name in _PERCENTS:
        return formats.percent(value, _PERCENTS[name], sign=name.endswith("_return"))
    return formats.number(value, 2)
