"""The life of an order in the book: it enters, trades, is triggered and ends.

Everything here changes a `Transaction` only, which the matching engine commits.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import replace
from decimal import ROUND_UP, Decimal
from typing import Final

from botlib.paper.accounts.commission import EIGHT, Commission
from botlib.paper.accounts.orders import LIMITED, PaperOrder, PreventedMatch
from botlib.paper.accounts.state import VenueState
from botlib.paper.accounts.transaction import Transaction
from botlib.paper.market.feed import Feed
from botlib.paper.matching import crossing
from botlib.paper.matching.crossing import (
    CrossingPlan,
    IncomingOrder,
    PlannedPrevention,
    PlannedTrade,
)
from botlib.paper.matching.pegging import peg_now
from botlib.paper.matching.settlement import (
    TradeSettlement,
    TradeTerms,
    change_reserve,
    next_trade_id,
    release_surplus,
    required_reserve,
    transfer,
)
from botlib.paper.matching.stops import is_passed, present_stop_price
from botlib.paper.protocol.refusals import Refusal

_NOTHING: Final = Decimal(0)


class OrderExecution:
    """Execution of orders in a transaction.

    Args:
        state: state of the venue.
        commission: rates of the venue.
    """

    def __init__(self, state: VenueState, commission: Commission) -> None:
        self.state = state
        self._settlement = TradeSettlement(state, commission)

    # -- entering the book

    def plan(
        self, transaction: Transaction, feed: Feed, order: PaperOrder, price: Decimal
    ) -> CrossingPlan:
        """Return the trades of an order if it entered the book now.

        Args:
            transaction: change that the order belongs to.
            feed: feed of the symbol.
            order: order that enters.
            price: present price, which is used if the book has no depth.
        """
        by_cost = order.quote_amount > 0 and not order.conditional
        limit = order.price or None
        book = feed.book
        if book.deep:
            taking = book.taker_price(order.side, price)
            if limit is not None and (limit < taking if order.buys else limit > taking):
                return CrossingPlan()
            amount = order.remaining
            if by_cost:
                amount = order.quote_amount / taking // feed.rules.step * feed.rules.step
            return CrossingPlan([PlannedTrade(taking, amount, None)] if amount else [])
        incoming = IncomingOrder(
            buys=order.buys,
            account=order.account,
            group=self.state.group_members(order.account),
            self_trade=order.self_trade,
            amount=None if by_cost else order.remaining,
            budget=order.quote_amount,
            limit=limit,
            step=feed.rules.step,
        )
        resting = self._opposite(transaction, order)
        return crossing.plan_crossing(book, resting, incoming, transaction.taken)

    def _opposite(self, transaction: Transaction, order: PaperOrder) -> list[PaperOrder]:
        waiting = map(transaction.order, self.state.open_orders(order.symbol))
        return [one for one in waiting if one.working and one.buys != order.buys]

    async def execute(
        self, transaction: Transaction, feed: Feed, order: PaperOrder, plan: CrossingPlan
    ) -> PaperOrder:
        """Execute the planned trades of an order; the rest of it stays in the book or expires."""
        if order.time_in_force == "FOK" and plan.amount < order.remaining:
            return self.expire(transaction, order, "UNFILLED_FOK_ORDER_EXPIRED")
        for step in plan.steps:
            if isinstance(step, PlannedPrevention):
                order = self._prevent(transaction, feed, order, step)
            else:
                order = self._trade(transaction, feed, order, step)
            await transaction.pause()
        if not order.open:
            return order
        if order.type not in LIMITED:
            return self.expire(transaction, order, "INSUFFICIENT_LIQUIDITY")
        if order.time_in_force != "GTC":
            return self.expire(transaction, order, "UNFILLED_IOC_QUANTITY_EXPIRED")
        return self.queue_last(transaction, feed, order)

    def _trade(
        self, transaction: Transaction, feed: Feed, taker: PaperOrder, step: PlannedTrade
    ) -> PaperOrder:
        price, amount = step.price, step.amount
        number = next_trade_id(transaction, feed, price, amount, seller_taker=not taker.buys)
        terms = TradeTerms(number, price, amount, maker=False)
        if step.maker is None:
            transaction.take(price, amount)
            return self._settlement.trade_with_market(transaction, feed, taker, terms)
        maker = self.expire_sibling(transaction, transaction.order(step.maker))
        taker = self._settlement.settle(transaction, feed, taker, terms)
        maker = self._settlement.settle(
            transaction, feed, transaction.order(maker), terms._replace(maker=True)
        )
        if maker.open and maker.iceberg and maker.visible == maker.iceberg:
            self.queue_last(transaction, feed, maker)
        return transaction.order(taker)

    def fill_resting(
        self,
        transaction: Transaction,
        feed: Feed,
        order: PaperOrder,
        amount: Decimal,
        replaced: Decimal = _NOTHING,
    ) -> PaperOrder:
        """Fill a resting order at its own price with the market, as maker.

        Args:
            transaction: change that the trade belongs to.
            feed: feed of the symbol.
            order: resting order.
            amount: in base units.
            replaced: amount of the market's own trades that it replaces on the tape.
        """
        if not (feed.tapes_accounts and feed.at_step(transaction.time)):
            replaced = _NOTHING
        order = self.expire_sibling(transaction, order)
        number = next_trade_id(
            transaction, feed, order.price, amount, seller_taker=order.buys, replaced=replaced
        )
        terms = TradeTerms(number, order.price, amount, maker=True, replaced=replaced)
        return self._settlement.trade_with_market(transaction, feed, order, terms)

    async def fill_from_takers(
        self, transaction: Transaction, feed: Feed, orders: Iterable[PaperOrder]
    ) -> Decimal:
        """Fill the resting orders that the takers of the market meet, the best price first.

        Args:
            transaction: change that the trades belong to.
            feed: feed of the symbol, at its present price.
            orders: orders at the present price, and those that it has passed.

        Returns:
            The amount that the market trades at its own price.
        """
        volume = Decimal(repr(feed.traded))
        queue = [(queue_position(order), order.order_id, order) for order in orders]
        heapq.heapify(queue)
        while queue and volume:
            order = transaction.order(heapq.heappop(queue)[2])
            if not order.working:
                continue
            before = order.executed
            volume = self.fill_from_volume(transaction, feed, order, volume)
            await transaction.pause()
            order = transaction.order(order)
            if order.open and order.executed > before and order.iceberg:
                # Its next part queues behind the others at its price.
                heapq.heappush(queue, (queue_position(order), order.order_id, order))
        return volume

    def fill_from_volume(
        self, transaction: Transaction, feed: Feed, order: PaperOrder, volume: Decimal
    ) -> Decimal:
        """Fill a resting order from the traded volume, and return the rest of the volume.

        If the price has passed the order, what was ahead of it has traded or was cancelled.
        """
        if not volume:
            return volume
        passed = is_passed(feed, order)
        before = _NOTHING if passed else min(volume, order.ahead)
        if before:
            self._shorten_queue(transaction, order, before)
            order = transaction.order(order)
        volume -= before
        step = feed.rules.step
        amount = min(volume, order.visible) // step * step
        if not amount:
            return volume
        rest = volume - amount
        # The market does not trade less than a step behind an order that is left.
        replaced = volume if passed and rest < step and order.remaining > amount else amount
        order = self.fill_resting(transaction, feed, order, amount, replaced)
        if order.open and order.iceberg and order.visible == order.iceberg:
            self.queue_last(transaction, feed, order)
        return volume - replaced

    def _shorten_queue(self, transaction: Transaction, order: PaperOrder, amount: Decimal) -> None:
        """Reduce what is ahead of an order by an amount, and of those behind it at its price."""
        transaction.put_order(replace(order, ahead=order.ahead - amount))
        # It is ahead of the orders behind this one too, and trades once.
        for other in self.state.open_orders(order.symbol):
            behind = transaction.order(other)
            same = behind.working and behind.buys == order.buys and behind.price == order.price
            if same and behind.order_id != order.order_id:
                shorter = max(_NOTHING, behind.ahead - amount)
                transaction.put_order(replace(behind, ahead=shorter))

    @staticmethod
    def queue_last(transaction: Transaction, feed: Feed, order: PaperOrder) -> PaperOrder:
        """Put an order, or the next part of an iceberg, last in the queue at its price."""
        ahead = feed.book.at(order.price, up=not order.buys)
        return transaction.put_order(
            replace(order, priority=transaction.counters.execution, ahead=ahead)
        )

    # -- self-trade prevention

    def _prevent(
        self, transaction: Transaction, feed: Feed, taker: PaperOrder, step: PlannedPrevention
    ) -> PaperOrder:
        """Store a prevented match, and reduce the orders by it."""
        transaction.counters.prevented += 1
        maker = transaction.order(step.maker)
        if step.transferred:
            maker = self.expire_sibling(transaction, maker)
            taker, maker = transfer(transaction, feed, taker, maker, step)
        match = PreventedMatch(
            match_id=transaction.counters.prevented,
            account=taker.account,
            symbol=taker.symbol,
            taker_id=taker.order_id,
            maker_id=maker.order_id,
            mode=step.mode,
            price=step.price,
            taker_amount=step.from_taker,
            maker_amount=step.from_maker,
            time=transaction.time,
            maker_account=maker.account,
            group=self.state.groups.get(taker.account, -1),
            amount=step.amount,
        )
        transaction.prevented.append(match)
        if step.from_maker:
            _reduce(transaction, maker, step.from_maker, match)
        if step.from_taker:
            return _reduce(transaction, taker, step.from_taker, match)
        return transaction.put_order(replace(taker, prevented_match=match.match_id))

    # -- stop prices

    async def trigger(self, transaction: Transaction, feed: Feed, order: PaperOrder) -> PaperOrder:
        """Put a dormant order into the book, at the price that triggered it."""
        price = feed.last_price if feed.opening else present_stop_price(feed, order)
        order = self.expire_sibling(
            transaction, replace(order, triggered=transaction.time, updated=transaction.time)
        )
        if order.peg is not None:
            try:
                order = peg_now(feed, order)
            except Refusal:
                return self.reject(transaction, order, "NONE")
            reserved = change_reserve(transaction, order, required_reserve(order))
            if reserved is None:
                return self.reject(transaction, order, "INSUFFICIENT_BALANCES")
            order = reserved
        plan = self.plan(transaction, feed, order, price)
        if order.type in LIMITED:
            if not plan.steps:
                order = transaction.report_order(order, "NEW")
            return await self.execute(transaction, feed, order, plan)
        if order.buys:
            # A price gap may cost more than the order reserved.
            paid = change_reserve(transaction, order, plan.cost.quantize(EIGHT, ROUND_UP))
            if paid is None:
                return self.expire(transaction, order, "REJECTED")
            order = paid
        return await self.execute(transaction, feed, order, plan)

    # -- ending

    @staticmethod
    def expire_sibling(transaction: Transaction, order: PaperOrder) -> PaperOrder:
        """Expire the other order of a pair, because this one trades.

        Returns:
            The order with the reserve of the expired one, as far as it needs it.
        """
        found = transaction.list_of(order)
        if found is None:
            return order
        for number in found.siblings(order.order_id):
            other = transaction.find_order(order.account, number)
            if other.open:
                order = replace(order, locked=order.locked + other.locked)
                ended = replace(
                    other,
                    locked=_NOTHING,
                    status="EXPIRED",
                    updated=transaction.time,
                    expiry="OCO_TRIGGER",
                )
                transaction.report_order(ended, "EXPIRED")
        return transaction.put_order(release_surplus(transaction, order))

    def expire(self, transaction: Transaction, order: PaperOrder, reason: str) -> PaperOrder:
        """Expire the rest of an order.

        Args:
            transaction: change that the end of the order belongs to.
            order: order that ends.
            reason: Binance's word for why it expires.
        """
        return self._end(transaction, replace(order, expiry=reason), "EXPIRED")

    def reject(self, transaction: Transaction, order: PaperOrder, reason: str) -> PaperOrder:
        """Reject an order that could not enter the book when it was triggered or released."""
        return self._end(transaction, order, "REJECTED", reason=reason)

    def cancel(self, transaction: Transaction, order: PaperOrder, cancel_id: str) -> PaperOrder:
        """Cancel the rest of an order on request of its owner."""
        return self._end(transaction, order, "CANCELED", cancel_id=cancel_id)

    @staticmethod
    def _end(
        transaction: Transaction,
        order: PaperOrder,
        status: str,
        *,
        cancel_id: str = "",
        reason: str = "NONE",
    ) -> PaperOrder:
        transaction.unlock(order.account, order.locked_asset, order.locked)
        ended = replace(order, locked=_NOTHING, status=status, updated=transaction.time)
        return transaction.report_order(ended, status, cancel_id=cancel_id, reason=reason)


def queue_position(order: PaperOrder) -> tuple[bool, Decimal, int, int]:
    """Return the sort key of resting orders: best price first, then the longest in the book."""
    worse = -order.price if order.buys else order.price
    return order.dormant, worse, order.priority, order.order_id


def _reduce(
    transaction: Transaction, order: PaperOrder, amount: Decimal, match: PreventedMatch
) -> PaperOrder:
    """Remove a prevented amount from an order, which expires if nothing is left."""
    order = replace(
        order,
        prevented=order.prevented + amount,
        prevented_match=match.match_id,
        updated=transaction.time,
    )
    if order.remaining <= 0:
        order = replace(order, status="EXPIRED_IN_MATCH")
    reduced = release_surplus(transaction, order)
    return transaction.report_order(reduced, "TRADE_PREVENTION", prevented=match)
