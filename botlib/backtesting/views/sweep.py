"""The heat map of a sweep, and its card for a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from botlib.backtesting.views.plots import LOOK
from botlib.core.text import formats
from botlib.core.text.cards import Tone, card
from botlib.core.text.tables import html_table

if TYPE_CHECKING:
    import numpy.typing as npt

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
    values = table.to_numpy(dtype=float)
    low, high = _colour_range(values)
    signs = low < 0 < high
    # As names, so that the cells are of one size however far apart the values are.
    columns, rows = ([str(name) for name in names] for names in (table.columns, table.index))
    figure = go.Figure(
        go.Heatmap(
            x=columns,
            y=rows,
            z=values,
            colorscale="RdBu" if signs else "Viridis",
            zmin=-max(-low, high) if signs else low,
            zmax=max(-low, high) if signs else high,
            colorbar={"title": metric},
            hovertemplate=f"{x} %{{x}}<br>{y} %{{y}}<br>{metric} %{{z:.4g}}<extra></extra>",
        )
    )
    best = result.best_parameters
    # A white ring in a black one is seen on every colour.
    figure.add_trace(
        go.Scatter(
            x=[str(best[x])] * 2,
            y=[str(best[y])] * 2,
            mode="markers",
            marker={
                "symbol": "circle",
                "size": [17, 13],
                "color": "rgba(0,0,0,0)",
                "line": {"width": 2, "color": ["#111111", "#ffffff"]},
            },
            hovertemplate=f"best by {result.metric}<extra></extra>",
            showlegend=False,
        )
    )
    figure.update_layout(
        title={
            "text": f"{result.strategy.__name__}: {metric} of "
            f"{formats.count(len(result))} combinations",
            "x": 0.01,
        },
        xaxis={"title": x, "type": "category", "showgrid": False},
        yaxis={"title": y, "type": "category", "showgrid": False},
        height=520,
        margin={"l": 60, "r": 20, "t": 64, "b": 48},
        **LOOK,
    )
    return figure


def _colour_range(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the range of values that the colours tell apart: without the few far outside."""
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 1.0
    lower, upper = np.quantile(known, (0.25, 0.75))
    reach = 1.5 * (upper - lower)
    kept = known[(known >= lower - reach) & (known <= upper + reach)]
    return float(kept.min()), float(kept.max())


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
    notes.append(str(terms.costs))
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
