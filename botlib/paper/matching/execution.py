"""What happens to orders in the book: they enter, trade, are triggered and end.

Everything here works on a draft; nothing is true before the desk commits it.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Final

from botlib.paper.accounts.commission import EIGHT, Commission
from botlib.paper.accounts.orders import LIMITED, PaperOrder, PaperTrade, PreventedMatch
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
from botlib.paper.matching.filters import beyond
from botlib.paper.matching.pegging import priced_now
from botlib.paper.protocol.refusals import Refusal

_NOTHING: Final = Decimal(0)
_BASIS_POINTS: Final = 10_000


class OrderExecution:
    """Enters, trades, triggers and ends orders in a draft.

    Args:
        register: the state of the venue.
        commission: what trades cost.
    """

    def __init__(self, state: VenueState, commission: Commission) -> None:
        self.state = state
        self.commission = commission

    # -- entering

    def plan(
        self, transaction: Transaction, feed: Feed, order: PaperOrder, price: Decimal
    ) -> CrossingPlan:
        """Return what an order would trade with if it came into the book now.

        Args:
            price: the present price, where the market is deep.
        """
        by_cost = order.quote_amount > 0 and not order.conditional
        limit = order.price or None
        book = feed.book
        if book.depth is None:
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
            linked=self.state.linked(order.account),
            self_trade=order.self_trade,
            amount=None if by_cost else order.remaining,
            budget=order.quote_amount,
            limit=limit,
            step=feed.rules.step,
        )
        return crossing.plan(book, self._opposite(transaction, order), incoming)

    def _opposite(self, transaction: Transaction, order: PaperOrder) -> list[PaperOrder]:
        waiting = map(transaction.order, self.state.orders(order.symbol))
        return [one for one in waiting if one.working and one.buys != order.buys]

    def enter(
        self, transaction: Transaction, feed: Feed, order: PaperOrder, plan: CrossingPlan
    ) -> PaperOrder:
        """Let an order trade as planned; what is left of it rests or expires."""
        if order.time_in_force == "FOK" and plan.amount < order.remaining:
            return self.expire(transaction, order)
        for step in plan.steps:
            if isinstance(step, PlannedPrevention):
                order = self._prevent(transaction, feed, order, step)
            else:
                order = self._meet(transaction, feed, order, step)
        if not order.open:
            return order
        if order.type not in LIMITED or order.time_in_force != "GTC":
            return self.expire(transaction, order)
        ahead = feed.book.at(order.price, up=not order.buys)
        return transaction.keep(
            replace(order, priority=transaction.counters.execution, ahead=ahead)
        )

    def _meet(
        self, transaction: Transaction, feed: Feed, taker: PaperOrder, step: PlannedTrade
    ) -> PaperOrder:
        number = self.number(
            transaction, feed, step.price, step.amount, seller_taker=not taker.buys
        )
        if step.maker is None:
            transaction.taken.append((step.price, step.amount))
            return self.trade(
                transaction, feed, taker, step.price, step.amount, number, maker=False
            )
        maker = self.claim(transaction, transaction.order(step.maker))
        taker = self._settle(transaction, feed, taker, step.price, step.amount, number, maker=False)
        maker = self._settle(
            transaction, feed, transaction.order(maker), step.price, step.amount, number, maker=True
        )
        if maker.open and maker.iceberg and maker.visible == maker.iceberg:
            self.queue_again(transaction, feed, maker)
        return transaction.order(taker)

    def queue_again(self, transaction: Transaction, feed: Feed, order: PaperOrder) -> PaperOrder:
        """Put the next part of an iceberg behind all that stands at its price."""
        ahead = feed.book.at(order.price, up=not order.buys)
        return transaction.keep(
            replace(order, priority=transaction.counters.execution, ahead=ahead)
        )

    # -- trading

    @staticmethod
    def number(
        transaction: Transaction, feed: Feed, price: Decimal, amount: Decimal, *, seller_taker: bool
    ) -> int:
        """Return the id of a new trade; in a book with a depth it is the one on the public tape."""
        if feed.book.depth is None:
            return transaction.next_trade_id()
        return transaction.tape(feed.tape, price, amount, seller_taker=seller_taker)

    def trade(
        self,
        transaction: Transaction,
        feed: Feed,
        order: PaperOrder,
        price: Decimal,
        amount: Decimal,
        number: int,
        *,
        maker: bool,
    ) -> PaperOrder:
        """Let an order trade with the market; ``number`` is the trade's id."""
        cost = _cost(price, amount)
        sign = 1 if order.buys else -1
        transaction.to_market(feed.listing.base, -sign * amount)
        transaction.to_market(feed.listing.quote, sign * cost)
        return self._settle(transaction, feed, order, price, amount, number, maker=maker)

    def _settle(
        self,
        transaction: Transaction,
        feed: Feed,
        order: PaperOrder,
        price: Decimal,
        amount: Decimal,
        number: int,
        *,
        maker: bool,
    ) -> PaperOrder:
        """Book one side of a trade."""
        listing, cost = feed.listing, _cost(price, amount)
        if order.buys:
            given, received, got = cost, listing.base, amount
        else:
            given, received, got = amount, listing.quote, cost
        transaction.spend(order.account, order.locked_asset, given)
        asset, fee = self.commission.charge(
            transaction,
            order,
            burns=self.state.account(order.account).burns_bnb,
            quote=listing.quote,
            cost=cost,
            received=received,
            amount=got,
            maker=maker,
        )
        left = order.remaining - amount
        order = replace(
            order,
            executed=order.executed + amount,
            cost=order.cost + cost,
            locked=order.locked - given,
            status="PARTIALLY_FILLED" if left else "FILLED",
            updated=transaction.time,
        )
        trade = PaperTrade(
            trade_id=number,
            order_id=order.order_id,
            symbol=order.symbol,
            side=order.side,
            price=price,
            amount=amount,
            quote_amount=cost,
            commission=fee,
            commission_asset=asset,
            time=transaction.time,
            maker=maker,
            account=order.account,
            list_id=order.list_id,
            taped=feed.book.depth is not None,
        )
        order = transaction.report(self.trim(transaction, order), "TRADE", trade)
        if order.list_id >= 0:
            self._pay(transaction, order, trade)
        return order

    @staticmethod
    def _pay(transaction: Transaction, order: PaperOrder, trade: PaperTrade) -> None:
        """Keep what an order received for those of its list that it pays, where it pays any."""
        found = transaction.list_of(order)
        if found is None or not found.pays or found.working_id != order.order_id:
            return
        first = transaction.find(order.account, found.pending_ids[0])
        asset, amount = first.locked_asset, trade.amount
        # The commission comes out of what else is free, where there is enough.
        if (
            transaction.balance(order.account, asset).free < amount
            and trade.commission_asset == asset
        ):
            amount -= trade.commission
        transaction.lock(order.account, asset, amount)
        transaction.keep(replace(first, locked=first.locked + amount))

    def trim(self, transaction: Transaction, order: PaperOrder) -> PaperOrder:
        """Give back what an order holds beyond its need."""
        spare = order.locked - (needed(order) if order.open else _NOTHING)
        if spare <= 0:
            return order
        transaction.unlock(order.account, order.locked_asset, spare)
        return replace(order, locked=order.locked - spare)

    def _prevent(
        self, transaction: Transaction, feed: Feed, taker: PaperOrder, step: PlannedPrevention
    ) -> PaperOrder:
        """Note a trade with oneself that is not to be, and take it off the orders."""
        transaction.counters.prevented += 1
        maker = transaction.order(step.maker)
        if step.transferred:
            maker = self.claim(transaction, maker)
            taker, maker = self._transfer(transaction, feed, taker, maker, step)
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
            self._lessen(transaction, maker, step.from_maker, match)
        if step.from_taker:
            return self._lessen(transaction, taker, step.from_taker, match)
        return transaction.keep(replace(taker, prevented_match=match.match_id))

    @staticmethod
    def _transfer(
        transaction: Transaction,
        feed: Feed,
        taker: PaperOrder,
        maker: PaperOrder,
        step: PlannedPrevention,
    ) -> tuple[PaperOrder, PaperOrder]:
        """Let an amount change hands between two accounts of a group, free of commission."""
        base, quote = feed.listing.base, feed.listing.quote
        cost = _cost(step.price, step.amount)
        changed = []
        for order in (taker, maker):
            given, amount = (quote, cost) if order.buys else (base, step.amount)
            received, got = (base, step.amount) if order.buys else (quote, cost)
            transaction.spend(order.account, given, amount)
            transaction.receive(order.account, received, got)
            changed.append(transaction.keep(replace(order, locked=order.locked - amount)))
        return changed[0], changed[1]

    def _lessen(
        self, transaction: Transaction, order: PaperOrder, amount: Decimal, match: PreventedMatch
    ) -> PaperOrder:
        order = replace(
            order,
            prevented=order.prevented + amount,
            prevented_match=match.match_id,
            updated=transaction.time,
        )
        if order.remaining <= 0:
            order = replace(order, status="EXPIRED_IN_MATCH")
        return transaction.report(
            self.trim(transaction, order), "TRADE_PREVENTION", prevented=match
        )

    # -- stop prices

    def follow(self, transaction: Transaction, feed: Feed, order: PaperOrder) -> PaperOrder:
        """Let a trailing stop follow the price."""
        price = feed.last_price
        if not order.trailing_since:
            if order.stop_price and not beyond(order.type, order.side, price, order.stop_price):
                return order
            return transaction.keep(replace(order, trailed=price, trailing_since=transaction.time))
        better = price < order.trailed if order.buys else price > order.trailed
        return transaction.keep(replace(order, trailed=price)) if better else order

    def trigger(self, transaction: Transaction, feed: Feed, order: PaperOrder) -> PaperOrder:
        """Send a dormant order into the book, at the price that triggered it."""
        price = feed.last_price if feed.opening else stop_of(feed, order)
        order = self.claim(
            transaction, replace(order, triggered=transaction.time, updated=transaction.time)
        )
        if order.peg is not None:
            try:
                order = priced_now(feed, order)
            except Refusal:
                return self.reject(transaction, order, "NONE")
            held = self._hold(transaction, order, needed(order))
            if held is None:
                return self.reject(transaction, order, "INSUFFICIENT_BALANCES")
            order = held
        plan = self.plan(transaction, feed, order, price)
        if order.type in LIMITED:
            if not plan.steps:
                order = transaction.report(order, "NEW")
            return self.enter(transaction, feed, order, plan)
        if order.buys:
            # A gap may cost more than was held back.
            paid = self._hold(transaction, order, plan.cost.quantize(EIGHT, ROUND_UP))
            if paid is None:
                return self.expire(transaction, order)
            order = paid
        return self.enter(transaction, feed, order, plan)

    @staticmethod
    def _hold(transaction: Transaction, order: PaperOrder, amount: Decimal) -> PaperOrder | None:
        """Let an order hold back another amount than it does, None where there is not so much."""
        if amount > order.locked + transaction.balance(order.account, order.locked_asset).free:
            return None
        transaction.unlock(order.account, order.locked_asset, order.locked)
        transaction.lock(order.account, order.locked_asset, amount)
        return replace(order, locked=amount)

    # -- ending

    def claim(self, transaction: Transaction, order: PaperOrder) -> PaperOrder:
        """End the other order of a pair, since this one trades; what it held goes to this one."""
        found = transaction.list_of(order)
        if found is None:
            return order
        for number in found.siblings(order.order_id):
            other = transaction.find(order.account, number)
            if other.open:
                order = replace(order, locked=order.locked + other.locked)
                ended = replace(other, locked=_NOTHING, status="EXPIRED", updated=transaction.time)
                transaction.report(ended, "EXPIRED")
        return transaction.keep(self.trim(transaction, order))

    def expire(self, transaction: Transaction, order: PaperOrder) -> PaperOrder:
        """End what is left of an order."""
        return self._end(transaction, order, "EXPIRED")

    def reject(self, transaction: Transaction, order: PaperOrder, reason: str) -> PaperOrder:
        """End an order that could not be placed when its turn came."""
        return self._end(transaction, order, "REJECTED", reason=reason)

    def cancel(self, transaction: Transaction, order: PaperOrder, cancel_id: str) -> PaperOrder:
        """Take an order out of the book at its owner's wish."""
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
        return transaction.report(ended, status, cancel_id=cancel_id, reason=reason)


