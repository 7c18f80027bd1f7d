"""Parity: a backtest and a live run over the same candles, compared round trip by round trip."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from botlib.backtesting.result import BacktestResult
from botlib.core.errors import BotlibError
from botlib.core.model import Fill, Side
from botlib.core.received import refused
from botlib.core.text import formats
from botlib.core.text.cards import Tone, card, lines
from botlib.core.text.tables import html_table
from botlib.core.timeframe import open_time
from botlib.trading.positions import fee_value, round_trips
from botlib.venues.symbols import unified_symbol

if TYPE_CHECKING:
    import pandas as pd

    from botlib.backtesting.costs import Costs
FIELDS: Final = (
    "entry_time",
    "entry_price",
    "amount",
    "entry_fee",
    "exit_time",
    "exit_price",
    "sold",
    "exit_fee",
)
"""The fields of a round trip that are compared. Fees are in quote units."""

TOLERANCE: Final = 1e-9
"""Relative difference up to which numbers are equal: less than the venue's eight decimals."""

_CAUSES: Final = (
    ("entry_time", "entered on another candle"),
    ("exit_time", "left on another candle"),
    ("entry_price", "bought at another price"),
    ("exit_price", "sold at another price"),
    ("amount", "another amount was bought"),
    ("sold", "another amount was sold"),
    ("entry_fee", "another fee on entry"),
    ("exit_fee", "another fee on exit"),
)
"""What a difference of a field means; a difference also explains those listed after it."""


class ParityReport:
    """The differences between the round trips of a backtest and those of a live run.

    ``frame`` has one row per round trip of either side: each of `FIELDS` as ``<field>`` of the
    backtest and ``<field>_live``, the ``reason`` of the exit, whether the two are ``equal``, and
    the ``difference`` in words.
    """

    def __init__(self, frame: pd.DataFrame, title: str, note: str = "") -> None:
        self.frame = frame
        self.title = title
        self.note = note
        """What makes the two sides differ from the start, empty if nothing is known to."""

    @property
    def equal(self) -> bool:
        """Whether every round trip is the same on both sides, and there is at least one."""
        return len(self.frame) > 0 and bool(self.frame["equal"].all())

    @property
    def differences(self) -> pd.DataFrame:
        """The round trips that are not the same."""
        return self.frame[~self.frame["equal"]]

    def raise_for_differences(self) -> None:
        """Raise `BotlibError` with the first difference unless everything is equal."""
        if not len(self.frame):
            raise BotlibError(f"{self.title}: there is no round trip on either side to compare.")
        if not self.equal:
            first = self.differences.iloc[0]
            raise BotlibError(
                f"{self.title}: {len(self.differences)} of {len(self.frame)} round trips differ, "
                f"first: {first['difference']}.{' ' if self.note else ''}{self.note}"
            )

    def __repr__(self) -> str:
        return f"<ParityReport {self._words()}>"

    def _repr_html_(self) -> str:
        differing = self.differences
        shown = differing if len(differing) else self.frame.tail(5)
        records = shown.head(50).to_dict("records")
        columns = [
            _beside([(row[name], row[f"{name}_live"]) for row in records])
            for name in ("entry_time", "entry_price", "amount", "exit_time", "exit_price")
        ]
        rows = [
            [*pairs, row["reason"], row["difference"] or "equal"]
            for row, *pairs in zip(records, *columns, strict=True)
        ]
        table = html_table(
            ("entered", "at", "amount", "left", "at", "reason", "difference"),
            rows,
            wrapped=("difference",),
        )
        more = "" if len(differing) else lines(["The last round trips."])
        more += lines([self.note]) if self.note and len(differing) else ""
        return card(self._words(), table, more, tone=Tone.GOOD if self.equal else Tone.BAD)

    def _words(self) -> str:
        same = int(self.frame["equal"].sum())
        return f"{self.title} · {same} of {len(self.frame)} round trips equal"


def compare(
    result: BacktestResult, fills: Iterable[Fill], costs: Costs | None = None
) -> ParityReport:
    """Compare the round trips of a backtest with those of the fills of a live run.

    Fills of other symbols and outside the backtest's candles are left out. Times are open times of
    candles: live, a fill lies somewhere inside its candle.

    Market orders, stops, trailing stops and targets fill at the same prices on both sides. If one
    candle reaches both the stop and the target, a backtest and a paper exchange decide alike which
    came first (`botlib.trading.candle_path`); a real market may decide otherwise.

    Args:
        fills: those of one strategy, oldest first, such as the journal's.
        costs: what fills cost on the market that they are of, if that is known: a report of
            differences says whether the backtest assumed others.
    """
    import pandas as pd

    if not isinstance(result, BacktestResult):
        raise refused("result", result, "the result of bot.backtest() or bl.backtest()")
    given = list(fills) if isinstance(fills, Iterable) else [fills]
    wrong = next((one for one in given if not isinstance(one, Fill)), None)
    if wrong is not None:
        raise refused("fills", wrong, "the fills of a live run, oldest first; bot.compare has them")
    symbol, timeframe = unified_symbol(result.symbol), result.timeframe
    first, last = (int(result.frame.index[row].timestamp() * 1000) for row in (0, -1))
    chosen = [
        fill
        for fill in given
        if fill.symbol == symbol and first <= open_time(fill.timestamp, timeframe) <= last
    ]
    ours = [{str(key): value for key, value in row.items()} for row in _records(result.roundtrips)]
    theirs = live_roundtrips(chosen, timeframe)
    rows = [_row(one, other) for one, other in _pairs(ours, theirs)]
    columns = [
        *(part for name in FIELDS for part in (name, f"{name}_live")),
        "reason",
        "equal",
        "difference",
    ]
    return ParityReport(
        pd.DataFrame(rows, columns=columns),
        f"{result.strategy} on {symbol} {timeframe}",
        _other_costs(result.costs, costs),
    )


