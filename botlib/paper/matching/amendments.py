"""Orders made smaller where they stand: they keep their place in the queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from botlib.paper.accounts.orders import PaperOrder
from botlib.paper.accounts.transaction import Transaction
from botlib.paper.market.feed import Feed
from botlib.paper.matching import filters
from botlib.paper.matching.execution import OrderExecution, needed
from botlib.paper.protocol.refusals import filter_failure, not_amended

_NOTHING: Final = Decimal(0)


class OrderAmender:
    """Makes orders smaller in a draft."""

    def __init__(self, execution: OrderExecution) -> None:
        self._execution = execution

    def amend(
        self,
        transaction: Transaction,
        feed: Feed,
        order: PaperOrder,
        amount: Decimal,
        client_id: str | None,
    ) -> PaperOrder:
        """Make an open order smaller, and the other one of its pair with it.

        Args:
            amount: the whole amount from now on, in base units, with what was executed already.
            client_id: the client's new id of the order; None makes one up.

        Raises:
            Refusal: it is not open, or the new amount is not accepted.
        """
        found = transaction.list_of(order)
        if found is not None and found.pays and order.pending:
            raise not_amended("Order amend (pending OPO order) is not supported.")
        self._check(feed, order, amount)
        account = self._execution.state.account(order.account)
        taken = {one.client_order_id for one in account.open_orders(feed.id)}
        if client_id in taken - {order.client_order_id}:
            raise not_amended("Duplicate order sent.")
        pair = [] if found is None else found.siblings(order.order_id)
        others = [transaction.find(order.account, number) for number in pair]
        new_id = client_id or f"amend{order.order_id}-{order.amends + 1}"
        changed = [self._change(transaction, order, amount, new_id)]
        changed += [
            self._change(transaction, one, amount, one.client_order_id)
            for one in others
            if one.open
        ]
        self._give_back(transaction, changed)
        if found is not None and new_id != order.client_order_id:
            transaction.report_list(replace(found, updated=transaction.time), kind="UPDATED")
        return transaction.order(order)

    @staticmethod
    def _check(feed: Feed, order: PaperOrder, amount: Decimal) -> None:
        if not feed.rules.amends_allowed:
            raise not_amended("Order amend is not supported for this symbol.")
        if not order.open:
            raise not_amended("Unknown order sent.")
        if amount == order.amount:
            raise not_amended("The requested action would change no state; rejecting")
        if amount > order.amount:
            raise not_amended("Order amend (quantity increase) is not supported.")
        if amount <= order.executed + order.prevented:
            raise not_amended("Price * QTY is zero or less.")
        price = order.price or order.stop_price
        filters.check_size(feed, amount, price, market=not order.limited)
        if order.amends >= feed.rules.max_amends:
            raise filter_failure("MAX_NUM_ORDER_AMENDS")

    @staticmethod
    def _change(
        transaction: Transaction, order: PaperOrder, amount: Decimal, client_id: str
    ) -> PaperOrder:
        row = {
            "execution": transaction.counters.execution + 1,
            "before": order.client_order_id,
            "after": client_id,
            "from": str(order.amount),
            "to": str(amount),
            "time": transaction.time,
        }
        changed = replace(
            order,
            amount=amount,
            amends=order.amends + 1,
            amended=[*order.amended, row],
            client_order_id=client_id,
            updated=transaction.time,
        )
        return transaction.report(changed, "REPLACED", original_id=order.client_order_id)

    @staticmethod
    def _give_back(transaction: Transaction, orders: Sequence[PaperOrder]) -> None:
        """Give back what orders hold together beyond what the dearest of them needs."""
        spare = sum((one.locked for one in orders), _NOTHING) - max(map(needed, orders))
        for order in orders:
            part = min(spare, order.locked)
            if part > 0:
                transaction.unlock(order.account, order.locked_asset, part)
                transaction.keep(replace(order, locked=order.locked - part))
                spare -= part
