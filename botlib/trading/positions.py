"""Positions: the sums of our own fills, net of fees, and what counts as held."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from botlib.core.market import Market
from botlib.core.model import Fill, Position, Side
from botlib.core.symbol import split_symbol
from botlib.trading.sizing import sellable, tradable

ZERO: Final = Decimal(0)

REMEMBERED_TRADES = 500
"""Trade ids kept to recognise a fill that is reported twice; the journal refuses older ones."""

DUST_SHARE: Final = Decimal("0.01")
"""Share of a purchase below which what was held before it is dust: it does not date a position."""


def is_held(amount: Decimal, price: Decimal, market: Market) -> bool:
    """Return whether an amount counts as held: whether the venue would take an order that sells it.

    Anything less is dust: it stays on the account and is sold with a later position.

    Args:
        amount: base units, of a position or on the account.
        price: quote units per base unit at which it would be sold.
    """
    return tradable(sellable(amount, market), price, market)


def base_fee(fill: Fill) -> Decimal:
    """Return the part of a fill's fee that was taken in base units."""
    return fill.fee if fill.fee_asset == split_symbol(fill.symbol)[0] else ZERO


def quote_fee(fill: Fill) -> Decimal:
    """Return the part of a fill's fee that was taken in quote units."""
    return fill.fee if fill.fee_asset == split_symbol(fill.symbol)[1] else ZERO


def fee_value(fill: Fill) -> Decimal | None:
    """Return a fill's fee in quote units at the fill's price; None if a third asset paid it."""
    base, quote = split_symbol(fill.symbol)
    if fill.fee_asset == base:
        return fill.fee * fill.price
    return fill.fee if fill.fee_asset == quote else None


def apply_fill(position: Position, fill: Fill) -> Position:
    """Return the position after a fill.

    A purchase pays for what it brings: its fee is part of the entry price, whether it is taken in
    the base asset (less is held for the same cost) or in the quote asset (the cost is higher). A
    sale books the difference from the entry price, less its fee. A fee paid in a third asset (BNB)
    changes neither amount nor profit; it is visible on the fill.
    """
    taken, paid = base_fee(fill), quote_fee(fill)
    if fill.side is Side.BUY:
        dust = position.amount < fill.amount * DUST_SHARE
        amount = position.amount + fill.amount - taken
        cost = position.entry_price * position.amount + fill.cost + paid
        return replace(
            position,
            amount=amount,
            entry_price=cost / amount if amount else ZERO,
            opened=fill.timestamp if dust else position.opened,
        )
    amount = position.amount - fill.amount - taken
    booked = fill.cost - paid - position.entry_price * (fill.amount + taken)
    return replace(
        position,
        amount=amount,
        entry_price=position.entry_price if amount else ZERO,
        opened=position.opened if amount else None,
        realised=position.realised + booked,
    )


def round_trips(fills: Sequence[Fill]) -> list[list[Fill]]:
    """Return the fills of one symbol by round trip: a purchase after a sale begins the next.

    Args:
        fills: oldest first.
    """
    trips: list[list[Fill]] = []
    for fill in fills:
        if not trips or (fill.side is Side.BUY and trips[-1][-1].side is Side.SELL):
            trips.append([])
        trips[-1].append(fill)
    return trips


class PositionManager:
    """The positions of all symbols, built from fills; a fill counts once, whoever reports it."""

    def __init__(self) -> None:
        self._positions: dict[str, Position] = {}
        self._seen: dict[tuple[str, int], None] = {}

    def load(self, fills: Iterable[Fill]) -> None:
        """Replace everything by earlier fills, each of them once, oldest first."""
        self._positions.clear()
        self._seen.clear()
        for fill in fills:
            self.apply(fill)

    def apply(self, fill: Fill) -> Position | None:
        """Add a fill; return the new position, or None if the fill is known already."""
        key = (fill.symbol, fill.trade_id)
        if key in self._seen:
            return None
        self._seen[key] = None
        if len(self._seen) > REMEMBERED_TRADES:
            del self._seen[next(iter(self._seen))]
        position = apply_fill(self.get(fill.symbol), fill)
        self._positions[fill.symbol] = position
        return position

    def get(self, symbol: str) -> Position:
        """Return the position of a symbol, a flat one if it was never traded."""
        return self._positions.get(symbol) or Position(
            symbol=symbol, amount=ZERO, entry_price=ZERO, opened=None, realised=ZERO
        )

    def all(self) -> list[Position]:
        """Return every position that was ever held, sorted by symbol."""
        return [self._positions[symbol] for symbol in sorted(self._positions)]

    def exposure(self, prices: Mapping[str, float]) -> Decimal:
        """Return the value of everything held, in quote units.

        Args:
            prices: by symbol; a position without one is valued at its entry price.
        """
        return sum(
            (
                position.amount * Decimal(str(prices.get(position.symbol, position.entry_price)))
                for position in self._positions.values()
            ),
            ZERO,
        )

    def realised(self) -> Decimal:
        """Return the profit booked so far over all symbols, in quote units."""
        return sum((position.realised for position in self._positions.values()), ZERO)

    def unrealised(self, prices: Mapping[str, float]) -> Decimal:
        """Return the profit not yet booked, in quote units.

        Args:
            prices: by symbol; a position without one is valued at its entry price.
        """
        return sum(
            (
                position.amount
                * (
                    Decimal(str(prices.get(position.symbol, position.entry_price)))
                    - position.entry_price
                )
                for position in self._positions.values()
            ),
            ZERO,
        )
