"""Which orders an incoming one meets in the book, at what prices and in what order.

Pure planning: nothing changes here. The best price comes first; at one price, whoever came first.
Of an order of an account, only what the book shows is met; the rest of an iceberg queues up again.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from typing import Final, NamedTuple

from botlib.paper.accounts.orders import PaperOrder
from botlib.paper.market.book import PaperBook

_NOTHING: Final = Decimal(0)


class PlannedTrade(NamedTuple):
    """A trade to be: with an account's order, or with the market where ``maker`` is None."""

    price: Decimal
    amount: Decimal
    maker: PaperOrder | None


class PlannedPrevention(NamedTuple):
    """A trade with oneself that is not to be, and what that takes away from either order.

    ``amount`` is what would have been traded. Where ``transferred``, it changes hands between two
    accounts of one group nevertheless, without being a trade.
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
    """What happens to an incoming order. ``ended``: self-trade prevention ends it."""

    steps: list[PlannedTrade | PlannedPrevention] = field(default_factory=list)
    ended: bool = False

    @property
    def amount(self) -> Decimal:
        """What trades, in base units."""
        return sum((one.amount for one in self.steps if isinstance(one, PlannedTrade)), _NOTHING)

    @property
    def prevented(self) -> Decimal:
        """What self-trade prevention takes away from the order, in base units."""
        return sum(
            (one.from_taker for one in self.steps if isinstance(one, PlannedPrevention)), _NOTHING
        )

    @property
    def cost(self) -> Decimal:
        """What it costs, in quote units."""
        paid = (one for one in self.steps if isinstance(one, PlannedTrade) or one.transferred)
        return sum((one.price * one.amount for one in paid), _NOTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingOrder:
    """An order on its way into the book.

    ``amount`` is in base units; where it is None, ``budget`` (quote units) is spent in whole steps.
    ``limit`` is the worst price it takes, None for any. ``kin`` are the accounts that it is kept
    from trading with.
    """

    buys: bool
    account: str
    linked: frozenset[str]
    self_trade: str
    amount: Decimal | None
    budget: Decimal
    limit: Decimal | None
    step: Decimal


@dataclass(slots=True)
class _RestingOrder:
    """What is left of an order of the book while a plan is made."""

    order: PaperOrder
    visible: Decimal
    remaining: Decimal
    ahead: Decimal


class _RemainingAmount:
    """What is left of the incoming order."""

    def __init__(self, incoming: IncomingOrder) -> None:
        self._incoming = incoming
        self._amount = incoming.amount
        self._budget = incoming.budget

    def room(self, price: Decimal) -> Decimal:
        """Return how much may still trade at a price, in base units."""
        if self._amount is not None:
            return self._amount
        return self._budget / price // self._incoming.step * self._incoming.step

    def use(self, price: Decimal, amount: Decimal) -> None:
        """Take off what traded, or was prevented."""
        if self._amount is not None:
            self._amount -= amount
        self._budget -= price * amount


def plan(book: PaperBook, resting: Iterable[PaperOrder], incoming: IncomingOrder) -> CrossingPlan:
    """Return what an incoming order meets; ``resting`` are the orders it may trade with."""
    made, left = CrossingPlan(), _RemainingAmount(incoming)
    for price, market, orders in _levels(book, resting, incoming):
        if incoming.limit is not None and _worse(price, incoming.limit, buys=incoming.buys):
            break
        if not left.room(price) or not _at(made, left, incoming, price, market, orders):
            break
    return made


def _worse(price: Decimal, limit: Decimal, *, buys: bool) -> bool:
    return price > limit if buys else price < limit


def _levels(
    book: PaperBook, resting: Iterable[PaperOrder], incoming: IncomingOrder
) -> Iterator[tuple[Decimal, Decimal, list[PaperOrder]]]:
    """Yield every price with what the market and the accounts have there, the best first."""
    sign = 1 if incoming.buys else -1
    orders = sorted(resting, key=lambda one: (sign * one.price, one.priority, one.order_id))
    market = ((sign * price, amount) for price, amount in book.levels(up=incoming.buys))
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


def _at(
    made: CrossingPlan,
    left: _RemainingAmount,
    incoming: IncomingOrder,
    price: Decimal,
    market: Decimal,
    orders: list[PaperOrder],
) -> bool:
    """Plan what happens at one price; return whether the order goes on to the next."""
    queue = deque(_RestingOrder(one, one.visible, one.remaining, one.ahead) for one in orders)
    while room := left.room(price):
        if not queue:
            amount = min(room, market)
            if amount:
                made.steps.append(PlannedTrade(price, amount, None))
                left.use(price, amount)
            return left.room(price) > 0
        first = queue[0]
        before = min(room, market, first.ahead)
        if before:
            made.steps.append(PlannedTrade(price, before, None))
            left.use(price, before)
            market -= before
            for one in queue:
                one.ahead = max(_NOTHING, one.ahead - before)
            continue
        if first.order.account in incoming.linked and incoming.self_trade != "NONE":
            if not _prevent(made, left, incoming, price, queue):
                return False
            continue
        amount = min(room, first.visible)
        made.steps.append(PlannedTrade(price, amount, first.order))
        left.use(price, amount)
        first.visible -= amount
        first.remaining -= amount
        if not first.visible:
            queue.popleft()
            if first.remaining:
                first.visible = min(first.order.iceberg, first.remaining)
                first.ahead = market
                queue.append(first)
    return False


def _prevent(
    made: CrossingPlan,
    left: _RemainingAmount,
    incoming: IncomingOrder,
    price: Decimal,
    queue: deque[_RestingOrder],
) -> bool:
    """Plan a prevented match with the first in the queue; return whether the order goes on."""
    first, room = queue[0], left.room(price)
    mode, amount = incoming.self_trade, min(room, first.remaining)
    if mode == "TRANSFER" and first.order.self_trade != "TRANSFER":
        # Both sides have to wish for it.
        mode = "DECREMENT"
    if mode in ("DECREMENT", "TRANSFER"):
        taker = maker = amount
    else:
        taker = _NOTHING if mode == "EXPIRE_MAKER" else room
        maker = _NOTHING if mode == "EXPIRE_TAKER" else first.remaining
    moved = mode == "TRANSFER" and first.order.account != incoming.account
    made.steps.append(PlannedPrevention(price, first.order, mode, amount, taker, maker, moved))
    left.use(price, taker)
    first.remaining -= maker
    first.visible = min(first.visible, first.remaining)
    if not first.remaining:
        queue.popleft()
    made.ended = taker > 0 and not left.room(price)
    return not made.ended
