"""The order book of one symbol: what stands around the price, and the orders of the accounts in it.

Without a `Depth` the market is deep: it takes any amount at one price, and what the book shows is
drawn around the price, one tick apart. With one, an order trades with what stands at each level,
the best price first, and what it took is gone until the next price.
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
"""Levels a side that the book of a deep market shows."""

_NOTHING: Final = Decimal(0)
_REMEMBERED: Final = 64
_COST: Final = Decimal(1_000)

Level = tuple[Decimal, Decimal]
"""A price and the amount that stands there, in base units."""


class DisplayedOrder(NamedTuple):
    """What an account's order shows in the book."""

    buys: bool
    price: Decimal
    amount: Decimal


class LevelChange(NamedTuple):
    """What is different at update ``last`` from before update ``first``; amount 0: level gone."""

    first: int
    last: int
    bids: list[Level]
    asks: list[Level]


Sides = tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]


class PaperBook:
    """The book of a feed at its present.

    Args:
        feed: where the price comes from.
        depth: what stands around it; None for a deep market.
        slippage: fraction by which takers fill worse than the price in a deep market.
    """

    def __init__(self, feed: Feed, depth: Depth | None, slippage: Decimal) -> None:
        self.depth = depth
        self.slippage = slippage
        self.displayed_orders: Callable[[], Iterable[DisplayedOrder]] = tuple
        """Returns what the accounts' orders show, as the desk knows it."""
        self._feed = feed
        self._taken: dict[Decimal, Decimal] = {}
        self._time, self._touched = -1, 0
        self._seen: deque[tuple[int, Sides]] = deque(maxlen=_REMEMBERED)

    # -- what is shown

    @property
    def update_id(self) -> int:
        """The number of the present state; it grows with every price and every order."""
        self._renew()
        return max(0, self._feed.time) * 1_000 + self._touched

    def bids(self, limit: int) -> list[Level]:
        """Return what is bought, the best price first, ``limit`` levels at most."""
        return self._shown(limit, up=False)

    def asks(self, limit: int) -> list[Level]:
        """Return what is sold, the best price first, ``limit`` levels at most."""
        return self._shown(limit, up=True)

    def changes(self, since: int) -> LevelChange:
        """Return the change that leads from update ``since`` to the present.

        An update that is not remembered counts as an empty book: everything is told.
        """
        now = self.note()
        before = next((sides for number, sides in self._seen if number == since), ({}, {}))
        bids, asks = self._seen[-1][1]
        return LevelChange(since + 1, now, _changed(before[0], bids), _changed(before[1], asks))

    def note(self) -> int:
        """Remember the present for `changes`; return the number of its update."""
        now = self.update_id
        if not self._seen or self._seen[-1][0] != now:
            self._seen.append((now, (dict(self.bids(5_000)), dict(self.asks(5_000)))))
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
            merged[one.price] = merged.get(one.price, _NOTHING) + one.amount
        return sorted(merged.items(), reverse=not up)[:limit]

    # -- what stands there besides the accounts' orders

    def taker_price(self, side: str, price: Decimal) -> Decimal:
        """Return what a taker pays or gets in a deep market whose price is ``price``."""
        if not self.slippage:
            return price
        tick = self._feed.listing.tick
        sign, rounding = (1, ROUND_UP) if side == "BUY" else (-1, ROUND_DOWN)
        ticks = (price * (1 + sign * self.slippage) / tick).to_integral_value(rounding)
        return max(tick, ticks * tick)

    def levels(self, *, up: bool) -> Iterator[Level]:
        """Yield what others sell (``up``) or buy, the best price first, without what was taken."""
        feed = self._feed
        price, listing = feed.last_price, feed.listing
        if not price:
            return
        if self.depth is None:
            yield from self._drawn(price, up=up)
            return
        self._renew()
        best = self._best(self.depth, price, up=up)
        for level in self.depth.side(listing, price, best, up):
            amount = self.depth.amount(listing, level, feed.time)
            left = amount - self._taken.get(level, _NOTHING)
            if left > 0:
                yield level, left

    def _best(self, depth: Depth, price: Decimal, *, up: bool) -> Decimal:
        """Return where others begin to sell (``up``) or buy."""
        listing = self._feed.listing
        bid, ask = depth.best(listing, price)
        # Where an account's order stands in the way: what would trade with it, has.
        met = [one.price for one in self.displayed_orders() if one.buys == up]
        if up:
            return max(ask, max(met, default=_NOTHING) + listing.tick)
        return max(listing.tick, min([bid, *(one - listing.tick for one in met)]))

    def at(self, price: Decimal, *, up: bool) -> Decimal:
        """Return what others sell (``up``) or buy at a price: a new order stands behind it."""
        if self.depth is None:
            return _NOTHING
        for level, amount in self.levels(up=up):
            if level == price:
                return amount
            if level > price if up else level < price:
                break
        return _NOTHING

    def take(self, price: Decimal, amount: Decimal) -> None:
        """Note that a part of a level was traded."""
        self._renew()
        self._taken[price] = self._taken.get(price, _NOTHING) + amount

    def orders_changed(self) -> None:
        """Note that the orders of the accounts have changed."""
        self._renew()
        self._touched += 1

    def _renew(self) -> None:
        if self._time != self._feed.time:
            self._time, self._touched = self._feed.time, 0
            self._taken.clear()

    def _drawn(self, price: Decimal, *, up: bool) -> Iterator[Level]:
        listing, tick = self._feed.listing, self._feed.listing.tick
        # What a taker pays is what the best level shows, but never the price itself.
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
    return changed + [(price, _NOTHING) for price in before if price not in now]
