"""Stop orders are triggered by every trade of their symbol: of the market, and of any account."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from botlib.paper.accounts.orders import PaperOrder
from botlib.paper.accounts.state import VenueState
from botlib.paper.accounts.transaction import Transaction
from botlib.paper.market.feed import Feed
from botlib.paper.matching.execution import OrderExecution
from botlib.paper.matching.order_lists import OrderListExecution
from botlib.paper.matching.stops import is_triggered, update_trailing_stop


class StopTriggers:
    """The effects of trades on stop orders, in a transaction.

    Args:
        state: state of the venue.
        execution: executes the orders that are triggered.
        lists: applies the effects of changed orders on those of their lists.
    """

    def __init__(
        self, state: VenueState, execution: OrderExecution, lists: OrderListExecution
    ) -> None:
        self._state = state
        self._execution = execution
        self._lists = lists

    async def apply(
        self, transaction: Transaction, feed: Feed, prices: Iterable[Decimal] = ()
    ) -> None:
        """Trigger the stops that trades have reached, then those that their trades reach.

        The effects on order lists follow each time. Without a depth the trades of accounts are
        none of the market, and only the given prices count.

        Args:
            transaction: change whose trades count.
            feed: feed of the symbol.
            prices: prices at which the market trades besides, after the trades so far.
        """
        seen, reached = 0, list(prices)
        while True:
            trades = transaction.account_trades[seen:]
            seen = len(transaction.account_trades)
            found = [Decimal(repr(trade.price)) for trade in trades]
            await self._trigger(transaction, feed, [*found, *reached])
            reached = []
            if seen < len(transaction.account_trades):
                continue
            await self._lists.update(transaction, feed)
            if seen == len(transaction.account_trades):
                return

    async def _trigger(self, transaction: Transaction, feed: Feed, prices: list[Decimal]) -> None:
        if not prices:
            return
        known = {order.order_id: order for order in self._state.open_orders(feed.id)}
        known |= {
            number: order for number, order in transaction.orders.items() if order.symbol == feed.id
        }
        waiting = [order for _, order in sorted(known.items()) if _waits(transaction, order)]
        if not waiting:
            return
        for price in turning_points(prices):
            for order in waiting:
                if transaction.order(order).trailing_delta and _waits(transaction, order):
                    update_trailing_stop(transaction, transaction.order(order), price)
            for order in waiting:
                # Another one may have ended it meanwhile.
                order = transaction.order(order)
                if order.open and is_triggered(feed, order, price):
                    await self._execution.trigger(transaction, feed, order)


def _waits(transaction: Transaction, order: PaperOrder) -> bool:
    order = transaction.order(order)
    return order.open and order.dormant and not order.pending


def turning_points(prices: Iterable[Decimal]) -> list[Decimal]:
    """Return the prices at which a series turns, its first and its last one.

    A stop is reached between two of them exactly if one of them reaches it.
    """
    points: list[Decimal] = []
    for price in prices:
        if points and price == points[-1]:
            continue
        if len(points) > 1 and (points[-1] > points[-2]) == (price > points[-1]):
            points[-1] = price
        else:
            points.append(price)
    return points
