"""The public trades of a symbol, of which its candles consist.

Every price on a candle's path has a fixed number of trades, called prints. So the id of a trade
follows from the time of its step, and no trade has to be counted.

In a market with a depth the trades of the accounts are inserted, and the ids of all later trades
change: `StepTrades` has their order within a step. The candles that the exchange shows contain
both; those of the market consist of the prints alone.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from botlib.paper.market.intervals import KlineInterval
from botlib.paper.market.trades.path import PRINTS, TapeStep, path
from botlib.paper.market.trades.steps import AccountTrade, PublicTrade, StepTrades
from botlib.paper.market.trades.volumes import AccountVolume, AccountVolumes

if TYPE_CHECKING:
    from botlib.paper.market.feed import Bar, Feed

_PRICES: Final = 1_000
"""Prices whose trades are made in one go, before other tasks may run."""

_CANDLES: Final = 16_384
"""Base candles whose takers are remembered."""
EXACT: Final = 15
"""Base candles of the longest candle that is added up from the trades, if need be."""

_NO_PRINTS: Final = (0.0,) * PRINTS


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
        self._records: list[StepTrades] = []
        self._steps: list[int] = []
        self._own: list[PublicTrade] = []
        self._volumes = AccountVolumes()
        self._published = 0
        self._unpublished: list[PublicTrade] = []
        self._bought: dict[int, float] = {}
        self._path: tuple[int, list[TapeStep]] = (-1, [])

    # -- numbers

    def time_of(self, trade: int) -> int:
        """Return the time (ms) of the step of a trade, by its id."""
        index = bisect_right(self._records, trade, key=lambda one: one.number) - 1
        if index < 0:
            return trade // PRINTS * self.interval
        record = self._records[index]
        if trade < record.number + record.count:
            return record.step * self.interval
        return (trade - record.change) // PRINTS * self.interval

    def time_of_aggregate(self, aggregate: int) -> int:
        """Return the time (ms) of the step of an aggregate trade, by its id."""
        index = bisect_right(self._records, aggregate, key=lambda one: one.aggregate) - 1
        if index < 0:
            return aggregate * self.interval
        record = self._records[index]
        if aggregate < record.aggregate + record.aggregates:
            return record.step * self.interval
        return (aggregate - record.aggregates_change) * self.interval

    def ids(self, start: int, end: int) -> tuple[int, int]:
        """Return the first and the last possible id of a trade between two times (ms)."""
        first, last = start // self.interval, end // self.interval + 1
        return (
            first * PRINTS + self._changes_before(first)[0],
            last * PRINTS - 1 + self._changes_before(last)[0],
        )

    def _changes_before(self, step: int) -> tuple[int, int]:
        """Return by how much the accounts have changed the numbers of trades and aggregates."""
        index = bisect_left(self._steps, step) - 1
        if index < 0:
            return 0, 0
        return self._records[index].change, self._records[index].aggregates_change

    # -- the accounts' trades

    def at(self, time: int) -> StepTrades:
        """Return the trades at the step of a time (ms), a copy to try further ones on."""
        return self._record(time // self.interval).copy()

    def _record(self, step: int) -> StepTrades:
        """Return the trades at a step, with none of an account if there was none yet."""
        known = self._known(step)
        if known is not None:
            return known
        made, falling = self._made(step)
        return StepTrades(step, made, falling, *self._changes_before(step))

    def _known(self, step: int) -> StepTrades | None:
        index = bisect_left(self._steps, step)
        if index < len(self._steps) and self._steps[index] == step:
            return self._records[index]
        return None

    def _made(self, step: int) -> tuple[TapeStep, bool]:
        """Return the price and the prints of a step, and whether their takers were sellers."""
        feed, time = self._feed, step * self.interval
        opened = time - time % feed.length
        steps, number = self._path_of(opened), (time - opened) // self.interval
        if number >= len(steps):
            return TapeStep(feed.price, _NO_PRINTS), False
        return steps[number], number > 0 and steps[number].price < steps[number - 1].price

    def _path_of(self, opened: int) -> list[TapeStep]:
        """Return the path of the base candle that opened at a time (ms), empty if there is none."""
        feed = self._feed
        if feed.bar is not None and feed.bar.timestamp == opened:
            return feed.path
        if self._path[0] != opened:
            bar = next(feed.bars_between(opened, opened), None)
            self._path = (opened, [] if bar is None else path(bar, feed.steps))
        return self._path[1]

    def add(self, trade: AccountTrade) -> None:
        """Add a trade of an account, not earlier than those that were added before."""
        record = self.at(trade.time)
        self.adopt(record, [record.add(trade)])

    def adopt(self, record: StepTrades, added: Sequence[PublicTrade]) -> None:
        """Adopt the trades at a step that `at` returned, with the last ones of them added."""
        if self._steps and self._steps[-1] == record.step:
            self._records[-1] = record
        else:
            self._records.append(record)
            self._steps.append(record.step)
        self._own += added
        opened = record.step * self.interval
        opened -= opened % self._feed.length
        volume = self._volumes.of(opened)
        for trade in added:
            volume.trade(trade)
        if record.after:
            self._unpublished += (one for one in added if one.id >= record.after[0].id)
        replaced = round(record.replaced - record.counted, 8)
        if replaced:
            volume.add(record.made.price, -replaced, bought=not record.falling)
            record.counted = record.replaced
        if record.emptied:
            self._volumes.empty(opened)

    def unpublished(self) -> list[PublicTrade]:
        """Return the trades in which an account was the taker, since the last call."""
        found, self._unpublished = self._unpublished, []
        return found

    def own(self, start: int, end: int) -> AccountVolume | None:
        """Return what the accounts change in the base candles that open between two times (ms).

        Returns:
            None for nothing.
        """
        return self._volumes.between(start, end) if self._own else None

    def added_up(self, start: int, end: int) -> list[PublicTrade]:
        """Return all trades of a candle if it does not follow from the market's, else none.

        It does not if accounts have replaced all prints of a step, so that a price of the market
        was not traded, or if a candle shorter than a base candle has trades of accounts.

        Args:
            start: first time of the candle, ms.
            end: last time of the candle, ms.
        """
        length = self._feed.length
        if not self._own or end - start + 1 > EXACT * length:
            return []
        own = self._own_between(start, end)
        if not (own if end - start + 1 < length else self._volumes.emptied(start, end)):
            return []
        last = min(end, self._feed.time)
        bars = self._feed.bars_between(start - start % length, last)
        prints = (one for bar in bars for one in self._of(bar) if start <= one.timestamp <= last)
        return sorted([*own, *prints])

    def _own_between(self, start: int, end: int) -> list[PublicTrade]:
        first = bisect_left(self._own, start, key=lambda one: one.timestamp)
        last = bisect_left(self._own, end + 1, key=lambda one: one.timestamp)
        return self._own[first:last]

    def open_of(self, start: int, price: float) -> float:
        """Return the price of the first trade of a candle.

        Args:
            start: its open time, ms.
            price: open of the market's candle.
        """
        known = self._known(start // self.interval)
        return known.first[0].price if known is not None and known.first else price

    def close_of(self, end: int, price: float) -> float:
        """Return the price of the last trade up to a time (ms), the end of a candle.

        Args:
            end: the time, or any later one for the present.
            price: close of the market's candle.
        """
        last = min(self._feed.step_time, end) // self.interval
        index = bisect_right(self._steps, end // self.interval) - 1
        if index < 0 or self._steps[index] < last:
            return price
        return self._records[index].last_price

    def last_price(self) -> float:
        """Return the price of the last trade, of the market or of an account."""
        feed = self._feed
        if self._records and self._records[-1].step * self.interval >= feed.step_time:
            return self._records[-1].last_price
        return feed.price

    # -- the takers of the candles

    def remember_bought(self, timestamp: int, amount: float) -> None:
        """Store the amount that takers bought in a base candle, by its open time (ms)."""
        if len(self._bought) >= _CANDLES:
            self._bought.pop(next(iter(self._bought)))
        self._bought[timestamp] = amount

    def bought(self, bar: Bar, end: int) -> float:
        """Return the amount of a candle that takers have bought.

        It is that of the trades, except for candles that are longer than `EXACT` base candles,
        whose trades take too long to add up: there it follows from the prices.

        Args:
            bar: the candle, without the accounts' trades.
            end: last time of the candle, ms.
        """
        feed, length = self._feed, self._feed.length
        if end - bar.timestamp + 1 < length:
            falling = self._made(bar.timestamp // self.interval)[1]
            return 0.0 if falling else bar.volume
        if end - bar.timestamp + 1 > EXACT * length:
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
        if not feed.length <= kind.length <= EXACT * feed.length:
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

    # -- all trades

    def present(self) -> list[PublicTrade]:
        """Return the trades of the market's takers at the present price, none if there are none."""
        feed = self._feed
        if feed.bar is None:
            return []
        record = self._record(feed.step_time // self.interval)
        return [*record.first, *record.prints(self.interval)]

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
        if self._own:
            # Their times lie between the steps of the market.
            found += self._own_between(start, latest)
            found.sort()
        return found[-limit:] if newest else found[:limit]

    async def aggregates(
        self, start: int, end: int, limit: int, *, newest: bool
    ) -> list[AggregateTrade]:
        """Return aggregate trades between two times (ms, both included), the oldest first."""
        found = aggregated(await self.trades(start, end, limit * PRINTS, newest=newest))
        return found[-limit:] if newest else found[:limit]

    def _of(self, bar: Bar) -> Iterator[PublicTrade]:
        """Yield the prints of a base candle."""
        first, before = bar.timestamp // self.interval, bar.open
        own = bisect_left(self._steps, first) < len(self._steps)
        changes = self._changes_before(first)
        for step, made in enumerate(path(bar, self._feed.steps), first):
            record = StepTrades(step, made, made.price < before, *changes)
            if own and (known := self._known(step)) is not None:
                record = known
                changes = (record.change, record.aggregates_change)
            yield from record.prints(self.interval)
            before = made.price


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