def _other_costs(assumed: Costs, charged: Costs | None) -> str:
    """Return a sentence if a backtest assumed other costs than its market has."""
    if charged is None:
        return ""
    ours, theirs = ((one.maker, one.taker, one.paid_in, one.fixed) for one in (assumed, charged))
    if ours == theirs:
        return ""
    return f"The backtest assumed other costs ({assumed}) than this market has ({charged})."


def live_roundtrips(fills: Sequence[Fill], timeframe: str) -> list[dict[str, Any]]:
    """Return the round trips of the fills of one symbol, each with the keys of `FIELDS`."""
    import pandas as pd

    def moment(one: Fill) -> pd.Timestamp:
        return pd.Timestamp(open_time(one.timestamp, timeframe), unit="ms")

    found = []
    for trip in round_trips(fills):
        bought = [fill for fill in trip if fill.side is Side.BUY]
        sold = [fill for fill in trip if fill.side is Side.SELL]
        found.append(
            {
                "entry_time": moment(bought[0]) if bought else pd.NaT,
                "entry_price": _average(bought),
                "amount": float(sum(fill.amount for fill in bought)),
                "entry_fee": sum(_fee(fill) for fill in bought),
                "exit_time": moment(sold[0]) if sold else pd.NaT,
                "exit_price": _average(sold),
                "sold": float(sum(fill.amount for fill in sold)),
                "exit_fee": sum(_fee(fill) for fill in sold),
            }
        )
    return found


def _records(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    return frame.to_dict("records")


def _pairs(
    ours: list[dict[str, Any]], theirs: list[dict[str, Any]]
) -> Iterable[tuple[dict[str, Any] | None, dict[str, Any] | None]]:
    """Yield pairs of round trips that overlap in time, in order; None if one has no counterpart."""
    while ours and theirs:
        one, other = ours[0], theirs[0]
        if _ends_before(one, other):
            yield ours.pop(0), None
        elif _ends_before(other, one):
            yield None, theirs.pop(0)
        else:
            yield ours.pop(0), theirs.pop(0)
    for one in ours:
        yield one, None
    for other in theirs:
        yield None, other


def _ends_before(one: dict[str, Any], other: dict[str, Any]) -> bool:
    # A trip still open, or entered before the first candle, has NaT, which is never smaller.
    same = one["entry_time"] == other["entry_time"]
    return bool(one["exit_time"] <= other["entry_time"]) and not same


def _row(one: dict[str, Any] | None, other: dict[str, Any] | None) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name in FIELDS:
        row[name] = one[name] if one else None
        row[f"{name}_live"] = other[name] if other else None
    row["reason"] = one["reason"] if one else ""
    if one is None:
        row["difference"] = f"only live: bought at {row['entry_time_live']}"
    elif other is None:
        row["difference"] = f"only in the backtest: bought at {row['entry_time']}"
    else:
        row["difference"] = _difference(one, other)
    row["equal"] = not row["difference"]
    return row


def _difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    for name, words in _CAUSES:
        if not _same(one[name], other[name]):
            reason = one["reason"] if name.startswith("exit") else ""
            text = f"{words} ({reason})" if reason else words
            return f"{text}: {one[name]} in the backtest, {other[name]} live"
    return ""


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return (math.isnan(one) and math.isnan(other)) or math.isclose(
            one, other, rel_tol=TOLERANCE
        )
    return bool(one == other) or (str(one) == "NaT" and str(other) == "NaT")


def _average(fills: Sequence[Fill]) -> float:
    if len(fills) == 1:
        return float(fills[0].price)
    amount = sum(fill.amount for fill in fills)
    return float(sum(fill.cost for fill in fills) / amount) if amount else math.nan


def _fee(fill: Fill) -> float:
    value = fee_value(fill)
    return math.nan if value is None else float(value)


def _beside(values: Sequence[tuple[Any, Any]]) -> list[str]:
    """Return the values of a column on both sides, once where they are the same."""
    numbers = [one for pair in values for one in pair if formats.is_number(one)]
    decimals = formats.decimals_of(numbers)

    def text(value: Any) -> str:
        if formats.is_number(value):
            return formats.number(value, decimals)
        return formats.NONE if value != value or value is None else str(value)

    return [
        text(one)
        if text(one) == text(other) or _same(one, other)
        else f"{text(one)} | {text(other)}"
        for one, other in values
    ]
