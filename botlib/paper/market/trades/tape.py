"""The public trades of a symbol, of which its candles consist.

Every price on a candle's path has a fixed number of trades, called prints. So the id of a trade
follows from the time of its step, and no trade has to be counted.

In a market with a depth the trades of the accounts are inserted after the prints of their step, and
the ids of all later trades increase. The candles that the exchange shows contain both; those of the
market consist of the prints alone.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from botlib.paper.market.intervals import KlineInterval
from botlib.paper.market.trades.path import PRINTS, TapeStep, path

if TYPE_CHECKING:
    from botlib.paper.market.feed import Bar, Feed

_PRICES: Final = 1_000
"""Prices whose trades are made in one go, before other tasks may run."""

_CANDLES: Final = 16_384
"""Base candles whose takers are remembered."""
_EXACT: Final = 15
"""Base candles of the longest candle whose takers are added up from the trades."""


class PublicTrade(NamedTuple):
    """A public trade of the market."""

    id: int
    timestamp: int
    price: float
    amount: float
    seller_taker: bool
    aggregate: int
    """The id of its aggregate trade."""


class AccountTrade(NamedTuple):
    """A trade of an account: market time (ms), price, amount, and whether the seller was taker."""

    time: int
    price: float
    amount: float
    seller_taker: bool


class AggregateTrade(NamedTuple):
    """The trades of one taker at one price; ``first`` and ``last`` are ids of `PublicTrade`."""

    id: int
    timestamp: int
    price: float
    amount: float
    first: int
    last: int
    seller_taker: bool


class Tape:
    """The public trades of one feed up to the present."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.interval = feed.length // feed.steps
        """Market time between two steps, ms."""
        self._account_trades: list[PublicTrade] = []
        self._steps: list[int] = []
        self._published = 0
        self._bought: dict[int, float] = {}
        self._path: tuple[int, list[TapeStep]] = (-1, [])

    def time_of(self, trade: int) -> int:
        """Return the time (ms) of the step of a trade, by its id."""
        before = bisect_left(
            self._account_trades, trade, key=lambda account_trade: account_trade.id
        )
        if before < len(self._account_trades) and self._account_trades[before].id == trade:
            return self._steps[before] * self.interval
        return (trade - before) // PRINTS * self.interval

    def time_of_aggregate(self, aggregate: int) -> int:
        """Return the time (ms) of the step of an aggregate trade, by its id."""
        before = bisect_left(
            self._account_trades, aggregate, key=lambda account_trade: account_trade.aggregate
        )
        if (
            before < len(self._account_trades)
            and self._account_trades[before].aggregate == aggregate
        ):
            return self._steps[before] * self.interval
        return (aggregate - before) * self.interval

    def ids(self, start: int, end: int) -> tuple[int, int]:
        """Return the first and the last possible id of a trade between two times (ms)."""
        first, last = start // self.interval, end // self.interval
        before = self._account_trades_before(first), self._account_trades_before(last + 1)
        return first * PRINTS + before[0], (last + 1) * PRINTS - 1 + before[1]

    def _account_trades_before(self, step: int) -> int:
        return bisect_left(self._steps, step) if self._steps else 0

    # -- the accounts' trades

    def next_id(self, time: int, further: int = 0) -> int:
        """Return the id of an account's next trade at a time (ms), or of one ``further`` on."""
        return (time // self.interval + 1) * PRINTS + len(self._account_trades) + further

    def add(self, account_trade: AccountTrade) -> None:
        """Add a trade of an account, not earlier than those that were added before."""
        step, count = account_trade.time // self.interval, len(self._account_trades)
        number = (step + 1) * PRINTS + count
        self._account_trades.append(PublicTrade(number, *account_trade, step + 1 + count))
        self._steps.append(step)

    def unpublished(self) -> list[PublicTrade]:
        """Return the accounts' trades that were added since the last call."""
        published, self._published = self._published, len(self._account_trades)
        return self._account_trades[published:]

    def account_trades(self, start: int, end: int) -> list[PublicTrade]:
        """Return the accounts' trades between two times (ms, both included)."""
        if not self._account_trades:
            return []
        first = bisect_left(self._account_trades, start, key=lambda one: one.timestamp)
        last = bisect_left(self._account_trades, end + 1, key=lambda one: one.timestamp)
        return self._account_trades[first:last]

    # -- the takers of the candles

    def remember_bought(self, timestamp: int, amount: float) -> None:
        """Store the amount that takers bought in a base candle, by its open time (ms)."""
        if len(self._bought) >= _CANDLES:
            self._bought.pop(next(iter(self._bought)))
        self._bought[timestamp] = amount

    def bought(self, bar: Bar, end: int) -> float:
        """Return the amount of a candle that takers have bought.

        It is that of the trades, except for candles that are longer than `_EXACT` base candles,
        whose trades take too long to add up: there it follows from the prices.

        Args:
            bar: the candle, without the accounts' trades.
            end: last time of the candle, ms.
        """
        feed, length = self._feed, self._feed.length
        if end - bar.timestamp + 1 < length:
            return 0.0 if self._falls(bar.timestamp) else bar.volume
        if end - bar.timestamp + 1 > _EXACT * length:
            return _estimated(bar)
        found = 0.0
        for base in self._feed.bars_between(bar.timestamp, min(end, feed.time)):
            if feed.bar is not None and base.timestamp == feed.bar.timestamp:
                found += feed.bought
            elif (known := self._bought.get(base.timestamp)) is not None:
                found += known
            else:
                found += self._made_bought(base)
        return min(bar.volume, round(found, 8))

    async def prepare_bought(self, kind: KlineInterval, first: int, last: int) -> None:
        """Make what `bought` needs for candles that open between two times (ms)."""
        feed, start, end = self._feed, first, kind.next(last) - 1
        if not feed.length <= kind.length <= _EXACT * feed.length:
            return
        for number, bar in enumerate(feed.bars_between(start, end)):
            if bar.timestamp not in self._bought and bar != feed.bar:
                self._made_bought(bar)
                if number % 20 == 0:
                    # Other tasks run meanwhile.
                    await asyncio.sleep(0)

    def _made_bought(self, bar: Bar) -> float:
        found, before = 0.0, bar.open
        for step in path(bar, self._feed.steps):
            found += 0.0 if step.price < before else step.amount
            before = step.price
        self.remember_bought(bar.timestamp, found)
        return found

    def _falls(self, time: int) -> bool:
        """Return whether the trades at a time (ms) were sales of takers."""
        feed = self._feed
        opened = time - time % feed.length
        if self._path[0] != opened:
            bar = next(feed.bars_between(opened, opened), None)
            self._path = (opened, [] if bar is None else path(bar, feed.steps))
        number = min((time - opened) // self.interval, feed.steps - 1)
        steps = self._path[1]
        return bool(number and steps) and steps[number].price < steps[number - 1].price

    # -- all trades

    def present(self) -> list[PublicTrade]:
        """Return the prints at the present price, none if nothing is traded."""
        feed = self._feed
        if feed.bar is None:
            return []
        return list(self._prints(feed.present_step, feed.step_time, feed.falling))

    async def trades(self, start: int, end: int, limit: int, *, newest: bool) -> list[PublicTrade]:
        """Return trades between two times (ms, both included), the oldest first.

        Args:
            start: first time, ms.
            end: last time, ms.
            limit: largest number of trades.
            newest: whether to return the newest of them, not the oldest.
        """
        feed, latest = self._feed, end
        end = min(end, feed.time)
        if newest:
            start = max(start, end - (limit // PRINTS + 2 * feed.steps) * self.interval)
        cursor = max(start, feed.market.span(feed.listing.symbol)[0]) - feed.length
        found: list[PublicTrade] = []
        stretch = max(1, _PRICES // feed.steps) * feed.length
        while cursor <= end and (newest or len(found) < limit):
            stop = min(end, cursor + stretch - 1)
            bars = list(feed.bars_between(cursor, stop))
            for bar in bars:
                found += (one for one in self._of(bar) if start <= one.timestamp <= end)
            cursor = stop + 1
            if not bars:
                opens = feed.market.next_open(feed.listing.symbol, cursor)
                cursor = end + 1 if opens is None else max(cursor, opens)
            # Other tasks run between two stretches.
            await asyncio.sleep(0)
        if self._account_trades:
            account_trades = self._account_trades[
                self._account_trades_before(start // self.interval) :
            ]
            # Their times lie between the steps of the market.
            found += (one for one in account_trades if start <= one.timestamp <= latest)
            found.sort()
        return found[-limit:] if newest else found[:limit]

    async def aggregates(
        self, start: int, end: int, limit: int, *, newest: bool
    ) -> list[AggregateTrade]:
        """Return aggregate trades between two times (ms, both included), the oldest first."""
        found = aggregated(await self.trades(start, end, limit * PRINTS, newest=newest))
        return found[-limit:] if newest else found[:limit]

    def _of(self, bar: Bar) -> Iterator[PublicTrade]:
        before = bar.open
        for number, step in enumerate(path(bar, self._feed.steps)):
            time = bar.timestamp + number * self.interval
            yield from self._prints(step, time, step.price < before)
            before = step.price

    def _prints(self, step: TapeStep, time: int, falling: bool) -> Iterator[PublicTrade]:
        place = time // self.interval
        before = self._account_trades_before(place)
        for number, amount in enumerate(step.prints, place * PRINTS + before):
            if amount > 0:
                yield PublicTrade(number, time, step.price, amount, falling, place + before)


def _estimated(bar: Bar) -> float:
    spread = bar.high - bar.low
    share = 0.5 + 0.2 * (bar.close - bar.open) / spread if spread else 0.5
    return round(share * bar.volume, 8)


def aggregated(trades: list[PublicTrade]) -> list[AggregateTrade]:
    """Return the aggregate trades of trades that are in order."""
    joined: list[AggregateTrade] = []
    for trade in trades:
        number = trade.aggregate
        if joined and joined[-1].id == number:
            last = joined[-1]
            joined[-1] = last._replace(amount=round(last.amount + trade.amount, 8), last=trade.id)
        else:
            id_, timestamp, price, amount, side, _ = trade
            joined.append(AggregateTrade(number, timestamp, price, amount, id_, id_, side))
    return joined
