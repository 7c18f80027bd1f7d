"""A backtest as HTML: a card for a notebook, and a page that needs no network."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from botlib.backtesting.views.tear_sheet import sections
from botlib.core.errors import InvalidInput
from botlib.core.files import write_private
from botlib.core.text import formats
from botlib.core.text.cards import Tone, Toned, card, figures, lines, spark
from botlib.core.text.masking import masked
from botlib.core.text.tables import Cell, html_table

if TYPE_CHECKING:
    from botlib.backtesting.result import BacktestResult
    from botlib.backtesting.tearsheet import TearSheet

CARD_ROWS: Final = (
    ("return", "total_return"),
    ("hold", "benchmark_return"),
    ("sharpe", "sharpe"),
    ("sortino", "sortino"),
    ("drawdown", "max_drawdown"),
    ("round trips", "round_trips"),
    ("win rate", "win_rate"),
    ("profit factor", "profit_factor"),
    ("exposure", "exposure"),
    ("fees", "fees"),
)
"""The figures of the card: label, name."""

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
        "alpha",
        "volatility_daily",
        "best_day",
        "worst_day",
        "months_won",
        "average_win",
        "average_loss",
        "mae",
        "mfe",
    }
)
"""Figures shown as percentages."""

GAINS: Final = frozenset({"total_return", "annual_return", "benchmark_return"})
"""Those with a sign."""

TRIPS_SHOWN: Final = 500
TRIP_COLUMNS: Final = (
    "entry_time", "exit_time", "entry_price", "exit_price", "amount", "fees", "pnl", "return",
    "candles", "reason",
)  # fmt: skip
"""What the report shows of a round trip: as much as fits a page."""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ground: #fff; --ink: #1f2328; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ground: #16181d; --ink: #d7dae0; }} }}
@media print {{ :root {{ color-scheme: light; --ground: #fff; --ink: #000; }} }}
body {{ font: 14px/1.5 system-ui, sans-serif; background: var(--ground); color: var(--ink);
  max-width: 1080px; margin: 2em auto; padding: 0 1em; box-sizing: border-box; }}
.wide {{ overflow-x: auto; }}
section img {{ width: min(100%, 960px); }}
section {{ break-inside: avoid; margin-top: 1em;
  font: 12px/1.5 ui-monospace, Menlo, Consolas, monospace; }}
h1 {{ font-size: 1.3em; }} h2 {{ font-size: 1.05em; margin-top: 2em; break-after: avoid; }}
@media print {{ .screen {{ display: none; }} }}
</style></head><body>
<h1>{title}</h1>
<p>{words}</p>
{sheet}
<div class="screen"><h2>Price and round trips</h2>
{figure}</div>
<h2>Figures</h2>
{stats}
<h2>Round trips</h2>
<p>{shown}</p>
<div class="wide">{trips}</div>
</body></html>
"""


def result_card(result: BacktestResult) -> str:
    """Return a compact HTML card for a notebook, readable on light and dark."""
    stats = result.stats()
    shown = [(label, _toned(name, stats[name])) for label, name in CARD_ROWS]
    title = f"{result.strategy} · {result.symbol or 'backtest'} {result.timeframe}"
    span = f"{result.frame.index[0]:%Y-%m-%d} to {result.frame.index[-1]:%Y-%m-%d}"
    return card(
        title,
        spark(result.equity.tolist(), level=result.cash),
        figures(shown),
        lines([cut_by_volume(result)]) if result.cut else "",
        notes=f"{span} market time, {formats.count(len(result.frame))} candles, "
        f"{_spent(result.order_cost)} per entry, {result.costs}",
        tone=Tone.of(result.figures.total_return),
    )


def write_report(sheet: TearSheet, path: Path) -> Path:
    """Write the report, the plotly library included, and return its path.

    Raises:
        InvalidInput: the file cannot be written.
    """
    text = masked(page(sheet))
    try:
        return write_private(path, text)
    except OSError as error:
        raise InvalidInput(
            f"path={str(path)!r} cannot be written: {error.strerror}. "
            "Accepted: a file, such as 'report.html', in a directory that may be written."
        ) from error


def cut_by_volume(result: BacktestResult) -> str:
    """Return a sentence about the fills that their candles had too little volume for."""
    return (
        f"{formats.count(result.cut)} fills were smaller than wanted: their candles had too little "
        "volume. costs=bl.Costs(volume_share=None) fills any amount."
    )


def _spent(order_cost: float | str) -> str:
    if isinstance(order_cost, str):
        return "all cash"
    return formats.number(order_cost, 0 if order_cost == round(order_cost) else 2)


def page(sheet: TearSheet) -> str:
    """Return a tear sheet with the chart and the round trips as an HTML page."""
    result = sheet.result
    trips = result.roundtrips
    figure = result.plot().to_html(full_html=False, include_plotlyjs=True)
    last = trips.tail(TRIPS_SHOWN)[list(TRIP_COLUMNS)]
    measured = [(name, _figure(str(name), value)) for name, value in sheet.stats().items()]
    rows = [
        [_cell(name, value) for name, value in zip(last.columns, row, strict=True)]
        for row in last.to_numpy(dtype=object)
    ]
    shown = (
        f"All {formats.count(len(trips))}."
        if len(last) == len(trips)
        else f"The last {formats.count(len(last))} of {formats.count(len(trips))}."
    )
    return _PAGE.format(
        title=escape(f"Backtest of {result.strategy} on {result.symbol} {result.timeframe}"),
        words=escape(
            f"{formats.count(len(result.frame))} candles from {result.frame.index[0]} to "
            f"{result.frame.index[-1]} UTC, market time; {formats.number(result.cash)} at the "
            f"start, {_spent(result.order_cost)} per entry; {result.costs}. "
            f"{cut_by_volume(result) + ' ' if result.cut else ''}Signals are acted on "
            f"at the next open. The benchmark is {sheet.name}."
        ),
        sheet="".join(f"<section>{one}</section>" for one in sections(sheet)),
        figure=figure,
        stats=html_table(("figure", "value"), measured),
        shown=shown,
        trips=html_table([str(name) for name in last.columns], rows),
    )


def _toned(name: str, value: Any) -> Toned:
    gain = name in GAINS and value == value
    return Toned(_figure(name, value), Tone.of(value) if gain else Tone.PLAIN)


def _figure(name: str, value: Any) -> str:
    """Return one of the figures of a backtest as text."""
    if name in FRACTIONS:
        return formats.percent(value, sign=name in GAINS)
    if isinstance(value, float | np.floating):
        return formats.number(float(value))
    if formats.is_number(value):
        return formats.number(value, 0)
    if hasattr(value, "total_seconds"):
        return "–" if value != value else formats.duration(value.total_seconds())
    return str(value)


def _cell(name: str, value: Any) -> Cell:
    """Return a value of a round trip for a table."""
    if value != value or value is None:  # NaN and NaT
        return None
    if name == "return":
        return Toned(formats.percent(value, sign=True), Tone.of(value))
    if name in ("pnl", "fees", "entry_fee", "exit_fee"):
        return formats.number(value)
    return value if formats.is_number(value) else str(value)
