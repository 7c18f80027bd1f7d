"""The plan of how an incoming order crosses the book: with which orders and at which prices.

Nothing is changed here. The best price trades first, and at one price the order that came first. Of
an iceberg order only the visible part trades; its next part goes to the end of the queue.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from types import MappingProxyType
from typing import Final, NamedTuple

from botlib.paper.accounts.orders import PaperOrder
from botlib.paper.market.book import PaperBook

_NOTHING: Final = Decimal(0)


class PlannedTrade(NamedTuple):
    """A planned trade.

    Attributes:
        price: in quote units.
        amount: in base units.
        maker: order of an account, None for the market.
    """

    price: Decimal
    amount: Decimal
    maker: PaperOrder | None


class PlannedPrevention(NamedTuple):
    """A planned self-trade prevention.

    Attributes:
        price: price of the trade that is prevented.
        maker: resting order.
        mode: self-trade prevention mode that is applied.
        amount: amount that would have traded, in base units.
        from_taker: amount removed from the incoming order.
        from_maker: amount removed from the resting order.
        transferred: whether the amount is exchanged between two accounts of a trade group anyway,
            without being a trade.
    """

    price: Decimal
    maker: PaperOrder
    mode: str
    amount: Decimal
    from_taker: Decimal
    from_maker: Decimal
    transferred: bool


@dataclass(slots=True)
class CrossingPlan:
    """The planned trades and preventions of an incoming order, in order."""

    steps: list[PlannedTrade | PlannedPrevention] = field(default_factory=list)

    @property
    def amount(self) -> Decimal:
        """Amount that trades, in base units."""
        return sum((one.amount for one in self.steps if isinstance(one, PlannedTrade)), _NOTHING)

    @property
    def prevented(self) -> Decimal:
        """Amount that self-trade prevention removes from the order, in base units."""
        return sum(
            (one.from_taker for one in self.steps if isinstance(one, PlannedPrevention)), _NOTHING
        )

    @property
    def cost(self) -> Decimal:
        """Cost of the trades, in quote units."""
        paid = (one for one in self.steps if isinstance(one, PlannedTrade) or one.transferred)
        return sum((one.price * one.amount for one in paid), _NOTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingOrder:
    """An order that enters the book.

    Attributes:
        group: accounts that the order must not trade with.
        self_trade: self-trade prevention mode.
        amount: in base units, None to spend the budget.
        budget: in quote units, spent in whole steps of the amount.
        limit: worst accepted price, None for any.
        step: smallest step of an amount, in base units.
    """

    buys: bool
    account: str
    group: frozenset[str]
    self_trade: str
    amount: Decimal | None
    budget: Decimal
    limit: Decimal | None
    step: Decimal


@dataclass(slots=True)
class _RestingOrder:
    """The rest of a resting order while a plan is made."""

    order: PaperOrder
    visible: Decimal
    remaining: Decimal
    ahead: Decimal


class _RemainingAmount:
    """The rest of the incoming order while a plan is made."""

    def __init__(self, incoming: IncomingOrder) -> None:
        self._incoming = incoming
        self._amount = incoming.amount
        self._budget = incoming.budget

    def tradable(self, price: Decimal) -> Decimal:
        """Return the amount that can still trade at a price, in base units."""
        if self._amount is not None:
            return self._amount
        return self._budget / price // self._incoming.step * self._incoming.step

    def deduct(self, price: Decimal, amount: Decimal) -> None:
        """Deduct an amount that traded or was prevented."""
        if self._amount is not None:
            self._amount -= amount
        self._budget -= price * amount


def plan_crossing(
    book: PaperBook,
    resting: Iterable[PaperOrder],
    incoming: IncomingOrder,
    taken: Mapping[Decimal, Decimal] = MappingProxyType({}),
) -> CrossingPlan:
    """Return the trades and preventions of an incoming order.

    Args:
        book: book of the symbol.
        resting: orders on the other side of the book.
        incoming: order that enters.
        taken: amounts that orders before it take from the market's levels, by price.
    """
    plan, remaining_amount = CrossingPlan(), _RemainingAmount(incoming)
    for price, market, orders in _levels(book, resting, incoming, taken):
        if incoming.limit is not None and _worse(price, incoming.limit, buys=incoming.buys):
            break
        if not remaining_amount.tradable(price) or not _plan_level(
            plan, remaining_amount, incoming, price, market, orders
        ):
            break
    return plan


def _worse(price: Decimal, limit: Decimal, *, buys: bool) -> bool:
    return price > limit if buys else price < limit


def _levels(
    book: PaperBook,
    resting: Iterable[PaperOrder],
    incoming: IncomingOrder,
    taken: Mapping[Decimal, Decimal],
) -> Iterator[tuple[Decimal, Decimal, list[PaperOrder]]]:
    """Yield every price with the market's amount and the accounts' orders, best price first."""
    sign = 1 if incoming.buys else -1
    orders = sorted(resting, key=lambda one: (sign * one.price, one.priority, one.order_id))
    market = (
        (sign * price, left)
        for price, amount in book.levels(up=incoming.buys)
        if (left := amount - taken.get(price, _NOTHING)) > 0
    )
    own = (
        (price, list(group)) for price, group in groupby(orders, key=lambda one: sign * one.price)
    )
    merged = heapq.merge(market, own, key=lambda level: level[0])
    for signed, parts in groupby(merged, key=lambda level: level[0]):
        amount = _NOTHING
        there: list[PaperOrder] = []
        for _, part in parts:
            if isinstance(part, list):
                there = part
            elif isinstance(part, Decimal):
                amount = part
        yield sign * signed, amount, there


def _plan_level(
    plan: CrossingPlan,
    remaining_amount: _RemainingAmount,
    incoming: IncomingOrder,
    price: Decimal,
    market: Decimal,
    orders: list[PaperOrder],
) -> bool:
    """Plan the trades at one price; return whether the order goes on to the next price."""
    queue = deque(_RestingOrder(one, one.visible, one.remaining, one.ahead) for one in orders)
    while tradable := remaining_amount.tradable(price):
        if not queue:
            amount = min(tradable, market)
            if amount:
                plan.steps.append(PlannedTrade(price, amount, None))
                remaining_amount.deduct(price, amount)
            return remaining_amount.tradable(price) > 0
        first = queue[0]
        before = min(tradable, market, first.ahead)
        if before:
            plan.steps.append(PlannedTrade(price, before, None))
            remaining_amount.deduct(price, before)
            market -= before
            for one in queue:
                one.ahead = max(_NOTHING, one.ahead - before)
            continue
        if first.order.account in incoming.group and incoming.self_trade != "NONE":
            if not _plan_prevention(plan, remaining_amount, incoming, price, queue):
                return False
            continue
        amount = min(tradable, first.visible)
        plan.steps.append(PlannedTrade(price, amount, first.order))
        remaining_amount.deduct(price, amount)
        first.visible -= amount
        first.remaining -= amount
        if not first.visible:
            queue.popleft()
            if first.remaining:
                first.visible = min(first.order.iceberg, first.remaining)
                first.ahead = market
                queue.append(first)
    return False


def _plan_prevention(
    plan: CrossingPlan,
    remaining_amount: _RemainingAmount,
    incoming: IncomingOrder,
    price: Decimal,
    queue: deque[_RestingOrder],
) -> bool:
    """Plan a prevention with the first order in the queue; return whether the order goes on."""
    first, tradable = queue[0], remaining_amount.tradable(price)
    mode, amount = incoming.self_trade, min(tradable, first.remaining)
    if mode == "TRANSFER" and first.order.self_trade != "TRANSFER":
        # A transfer needs this mode on both orders.
        mode = "DECREMENT"
    if mode in ("DECREMENT", "TRANSFER"):
        taker = maker = amount
    else:
        taker = _NOTHING if mode == "EXPIRE_MAKER" else tradable
        maker = _NOTHING if mode == "EXPIRE_TAKER" else first.remaining
    moved = mode == "TRANSFER" and first.order.account != incoming.account
    plan.steps.append(PlannedPrevention(price, first.order, mode, amount, taker, maker, moved))
    remaining_amount.deduct(price, taker)
    first.remaining -= maker
    first.visible = min(first.visible, first.remaining)
    if not first.remaining:
        queue.popleft()
    return not taker or remaining_amount.tradable(price) > 0
