"""The order book of one symbol: synthetic orders around the price, and the accounts' orders.

Without a `Depth` the market is deep: it fills any amount at one price, and the book shows synthetic
levels around the price, one tick apart. With a `Depth` an order trades with the amount of each
level, the best price first, and the amount it took is missing until the next price. The last price
of the market is then the best ask if its taker bought, and the best bid if they sold, so that no
trade is inside the spread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from botlib.paper.market.depth import Depth

if TYPE_CHECKING:
    from botlib.paper.market.feed import Feed

LEVELS: Final = 100
"""Levels per side that the book of a deep market shows."""

_ZERO: Final = Decimal(0)
_STORED_UPDATES: Final = 64
_COST: Final = Decimal(1_000)

Level = tuple[Decimal, Decimal]
"""A price and its amount in base units."""


class DisplayedOrder(NamedTuple):
    """The part of an account's order that the book shows."""

    buys: bool
    price: Decimal
    amount: Decimal


class LevelChange(NamedTuple):
    """The levels that changed from update ``first`` to ``last``; amount 0 is a removed level."""

    first: int
    last: int
    bids: list[Level]
    asks: list[Level]


Sides = tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]


class PaperBook:
    """The order book of a feed at the present.

    Args:
        feed: source of the price.
        depth: the synthetic orders around it; None for a deep market.
        slippage: fraction by which takers fill worse than the price in a deep market.
    """

    def __init__(self, feed: Feed, depth: Depth | None, slippage: Decimal) -> None:
        self.depth = depth
        self.slippage = slippage
        self.displayed_orders: Callable[[], Iterable[DisplayedOrder]] = tuple
        """Returns the displayed orders of the accounts, set by the matching engine's owner."""
        self._feed = feed
        self._taken: dict[Decimal, Decimal] = {}
        self._time, self._order_changes = -1, 0
        self._stored: deque[tuple[int, Sides]] = deque(maxlen=_STORED_UPDATES)

    @property
    def deep(self) -> bool:
        """Whether any amount fills at one price."""
        return self.depth is None

    @property
    def latency(self) -> int:
        """Time between an order's arrival and its matching, ms."""
        return 0 if self.depth is None else self.depth.latency

    # -- displayed levels

    @property
    def update_id(self) -> int:
        """The number of the present state; it increases with every price and every order."""
        self._refresh()
        return max(0, self._feed.time) * 1_000 + self._order_changes

    def bids(self, limit: int) -> list[Level]:
        """Return the bids, the best price first, ``limit`` levels at most."""
        return self._shown(limit, up=False)

    def asks(self, limit: int) -> list[Level]:
        """Return the asks, the best price first, ``limit`` levels at most."""
        return self._shown(limit, up=True)

    def changes(self, since: int) -> LevelChange:
        """Return the change from update ``since`` to the present.

        An update that is no longer stored counts as an empty book: every level has changed.
        """
        now = self.note()
        before = next((sides for number, sides in self._stored if number == since), ({}, {}))
        bids, asks = self._stored[-1][1]
        return LevelChange(since + 1, now, _changed(before[0], bids), _changed(before[1], asks))

    def note(self) -> int:
        """Store the present levels for `changes`, and return the number of their update."""
        now = self.update_id
        if not self._stored or self._stored[-1][0] != now:
            self._stored.append((now, (dict(self.bids(5_000)), dict(self.asks(5_000)))))
        return now

    def _shown(self, limit: int, *, up: bool) -> list[Level]:
        if not self._feed.price:
            return []
        own = [one for one in self.displayed_orders() if one.buys != up]
        if not own:
            levels = self.levels(up=up)
            return [level for _, level in zip(range(limit), levels, strict=False)]
        merged = dict(self.levels(up=up))
        for one in own:
            merged[one.price] = merged.get(one.price, _ZERO) + one.amount
        return sorted(merged.items(), reverse=not up)[:limit]

    # -- synthetic levels

    def taker_price(self, side: str, price: Decimal) -> Decimal:
        """Return the price at which a taker fills in a deep market whose price is ``price``."""
        if not self.slippage:
            return price
        tick = self._feed.listing.tick
        sign, rounding = (1, ROUND_UP) if side == "BUY" else (-1, ROUND_DOWN)
        ticks = (price * (1 + sign * self.slippage) / tick).to_integral_value(rounding)
        return max(tick, ticks * tick)

    def levels(self, *, up: bool) -> Iterator[Level]:
        """Yield the asks (``up``) or bids of others, the best price first, less what was taken."""
        feed = self._feed
        price, listing = feed.last_price, feed.listing
        if not price:
            return
        if self.depth is None:
            yield from self._deep_levels(price, up=up)
            return
        self._refresh()
        best = self._best(self.depth, price, up=up)
        for level in self.depth.side(listing, price, best, up):
            amount = self.depth.amount(listing, level, feed.time)
            left = amount - self._taken.get(level, _ZERO)
            if left > 0:
                yield level, left

    def _best(self, depth: Depth, price: Decimal, *, up: bool) -> Decimal:
        """Return the best ask (``up``) or bid of others."""
        listing = self._feed.listing
        bid, ask = depth.best(listing, price, falling=self._feed.falling)
        # An account's order that would cross has already traded with the orders of others.
        met = [one.price for one in self.displayed_orders() if one.buys == up]
        if up:
            return max(ask, max(met, default=_ZERO) + listing.tick)
        return max(listing.tick, min([bid, *(one - listing.tick for one in met)]))

    def at(self, price: Decimal, *, up: bool) -> Decimal:
        """Return the amount that others sell (``up``) or buy at a price, ahead of a new order."""
        if self.depth is None:
            return _ZERO
        for level, amount in self.levels(up=up):
            if level == price:
                return amount
            if level > price if up else level < price:
                break
        return _ZERO

    def take(self, price: Decimal, amount: Decimal) -> None:
        """Remove a traded amount from a level until the next price."""
        self._refresh()
        self._taken[price] = self._taken.get(price, _ZERO) + amount

    def orders_changed(self) -> None:
        """Start a new update after the orders of the accounts have changed."""
        self._refresh()
        self._order_changes += 1

    def _refresh(self) -> None:
        if self._time != self._feed.time:
            self._time, self._order_changes = self._feed.time, 0
            self._taken.clear()

    def _deep_levels(self, price: Decimal, *, up: bool) -> Iterator[Level]:
        listing, tick = self._feed.listing, self._feed.listing.tick
        # The best level shows the price that a taker pays, but never the last price itself.
        taken = self.taker_price("BUY" if up else "SELL", price)
        level = max(taken, price + tick) if up else max(tick, min(taken, price - tick))
        unit = max(listing.step, (_COST / price).quantize(listing.step))
        second, number = self._feed.time // 1_000, int(level / tick)
        for _ in range(LEVELS):
            if level <= 0:
                return
            yield level, unit * (1 + ((second + number) // 8 + number * 7) % 13)
            level, number = (level + tick, number + 1) if up else (level - tick, number - 1)


def _changed(before: dict[Decimal, Decimal], now: dict[Decimal, Decimal]) -> list[Level]:
    changed = [(price, amount) for price, amount in now.items() if before.get(price) != amount]
    return changed + [(price, _ZERO) for price in before if price not in now]
