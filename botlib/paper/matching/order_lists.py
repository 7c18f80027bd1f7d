"""Order lists: OCO, OTO and OTOCO. What one order of a list does to the others.

Of a pair (OCO) only one order trades: when one does, or is triggered, the other expires. A pair
holds back what the dearer of its orders needs, once. In OTO and OTOCO the other orders wait, and
hold nothing, until the working order is filled whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from botlib.paper.accounts.orders import OrderList, PaperOrder
from botlib.paper.accounts.transaction import Transaction
from botlib.paper.market.feed import Feed
from botlib.paper.matching.execution import OrderExecution
from botlib.paper.matching.filters import OrderTerms, beyond, check_order
from botlib.paper.matching.oco_rules import check_pair
from botlib.paper.matching.order_entry import OrderEntry
from botlib.paper.matching.pegging import priced, priced_now
from botlib.paper.matching.requests import OrderRequest
from botlib.paper.protocol.refusals import Refusal, filter_failure, rejected

_NOTHING: Final = Decimal(0)


class OrderListExecution:
    """Places order lists in a draft, and carries out what their orders owe each other."""

    def __init__(self, execution: OrderExecution, intake: OrderEntry) -> None:
        self._execution = execution
        self._order_entry = intake
        self._state = execution.state

    # -- placing

    def place(
        self,
        transaction: Transaction,
        feed: Feed,
        account: str,
        *,
        working: OrderRequest | None,
        others: Sequence[OrderRequest],
        client_id: str | None,
        pays: bool = False,
    ) -> OrderList:
        """Place a list of a working order and those that wait for it, or of a pair.

        Args:
            working: the order that the others wait for, None for a plain pair.
            others: one order, or the two of a pair: the upper one first.
            pays: whether what the working order receives becomes the amount of the others.

        Raises:
            Refusal: one of them is not accepted; the draft is to be thrown away.
        """
        waits = working is not None
        if working is not None:
            working = priced(feed, working)
        others = [priced(feed, one, waits=waits) for one in others]
        every = [working, *others] if working is not None else others
        self._order_entry.weigh(feed, account, every)
        active = self._state.open_lists(account)
        if sum(one.symbol == feed.id for one in active) >= feed.rules.max_order_lists:
            raise filter_failure("MAX_NUM_ORDER_LISTS")
        if client_id is not None and any(one.client_id == client_id for one in active):
            raise rejected("Duplicate order sent.")
        if len(others) == 2:
            check_pair(others[0], others[1], None if working else feed.last_price)
        found = self._list(transaction, feed, account, working, others, client_id, pays=pays)
        if working is None:
            self._accept_pair(
                transaction, feed, [transaction.orders[one] for one in found.order_ids]
            )
        else:
            for number in found.pending_ids:
                transaction.report(transaction.orders[number], "NEW")
            self._order_entry.accept(transaction, feed, transaction.orders[found.order_ids[0]])
        return transaction.report_list(found)

    def _list(
        self,
        transaction: Transaction,
        feed: Feed,
        account: str,
        working: OrderRequest | None,
        others: Sequence[OrderRequest],
        client_id: str | None,
        *,
        pays: bool,
    ) -> OrderList:
        number = transaction.next_list_id()
        first = []
        if working is not None:
            first = [self._order_entry.make(transaction, feed, account, working, list_id=number)]
        rest = [
            self._order_entry.make(
                transaction, feed, account, one, list_id=number, pending=working is not None
            )
            for one in others
        ]
        for order in (*first, *rest):
            transaction.keep(order)
        found = OrderList(
            list_id=number,
            client_id=client_id or f"list{number}",
            account=account,
            symbol=feed.id,
            # Binance calls an OTOCO by this name too.
            contingency="OCO" if working is None else "OTO",
            order_ids=[order.order_id for order in (*first, *rest)],
            pending_ids=[order.order_id for order in rest] if first else [],
            created=transaction.time,
            updated=transaction.time,
            pays=pays,
        )
        transaction.lists[number] = found
        return found

    def _accept_pair(
        self, transaction: Transaction, feed: Feed, orders: Sequence[PaperOrder]
    ) -> None:
        # The order that only waits comes first: what the other one trades at once ends it.
        first, second = sorted(orders, key=lambda order: not order.dormant)
        first = self._order_entry.accept(transaction, feed, first)
        self._order_entry.accept(transaction, feed, second, paid=first.locked)

    # -- what follows

    def finish(self, transaction: Transaction, feed: Feed) -> None:
        """Carry out what the changes of a draft mean for the lists of their orders."""
        settled: set[int] = set()
        while True:
            if transaction.filled:
                self._filled(transaction, feed, transaction.filled.pop(0))
                continue
            touched = {
                one.list_id for one in transaction.orders.values() if one.list_id >= 0
            } - settled
            if not touched:
                return
            for number in sorted(touched):
                settled.add(number)
                self._conclude(transaction, number)

    def _filled(self, transaction: Transaction, feed: Feed, order: PaperOrder) -> None:
        found = transaction.list_of(order)
        if found is None or found.working_id != order.order_id:
            return
        waiting = [transaction.find(found.account, number) for number in found.pending_ids]
        waiting = [order for order in waiting if order.pending]
        try:
            for order in waiting:
                if order.stop_price and beyond(
                    order.type, order.side, feed.last_price, order.stop_price
                ):
                    raise rejected("Order would trigger immediately.")
            if found.pays:
                waiting = self._paid(transaction, feed, waiting)
            self._release(transaction, feed, waiting)
        except Refusal as refusal:
            for order in map(transaction.order, waiting):
                if order.pending:
                    self._execution.reject(transaction, order, _reason(refusal))
                elif order.open:
                    self._execution.expire(transaction, order)

    @staticmethod
    def _paid(
        transaction: Transaction, feed: Feed, waiting: Sequence[PaperOrder]
    ) -> list[PaperOrder]:
        """Return orders with the amount that was received for them, in whole steps.

        Raises:
            Refusal: one of them breaks a filter with it.
        """
        received = sum((order.locked for order in waiting), _NOTHING)
        freed = []
        for order in waiting:
            transaction.unlock(order.account, order.locked_asset, order.locked)
            freed.append(transaction.keep(replace(order, locked=_NOTHING)))
        ready = []
        for order in freed:
            amount = received // feed.rules.step * feed.rules.step
            if not order.limited and feed.rules.market_step:
                amount = amount // feed.rules.market_step * feed.rules.market_step
            ready.append(transaction.keep(replace(order, amount=amount)))
        for order in ready:
            check_order(feed, OrderTerms.of(order))
        return ready

    def _release(self, transaction: Transaction, feed: Feed, waiting: Sequence[PaperOrder]) -> None:
        ready = [
            replace(
                priced_now(feed, order),
                status="NEW",
                triggered=0 if order.conditional else transaction.time,
            )
            for order in waiting
        ]
        if len(ready) == 2:
            self._accept_pair(transaction, feed, ready)
        elif ready:
            self._order_entry.accept(transaction, feed, ready[0])

    def _conclude(self, transaction: Transaction, number: int) -> None:
        found = transaction.lists.get(number) or self._state.lists[number]
        if found.done:
            return
        orders = [transaction.find(found.account, one) for one in found.order_ids]
        if any(not order.open for order in orders):
            for order in orders:
                if order.open and _pointless(found, order, orders):
                    self._execution.expire(transaction, order)
        if all(not transaction.order(order).open for order in orders):
            transaction.report_list(replace(found, done=True, updated=transaction.time))


def _pointless(found: OrderList, order: PaperOrder, orders: Sequence[PaperOrder]) -> bool:
    """Tell whether an open order has lost its sense, now that another one of its list ended."""
    if found.working_id is not None:
        working = orders[0]
        if order is working:
            return False
        if order.pending:
            return not working.open and working.status != "FILLED"
    siblings = [one for one in orders if one.order_id in found.siblings(order.order_id)]
    ended = any(not one.open for one in siblings)
    return ended and not order.executed and not order.triggered


def _reason(refusal: Refusal) -> str:
    if "insufficient balance" in refusal.message:
        return "INSUFFICIENT_BALANCES"
    if "trigger" in refusal.message:
        return "STOP_PRICE_WOULD_TRIGGER_IMMEDIATELY"
    return "WOULD_MATCH_IMMEDIATELY"
