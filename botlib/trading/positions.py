"""Positions: what our own fills add up to, net of fees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal

from botlib.core.model import Fill, Position, Side
from botlib.core.symbol import split_symbol

ZERO = Decimal(0)
SEEN = 500
"""Trade ids kept to tell a fill that is known; the journal takes no older one twice either."""
DUST = Decimal("0.01")
"""Part of a purchase below which what was held before counts as a remainder."""


def apply_fill(position: Position, fill: Fill) -> Position:
    """Return the position after a fill.

    A buy pays for what it brings: the fee is part of the entry price, whether it is taken from the
    base asset (less is held for the same cost) or from the quote asset (the cost is higher). A sale
    books the difference to the entry price, less its fee. A fee paid in a third asset (BNB) changes
    neither amount nor profit here; it is visible on the fill.
    """
    base, quote = split_symbol(fill.symbol)
    base_fee = fill.fee if fill.fee_asset == base else ZERO
    quote_fee = fill.fee if fill.fee_asset == quote else ZERO
    if fill.side is Side.BUY:
        # What is too little to be sold stays behind as dust; it does not date the next position.
        dust = position.amount < fill.amount * DUST
        amount = position.amount + fill.amount - base_fee
        cost = position.entry_price * position.amount + fill.cost + quote_fee
        return replace(
            position,
            amount=amount,
            entry_price=cost / amount if amount else ZERO,
            opened=fill.timestamp if dust else position.opened,
        )
    amount = position.amount - fill.amount - base_fee
    booked = fill.cost - quote_fee - position.entry_price * (fill.amount + base_fee)
    return replace(
        position,
        amount=amount,
        entry_price=position.entry_price if amount else ZERO,
        opened=position.opened if amount else None,
        realised=position.realised + booked,
    )


class PositionManager:
    """The positions of all symbols, built from fills; a fill counts once, whoever reports it."""

    def __init__(self) -> None:
        self._positions: dict[str, Position] = {}
        self._seen: dict[tuple[str, int], None] = {}

    def load(self, fills: Iterable[Fill]) -> None:
        """Begin anew with the fills of earlier, each of them once, the oldest first."""
        self._positions.clear()
        self._seen.clear()
        for fill in fills:
            self.apply(fill)

    def apply(self, fill: Fill) -> Position | None:
        """Take a fill and return the new position, or None for a fill that is known already."""
        key = (fill.symbol, fill.trade_id)
        if key in self._seen:
            return None
        self._seen[key] = None
        if len(self._seen) > SEEN:
            del self._seen[next(iter(self._seen))]
        position = apply_fill(self.get(fill.symbol), fill)
        self._positions[fill.symbol] = position
        return position

    def get(self, symbol: str) -> Position:
        """Return the position of a symbol, a flat one where nothing was ever filled."""
        return self._positions.get(symbol) or Position(
            symbol=symbol, amount=ZERO, entry_price=ZERO, opened=None, realised=ZERO
        )

    def all(self) -> list[Position]:
        """Return every position that was ever held, by symbol."""
        return [self._positions[symbol] for symbol in sorted(self._positions)]

    def exposure(self, prices: Mapping[str, float]) -> Decimal:
        """Return the value of everything held, in quote units, at the prices given by symbol."""
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
        """Return the profit not yet booked, in quote units, at the prices given by symbol."""
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
