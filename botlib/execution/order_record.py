"""The record of our orders: the state of each, and how much of it is booked."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from itertools import dropwhile, islice
from typing import TYPE_CHECKING, Final

from botlib.core.model import Fill, Order, OrderStatus, Side

if TYPE_CHECKING:
    from botlib.store.journal import OrderJournal

STOP_PREFIX: Final = "bl-stop-"
"""Prefix of the ids of orders that protect a position."""

REMEMBERED: Final = 50
"""Newest fills kept in memory; the journal has all."""

KEPT: Final = 200
"""Newest finished orders kept in memory; the journal has all."""

SLACK: Final = 50
"""Orders beyond that number before the oldest are dropped from memory."""

ZERO: Final = Decimal(0)


def resting(order: Order) -> bool:
    """Return whether an order is a stop that rests at the venue."""
    return order.stop_price is not None and order.status is OrderStatus.OPEN


class OrderRecord:
    """Every order of this run and earlier ones, by client order id, and the newest fills.

    Memory holds the newest orders and those that still matter: orders that are not settled or not
    completely booked, the newest purchase of every symbol, and the stops sent since. Older ones are
    read from the journal, in which everything is written first.
    """

    def __init__(self, journal: OrderJournal) -> None:
        self._journal = journal
        self._begin()

    def _begin(self) -> None:
        self._orders: dict[str, Order] = {}
        """The orders in memory, oldest first."""
        self._dropped = False
        """Whether the journal has orders that are not in memory."""
        self._most = KEPT + SLACK
        self._symbols: set[str] = set()
        """Symbols that an order was ever sent for."""
        self._unsettled: dict[str, Order] = {}
        self._venue_ids: dict[tuple[str, str], str] = {}
        """Client order ids by symbol and venue order id; the venue numbers orders per symbol."""
        self._booked: dict[str, tuple[Decimal, Decimal]] = {}
        self._owed: dict[str, str] = {}
        """Symbols of orders that are filled by more than is booked, by client order id."""
        self._protected: dict[str, int] = {}
        """Time in ms of the last fill of a stop, by symbol."""
        self.last_fills: deque[Fill] = deque(maxlen=REMEMBERED)
        """The newest fills of this run or earlier ones, oldest first."""

    @property
    def unsettled(self) -> list[Order]:
        """The orders whose outcome is not known, without the stops that rest at the venue."""
        return [order for order in self._unsettled.values() if not resting(order)]

    def order(self, client_order_id: str) -> Order | None:
        """Return one of our orders, of this run or an earlier one, or None."""
        known = self._orders.get(client_order_id)
        if known is None and self._dropped:
            return self._journal.order(client_order_id)
        return known

    def entry(self, symbol: str) -> Order | None:
        """Return the newest filled purchase of a symbol, to which the position belongs."""
        for name, order in reversed(self._orders.items()):
            if order.symbol == symbol and order.side is Side.BUY and self.booked(name)[0]:
                return order
        return None

    def stops_since(self, entry: Order) -> list[Order]:
        """Return the stops sent since the entry of a symbol, oldest first."""
        name = entry.client_order_id
        since = dropwhile(lambda one: one.client_order_id != name, self._orders.values())
        return [one for one in since if one.symbol == entry.symbol and one.stop_price is not None]

    def newest(self, limit: int) -> list[Order]:
        """Return the newest orders, at most `KEPT`, newest first."""
        return list(islice(reversed(self._orders.values()), min(limit, KEPT)))

    def stops(self, symbol: str) -> list[Order]:
        """Return the stops of a symbol that rest at the venue or may rest there."""
        return [
            order
            for order in self._unsettled.values()
            if order.symbol == symbol and order.stop_price is not None
        ]

    def under_way(self, symbol: str) -> bool:
        """Return whether an order of a symbol, other than a stop, has an unknown outcome."""
        return any(one.symbol == symbol and one.stop_price is None for one in self.unsettled)

    def booked(self, client_order_id: str) -> tuple[Decimal, Decimal]:
        """Return amount (base units) and cost (quote units) of an order's booked fills."""
        if self._dropped and client_order_id not in self._orders:
            return _total(self._journal.fills_of(client_order_id))
        return self._booked.get(client_order_id, (ZERO, ZERO))

    def _may_miss_fills(self, symbol: str) -> bool:
        """Return whether an order of a symbol may have fills that are not booked."""
        open_ = any(order.symbol == symbol for order in self._unsettled.values())
        return open_ or symbol in self._owed.values()

    def _ours(self, symbol: str, venue_order_ids: set[str]) -> dict[str, str]:
        """Return the client order ids of our orders of a symbol, by venue order id."""
        known = {
            one: self._venue_ids[symbol, one]
            for one in venue_order_ids
            if (symbol, one) in self._venue_ids
        }
        others = venue_order_ids - known.keys()
        if others and self._dropped:
            known |= self._journal.ours(symbol, others)
        return known

    def _load(self, orders: Iterable[Order], fills: Iterable[Fill]) -> None:
        """Replace everything by the journal's orders and fills, oldest first."""
        self._begin()
        for order in orders:
            self._store(order)
        for fill in fills:
            self._add_fill(fill)
        self._trim()

    def _remember(self, order: Order) -> None:
        """Record an order that is in the journal."""
        self._store(order)
        self._trim()

    def _store(self, order: Order) -> None:
        name = order.client_order_id
        self._orders[name] = order
        self._symbols.add(order.symbol)
        self._update_owed(order)
        if order.venue_order_id is not None:
            self._venue_ids[order.symbol, order.venue_order_id] = name
        if order.status.final:
            self._unsettled.pop(name, None)
        else:
            self._unsettled[name] = order

    def _add_fill(self, fill: Fill) -> None:
        """Record a booked fill that is in the journal."""
        self.last_fills.append(fill)
        name = fill.client_order_id or ""
        if self._dropped and name not in self._orders:
            self._recall(name)
        else:
            amount, cost = self.booked(name)
            self._booked[name] = (amount + fill.amount, cost + fill.cost)
        if name in self._owed:
            self._update_owed(self._orders[name])
        if name.startswith(STOP_PREFIX):
            self._protected[fill.symbol] = fill.timestamp

    def _update_owed(self, order: Order) -> None:
        if self.booked(order.client_order_id)[0] < order.filled:
            self._owed[order.client_order_id] = order.symbol
        else:
            self._owed.pop(order.client_order_id, None)

    def _recall(self, name: str) -> None:
        """Load a dropped order from the journal into its place, since it changed after all."""
        order = self._journal.order(name)
        if order is None:
            return
        self._booked[name] = self.booked(name)
        self._store(order)
        self._orders = dict(sorted(self._orders.items(), key=lambda item: item[1].created))

    def _trim(self) -> None:
        """Drop the oldest orders that no longer matter from memory."""
        if len(self._orders) <= self._most:
            return
        kept = {*islice(reversed(self._orders), KEPT), *self._unsettled, *self._owed}
        for entry in filter(None, map(self.entry, self._symbols)):
            kept.add(entry.client_order_id)
            kept.update(stop.client_order_id for stop in self.stops_since(entry))
        for name, order in list(self._orders.items()):
            if name not in kept:
                del self._orders[name]
                self._booked.pop(name, None)
                self._venue_ids.pop((order.symbol, order.venue_order_id or ""), None)
                self._dropped = True
        self._most = len(self._orders) + SLACK


def _total(fills: Iterable[Fill]) -> tuple[Decimal, Decimal]:
    amount = cost = ZERO
    for fill in fills:
        amount, cost = amount + fill.amount, cost + fill.cost
    return amount, cost
