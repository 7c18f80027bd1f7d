"""What is known of our orders: how each stands, and how much of it is booked."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from typing import Final

from botlib.model import Fill, Order, OrderStatus

STOP_PREFIX: Final = "bl-stop-"
"""Begins the ids of orders that protect a position."""

REMEMBERED: Final = 50
"""Fills kept at hand to be shown; the journal has all."""

ZERO: Final = Decimal(0)


def resting(order: Order) -> bool:
    """Tell whether an order is a stop that waits at the venue."""
    return order.stop_price is not None and order.status is OrderStatus.OPEN


class OrderRecord:
    """Every order of this run and earlier ones, by its client order id, and the newest fills."""

    def __init__(self) -> None:
        self._orders: dict[str, Order] = {}
        self._of_symbol: dict[str, dict[str, Order]] = {}
        self._unsettled: dict[str, Order] = {}
        self._venue_ids: dict[str, str] = {}
        self._booked: dict[str, tuple[Decimal, Decimal]] = {}
        self._owed: dict[str, str] = {}
        """Symbols of orders that were filled by more than is booked, by their ids."""
        self._protected: dict[str, int] = {}
        """When a stop of a symbol was last filled, ms."""
        self.last_fills: deque[Fill] = deque(maxlen=REMEMBERED)
        """The newest fills, of this run or earlier ones, the oldest first."""

    @property
    def unsettled(self) -> list[Order]:
        """The orders whose outcome is not known; a stop that rests at the venue is not one."""
        return [order for order in self._unsettled.values() if not resting(order)]

    def order(self, client_order_id: str) -> Order | None:
        """Return what is known about one of our orders, of this run or an earlier one."""
        return self._orders.get(client_order_id)

    def orders_of(self, symbol: str) -> list[Order]:
        """Return every order of a symbol, the oldest first."""
        return list(self._of_symbol.get(symbol, {}).values())

    def newest_of(self, symbol: str) -> Iterator[Order]:
        """Yield every order of a symbol, the newest first."""
        return reversed(self._of_symbol.get(symbol, {}).values())

    def newest(self, limit: int) -> list[Order]:
        """Return the orders sent last, the newest first."""
        return list(islice(reversed(self._orders.values()), limit))

    def stops(self, symbol: str) -> list[Order]:
        """Return the stops of a symbol that rest at the venue, or may do so."""
        return [
            order
            for order in self._unsettled.values()
            if order.symbol == symbol and order.stop_price is not None
        ]

    def under_way(self, symbol: str) -> bool:
        """Tell whether the outcome of an order of a symbol that is no stop is not known."""
        return any(one.symbol == symbol and one.stop_price is None for one in self.unsettled)

    def booked(self, client_order_id: str) -> tuple[Decimal, Decimal]:
        """Return amount (base units) and cost (quote units) of an order's booked fills."""
        return self._booked.get(client_order_id, (ZERO, ZERO))

    def _owes(self, symbol: str) -> bool:
        """Tell whether an order of a symbol may have fills that are not booked."""
        open_ = any(order.symbol == symbol for order in self._unsettled.values())
        return open_ or symbol in self._owed.values()

    def _remember(self, order: Order) -> None:
        """Take an order as it stands now."""
        name = order.client_order_id
        self._orders[name] = order
        self._of_symbol.setdefault(order.symbol, {})[name] = order
        self._note_owed(order)
        if order.venue_order_id is not None:
            self._venue_ids[order.venue_order_id] = name
        if order.status.final:
            self._unsettled.pop(name, None)
        else:
            self._unsettled[name] = order

    def _note(self, fill: Fill) -> None:
        """Take a fill that was booked."""
        self.last_fills.append(fill)
        name = fill.client_order_id or ""
        amount, cost = self.booked(name)
        self._booked[name] = (amount + fill.amount, cost + fill.cost)
        if name in self._owed:
            self._note_owed(self._orders[name])
        if name.startswith(STOP_PREFIX):
            self._protected[fill.symbol] = fill.timestamp

    def _note_owed(self, order: Order) -> None:
        if self.booked(order.client_order_id)[0] < order.filled:
            self._owed[order.client_order_id] = order.symbol
        else:
            self._owed.pop(order.client_order_id, None)
