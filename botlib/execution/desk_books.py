"""The books of a desk: what is wanted, what is known of their orders, and what follows from it.

Every change is made in memory and written to the journal without waiting for anything, so that none
can be lost half-way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from botlib.core.errors import RequestsShort
from botlib.core.model import (
    Fill,
    FillReceived,
    OrderRole,
    OrderStatus,
    OrderUpdated,
    PositionChanged,
)
from botlib.store.journal import StoredBook
from botlib.trading.books import ZERO, BookKey, Protection, Want
from botlib.trading.orders import EventKind, OrderEvent, TrackedOrder, transition
from botlib.trading.positions import is_held
from botlib.trading.sizing import sellable, tradable

if TYPE_CHECKING:
    from botlib.execution.context import Context
    from botlib.trading.stops import StopRules
    from botlib.venues.base import OrderReport


@dataclass(slots=True)
class DeskBook:
    """A book of the desk: what is kept beside its orders and fills."""

    key: BookKey
    want: Want | None = None
    protection: Protection = field(default_factory=Protection)
    released: int = -1
    orphaned: bool = True
    refusals: int = 0
    bare_since: float | None = None
    short: RequestsShort | None = None
    """Which limit of the venue was in the way of its entry last."""

    @property
    def stored(self) -> StoredBook:
        """What the journal keeps of the book."""
        return StoredBook(
            key=self.key, want=self.want, protection=self.protection, released=self.released
        )


class DeskBooks:
    """The books of one symbol.

    Args:
        wake: has the desk look again.
    """

    def __init__(self, symbol: str, context: Context, wake: Callable[[], None]) -> None:
        self.symbol = symbol
        self._context = context
        self.wake = wake
        self._books: dict[BookKey, DeskBook] = {}

    def __iter__(self) -> Iterator[DeskBook]:
        """Yield the books, in the order they were opened."""
        return iter(list(self._books.values()))

    def get(self, key: BookKey) -> DeskBook | None:
        """Return a book, None if there is none."""
        return self._books.get(key)

    def restore(self, book: StoredBook) -> None:
        """Restore a book from the journal; it is orphaned until its strategy is registered.

        A fill that was written down just before the process ended may not have reached the
        protection: it is anchored again.
        """
        found = self._books[book.key] = DeskBook(
            key=book.key, want=book.want, protection=book.protection, released=book.released
        )
        entry = self._context.ledger.entry(book.key)
        if entry is not None and self._context.positions.of(*book.key).amount > 0:
            fills = self._context.journal.journal.fills_of(entry.id)
            self._anchor(found, entry, fills[0].timestamp)
        self.wake()

    def adopt(self, key: BookKey) -> None:
        """Adopt a position for which an earlier version stored no protection.

        What rests at the venue as its stop says where the stop lies.
        """
        entry = self._context.ledger.entry(key)
        levels = [
            one.intent.stop_price
            for one in self._context.ledger.of_symbol(self.symbol)
            if one.intent.strategy == key.strategy
            and one.role is OrderRole.STOP
            and not one.ended
            and one.intent.stop_price is not None
        ]
        protection = Protection(stop=max(levels, default=None))
        if entry is not None:
            amount, cost = self._context.ledger.booked(entry.id)
            price = cost / amount if amount else ZERO
            protection = replace(protection, entry=entry.id, entry_price=price)
        book = self._books[key] = DeskBook(key=key, protection=protection)
        self._save(book.stored)

    def register(self, key: BookKey, rules: StopRules) -> None:
        """Register a strategy with the rules that limit its positions."""
        book = self.open(key)
        book.orphaned = False
        changed = replace(book.protection, rules=rules)
        if not rules.stops:
            changed = replace(changed, stop=None)
        if rules.take_profit is None:
            changed = replace(changed, target=None)
        self._protect(book, changed)
        self.wake()

    def unregister(self, key: BookKey) -> None:
        """Mark a strategy as gone; its position stays protected."""
        if key in self._books:
            self._books[key].orphaned = True

    def want(self, key: BookKey, want: Want) -> None:
        """Store what a book is to hold from now on; it replaces the earlier want.

        Raises:
            StoreError: an entry could not be written down; nothing is done about it.
        """
        book = self.open(key)
        changed = replace(book.stored, want=want)
        if want.target > 0:
            self._context.journal.must(lambda journal: journal.save_book(changed, now=self._now()))
        else:
            self._save(changed)
        book.want = want
        self.wake()

    def forget_entries(self, why: str) -> None:
        """Drop every want to enter."""
        for book in self._books.values():
            if book.want is not None and book.want.target > 0:
                self.drop(book, why, refused=True, harmless=True)
        self.wake()

    def raise_high(self, key: BookKey, high: float) -> None:
        """Set the highest high since the entry of a book; its trailing stop follows."""
        book = self._books.get(key)
        if book is None or not book.protection.entry or not book.protection.rules.trailing_stop:
            return
        known = book.protection.high
        if known is None or high > known:
            self._protect(book, replace(book.protection, high=high))
            self.wake()

    def current(self, order: TrackedOrder) -> TrackedOrder:
        return self._context.ledger.get(order.id) or order

    def remember(self, order: TrackedOrder) -> None:
        self._context.ledger.remember(order)
        self._context.bus.publish(OrderUpdated(order=order.order))

    def take(self, order: TrackedOrder, report: OrderReport, source: str) -> None:
        """Process a report, its fills first, so that the order never owes fills it carries."""
        self.book_fills([replace(fill, client_order_id=order.id) for fill in report.fills], order)
        event = OrderEvent(
            kind=EventKind.REPORTED,
            status=report.status,
            filled=report.filled,
            cost=report.cost,
            venue_order_id=report.venue_order_id,
            message=report.message,
        )
        self.happened(self.current(order), event, source)

    def happened(self, order: TrackedOrder, event: OrderEvent, source: str) -> TrackedOrder:
        """Record an event of an order, in the journal and in memory."""
        now = self._now()
        changed = transition(order, event, at=now)
        if changed is order:
            return order
        market_time = self._context.market_clock.now() or None
        self._context.journal.later(
            lambda journal: journal.record(
                changed, event, now=now, market_time=market_time, source=source
            )
        )
        self._context.ledger.remember(changed)
        self._context.bus.publish(OrderUpdated(order=changed.order))
        if changed.conflict and not order.conflict:
            self._context.halts.add(
                f"the venue contradicts itself about {order.id} of {self.symbol}: "
                f"{changed.conflict}",
                source="desk",
                symbol=self.symbol,
            )
        if changed.ended and not order.ended:
            self.wake()
        return changed

    def book_fills(self, fills: list[Fill], order: TrackedOrder | None = None) -> None:
        new = self._not_booked(fills)
        if not new:
            return
        self._context.journal.later(lambda journal: journal.save_fills(new))
        for fill in new:
            self._book_fill(fill, order)

    def _not_booked(self, fills: list[Fill]) -> list[Fill]:
        """Return the fills that are not booked; the journal knows those that left memory."""
        positions, journal = self._context.positions, self._context.journal.journal
        new = [fill for fill in fills if not positions.knows(fill)]
        old = {fill.trade_id for fill in new if positions.may_have_forgotten(fill)}
        if old:
            old = journal.known_trades(self.symbol, old)
        return [fill for fill in new if fill.trade_id not in old]

    def _book_fill(self, fill: Fill, order: TrackedOrder | None) -> None:
        context = self._context
        order = order or context.ledger.get(fill.client_order_id or "")
        if order is None:
            return
        key = BookKey(order.intent.strategy, order.intent.symbol)
        position = context.positions.apply(fill, key.strategy)
        if position is None:
            return
        context.count_fill()
        context.ledger.note(fill)
        book = self.open(key)
        if order.role is OrderRole.ENTRY:
            context.refusals.entered(key.strategy)
        if order.role is OrderRole.ENTRY and context.ledger.entries.get(key) == order.id:
            self._anchor(book, order, fill.timestamp)
        elif order.role.protects:
            book.released = fill.timestamp
            self._save(book.stored)
        context.bus.publish(FillReceived(fill=fill))
        context.bus.publish(PositionChanged(position=context.positions.get(self.symbol)))
        self.wake()

    def _anchor(self, book: DeskBook, order: TrackedOrder, filled_at: int) -> None:
        """Start the protection of a book from an entry that was filled."""
        amount, cost = self._context.ledger.booked(order.id)
        protection = book.protection
        if protection.entry != order.id:
            protection = Protection(rules=protection.rules, entry=order.id, opened=filled_at)
        self._protect(book, replace(protection, entry_price=cost / amount))

    def _protect(self, book: DeskBook, protection: Protection) -> None:
        if protection.entry:
            protection = protection.priced(self._context.market(self.symbol).tick)
        if protection != book.protection:
            book.protection = protection
            self._save(book.stored)

    def drop(
        self, book: DeskBook, why: str, *, refused: bool, harmless: bool = False, **details: str
    ) -> None:
        """Forget what a book wants.

        Args:
            refused: whether it was not done, which is told.
            harmless: whether nothing is missed by that.
            details: ``rule``, ``value`` and ``limit`` of a refusal by a cap.
        """
        want = book.want
        book.want = None
        self._save(book.stored)
        if refused and want is not None:
            self._context.refuse(book.key, want, why, harmless=harmless, **details)

    def _save(self, book: StoredBook) -> None:
        now = self._now()
        self._context.journal.later(lambda journal: journal.save_book(book, now=now))

    def protection_state(self, book: DeskBook) -> str:
        """Return ``resting``, ``unknown`` or ``missing``; ``none`` if nothing has to be there."""
        amount, market = (
            self._context.positions.of(*book.key).amount,
            self._context.market(self.symbol),
        )
        level = book.protection.stop or book.protection.target or ZERO
        if not book.protection.any or not is_held(amount, level, market):
            return "none"
        orders = [
            one
            for one in self._context.ledger.open
            if (one.intent.strategy, one.intent.symbol) == tuple(book.key) and one.sells
        ]
        if any(one.unclear for one in orders):
            return "unknown"
        return "resting" if orders and self.covered(book) else "missing"

    def covered(self, book: DeskBook) -> bool:
        """Return whether stops that certainly rest cover the position of a book."""
        market = self._context.market(self.symbol)
        amount = sellable(self._context.positions.of(*book.key).amount, market)
        if book.protection.rules.stops and self._owed(book.key):
            return False
        if book.protection.stop is None:
            return True
        if not tradable(amount, book.protection.stop, market):
            return True
        # One cancelled leg takes the other with it: until it is known, neither is counted on.
        cancelling = {
            one.intent.list_id
            for one in self._context.ledger.open
            if one.status is OrderStatus.PENDING_CANCEL and one.intent.list_id is not None
        }
        covered = sum(
            (
                one.remaining
                for one in self._context.ledger.open
                if one.intent.list_id not in cancelling
                and one.intent.strategy == book.key.strategy
                and one.intent.symbol == book.key.symbol
                and one.role is OrderRole.STOP
                and one.rests
            ),
            ZERO,
        )
        return covered >= amount

    def _owed(self, key: BookKey) -> bool:
        """Return whether an entry of a book was filled by more than is booked."""
        return any(
            one.role is OrderRole.ENTRY
            and (one.intent.strategy, one.intent.symbol) == tuple(key)
            and self._context.ledger.owes(one)
            for one in self._context.ledger.open
        )

    def open(self, key: BookKey) -> DeskBook:
        return self._books.setdefault(key, DeskBook(key=key))

    def _now(self) -> int:
        return self._context.system_clock.now()
