"""`RoundTrip`: the purchases of a book up to a sale, with what they earned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from botlib.core.model import Fill, Position, Side
from botlib.trading.positions import ZERO, apply_fill, fee_value, round_trips
from botlib.trading.results import DUST_SHARE


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTrip:
    """The purchases of a book up to a sale, with its sales. Money is in quote units.

    Attributes:
        opened: time of the first fill, ms.
        closed: time of the last sale, ms; None while something is held.
        amount: base units bought.
        entry_price: average, without fees.
        exit_price: average, without fees; None before the first sale.
        fees: of all fills that were paid in one of the two assets of the symbol.
        profit: booked by the sales, less those fees.
    """

    symbol: str
    opened: int
    closed: int | None
    amount: Decimal
    entry_price: Decimal
    exit_price: Decimal | None
    fees: Decimal
    profit: Decimal


def trips_of(fills: Iterable[Fill]) -> Iterator[RoundTrip]:
    """Yield the round trips of one book.

    Args:
        fills: of one strategy and symbol, oldest first.
    """
    position: Position | None = None
    for trip in round_trips(list(fills)):
        symbol = trip[0].symbol
        if position is None:
            position = Position(
                symbol=symbol, amount=ZERO, entry_price=ZERO, opened=None, realised=ZERO
            )
        before = position.realised
        for fill in trip:
            position = apply_fill(position, fill)
        yield _trip(trip, position, position.realised - before)


def _trip(fills: Sequence[Fill], after: Position, profit: Decimal) -> RoundTrip:
    bought = [fill for fill in fills if fill.side is Side.BUY]
    sold = [fill for fill in fills if fill.side is Side.SELL]
    amount = sum((fill.amount for fill in bought), ZERO)
    left = sum((fill.amount for fill in sold), ZERO)
    over = bool(sold) and after.amount <= max(amount, left) * DUST_SHARE
    return RoundTrip(
        symbol=fills[0].symbol,
        opened=fills[0].timestamp,
        closed=sold[-1].timestamp if over else None,
        amount=amount,
        entry_price=_average(bought) or ZERO,
        exit_price=_average(sold),
        fees=sum((fee_value(fill) or ZERO for fill in fills), ZERO),
        profit=profit,
    )


def _average(fills: Sequence[Fill]) -> Decimal | None:
    amount = sum((fill.amount for fill in fills), ZERO)
    return sum((fill.cost for fill in fills), ZERO) / amount if amount else None
