"""The state of a symbol: everything that decides about its next step, and the steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from botlib.core.market import Market
from botlib.core.model import OrderIntent, OrderRole
from botlib.trading.books import ZERO, Book, BookKey
from botlib.trading.orders import TrackedOrder

NEVER: Final = 1 << 62
"""A moment that does not come by itself."""


EXIT_ROLES: Final = (OrderRole.EXIT, OrderRole.EMERGENCY, OrderRole.MANUAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingState:
    """Everything that decides about the next step of one symbol.

    Attributes:
        now: market time, ms.
        wall: real time, ms, by a timer that no one can set.
        price: the newest price, quote units; None if it is not known.
        orders: the orders that have not ended or have fills that are not booked, and the newest
            ones of every present decision, the oldest first.
        booked: base units of the booked fills of ``orders``, by client order id.
        ask_at: real time (ms) from which an order may be asked about again, by client order id.
        check_at: real time (ms) from which routine questions may be asked.
        sweep_at: real time (ms) from which the trades may be asked for again.
        sweep_wanted: fills may be missing, although no order says so.
        send_at: real time (ms) from which orders may be sent; the venue said when.
        enter_at: real time (ms) from which entries may be sent: exits go first, and the venue's
            limits keep a part for them.
        doubted: client order ids of orders of which the venue said something that does not fit.
        check: client order ids of orders that rest, and are to be asked about all the same.
        retry_at: real time (ms) from which a book may send again after a refusal.
        held_back: why nothing may be entered for the moment, which passes by itself.
        halts: why nothing may be entered until a person says so.
        bot: id of the bot, part of every client order id.
    """

    bot: str
    market: Market
    now: int
    wall: int
    price: Decimal | None = None
    books: tuple[Book, ...] = ()
    orders: tuple[TrackedOrder, ...] = ()
    booked: Mapping[str, Decimal] = field(default_factory=dict)
    ask_at: Mapping[str, int] = field(default_factory=dict)
    check_at: int = 0
    sweep_at: int = 0
    sweep_wanted: bool = False
    send_at: int = 0
    enter_at: int = 0
    check: frozenset[str] = frozenset()
    doubted: frozenset[str] = frozenset()
    retry_at: Mapping[BookKey, int] = field(default_factory=dict)
    held_back: str | None = None
    halts: tuple[str, ...] = ()

    def of(self, key: BookKey) -> list[TrackedOrder]:
        """Return the orders of a book, the oldest first."""
        return [
            order
            for order in self.orders
            if (order.intent.strategy, order.intent.symbol) == tuple(key)
        ]

    def sends_from(self, book: Book) -> int:
        """Return the real time (ms) from which a book may send."""
        return max(self.send_at, self.retry_at.get(book.key, 0))

    def enters_from(self, book: Book) -> int:
        """Return the real time (ms) from which a book may enter."""
        return max(self.enter_at, self.sends_from(book))

    def owes(self, order: TrackedOrder) -> bool:
        """Return whether the venue knows of fills of an order that are not booked."""
        return self.booked.get(order.id, ZERO) < order.filled


@dataclass(frozen=True, slots=True)
class Nothing:
    """Wants and venue agree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing can be done before a moment: real time or market time in ms, `NEVER` if neither."""

    why: str
    wall: int = NEVER
    market: int = NEVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Ask the venue how an order stands."""

    order: TrackedOrder


@dataclass(frozen=True, slots=True)
class Sweep:
    """Ask the venue for the trades of the symbol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Send one order, or two that cancel each other (the target, then the stop)."""

    book: Book
    intents: tuple[OrderIntent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Cancel an order; one leg of a list takes the other with it."""

    order: TrackedOrder
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """Cancel an order and send another in one request; nothing is sent if the first fails."""

    book: Book
    order: TrackedOrder
    intent: OrderIntent


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Forget what a book wants: it was done, came too late, or cannot be done."""

    book: Book
    why: str
    refused: bool = True
    """Whether it was not done."""
    harmless: bool = False
    """Whether nothing is missed by that: it is held already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """Stop entries until a person looks."""

    reason: str


Step = Nothing | Wait | Query | Sweep | Place | Cancel | Replace | Drop | Halt
