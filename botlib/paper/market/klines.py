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
from botlib.paper.market.trades.path import path

_STRETCH = 4 * DAY
"""Market time whose candles are made in one go, before other tasks may run."""
_ROWS = 1_000
"""Candles, or prices inside candles, that are read in one go."""


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


async def klines(
    feed: Feed, interval: KlineInterval, start: int | None, end: int | None, limit: int
) -> list[Bar]:
    """Return ``limit`` klines at most, from ``start`` on, or the newest ones up to ``end`` (ms).

    They are made in stretches, between which other tasks run: a synthetic market takes seconds to
    make years of candles, and caches them for a while.
    """
    await _prepare(feed, interval, start, end, limit)
    if interval.plain:
        return feed.candles(interval.code, start, end, limit)
    if feed.bar is None:
        return []
    last = feed.time if end is None else min(feed.time, end)
    begin = interval.open(feed.market.span(feed.listing.symbol)[0])
    if start is not None:
        first = max(interval.open(start), begin)
        return await _oldest(
            feed, interval, first if first >= start else interval.next(first), last, limit
        )
    return await _newest(feed, interval, begin, last, limit)


async def _oldest(
    feed: Feed, interval: KlineInterval, first: int, last: int, limit: int
) -> list[Bar]:
    found: list[Bar] = []
    while first <= last and len(found) < limit:
        following = max(interval.next(first), interval.open(first + _width(feed, interval)))
        part = _collected(feed, interval, first, min(last, following - 1))
        found += part
        first = following
        if not part:
            # A gap has no klines: continue at its end.
            opens = feed.market.next_open(feed.listing.symbol, following)
            first = last + 1 if opens is None else max(following, interval.open(opens))
        await asyncio.sleep(0)
    return found[:limit]


async def _newest(
    feed: Feed, interval: KlineInterval, begin: int, last: int, limit: int
) -> list[Bar]:
    found: list[Bar] = []
    reach = _width(feed, interval)
    while last >= begin and len(found) < limit:
        first = max(begin, interval.open(last - reach))
        part = _collected(feed, interval, first, last)
        found = part + found
        last = first - 1
        # A gap has no klines: look further back until there are enough.
        reach = _width(feed, interval) if part else reach * 4
        await asyncio.sleep(0)
    return found[-limit:]


def _width(feed: Feed, interval: KlineInterval) -> int:
    """Return the market time (ms) whose klines are made in one go."""
    if interval.code == TICK:
        return max(SECOND, _ROWS // feed.steps * feed.length)
    return max(interval.length, _ROWS * TIMEFRAMES[_finer(feed, interval)])


async def _prepare(
    feed: Feed, interval: KlineInterval, start: int | None, end: int | None, limit: int
) -> None:
    """Make the candles that klines are made of, with pauses in which other tasks run."""
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


def _collected(feed: Feed, interval: KlineInterval, first: int, last: int) -> list[Bar]:
    """Return the klines that open between two times (ms)."""
    if interval.code == TICK:
        return list(seconds(feed, first, last))
    finer = _finer(feed, interval)
    now = feed.forming(finer)
    if now is None:
        return []
    found: list[Bar] = []
    parts: list[Bar] = []
    until = interval.next(interval.open(last)) - 1
    for bar in _closed_then(feed, finer, first, until, now):
        if parts and interval.open(bar.timestamp) != interval.open(parts[0].timestamp):
            found += _aggregated(parts, interval)
            parts = []
        parts.append(bar)
    return found + _aggregated(parts, interval)


def _closed_then(feed: Feed, finer: str, first: int, last: int, now: Bar) -> Iterator[Bar]:
    # A kline that opened before `last` is returned as it is now: complete if it has closed.
    until = min(last, now.timestamp - 1)
    yield from rows(feed.market.bars(feed.listing.symbol, finer, first, until))
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
