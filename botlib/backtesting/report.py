"""A backtest as HTML: a card for a notebook, and a page that needs no network."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from botlib.tables import html_picture, html_table

if TYPE_CHECKING:
    from botlib.backtesting.result import BacktestResult

CARD_ROWS: Final = (
    ("return", "total_return", "{:+.2%}"),
    ("hold", "benchmark_return", "{:+.2%}"),
    ("sharpe", "sharpe", "{:.2f}"),
    ("sortino", "sortino", "{:.2f}"),
    ("drawdown", "max_drawdown", "{:.2%}"),
    ("round trips", "round_trips", "{:,}"),
    ("win rate", "win_rate", "{:.1%}"),
    ("profit factor", "profit_factor", "{:.2f}"),
    ("exposure", "exposure", "{:.1%}"),
    ("fees", "fees", "{:,.2f}"),
)
"""What the card shows: its label, the figure, its format."""

FRACTIONS: Final = frozenset(
    {
        "total_return",
        "annual_return",
        "benchmark_return",
        "volatility",
        "max_drawdown",
        "win_rate",
        "best",
        "worst",
        "average",
        "exposure",
    }
)
"""Figures shown in per cent."""

TRIPS_SHOWN: Final = 500

_SPARK = (260, 44)
"""Width and height of the card's equity line in px."""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ground: #fff; --ink: #1f2328; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ground: #16181d; --ink: #d7dae0; }} }}
body {{ font: 14px/1.5 system-ui, sans-serif; background: var(--ground); color: var(--ink);
  max-width: 1080px; margin: 2em auto; padding: 0 1em; box-sizing: border-box; }}
.wide {{ overflow-x: auto; }}
h1 {{ font-size: 1.3em; }} h2 {{ font-size: 1.05em; margin-top: 2em; }}
</style></head><body>
<h1>{title}</h1>
<p>{words}</p>
{figure}
<h2>Figures</h2>
{stats}
<h2>Round trips</h2>
<p>{shown}</p>
<div class="wide">{trips}</div>
</body></html>
"""


def card(result: BacktestResult) -> str:
    """Return a compact card for a notebook, readable on light and dark."""
    stats = result.stats()
    cells = "".join(
        '<div style="min-width:6.5em"><div style="opacity:.6">'
        f"{label}</div><div><b>{_shown(stats[name], form)}</b></div></div>"
        for label, name, form in CARD_ROWS
    )
    title = f"{result.strategy} · {result.symbol or 'backtest'} {result.timeframe}"
    span = f"{result.frame.index[0]:%Y-%m-%d} to {result.frame.index[-1]:%Y-%m-%d}"
    return (
        '<div class="botlib" style="font:12px/1.5 ui-monospace,monospace;max-width:60em;'
        'border:1px solid rgba(138,143,152,.4);border-radius:6px;padding:.6em .9em">'
        f'<div><b>{escape(title)}</b> <span style="opacity:.6">{span}, '
        f"{len(result.frame):,} candles, fee {result.fee:g}, slippage {result.slippage:g}"
        f'</span></div><div style="margin:.3em 0">{_spark(result)}</div>'
        f'<div style="display:flex;flex-wrap:wrap;gap:.3em 1.2em">{cells}</div></div>'
    )


def write_report(result: BacktestResult, path: Path) -> Path:
    """Write the page, the plotly library included, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(result), encoding="utf-8")
    return path


def page(result: BacktestResult) -> str:
    """Return the whole page as HTML."""
    stats, trips = result.stats(), result.roundtrips
    figure = result.plot().to_html(full_html=False, include_plotlyjs=True)
    last = trips.tail(TRIPS_SHOWN)
    figures = [
        (name, _shown(value, "{:,.3%}") if name in FRACTIONS else _text(value))
        for name, value in stats.items()
    ]
    rows = [[_text(value) for value in row] for row in last.to_numpy(dtype=object)]
    shown = (
        f"All {len(trips)}."
        if len(last) == len(trips)
        else (f"The last {len(last)} of {len(trips):,}.")
    )
    return _PAGE.format(
        title=escape(f"Backtest of {result.strategy} on {result.symbol} {result.timeframe}"),
        words=escape(
            f"{len(result.frame):,} candles from {result.frame.index[0]} to "
            f"{result.frame.index[-1]} UTC; {result.cash:,.2f} at the start, fee {result.fee:g} "
            f"per fill, slippage {result.slippage:g}. Wishes are acted on at the next open."
        ),
        figure=figure,
        stats=html_table(("figure", "value"), figures),
        shown=shown,
        trips=html_table([str(name) for name in last.columns], rows),
    )


def _spark(result: BacktestResult) -> str:
    width, height = _SPARK
    values = np.concatenate(([result.cash], result.equity.to_numpy()))
    values = values[np.linspace(0, len(values) - 1, min(len(values), width), dtype=int)]
    low, high = float(values.min()), float(values.max())
    scale = (height - 4) / (high - low) if high > low else 0.0
    across = np.linspace(0, width, len(values))
    points = " ".join(
        f"{x:.1f},{height - 2 - (y - low) * scale:.1f}" for x, y in zip(across, values, strict=True)
    )
    level = height - 2 - (result.cash - low) * scale
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f'<line x1="0" x2="{width}" y1="{level:.1f}" y2="{level:.1f}" stroke="currentColor" '
        'stroke-opacity=".3" stroke-dasharray="3 3"/>'
        f'<polyline points="{points}" fill="none" stroke="#4a90d9" stroke-width="1.5"/></svg>'
    )
    return html_picture(svg, "equity")


def _shown(value: Any, form: str) -> str:
    return "–" if isinstance(value, float) and np.isnan(value) else form.format(value)


def _text(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return "–" if np.isnan(number) else f"{number:,.{4 if abs(number) >= 1 else 8}f}"
    if str(value) == "NaT":
        return "–"
    return str(value).split(".", maxsplit=1)[0] if hasattr(value, "floor") else str(value)