def _cost(price: Decimal, amount: Decimal) -> Decimal:
    return (amount * price).quantize(EIGHT, ROUND_DOWN)


def needed(order: PaperOrder) -> Decimal:
    """Return what an open order has to hold back: quote for a buy, base for a sale."""
    if not order.buys:
        return order.remaining
    price = order.price or order.stop_price
    if not price or (order.type not in LIMITED and not order.dormant):
        return order.locked
    return (order.remaining * price).quantize(EIGHT, ROUND_UP)


def stop_of(feed: Feed, order: PaperOrder) -> Decimal:
    """Return the price at which a dormant order is triggered now."""
    if not order.trailing_delta:
        return order.stop_price
    sign, rounding = (1, ROUND_UP) if order.buys else (-1, ROUND_DOWN)
    price = order.trailed * (_BASIS_POINTS + sign * order.trailing_delta) / _BASIS_POINTS
    return (price / feed.rules.tick).to_integral_value(rounding) * feed.rules.tick


def reached(feed: Feed, order: PaperOrder) -> bool:
    """Tell whether the present price concerns an order: triggers it, or trades with it."""
    price = feed.last_price
    if order.pending:
        return False
    if not order.dormant:
        return price <= order.price if order.buys else price >= order.price
    if not order.trailing_delta:
        return beyond(order.type, order.side, price, order.stop_price)
    if not order.trailing_since:
        return False
    stop = stop_of(feed, order)
    return price >= stop if order.buys else price <= stop
