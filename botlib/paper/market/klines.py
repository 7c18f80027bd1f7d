"""Klines of every interval, made from the candles of a feed.

Timeframes on their own UTC grid come from the market. A month, or a day of another time zone, is
aggregated from the longest timeframe that fits into it, a second from the prices inside a candle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from botlib.core.timeframe import DAY, SECOND, TIMEFRAMES
from botlib.paper.market.feed import Bar, Feed, rows
from botlib.paper.market.intervals import TICK, KlineInterval
from botlib.paper.market.tape import path

_STRETCH = 8 * DAY
"""Market time whose candles are made in one go, before other tasks may run."""


def offered(feed: Feed, interval: KlineInterval) -> bool:
    """Return whether klines of an interval can be made."""
    if interval.code == TICK:
        return interval.offset == 0
    return interval.code not in TIMEFRAMES or interval.code in feed.market.timeframes()


def forming(feed: Feed, interval: KlineInterval) -> Bar | None:
    """Return the kline that is not yet closed, None before the first candle."""
    if interval.plain:
        return feed.forming(interval.code)
    if interval.code == TICK:
        return next(seconds(feed, feed.time - feed.time % SECOND, feed.time), None)
    finer = _finer(feed, interval)
    now = feed.forming(finer)
    if now is None:
        return None
    start = interval.open(now.timestamp)
    earlier = rows(feed.market.bars(feed.listing.symbol, finer, start, now.timestamp - 1))
    return _joined([*earlier, now], start)


def whole(feed: Feed, interval: KlineInterval, opened: int) -> Bar | None:
    """Return a closed kline by its open time (ms), None if there is none."""
    if interval.plain:
        return feed.whole(interval.code, opened)
    last = interval.next(opened) - 1
    if interval.code == TICK:
        return next(seconds(feed, opened, last), None)
    finer = _finer(feed, interval)
    return _joined(list(rows(feed.market.bars(feed.listing.symbol, finer, opened, last))), opened)


def klines(
    feed: Feed, interval: KlineInterval, start: int | None, end: int | None, limit: int
) -> list[Bar]:
    """Return ``limit`` klines at most, from ``start`` on, or the newest ones up to ``end`` (ms)."""
    if interval.plain:
        return feed.candles(interval.code, start, end, limit)
    now = feed.base_bar()
    if now is None:
        return []
    last = feed.time if end is None else min(feed.time, end)
    begin = feed.market.span(feed.listing.symbol)[0]
    if start is not None:
        first = max(interval.open(start), interval.open(begin))
        first = first if first >= start else interval.next(first)
        return _collected(feed, interval, first, last, limit)[:limit]
    first = interval.open(last)
    # A gap leaves fewer klines than intervals: look further back until there are enough.
    reach = limit * interval.length
    while True:
        first = max(interval.open(last - reach), interval.open(begin))
        found = _collected(feed, interval, first, last, None)
        if len(found) >= limit or first <= begin:
            return found[-limit:]
        reach *= 4


async def prepare(
    feed: Feed, interval: KlineInterval, start: int | None, end: int | None, limit: int
) -> None:
    """Make the candles that `klines` will read, with pauses in which other tasks run.

    A synthetic market takes seconds to make years of candles, and caches them for a while.
    """
    last = feed.time if end is None else min(feed.time, end)
    reach = (limit + 1) * interval.length
    first = last - reach if start is None else start
    last = min(last, first + reach)
    cursor = max(first, feed.market.span(feed.listing.symbol)[0])
    finer = _finer(feed, interval)
    while last - cursor > _STRETCH:
        feed.market.bars(feed.listing.symbol, finer, cursor, cursor + _STRETCH)
        cursor += _STRETCH
        await asyncio.sleep(0)


def _collected(
    feed: Feed, interval: KlineInterval, first: int, last: int, limit: int | None
) -> list[Bar]:
    found: list[Bar] = []
    if interval.code == TICK:
        for bar in seconds(feed, first, last):
            found.append(bar)
            if limit is not None and len(found) >= limit:
                break
        return found
    finer = _finer(feed, interval)
    now = feed.forming(finer)
    if now is None:
        return []
    parts: list[Bar] = []
    for bar in _closed_then(feed, finer, first, last, now):
        if interval.open(bar.timestamp) > last:
            break
        if parts and interval.open(bar.timestamp) != interval.open(parts[0].timestamp):
            found += _aggregated(parts, interval)
            parts = []
            if limit is not None and len(found) >= limit:
                return found
        parts.append(bar)
    return found + _aggregated(parts, interval)


def _closed_then(feed: Feed, finer: str, first: int, last: int, now: Bar) -> Iterator[Bar]:
    # A kline that opened before `last` is returned as it is now: complete if it has closed.
    yield from rows(feed.market.bars(feed.listing.symbol, finer, first, now.timestamp - 1))
    if now.timestamp <= last:
        yield now


def _aggregated(parts: list[Bar], interval: KlineInterval) -> list[Bar]:
    joined = _joined(parts, interval.open(parts[0].timestamp)) if parts else None
    return [joined] if joined is not None else []


def _finer(feed: Feed, interval: KlineInterval) -> str:
    fitting = [
        name
        for name in feed.market.timeframes()
        if (length := TIMEFRAMES[name]) <= min(DAY, interval.length)
        and DAY % length == 0
        and interval.offset % length == 0
    ]
    return max(fitting, key=TIMEFRAMES.__getitem__, default=feed.base)


def _joined(bars: list[Bar], start: int) -> Bar | None:
    if not bars:
        return None
    return Bar(
        start,
        bars[0].open,
        max(bar.high for bar in bars),
        min(bar.low for bar in bars),
        bars[-1].close,
        round(sum(bar.volume for bar in bars), 8),
    )


def seconds(feed: Feed, first: int, last: int) -> Iterator[Bar]:
    """Yield the klines of one second that open between two times (ms), up to the present."""
    last = min(last, feed.time)
    first += -first % SECOND
    for bar in _around(feed, first, last):
        step = feed.length // feed.steps
        prices = path(bar, feed.steps)
        begin = max(first, bar.timestamp)
        until = min(last, bar.timestamp + feed.length - 1)
        for second in range(begin, until + 1, SECOND):
            number = min((second - bar.timestamp) // step, feed.steps - 1)
            price = prices[number].price
            fresh = second - bar.timestamp - number * step < SECOND
            volume = prices[number].amount if fresh else 0.0
            yield Bar(second, price, price, price, price, volume)


def _around(feed: Feed, first: int, last: int) -> Iterable[Bar]:
    # The candle that contains `first` may have opened before it.
    begin = first - first % feed.length
    return feed.bars_between(begin, last)
