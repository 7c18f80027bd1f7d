"""Order entry: new orders are checked, reserve their funds, and enter the book."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_UP, Decimal
from typing import Final

from botlib.paper.accounts.client_ids import generated_client_id
from botlib.paper.accounts.commission import EIGHT
from botlib.paper.accounts.orders import PENDING, PaperOrder
from botlib.paper.accounts.transaction import Transaction
from botlib.paper.market.feed import Feed
from botlib.paper.matching import filters
from botlib.paper.matching.crossing import CrossingPlan
from botlib.paper.matching.execution import OrderExecution
from botlib.paper.matching.requests import OrderRequest
from botlib.paper.matching.settlement import required_reserve
from botlib.paper.matching.stops import last_trade, stop_reached, update_trailing_stop
from botlib.paper.protocol.refusals import rejected

_NOTHING: Final = Decimal(0)


class OrderEntry:
    """Order entry in a transaction.

    Args:
        execution: executes the orders that enter.
    """

    def __init__(self, execution: OrderExecution) -> None:
        self._execution = execution
        self._state = execution.state

    def check(self, feed: Feed, account: str, requests: Sequence[OrderRequest]) -> None:
        """Check new orders against the rules of their symbol.

        Args:
            feed: feed of the symbol.
            account: name of the account.
            requests: orders that are placed together.

        Raises:
            Refusal: they are not accepted.
        """
        if not feed.trading:
            raise rejected("Market is closed.")
        for request in requests:
            if not request.paid:
                self.check_filters(feed, request)
        owner = self._state.account(account)
        waiting = owner.open_orders(feed.id)
        conditional = sum(one.conditional for one in requests)
        # An order of a list waits for another one, whatever its type.
        opened = sum(one.stays_open or len(requests) > 1 for one in requests)
        filters.check_open_orders(feed.rules, waiting, opened, conditional)
        bought = max((_amount(feed, one) for one in requests if one.side == "BUY"), default=None)
        if bought is not None:
            have = owner.balance(feed.listing.base)
            filters.check_position(feed.rules, have.free + have.locked, waiting, bought)
        ids = [one.client_order_id for one in requests if one.client_order_id is not None]
        taken = {order.client_order_id for order in waiting}
        if len(set(ids)) < len(ids) or taken.intersection(ids):
            raise rejected("Duplicate order sent.")

    @staticmethod
    def check_filters(feed: Feed, request: OrderRequest) -> None:
        """Check a new order against the filters of its symbol.

        Raises:
            Refusal: a filter fails.
        """
        terms = _terms(feed, request)
        filters.check_order(feed, terms)
        if request.peg is not None and request.peg.price:
            filters.check_order(feed, replace(terms, price=request.peg.price))

    def create(
        self,
        transaction: Transaction,
        feed: Feed,
        account: str,
        request: OrderRequest,
        *,
        list_id: int = -1,
        pending: bool = False,
    ) -> PaperOrder:
        """Return a new order, which reserves nothing yet.

        Args:
            transaction: change that the order belongs to.
            feed: feed of the symbol.
            account: name of the account.
            request: order as sent.
            list_id: id of its order list, -1 for none.
            pending: whether it waits for the working order of its list.
        """
        number = transaction.next_order_id()
        return PaperOrder(
            order_id=number,
            client_order_id=request.client_order_id or generated_client_id("order", number),
            symbol=feed.id,
            side=request.side,
            type=request.type,
            time_in_force=request.time_in_force,
            price=request.price or _NOTHING,
            amount=_amount(feed, request),
            quote_amount=request.quote_amount or _NOTHING,
            executed=_NOTHING,
            cost=_NOTHING,
            locked=_NOTHING,
            locked_asset=feed.listing.quote if request.side == "BUY" else feed.listing.base,
            status=PENDING if pending else "NEW",
            created=transaction.time,
            updated=transaction.time,
            stop_price=request.stop_price or _NOTHING,
            account=account,
            list_id=list_id,
            iceberg=request.iceberg or _NOTHING,
            trailing_delta=request.trailing_delta,
            self_trade=request.self_trade,
            strategy_id=request.strategy_id,
            strategy_type=request.strategy_type,
            peg=request.peg,
        )

    async def admit(
        self,
        transaction: Transaction,
        feed: Feed,
        order: PaperOrder,
        *,
        reserved: Decimal = _NOTHING,
    ) -> PaperOrder:
        """Reserve the funds of an order; then it trades, rests in the book or waits for its stop.

        Args:
            transaction: change that the order belongs to.
            feed: feed of the symbol.
            order: new order.
            reserved: amount that the other order of its pair has reserved already.

        Returns:
            The order after it.

        Raises:
            Refusal: the matching engine does not accept it; nothing has changed.
        """
        last = last_trade(transaction, feed)
        if order.stop_price and stop_reached(order.type, order.side, last, order.stop_price):
            raise rejected("Order would trigger immediately.")
        plan = CrossingPlan()
        if not order.dormant:
            plan = self._execution.plan(transaction, feed, order, feed.last_price)
        if plan.steps and order.type == "LIMIT_MAKER":
            raise rejected("Order would immediately match and take.")
        if order.quote_amount and not order.conditional:
            if not plan.steps:
                raise rejected(
                    "Order book liquidity is less than LOT_SIZE filter minimum quantity."
                )
            order = replace(order, amount=plan.amount + plan.prevented)
        reserve = max(_NOTHING, _initial_reserve(feed, order, plan) - reserved)
        transaction.lock(order.account, order.locked_asset, reserve)
        order = transaction.report_order(
            replace(order, locked=reserve, updated=transaction.time), "NEW"
        )
        if not order.dormant:
            return await self._execution.execute(transaction, feed, order, plan)
        if order.trailing_delta and not order.stop_price:
            return update_trailing_stop(transaction, order, last)
        return order


def _initial_reserve(feed: Feed, order: PaperOrder, plan: CrossingPlan) -> Decimal:
    if not order.buys:
        return order.remaining
    if order.price or order.stop_price:
        return required_reserve(order)
    # A market order reserves its cost, a trailing one the cost at the present price.
    cost = order.remaining * feed.last_price if order.dormant else plan.cost
    return cost.quantize(EIGHT, ROUND_UP)


def _amount(feed: Feed, request: OrderRequest) -> Decimal:
    """Return the amount of an order in base units; a quote amount is converted to whole steps."""
    if request.paid:
        return _NOTHING
    if request.amount is not None:
        return request.amount
    assert request.quote_amount is not None
    price = feed.book.taker_price(request.side, feed.last_price)
    return request.quote_amount / price // feed.rules.step * feed.rules.step


def _terms(feed: Feed, request: OrderRequest) -> filters.OrderTerms:
    return filters.OrderTerms(
        type=request.type,
        price=request.price or _NOTHING,
        stop_price=request.stop_price or _NOTHING,
        amount=_amount(feed, request),
        iceberg=request.iceberg or _NOTHING,
        trailing_delta=request.trailing_delta,
    )
