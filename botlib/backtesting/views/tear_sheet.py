"""The tear sheet as HTML: a card for a notebook, and the same sections for the report."""

from __future__ import annotations

import calendar
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from botlib.backtesting.views.pictures import Plot, picture, ticks_between, time_ticks
from botlib.backtesting.views.plots import DOWN, FAINT, LINE, UP
from botlib.core.text import formats
from botlib.core.text.cards import Tone, Toned, card, figures, lines, section
from botlib.core.text.tables import html_picture, html_table

if TYPE_CHECKING:
    import pandas as pd

    from botlib.backtesting.metrics import Floats
    from botlib.backtesting.tearsheet import TearSheet

_WIDTH: Final = 760
_POINTS: Final = 500
"""Points of a line; with more a picture is larger, and looks the same."""

_DOTS: Final = 2_000
"""Round trips drawn as dots; of more, as many at equal steps."""

_FULL_TINT: Final = 0.10
"""Return of a month whose cell has the strongest colour."""

_SHORT_HISTORY: Final = timedelta(days=21)
"""Length of a history up to which drawdowns are shown to the minute."""

_ORANGE: Final = "#b07508"


def tear_sheet_card(sheet: TearSheet) -> str:
    """Return the tear sheet as a card, readable on light and dark."""
    result = sheet.result
    index = result.frame.index
    return card(
        f"{result.strategy} · {result.symbol or 'backtest'} {result.timeframe}",
        *sections(sheet),
        notes=f"{index[0]:%Y-%m-%d} to {index[-1]:%Y-%m-%d} market time, beside {sheet.name}",
        tone=Tone.of(result.figures.total_return),
    )


def sections(sheet: TearSheet) -> list[str]:
    """Return the sections of a tear sheet as HTML, each with its heading."""
    return [
        figures(_key_figures(sheet)),
        section("Equity and drawdown", _equity(sheet)),
        section("Return of every month, %", monthly_table(sheet.monthly)),
        section(
            f"Sharpe ratio and volatility of the last {formats.count(sheet.window)} days, per year",
            _rolling(sheet),
        ),
        section("Deepest drawdowns, by candle", _drawdowns(sheet)),
        section("Round trips", _trips(sheet)),
        section("Paid", figures(_costs(sheet))),
    ]


def _key_figures(sheet: TearSheet) -> list[tuple[str, object]]:
    result, own, added = sheet.result, sheet.result.figures, sheet.figures
    stats = sheet.result.stats()

    def gain(value: float) -> Toned:
        return Toned(formats.percent(value, sign=True), Tone.of(value))

    return [
        ("return", gain(own.total_return)),
        ("benchmark", gain(added["benchmark_return"])),
        ("per year", gain(own.annual_return)),
        ("alpha, year", gain(added["alpha"])),
        ("beta", formats.number(added["beta"])),
        ("sharpe, days", formats.number(added["sharpe_daily"])),
        (f"sharpe, {result.timeframe}", formats.number(own.sharpe)),
        ("sharpe, bench.", formats.number(added["benchmark_sharpe_daily"])),
        ("sortino", formats.number(own.sortino)),
        ("calmar", formats.number(own.calmar)),
        ("volatility", formats.percent(added["volatility_daily"], 1)),
        ("drawdown", formats.percent(own.max_drawdown)),
        ("best day", formats.percent(added["best_day"], sign=True)),
        ("worst day", formats.percent(added["worst_day"], sign=True)),
        ("months won", formats.percent(added["months_won"], 0)),
        ("in the market", formats.percent(stats["exposure"], 1)),
    ]


def _equity(sheet: TearSheet) -> str:
    own, other = sheet.result.equity, sheet.beside
    values = np.concatenate((own.to_numpy(), other.to_numpy()))
    low, high = float(values.min()), float(values.max())
    log = low > 0 and high / low >= 5
    ends = _ends(own.index)
    upper = Plot(_WIDTH, 20, 170, ends, (low, high), log=log)
    upper.axes(formats.compact, title="quote units, log" if log else "quote units")
    upper.across(sheet.result.cash)
    upper.curve(*_drawn(other), FAINT, width=1.2, dash="4 2")
    upper.curve(*_drawn(own), LINE, width=1.8)
    name = sheet.result.strategy.partition("(")[0][:24]
    upper.legend([(name, LINE, ""), (sheet.name.partition("(")[0][:24], FAINT, "4 2")])
    under = own / own.cummax().clip(lower=sheet.result.cash) - 1
    lower = Plot(_WIDTH, 214, 70, ends, (float(min(under.min(), -1e-4)), 0.0))
    lower.axes(_percent, title="drawdown", xs=time_ticks(own.index), ticks=2)
    lower.area(*_drawn(under, deepest=True), DOWN)
    return html_picture(picture(_WIDTH, 310, upper, lower), "equity and drawdown")


