"""The chart of a backtest: its candles with every entry, exit and stop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from botlib.core.text import formats

if TYPE_CHECKING:
    from botlib.backtesting.result import BacktestResult
    from botlib.widgets.chart import Chart, Line, Marker

_KINDS: Final = {"stop_loss": "stop", "trailing_stop": "stop", "take_profit": "target"}


def chart_result(
    result: BacktestResult,
    overlays: Sequence[str],
    panes: Sequence[str | Sequence[str]],
    options: dict[str, Any],
) -> Chart:
    """Return the chart of a backtest."""
    from botlib.widgets.chart import Line, chart

    lines = []
    trips = result.roundtrips
    if len(trips) and trips["exit_time"].isna().iloc[-1]:
        last = trips.iloc[-1]
        held = float(last["entry_price"])
        title = f"open since {last['entry_time']:%m-%d %H:%M}"
        lines.append(Line(id="position", kind="position", price=held, title=title))
    return chart(
        result.frame,
        overlays=overlays,
        panes=panes,
        symbol=result.symbol,
        timeframe=result.timeframe,
        markers=_markers(result),
        lines=[*_stop_lines(result), *lines],
        **{"title": f"{result.symbol} · {result.strategy}".removeprefix(" · "), **options},
    )


def _stop_lines(result: BacktestResult) -> list[Line]:
    """Return the stop and the target of every position as lines over the time it was held."""
    from botlib.widgets.chart import Line

    levels, fills = result.levels, result.fills
    if levels is None:
        return []
    times = _milliseconds(result.frame.index.to_numpy())
    highs = result.frame["high"].to_numpy(dtype=np.float64)
    lines = []
    for place in np.flatnonzero(fills.buy).tolist():
        first, last = int(fills.row[place]), len(times) - 1
        if place + 1 < len(fills):
            # A stop or target that is hit lasts until that candle; any other exit is at an open,
            # and the line ends with the candle before.
            hit = int(fills.reason[place + 1]) > 1
            last = max(first, int(fills.row[place + 1]) - (not hit))
        entry = float(fills.price[place])
        steps = {
            "stop": levels.steps(entry, highs[first : last + 1]),
            "target": [(0, levels.target(entry))] if levels.rules.take_profit is not None else [],
        }
        for kind, found in steps.items():
            if found:
                lines.append(
                    Line(
                        id=f"{kind}:{first}",
                        kind=kind,
                        price=found[-1][1],
                        steps=tuple((int(times[first + row]), price) for row, price in found),
                        end=int(times[last]),
                    )
                )
    return lines


def _markers(result: BacktestResult) -> list[Marker]:
    """Return a marker for every entry and exit; exits show the return of the trip."""
    from botlib.widgets.chart import Marker

    trips = result.roundtrips
    entries = _milliseconds(trips["entry_time"].to_numpy()).tolist()
    exits = _milliseconds(trips["exit_time"].to_numpy()).tolist()
    markers = []
    for row, trip in enumerate(trips.to_dict("records")):
        amount = formats.exact(trip["amount"])
        markers.append(
            Marker(
                timestamp=entries[row],
                kind="entry",
                text="buy",
                details=(
                    ("price", formats.price(trip["entry_price"])),
                    ("amount", amount),
                    ("cost", formats.number(trip["entry_price"] * trip["amount"])),
                    ("fee", formats.number(trip["entry_fee"])),
                    ("why", "entry signal"),
                ),
            )
        )
        if trip["exit_time"] is None or trip["exit_time"] != trip["exit_time"]:  # still open
            continue
        result_text = formats.number(trip["pnl"], sign=True)
        share = formats.percent(trip["return"], sign=True)
        markers.append(
            Marker(
                timestamp=exits[row],
                kind=_KINDS.get(trip["reason"], "exit"),
                text=formats.percent(trip["return"], 1, sign=True),
                details=(
                    ("price", formats.price(trip["exit_price"])),
                    ("amount", formats.exact(trip["sold"])),
                    ("fee", formats.number(trip["exit_fee"])),
                    ("why", str(trip["reason"]).replace("_", " ")),
                    ("held", f"{formats.count(trip['candles'])} candles"),
                    ("result", f"{result_text} ({share})"),
                ),
            )
        )
    return markers


def _milliseconds(times: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return times.astype("datetime64[ms]").astype(np.int64)
