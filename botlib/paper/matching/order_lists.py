"""Order lists (OCO, OTO, OTOCO, OPO, OPOCO): how their orders depend on each other.

Of a pair (OCO) only one order trades: when one trades or is triggered, the other expires. A pair
reserves the larger of its two needs, once. In the other lists the pending orders wait, and reserve
nothing, until the working order is filled completely. In OPO and OPOCO the amount that the working
order receives becomes the amount of the pending orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from botlib.paper.accounts.client_ids import generated_client_id
from botlib.paper.accounts.orders import OrderList, PaperOrder
from botlib.paper.accounts.transaction import Transaction
from botlib.paper.market.feed import Feed
from botlib.paper.matching.execution import OrderExecution
from botlib.paper.matching.filters import OrderTerms, check_order
from botlib.paper.matching.oco_rules import check_pair
from botlib.paper.matching.order_entry import OrderEntry
from botlib.paper.matching.pegging import peg_now, peg_request
from botlib.paper.matching.requests import OrderListRequest
from botlib.paper.matching.stops import last_trade, stop_reached
from botlib.paper.protocol.refusals import Refusal, account_filter_failure, rejected

_NOTHING: Final = Decimal(0)


class OrderListExecution:
    """Execution of order lists in a transaction.

    Args:
        execution: executes single orders.
        order_entry: admits single orders.
    """

    def __init__(self, execution: OrderExecution, order_entry: OrderEntry) -> None:
        self._execution = execution
        self._order_entry = order_entry
        self._state = execution.state

    # -- placing

    async def place(
        self, transaction: Transaction, feed: Feed, account: str, request: OrderListRequest
    ) -> OrderList:
        """Place an order list, and return it.

        Raises:
            Refusal: one of the orders is not accepted; the transaction has to be discarded.
        """
        request = _pegged(feed, request)
        self._check(feed, account, request)
        found = self._create(transaction, feed, account, request)
        if request.working is None:
            pair = [transaction.orders[one] for one in found.order_ids]
            await self._admit_pair(transaction, feed, pair)
        else:
            for number in found.pending_ids:
                transaction.report_order(transaction.orders[number], "NEW")
            working = transaction.orders[found.order_ids[0]]
            await self._order_entry.admit(transaction, feed, working)
        return transaction.report_list(found)

    def _check(self, feed: Feed, account: str, request: OrderListRequest) -> None:
        self._order_entry.check(feed, account, request.orders)
        active = self._state.open_lists(account)
        if sum(one.symbol == feed.id for one in active) >= feed.rules.max_order_lists:
            raise account_filter_failure("MAX_NUM_ORDER_LISTS")
        client_id = request.client_id
        if client_id is not None and any(one.client_id == client_id for one in active):
            raise rejected("Duplicate order sent.")
        if len(request.others) == 2:
            above, below = request.others
            check_pair(above, below, None if request.working else feed.last_trade)

    def _create(
        self, transaction: Transaction, feed: Feed, account: str, request: OrderListRequest
    ) -> OrderList:
        number = transaction.next_list_id()
        create = self._order_entry.create
        working = []
        if request.working is not None:
            working = [create(transaction, feed, account, request.working, list_id=number)]
        others = [
            create(transaction, feed, account, one, list_id=number, pending=bool(working))
            for one in request.others
        ]
        for order in (*working, *others):
            transaction.put_order(order)
        found = OrderList(
            list_id=number,
            client_id=request.client_id or generated_client_id("list", number),
            account=account,
            symbol=feed.id,
            # Binance uses this name for an OTOCO too.
            contingency="OTO" if working else "OCO",
            order_ids=[order.order_id for order in (*working, *others)],
            pending_ids=[order.order_id for order in others] if working else [],
            created=transaction.time,
            updated=transaction.time,
            pays=request.pays,
        )
        transaction.lists[number] = found
        return found

    async def _admit_pair(
        self, transaction: Transaction, feed: Feed, orders: Sequence[PaperOrder]
    ) -> None:
        # The dormant order comes first, because trades of the other one expire it at once.
        first, second = sorted(orders, key=lambda order: not order.dormant)
        first = await self._order_entry.admit(transaction, feed, first)
        await self._order_entry.admit(transaction, feed, second, reserved=first.locked)

    # -- effects on the lists of changed orders

    async def update(self, transaction: Transaction, feed: Feed) -> None:
        """Apply the effects of changed orders on the other orders of their lists."""
        concluded: set[int] = set()
        while True:
            if transaction.filled:
                await self._on_filled(transaction, feed, transaction.filled.pop(0))
                continue
            changed = {one.list_id for one in transaction.orders.values() if one.list_id >= 0}
            if not changed - concluded:
                return
            for number in sorted(changed - concluded):
                concluded.add(number)
                self._conclude(transaction, number)

    async def _on_filled(self, transaction: Transaction, feed: Feed, order: PaperOrder) -> None:
        """Release the pending orders of a working order that was filled completely."""
        found = transaction.list_of(order)
        if found is None or found.working_id != order.order_id:
            return
        pending = [transaction.find_order(found.account, number) for number in found.pending_ids]
        pending = [order for order in pending if order.pending]
        try:
            for order in pending:
                last = last_trade(transaction, feed)
                if order.stop_price and stop_reached(
                    order.type, order.side, last, order.stop_price
                ):
                    raise rejected("Order would trigger immediately.")
            if found.pays:
                pending = _with_received_amount(transaction, feed, pending)
            await self._release(transaction, feed, pending)
        except Refusal as refusal:
            for order in map(transaction.order, pending):
                if order.pending:
                    self._execution.reject(transaction, order, _reason(refusal))
                elif order.open:
                    self._execution.expire(transaction, order, "REJECTED")

    async def _release(
        self, transaction: Transaction, feed: Feed, pending: Sequence[PaperOrder]
    ) -> None:
        released = [
            replace(
                peg_now(feed, order),
                status="NEW",
                triggered=0 if order.conditional else transaction.time,
            )
            for order in pending
        ]
        if len(released) == 2:
            await self._admit_pair(transaction, feed, released)
        elif released:
            await self._order_entry.admit(transaction, feed, released[0])

    def _conclude(self, transaction: Transaction, number: int) -> None:
        """Expire orders of a list that became pointless, and mark the list as done at its end."""
        found = transaction.lists.get(number) or self._state.lists[number]
        if found.done:
            return
        orders = [transaction.find_order(found.account, one) for one in found.order_ids]
        if any(not order.open for order in orders):
            for order in orders:
                if order.open and _is_pointless(found, order, orders):
                    reason = "OTO_PHASE_ONE_EXPIRED" if order.pending else "OCO_TRIGGER"
                    self._execution.expire(transaction, order, reason)
        if all(not transaction.order(order).open for order in orders):
            transaction.report_list(replace(found, done=True, updated=transaction.time))


def _pegged(feed: Feed, request: OrderListRequest) -> OrderListRequest:
    """Return an order list with the pegged prices of the orders that enter the book at once."""
    pending = request.working is not None
    working = None if request.working is None else peg_request(feed, request.working)
    others = [peg_request(feed, one, pending=pending) for one in request.others]
    return replace(request, working=working, others=others)


def _with_received_amount(
    transaction: Transaction, feed: Feed, pending: Sequence[PaperOrder]
) -> list[PaperOrder]:
    """Return pending orders with the amount that was received for them, in whole steps.

    Raises:
        Refusal: a filter fails at this amount.
    """
    received = sum((order.locked for order in pending), _NOTHING)
    unlocked = []
    for order in pending:
        transaction.unlock(order.account, order.locked_asset, order.locked)
        unlocked.append(transaction.put_order(replace(order, locked=_NOTHING)))
    ready = []
    for order in unlocked:
        amount = received // feed.rules.step * feed.rules.step
        if not order.limited and feed.rules.market_step:
            amount = amount // feed.rules.market_step * feed.rules.market_step
        ready.append(transaction.put_order(replace(order, amount=amount)))
    for order in ready:
        check_order(feed, OrderTerms.of(order))
    return ready


def _is_pointless(found: OrderList, order: PaperOrder, orders: Sequence[PaperOrder]) -> bool:
    """Return whether an open order cannot trade any more, since another of its list ended."""
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
