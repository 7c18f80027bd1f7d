"""What is known of our orders: how each stands, and how much of it is booked."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Final

from botlib.core.model import Fill, Order, OrderIntent, OrderRole
from botlib.trading.books import ZERO, BookKey
from botlib.trading.orders import TrackedOrder

if TYPE_CHECKING:
    from botlib.store.journal import OrderJournal

REMEMBERED: Final = 50
"""Fills kept in memory to be shown; the journal has all."""

KEPT: Final = 200
"""Ended orders kept in memory, the newest; the journal has all."""

SLACK: Final = 50
"""Orders that may come on top before the oldest leave memory."""


class OrderLedger:
    """Every order of this run and earlier ones, by its client order id, and the newest fills.

    In memory are the orders that have not ended or are not booked whole, those that belong to the
    entry of a position (`keep`), and the newest. Others are read from the journal.
    """

    def __init__(self, journal: OrderJournal) -> None:
        self._journal = journal
        self._reset()

    def _reset(self) -> None:
        self._orders: dict[str, TrackedOrder] = {}
        """In memory, the oldest first."""
        self._incomplete = False
        """Whether the journal has orders that are not in memory."""
        self._most = KEPT + SLACK
        self._open: dict[str, TrackedOrder] = {}
        """Orders that have not ended, or whose fills are not all booked."""
        self._by_venue_id: dict[tuple[str, str], str] = {}
        """Client order ids by symbol and venue order id; a venue counts by symbol."""
        self._booked: dict[str, tuple[Decimal, Decimal]] = {}
        self._sent: dict[tuple[BookKey, str | None], dict[OrderRole, int]] = {}
        self.symbols: set[str] = set()
        """Symbols for which an order was ever sent."""
        self.entries: dict[BookKey, str] = {}
        """The entry each book was last filled by."""
        self.last_fills: deque[Fill] = deque(maxlen=REMEMBERED)
        """The newest fills, of this run or earlier ones, the oldest first."""

    def load(self, orders: Iterable[TrackedOrder], fills: Iterable[Fill]) -> None:
        """Load everything from the journal, the oldest first."""
        self._reset()
        for (key, entry, role), number in self._journal.counts().items():
            self._sent.setdefault((key, entry), {})[role] = number
        for order in orders:
            self._put(order)
        for fill in fills:
            self._count(fill)
        for order in list(self._orders.values()):
            self._note_open(order)
        self._trim()

    # Orders

    @property
    def open(self) -> list[TrackedOrder]:
        """The orders that have not ended or are not booked whole, the oldest first."""
        return list(self._open.values())

    def is_open(self, order: TrackedOrder) -> bool:
        """Return whether an order has not ended, or is not booked whole."""
        return order.id in self._open

    def get(self, client_order_id: str) -> TrackedOrder | None:
        """Return what is known of one of our orders, of this run or an earlier one."""
        known = self._orders.get(client_order_id)
        if known is None and self._incomplete:
            return self._journal.tracked_order(client_order_id)
        return known

    def order(self, client_order_id: str) -> Order | None:
        """Return an order as it is shown, None if it is not ours."""
        found = self.get(client_order_id)
        return None if found is None else found.order

    def newest(self, limit: int) -> list[Order]:
        """Return the orders that were sent last, `KEPT` of them at most, the newest first."""
        newest = islice(reversed(self._orders.values()), min(limit, KEPT))
        return [one.order for one in newest]

    def of_symbol(self, symbol: str) -> list[TrackedOrder]:
        """Return the orders of a symbol that decide about what is done next, the oldest first."""
        return [one for one in self._orders.values() if one.intent.symbol == symbol]

    @property
    def unsettled(self) -> list[Order]:
        """The orders whose outcome is not known; one that rests at the venue is none of them."""
        return [one.order for one in self._open.values() if one.unclear]

    def stops(self, symbol: str) -> list[Order]:
        """Return the stops of a symbol that rest at the venue, or may do so."""
        return [
            one.order
            for one in self._open.values()
            if one.intent.symbol == symbol and one.role is OrderRole.STOP and not one.ended
        ]

    def entry(self, key: BookKey) -> TrackedOrder | None:
        """Return the entry a book was last filled by."""
        name = self.entries.get(key)
        return None if name is None else self.get(name)

    def ours(self, symbol: str, venue_order_ids: set[str]) -> dict[str, str]:
        """Return the client order ids of those orders of a symbol that are ours, by venue id."""
        known = {
            one: self._by_venue_id[symbol, one]
            for one in venue_order_ids
            if (symbol, one) in self._by_venue_id
        }
        others = venue_order_ids - known.keys()
        if others and self._incomplete:
            known |= self._journal.ours(symbol, others)
        return known

    def sent(self, key: BookKey, entry: str | None) -> dict[OrderRole, int]:
        """Return how many orders of each role a book has sent for an entry."""
        return dict(self._sent.get((key, entry), {}))

    def booked(self, client_order_id: str) -> tuple[Decimal, Decimal]:
        """Return amount (base units) and cost (quote units) of an order's booked fills."""
        if self._incomplete and client_order_id not in self._orders:
            return _total(self._journal.fills_of(client_order_id))
        return self._booked.get(client_order_id, (ZERO, ZERO))

    def owes(self, order: TrackedOrder) -> bool:
        """Return whether an order is filled by more than is booked."""
        return self.owed(order) > 0

    def owed(self, order: TrackedOrder) -> Decimal:
        """Return how many base units of an order are filled and not booked."""
        return max(ZERO, order.filled - self.booked(order.id)[0])

    # Changes

    def remember(self, order: TrackedOrder) -> None:
        """Store an order in memory as it stands now."""
        if order.id not in self._orders:
            if self._incomplete:
                self._booked[order.id] = self.booked(order.id)
            self.number(order.intent)
        self._put(order)
        self._note_open(order)
        self._trim()

    def number(self, intent: OrderIntent) -> None:
        """Count an order of its book and role, so that the next one gets another id."""
        key = BookKey(intent.strategy, intent.symbol)
        sent = self._sent.setdefault((key, intent.entry), {})
        sent[intent.role] = max(sent.get(intent.role, 0), intent.sequence + 1)

    def note(self, fill: Fill) -> None:
        """Count a fill that was booked."""
        name = fill.client_order_id or ""
        if self._incomplete and name not in self._orders:
            known = self._journal.tracked_order(name)
            if known is not None:
                total = self.booked(name)
                self._put(known)
                self._booked[name] = total
                self.last_fills.append(fill)
                self._note_entry(known)
                self._note_open(known)
                return
        self._count(fill)
        if name in self._orders:
            self._note_open(self._orders[name])

    def _count(self, fill: Fill) -> None:
        self.last_fills.append(fill)
        name = fill.client_order_id or ""
        amount, cost = self._booked.get(name, (ZERO, ZERO))
        self._booked[name] = (amount + fill.amount, cost + fill.cost)
        if name in self._orders:
            self._note_entry(self._orders[name])

    def _note_entry(self, order: TrackedOrder) -> None:
        if order.role is not OrderRole.ENTRY:
            return
        before = self.entry(_key(order))
        if before is None or not _decided_before(order, before):
            self.entries[_key(order)] = order.id

    def _put(self, order: TrackedOrder) -> None:
        self._orders[order.id] = order
        self.symbols.add(order.intent.symbol)
        if order.venue_order_id:
            self._by_venue_id[order.intent.symbol, order.venue_order_id] = order.id

    def _note_open(self, order: TrackedOrder) -> None:
        if order.ended and not self.owes(order):
            self._open.pop(order.id, None)
        else:
            self._open[order.id] = order

    def _trim(self) -> None:
        """Remove the oldest orders from memory that nothing depends on any more."""
        if len(self._orders) <= self._most:
            return
        entries = set(self.entries.values())
        kept = {*islice(reversed(self._orders), KEPT), *self._open, *entries}
        for name, order in list(self._orders.items()):
            if name not in kept and order.intent.entry not in entries:
                del self._orders[name]
                self._booked.pop(name, None)
                self._by_venue_id.pop((order.intent.symbol, order.venue_order_id or ""), None)
                self._incomplete = True
        live = {(key, entry) for key, entry in self.entries.items()}
        self._sent = {one: count for one, count in self._sent.items() if one in live or not one[1]}
        self._most = len(self._orders) + SLACK


def _key(order: TrackedOrder) -> BookKey:
    return BookKey(order.intent.strategy, order.intent.symbol)


def _decided_before(order: TrackedOrder, other: TrackedOrder) -> bool:
    """Return whether an entry was decided before another, by the market: the wall clock is set."""
    if order.market_time is not None and other.market_time is not None:
        return order.market_time < other.market_time
    first, second = order.intent.signal_timestamp or 0, other.intent.signal_timestamp or 0
    return (first, order.created) < (second, other.created)


def _total(fills: Iterable[Fill]) -> tuple[Decimal, Decimal]:
    amount = cost = ZERO
    for fill in fills:
        amount, cost = amount + fill.amount, cost + fill.cost
    return amount, cost