def _rolling(sheet: TearSheet) -> str:
    table = sheet.rolling
    if len(table) < 2:
        return lines([f"{len(sheet.returns)} days are too few for it."])
    ends = _ends(table.index)
    known = table["sharpe"].dropna()
    span = (min(0.0, float(known.min())), max(0.0, float(known.max()))) if len(known) else (-1, 1)
    upper = Plot(_WIDTH, 20, 90, ends, span)
    upper.axes(_plain, title="sharpe", ticks=3).across(0.0)
    upper.curve(*_drawn(table["sharpe"]), LINE)
    lower = Plot(_WIDTH, 134, 70, ends, (0.0, float(table["volatility"].max())))
    lower.axes(_percent, title="volatility", xs=time_ticks(table.index), ticks=2)
    lower.curve(*_drawn(table["volatility"]), _ORANGE)
    return html_picture(picture(_WIDTH, 230, upper, lower), "rolling Sharpe ratio and volatility")


def monthly_table(monthly: pd.DataFrame) -> str:
    """Return the returns of months as a table whose cells are tinted by gain and loss."""
    names = [*calendar.month_abbr[1:], "year"]
    cell = "padding:.1em .35em;text-align:right;white-space:nowrap"
    head = "".join(f'<th style="{cell};opacity:.65">{name}</th>' for name in ("", *names))
    rows = []
    for year, values in zip(monthly.index, monthly.to_numpy(dtype=np.float64), strict=True):
        cells = [f'<td style="{cell};opacity:.65">{year}</td>']
        for value in values.tolist():
            text = "" if value != value else formats.number(value * 100, 1)
            cells.append(f'<td style="{cell}{_tint(value)}">{text}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return (
        '<table class="botlib" style="font:12px/1.5 ui-monospace,monospace;'
        "border-collapse:collapse;margin:.3em 0;-webkit-print-color-adjust:exact;"
        f'print-color-adjust:exact"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _tint(value: float) -> str:
    if value != value or value == 0:
        return ""
    strength = 0.08 + 0.37 * min(abs(value) / _FULL_TINT, 1.0)
    colour = "33,144,78" if value > 0 else "217,67,74"
    return f";background:rgba({colour},{strength:.2f})"


def _drawdowns(sheet: TearSheet) -> str:
    table = sheet.drawdowns
    if not len(table):
        return lines(["None."])
    index = sheet.result.frame.index
    # Of a long history the days are enough, and fit a narrow page.
    form = "%Y-%m-%d" if index[-1] - index[0] > _SHORT_HISTORY else "%m-%d %H:%M"
    rows = [
        [
            Toned(formats.percent(row["depth"]), Tone.BAD),
            f"{row['peak']:{form}}",
            f"{row['trough']:{form}}",
            "not yet" if row["recovered"] != row["recovered"] else f"{row['recovered']:{form}}",
            formats.duration(row["length"].total_seconds()),
        ]
        for row in table.to_dict("records")
    ]
    return html_table(("depth", "peak", "trough", "recovered", "length"), rows)


def _trips(sheet: TearSheet) -> str:
    trips, stats, added = sheet.trips, sheet.result.stats(), sheet.figures
    if not len(trips):
        return lines(["None."])
    shown: list[tuple[str, object]] = [
        ("round trips", formats.count(stats["round_trips"])),
        ("win rate", formats.percent(stats["win_rate"], 1)),
        ("profit factor", formats.number(stats["profit_factor"])),
        ("average", formats.percent(stats["average"], sign=True)),
        ("average win", formats.percent(added["average_win"], sign=True)),
        ("average loss", formats.percent(added["average_loss"], sign=True)),
        ("best", formats.percent(stats["best"], sign=True)),
        ("worst", formats.percent(stats["worst"], sign=True)),
        ("held", formats.duration(stats["average_held"].total_seconds())),
        ("mean MAE", formats.percent(added["mae"])),
        ("mean MFE", formats.percent(added["mfe"], sign=True)),
    ]
    drawn = html_picture(
        picture(_WIDTH, 230, *_distribution(trips), *_excursions(trips)),
        "distribution of round trips, and their excursions",
    )
    return figures(shown) + drawn


def _distribution(trips: pd.DataFrame) -> list[Plot]:
    """Return the histogram of the returns of round trips: gains and losses in their colours."""
    returns = trips["return"].to_numpy(dtype=np.float64)
    # A few round trips far outside would leave one bar for all others: they are in the last bars.
    low, high = np.quantile(returns, (0.005, 0.995))
    reach = max(float(high), -float(low), 1e-6)
    width = ticks_between(0.0, 2 * reach, 30)[1]
    edges = np.arange(np.floor(low / width), np.ceil(high / width) + 1) * width
    if len(edges) < 2:
        edges = np.array([edges[0], edges[0] + width])
    counts, _ = np.histogram(np.clip(returns, edges[0], edges[-1]), edges)
    plot = Plot(
        _WIDTH / 3, 20, 170, (float(edges[0]), float(edges[-1])), (0.0, float(counts.max()))
    )
    colours = [UP if edge >= -1e-12 else DOWN for edge in edges[:-1].tolist()]
    xs = [(one, _percent(one)) for one in ticks_between(float(edges[0]), float(edges[-1]), 3)]
    plot.axes(_plain, title="returns", xs=xs)
    return [plot.bars(edges, counts.astype(np.float64), colours).upright(0.0)]


def _excursions(trips: pd.DataFrame) -> list[Plot]:
    """Return how far round trips went against and for their entry, over what they returned."""
    some = trips.iloc[:: -(-len(trips) // _DOTS)]
    returns = some["return"].to_numpy(dtype=np.float64)
    won = returns > 0
    plots = []
    for place, (name, title) in enumerate((("mae", "return over MAE"), ("mfe", "return over MFE"))):
        xs = some[name].to_numpy(dtype=np.float64)
        ends = (min(float(xs.min()), 0.0), max(float(xs.max()), 0.0))
        span = (float(returns.min()), float(returns.max()))
        plot = Plot(_WIDTH / 3, 20, 170, ends, span, left=(place + 1) * _WIDTH / 3)
        inside = ticks_between(*ends, 3) if ends[1] > ends[0] else []
        labels = [(one, _percent(one)) for one in inside]
        plot.axes(_percent, title=title, xs=labels).across(0.0)
        plot.dots(xs[~won], returns[~won], DOWN).dots(xs[won], returns[won], UP)
        plots.append(plot)
    return plots


def _costs(sheet: TearSheet) -> list[tuple[str, object]]:
    result = sheet.result
    stats, slippage = result.stats(), sheet.figures["slippage_paid"]
    fees = float(stats["fees"])
    traded = float((result.fills.amount * result.fills.price).sum())
    return [
        ("fees", formats.number(fees)),
        ("spread and slippage", formats.number(slippage)),
        ("of the cash at the start", formats.percent((fees + slippage) / result.cash)),
        ("of what was traded", formats.percent((fees + slippage) / traded, 3) if traded else "–"),
        ("turnover", f"{formats.number(stats['turnover'], 1)} ×"),
    ]


def _ends(index: pd.Index) -> tuple[float, float]:
    xs = _milliseconds(index)
    return float(xs[0]), float(xs[-1])


def _milliseconds(index: pd.Index) -> Floats:
    return index.to_numpy().astype("datetime64[ms]").astype(np.int64).astype(np.float64)


def _drawn(values: pd.Series, *, deepest: bool = False) -> tuple[Floats, Floats]:
    """Return x and y of at most about as many points as a picture has columns.

    Args:
        deepest: keep the least value of every group; otherwise the last one.
    """
    xs, ys = _milliseconds(values.index), values.to_numpy(dtype=np.float64)
    step = -(-len(ys) // _POINTS)
    if step <= 1:
        return xs, ys
    starts = np.arange(0, len(ys), step)
    if deepest:
        return xs[starts], np.minimum.reduceat(ys, starts)
    ends = np.append(starts[1:] - 1, len(ys) - 1)
    return xs[ends], ys[ends]


def _percent(value: float) -> str:
    text: Any = f"{value * 100:.3g}".replace("-", formats.MINUS)
    return f"{'0' if float(value) == 0 else text}{formats.THIN}%"


def _plain(value: float) -> str:
    return f"{value:.4g}".replace("-", formats.MINUS)
