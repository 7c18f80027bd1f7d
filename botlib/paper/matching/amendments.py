"""Amendments: orders whose amount is reduced while they keep their place in the queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from botlib.paper.accounts.client_ids import generated_client_id
from botlib.paper.accounts.orders import PaperOrder
from botlib.paper.accounts.state import VenueState
from botlib.paper.accounts.transaction import Transaction
from botlib.paper.market.feed import Feed
from botlib.paper.matching import filters
from botlib.paper.matching.settlement import required_reserve
from botlib.paper.protocol.refusals import filter_failure, not_amended

_NOTHING: Final = Decimal(0)


def amend(
    transaction: Transaction,
    state: VenueState,
    feed: Feed,
    order: PaperOrder,
    amount: Decimal,
    client_id: str | None,
) -> PaperOrder:
    """Reduce the amount of an open order, and of the other order of its pair.

    Args:
        transaction: change that the amendment belongs to.
        state: state of the venue.
        feed: feed of the symbol.
        order: order to amend.
        amount: new total amount in base units, including what was executed already.
        client_id: new client id of the order, None for a generated one.

    Returns:
        The order after the amendment.

    Raises:
        Refusal: the order is not open, or the new amount is not accepted.
    """
    found = transaction.list_of(order)
    if found is not None and found.pays and order.pending:
        raise not_amended("Order amend (pending OPO order) is not supported.")
    _check(feed, order, amount)
    taken = {one.client_order_id for one in state.account(order.account).open_orders(feed.id)}
    if client_id in taken - {order.client_order_id}:
        raise not_amended("Duplicate order sent.")
    pair = [] if found is None else found.siblings(order.order_id)
    others = [transaction.find_order(order.account, number) for number in pair]
    new_id = client_id or generated_client_id("amend", order.order_id, order.amends + 1)
    changed = [_reduce(transaction, order, amount, new_id)]
    changed += [
        _reduce(transaction, one, amount, one.client_order_id) for one in others if one.open
    ]
    _release_surplus(transaction, changed)
    if found is not None and new_id != order.client_order_id:
        transaction.report_list(replace(found, updated=transaction.time), kind="UPDATED")
    return transaction.order(order)


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


def _reduce(
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
    return transaction.report_order(changed, "REPLACED", original_id=order.client_order_id)


def _release_surplus(transaction: Transaction, orders: Sequence[PaperOrder]) -> None:
    """Release what the orders of a pair reserve together beyond the larger of their needs."""
    surplus = sum((one.locked for one in orders), _NOTHING) - max(map(required_reserve, orders))
    for order in orders:
        part = min(surplus, order.locked)
        if part > 0:
            transaction.unlock(order.account, order.locked_asset, part)
            transaction.put_order(replace(order, locked=order.locked - part))
            surplus -= part
