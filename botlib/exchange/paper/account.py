"""The account: balances, orders and trades, changed only by whole drafts.

A `Draft` collects everything one action changes. It becomes true in one piece, after the ledger has
written it, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from botlib.exchange.paper.orders import PaperOrder, PaperTrade, execution_report
from botlib.exchange.paper.quotes import Json, eight
from botlib.exchange.paper.refusals import rejected

_NOTHING: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Balance:
    """What is owned of one asset; ``locked`` is held back by resting orders."""

    free: Decimal = _NOTHING
    locked: Decimal = _NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """The last ids that were given out."""

    order: int = 0
    trade: int = 0
    execution: int = 0


class Account:
    """The state of the account, as the ledger holds it."""

    def __init__(
        self,
        balances: Mapping[str, Balance],
        orders: Iterable[PaperOrder] = (),
        trades: Iterable[PaperTrade] = (),
        counters: Counters | None = None,
    ) -> None:
        self.balances: dict[str, Balance] = dict(balances)
        self.orders: dict[int, PaperOrder] = {}
        self.trades: dict[str, list[PaperTrade]] = {}
        self.counters = counters or Counters()
        self.updated = 0
        self._open: dict[str, dict[int, None]] = {}
        self._by_client: dict[tuple[str, str], int] = {}
        for order in orders:
            self._put(order)
        for trade in trades:
            self.trades.setdefault(trade.symbol, []).append(trade)

    def open_orders(self, symbol: str | None = None) -> list[PaperOrder]:
        """Return the resting orders, of one symbol or all, the oldest first."""
        if symbol is not None:
            return [self.orders[number] for number in self._open.get(symbol, ())]
        return [
            self.orders[number] for number in sorted(n for ns in self._open.values() for n in ns)
        ]

    def by_client_id(self, symbol: str, client_order_id: str) -> PaperOrder | None:
        """Return the newest order with a client id."""
        number = self._by_client.get((symbol, client_order_id))
        return None if number is None else self.orders[number]

    def apply(self, draft: Draft) -> None:
        """Make a draft true."""
        self.balances.update(draft.balances)
        for order in draft.orders.values():
            self._put(order)
        for trade in draft.trades:
            self.trades.setdefault(trade.symbol, []).append(trade)
        self.counters = draft.counters
        self.updated = draft.time

    def _put(self, order: PaperOrder) -> None:
        self.orders[order.order_id] = order
        self._by_client[order.symbol, order.client_order_id] = order.order_id
        waiting = self._open.setdefault(order.symbol, {})
        if order.open:
            waiting[order.order_id] = None
        else:
            waiting.pop(order.order_id, None)


class Draft:
    """A change of the account at one market time (ms), with the events that tell of it."""

    def __init__(self, account: Account, time: int) -> None:
        self.time = time
        self.balances: dict[str, Balance] = {}
        self.orders: dict[int, PaperOrder] = {}
        self.trades: list[PaperTrade] = []
        self.reports: list[Json] = []
        self.counters = account.counters
        self._account = account

    def balance(self, asset: str) -> Balance:
        """Return the balance of an asset as the draft leaves it."""
        found = self.balances.get(asset) or self._account.balances.get(asset)
        return found or Balance()

    def lock(self, asset: str, amount: Decimal) -> None:
        """Hold back ``amount`` for an order.

        Raises:
            Refusal: there is not enough.
        """
        have = self.balance(asset)
        if have.free < amount:
            raise rejected("Account has insufficient balance for requested action.")
        self.balances[asset] = Balance(have.free - amount, have.locked + amount)

    def unlock(self, asset: str, amount: Decimal) -> None:
        """Give back what an order held."""
        have = self.balance(asset)
        self.balances[asset] = Balance(have.free + amount, have.locked - amount)

    def spend(self, asset: str, amount: Decimal) -> None:
        """Take away what an order held."""
        have = self.balance(asset)
        self.balances[asset] = Balance(have.free, have.locked - amount)

    def receive(self, asset: str, amount: Decimal) -> None:
        """Add to what is free."""
        have = self.balance(asset)
        self.balances[asset] = Balance(have.free + amount, have.locked)

    def next_order_id(self) -> int:
        """Return a new order id."""
        self._count(order=self.counters.order + 1)
        return self.counters.order

    def next_trade_id(self) -> int:
        """Return a new trade id."""
        self._count(trade=self.counters.trade + 1)
        return self.counters.trade

    def _count(self, **changes: int) -> None:
        now = self.counters
        values = {"order": now.order, "trade": now.trade, "execution": now.execution}
        self.counters = Counters(**{**values, **changes})

    def report(
        self,
        order: PaperOrder,
        execution: str,
        trade: PaperTrade | None = None,
        cancel_id: str = "",
    ) -> None:
        """Record the state of an order, and the event that tells of it."""
        self.orders[order.order_id] = order
        if trade is not None:
            self.trades.append(trade)
        self._count(execution=self.counters.execution + 1)
        number = self.counters.execution
        self.reports.append(
            execution_report(order, execution, number=number, trade=trade, cancel_id=cancel_id)
        )

    def events(self) -> list[Json]:
        """Return the user events of the change, the new balances last."""
        balances = [
            {"a": asset, "f": eight(balance.free), "l": eight(balance.locked)}
            for asset, balance in self.balances.items()
        ]
        position: Json = {
            "e": "outboundAccountPosition",
            "E": self.time,
            "u": self.time,
            "B": balances,
        }
        return [*self.reports, position]
