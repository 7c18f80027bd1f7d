"""How new orders come in: weighed against the symbol's rules, paid for, and let into the book."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_UP, Decimal
from typing import Final

from botlib.paper.accounts.commission import EIGHT
from botlib.paper.accounts.orders import PENDING, PaperOrder
from botlib.paper.accounts.transaction import Transaction
from botlib.paper.market.feed import Feed
from botlib.paper.matching import filters
from botlib.paper.matching.crossing import CrossingPlan
from botlib.paper.matching.execution import OrderExecution, needed
from botlib.paper.matching.requests import OrderRequest
from botlib.paper.protocol.refusals import rejected

_NOTHING: Final = Decimal(0)


class OrderEntry:
    """Weighs new orders and lets them in."""

    def __init__(self, execution: OrderExecution) -> None:
        self._execution = execution
        self._state = execution.state

    def weigh(
        self, feed: Feed, account: str, requests: Sequence[OrderRequest], *, algo: int | None = None
    ) -> None:
        """Refuse orders that break a rule of their symbol; they are weighed together.

        Args:
            algo: how many count as conditional, where not every one of them does.
        """
        if not feed.trading:
            raise rejected("Market is closed.")
        for request in requests:
            if not request.paid:
                self.filter(feed, request)
        owner = self._state.account(account)
        waiting = owner.open_orders(feed.id)
        conditional = sum(one.conditional for one in requests) if algo is None else algo
        filters.check_numbers(feed.rules, waiting, len(requests), conditional)
        bought = max((_amount(feed, one) for one in requests if one.side == "BUY"), default=None)
        if bought is not None:
            have = owner.balance(feed.listing.base)
            filters.check_position(feed.rules, have.free + have.locked, waiting, bought)
        ids = [one.client_order_id for one in requests if one.client_order_id is not None]
        taken = {order.client_order_id for order in waiting}
        if len(set(ids)) < len(ids) or taken.intersection(ids):
            raise rejected("Duplicate order sent.")

    @staticmethod
    def filter(feed: Feed, request: OrderRequest) -> None:
        """Refuse an order that breaks a filter of its symbol."""
        wish = _wish(feed, request)
        filters.check_order(feed, wish)
        if request.peg is not None and request.peg.price:
            filters.check_order(feed, replace(wish, price=request.peg.price))

    def make(
        self,
        transaction: Transaction,
        feed: Feed,
        account: str,
        request: OrderRequest,
        *,
        list_id: int = -1,
        pending: bool = False,
    ) -> PaperOrder:
        """Return a new order that holds nothing yet."""
        number = transaction.next_order_id()
        return PaperOrder(
            order_id=number,
            client_order_id=request.client_order_id or f"paper{number}",
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

    def accept(
        self, transaction: Transaction, feed: Feed, order: PaperOrder, *, paid: Decimal = _NOTHING
    ) -> PaperOrder:
        """Let an order in: hold back what it needs, then let it trade, rest or wait.

        Args:
            paid: what the other order of its pair holds back already.

        Raises:
            Refusal: the matching engine does not take it; nothing has changed.
        """
        if order.stop_price and filters.beyond(
            order.type, order.side, feed.last_price, order.stop_price
        ):
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
        held = max(_NOTHING, _held(feed, order, plan) - paid)
        transaction.lock(order.account, order.locked_asset, held)
        order = transaction.report(replace(order, locked=held, updated=transaction.time), "NEW")
        if not order.dormant:
            return self._execution.enter(transaction, feed, order, plan)
        if order.trailing_delta and not order.stop_price:
            return self._execution.follow(transaction, feed, order)
        return order


def _held(feed: Feed, order: PaperOrder, plan: CrossingPlan) -> Decimal:
    if not order.buys:
        return order.remaining
    if order.price or order.stop_price:
        return needed(order)
    # A market order holds what it will cost; a trailing one what it would cost now.
    cost = order.remaining * feed.last_price if order.dormant else plan.cost
    return cost.quantize(EIGHT, ROUND_UP)


def _amount(feed: Feed, request: OrderRequest) -> Decimal:
    """Return an order's amount; one by cost buys as many whole steps as the price gives."""
    if request.paid:
        return _NOTHING
    if request.amount is not None:
        return request.amount
    assert request.quote_amount is not None
    price = feed.book.taker_price(request.side, feed.last_price)
    return request.quote_amount / price // feed.rules.step * feed.rules.step


def _wish(feed: Feed, request: OrderRequest) -> filters.OrderTerms:
    return filters.OrderTerms(
        type=request.type,
        price=request.price or _NOTHING,
        stop_price=request.stop_price or _NOTHING,
        amount=_amount(feed, request),
        iceberg=request.iceberg or _NOTHING,
        trailing_delta=request.trailing_delta,
    )
