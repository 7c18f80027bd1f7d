"""Positions: the sums of our own fills, net of fees, and what counts as held."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from botlib.core.market import Market
from botlib.core.model import Fill, Position, Side
from botlib.core.symbol import split_symbol
from botlib.core.timeframe import open_time
from botlib.trading.results import DUST_SHARE, BookResult
from botlib.trading.sizing import sellable, tradable

ZERO: Final = Decimal(0)

REMEMBERED_TRADES = 500
"""Trade ids kept to recognise a fill that is reported twice; the journal knows older ones."""


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
    """The positions of all books, built from fills; a fill counts once, whoever reports it.

    A book is what one strategy holds of one symbol. The position of a symbol is the sum of its
    books.
    """

    def __init__(self) -> None:
        self._books: dict[str, dict[str, Position]] = {}
        """By symbol, then by strategy."""
        self._results: dict[tuple[str, str], BookResult] = {}
        """By strategy and symbol."""
        self._seen: dict[tuple[str, int], None] = {}
        self._newest: dict[str, int] = {}
        """The highest trade id of every symbol."""
        self._forgetting = False
        self._flows: dict[str, Decimal] = {}
        """What all fills changed, by asset."""
        self._other_fees: dict[int, dict[str, Decimal]] = {}
        """By the first moment of a UTC day (ms), then by asset."""

    def load(
        self,
        fills: Iterable[Fill],
        strategy_of: Callable[[Fill], str] = lambda fill: "",
        of_any: Callable[[Fill], bool] = lambda fill: False,
    ) -> None:
        """Replace everything by earlier fills, each of them once, oldest first.

        Args:
            strategy_of: returns the name of the strategy a fill belongs to.
            of_any: returns whether a sale sold what any strategy had bought, as those of earlier
                versions did, which knew one position per symbol.
        """
        self._books.clear()
        self._results.clear()
        self._seen.clear()
        self._newest.clear()
        self._forgetting = False
        self._other_fees.clear()
        self._flows.clear()
        for fill in fills:
            strategy = strategy_of(fill)
            if fill.side is Side.SELL and of_any(fill):
                self._apply_to_any(fill, strategy)
            else:
                self.apply(fill, strategy)

    def _apply_to_any(self, fill: Fill, strategy: str) -> None:
        """Add a sale to the book of its strategy as far as that holds, then to the others."""
        if not self._count(fill):
            return
        books = self.books(fill.symbol)
        left, parts = fill.amount, {strategy: ZERO}
        for name in (strategy, *(name for name in books if name != strategy)):
            held = books[name].amount if name in books else ZERO
            if left and held > 0:
                parts[name] = min(left, held)
                left -= parts[name]
        sellers = [name for name, amount in parts.items() if amount] or [strategy]
        parts[sellers[0]] += left
        for name in sellers:
            fee = fill.fee * parts[name] / fill.amount
            self._add(replace(fill, amount=parts[name], fee=fee), name)

    def knows(self, fill: Fill) -> bool:
        """Return whether a fill has been added."""
        return (fill.symbol, fill.trade_id) in self._seen

    def may_have_forgotten(self, fill: Fill) -> bool:
        """Return whether a fill may have been added so long ago that only the journal knows."""
        return self._forgetting and fill.trade_id <= self._newest.get(fill.symbol, -1)

    def apply(self, fill: Fill, strategy: str = "") -> Position | None:
        """Add a fill to a book; return its new position, or None if the fill is known already."""
        return self._add(fill, strategy) if self._count(fill) else None

    def _count(self, fill: Fill) -> bool:
        """Remember a fill; return whether it is new."""
        if self.knows(fill):
            return False
        self._seen[fill.symbol, fill.trade_id] = None
        self._newest[fill.symbol] = max(fill.trade_id, self._newest.get(fill.symbol, -1))
        if len(self._seen) > REMEMBERED_TRADES:
            del self._seen[next(iter(self._seen))]
            self._forgetting = True
        for asset, change in _changes(fill):
            self._flows[asset] = self._flows.get(asset, ZERO) + change
        if fee_value(fill) is None:
            paid = self._other_fees.setdefault(open_time(fill.timestamp, "1d"), {})
            paid[fill.fee_asset] = paid.get(fill.fee_asset, ZERO) + fill.fee
        return True

    def _add(self, fill: Fill, strategy: str) -> Position:
        position = apply_fill(self.of(strategy, fill.symbol), fill)
        self._books.setdefault(fill.symbol, {})[strategy] = position
        self._results.setdefault((strategy, fill.symbol), BookResult()).add(fill, position)
        return position

    def flows(self) -> dict[str, Decimal]:
        """Return by how much all fills, with their fees, changed what the account has, by asset."""
        return dict(self._flows)

    def other_fees(self, day: int) -> dict[str, Decimal]:
        """Return the fees of a UTC day paid in neither asset of their symbol, by asset.

        Args:
            day: its first moment, ms.
        """
        return dict(self._other_fees.get(day, {}))

    def of(self, strategy: str, symbol: str) -> Position:
        """Return the position of a book, a flat one if it never traded."""
        return self._books.get(symbol, {}).get(strategy) or flat_position(symbol)

    def result(self, strategy: str, symbol: str) -> BookResult:
        """Return what a book earned so far; nothing if it never traded."""
        return self._results.get((strategy, symbol)) or BookResult()

    def days(self) -> dict[int, dict[str, Decimal]]:
        """Return what was booked by UTC day (its first moment, ms) and strategy."""
        found: dict[int, dict[str, Decimal]] = {}
        for (strategy, _), result in self._results.items():
            for day, profit in result.days.items():
                of = found.setdefault(day, {})
                of[strategy] = of.get(strategy, ZERO) + profit
        return found

    def books(self, symbol: str) -> dict[str, Position]:
        """Return the positions of all books of a symbol, by strategy."""
        return dict(self._books.get(symbol, {}))

    def get(self, symbol: str) -> Position:
        """Return the position of a symbol over all books, a flat one if it was never traded."""
        return _sum(symbol, list(self._books.get(symbol, {}).values()))

    def all(self) -> list[Position]:
        """Return every position that was ever held, sorted by symbol."""
        return [self.get(symbol) for symbol in sorted(self._books)]

    def exposure(self, prices: Mapping[str, float]) -> Decimal:
        """Return the value of everything held, in quote units.

        Args:
            prices: by symbol; a position without one is valued at its entry price.
        """
        return sum(
            (
                position.amount * Decimal(str(prices.get(position.symbol, position.entry_price)))
                for position in self.all()
            ),
            ZERO,
        )

    def realised(self) -> Decimal:
        """Return the profit booked so far over all symbols, in quote units."""
        return sum((position.realised for position in self.all()), ZERO)

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
                for position in self.all()
            ),
            ZERO,
        )


def _changes(fill: Fill) -> Iterable[tuple[str, Decimal]]:
    """Yield by how much a fill changed what the account has, by asset."""
    base, quote = split_symbol(fill.symbol)
    bought = fill.side is Side.BUY
    yield base, fill.amount if bought else -fill.amount
    yield quote, -fill.cost if bought else fill.cost
    yield fill.fee_asset, -fill.fee


def flat_position(symbol: str) -> Position:
    """Return the position of a symbol before its first fill."""
    return Position(symbol=symbol, amount=ZERO, entry_price=ZERO, opened=None, realised=ZERO)


def _sum(symbol: str, books: Sequence[Position]) -> Position:
    """Return the position of a symbol whose books are given."""
    if len(books) == 1:
        return books[0]
    amount = sum((book.amount for book in books), ZERO)
    cost = sum((book.amount * book.entry_price for book in books), ZERO)
    return Position(
        symbol=symbol,
        amount=amount,
        entry_price=cost / amount if amount else ZERO,
        opened=min((book.opened for book in books if book.opened is not None), default=None),
        realised=sum((book.realised for book in books), ZERO),
    )
