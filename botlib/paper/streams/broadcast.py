"""The broadcast of the market: the names of its streams, and their payloads at each price."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from botlib.core.errors import UnknownSymbol
from botlib.core.timeframe import HOUR, SECOND
from botlib.paper.faults import Faults
from botlib.paper.market import klines, quotes, tickers
from botlib.paper.market.feed import Feed
from botlib.paper.market.intervals import TICK, KlineInterval, interval
from botlib.paper.market.quotes import Json
from botlib.paper.protocol.closings import ClosedCandle
from botlib.paper.streams.market_streams import MarketStreams

# Clients also subscribe to its older names, which contain the interval of the updates.
ALL_MINI: Final = tuple(f"!miniTicker@arr{every}" for every in ("", "@1000ms", "@3000ms"))
ALL_WINDOWS: Final = {f"!ticker_{size}@arr": size for size in tickers.WINDOWS}
_ALL_TICKERS: Final = (*ALL_MINI, *ALL_WINDOWS)
_KLINE: Final = "kline_"
_WINDOW: Final = "ticker_"
_DEPTH: Final = re.compile(r"depth(5|10|20|)(@100ms|@1000ms)?")

_WORK: Final = 200
"""Frames that are made in one go, before other tasks may run."""
_NEW_FEED: Final = 20
"""Work of a symbol whose candles have to be made first, in frames."""

_TRADES: Final = {"trade": quotes.trade_frames, "aggTrade": quotes.aggregate_frames}
_SIMPLE: Final[dict[str, Callable[[Feed], list[Json]]]] = {
    "trade": lambda feed: quotes.trade_frames(feed, feed.tape.present()),
    "aggTrade": lambda feed: quotes.aggregate_frames(feed, feed.tape.present()),
    "miniTicker": lambda feed: [tickers.mini_frame(feed)],
    "ticker": lambda feed: [tickers.day_frame(feed)],
    "bookTicker": lambda feed: [quotes.book_ticker_frame(feed)],
    "avgPrice": lambda feed: [tickers.average_frame(feed)],
}


def _reads_book(kind: str) -> bool:
    return kind == "bookTicker" or _DEPTH.fullmatch(kind) is not None


def _shows(kind: str, traded: bool) -> bool:
    """Return whether a kind of stream shows a change of the accounts' orders, and trades."""
    if _reads_book(kind):
        return True
    candles = kind.startswith((_KLINE, _WINDOW)) or kind in ("ticker", "miniTicker")
    return traded and candles


def _sends_changes(kind: str) -> bool:
    levels = _DEPTH.fullmatch(kind)
    return levels is not None and not levels[1]


class Broadcast:
    """The publisher of all market streams that have subscribers.

    Args:
        feed: returns the feed of a symbol's id at the present.
        changed: called with a feed whose subscribers have changed.
        faults: the faults that change frames.
    """

    def __init__(
        self, feed: Callable[[str], Feed], changed: Callable[[Feed], None], faults: Faults
    ) -> None:
        self._feed = feed
        self._changed = changed
        self._depths: dict[str, quotes.DepthDiff] = {}
        self._seconds_sent: dict[str, int] = {}
        self._sending = asyncio.Lock()
        self._work = 0
        self.streams = MarketStreams(
            faults,
            prepare=self._prepare,
            opened=self._opened,
            left=self._left,
            snapshot=self._snapshot,
        )

    def kline(self, stream: str) -> tuple[Feed, KlineInterval] | None:
        """Return the feed and the interval of a kline stream, None if it is not one."""
        parsed = self._parse(stream)
        if parsed is None or not parsed[1].startswith(_KLINE):
            return None
        found = interval(parsed[1].removeprefix(_KLINE))
        return (parsed[0], found) if found is not None else None

    def subscribed_intervals(self, feed: Feed) -> set[str]:
        """Return the names of the intervals whose kline streams have subscribers."""
        names = (kind.removeprefix(_KLINE) for kind in feed.outputs if kind.startswith(_KLINE))
        return {name for name in names if name != TICK}

    # -- publishing

    async def close(self, closed: Sequence[tuple[Feed, ClosedCandle]]) -> None:
        """Send the closing frames of candles, in the given order."""
        async with self._sending:
            for feed, candle in closed:
                if candle.stream not in self.streams:
                    continue
                kind = interval(candle.timeframe)
                bar = klines.whole(feed, kind, candle.timestamp) if kind is not None else None
                if kind is not None and bar is not None:
                    frame = quotes.kline_frame(feed, kind, bar, closed=True)
                    self.streams.publish_kline(candle.stream, frame, closing=True)
                await self._pause(1)
        await self.streams.flush(now=False)

    async def publish(
        self, feeds: Sequence[Feed], all_symbols: Callable[[], Iterable[str]]
    ) -> None:
        """Send the updates of each feed after a new price.

        Args:
            feeds: the feeds that trade.
            all_symbols: returns the ids of all symbols, for the streams of all tickers.
        """
        async with self._sending:
            for feed in feeds:
                await self._publish(feed, tuple(feed.outputs))
            await self._publish_all_tickers(all_symbols)
        await self.streams.flush(now=False)

    async def account_trades(self, feed: Feed) -> bool:
        """Send the accounts' trades that were not sent yet, and return whether there are any."""
        account_trades = feed.tape.unpublished()
        if not account_trades:
            return False
        async with self._sending:
            for kind, frames in _TRADES.items():
                for first in range(0, len(account_trades), _WORK):
                    part = account_trades[first : first + _WORK]
                    if (stream := feed.outputs.get(kind)) is not None:
                        for payload in frames(feed, part):
                            self.streams.publish(stream, payload)
                        await self._pause(len(part))
        await self.streams.flush(now=False)
        return True

    async def orders_changed(self, feed: Feed, *, traded: bool) -> None:
        """Send the book of a feed after orders of the accounts have changed it.

        Args:
            feed: the feed.
            traded: whether there are new trades of the accounts, which candles and tickers show.
        """
        if not feed.trading:
            return
        async with self._sending:
            await self._publish(feed, [kind for kind in feed.outputs if _shows(kind, traded)])
        await self.streams.flush(now=False)

    async def _publish(self, feed: Feed, kinds: Iterable[str]) -> None:
        for kind in kinds:
            stream = feed.outputs.get(kind)
            if stream is None:
                # Its last subscriber has left meanwhile.
                continue
            if kind.startswith(_KLINE):
                self._publish_kline(feed, kind.removeprefix(_KLINE), stream)
            else:
                for payload in self._payloads(feed, kind, stream):
                    self.streams.publish(stream, payload)
            depth = feed.book.depth if _reads_book(kind) else None
            await self._pause(1 if depth is None else 1 + depth.levels // 10)

    async def _pause(self, work: int) -> None:
        """Yield to other tasks, if many frames were made since they last could run."""
        self._work += work
        if self._work >= _WORK:
            self._work = 0
            await asyncio.sleep(0)

    def _publish_kline(self, feed: Feed, name: str, stream: str) -> None:
        kind = interval(name)
        if kind is None:
            return
        if kind.code == TICK:
            self._close_seconds(feed, kind, stream)
        bar = klines.forming(feed, kind)
        if bar is not None:
            frame = quotes.kline_frame(feed, kind, bar, closed=False)
            self.streams.publish_kline(stream, frame, closing=False)

    def _close_seconds(self, feed: Feed, kind: KlineInterval, stream: str) -> None:
        """Send the closing frames of the seconds since the last price."""
        now = kind.open(feed.time)
        first = max(self._seconds_sent[stream], now - HOUR)
        for bar in klines.seconds(feed, first, now - SECOND):
            frame = quotes.kline_frame(feed, kind, bar, closed=True)
            self.streams.publish_kline(stream, frame, closing=True)
        self._seconds_sent[stream] = now

    async def _publish_all_tickers(self, all_symbols: Callable[[], Iterable[str]]) -> None:
        wanted = [name for name in _ALL_TICKERS if name in self.streams]
        if not wanted:
            return
        trading = []
        for symbol in all_symbols():
            feed = self._feed(symbol)
            if feed.trading:
                trading.append(feed)
            await self._pause(_NEW_FEED)
        for name in wanted:
            size = ALL_WINDOWS.get(name)
            payload = []
            for feed in trading:
                payload.append(
                    tickers.mini_frame(feed) if size is None else tickers.window_frame(feed, size)
                )
                await self._pause(2)
            self.streams.publish(name, payload)

    async def late(self, closed: Sequence[tuple[Feed, ClosedCandle]]) -> None:
        """Send frames of candles that have closed already, if such a fault is ordered."""
        for _, candle in closed:
            self.streams.publish_late(candle.stream)
        await self.streams.flush(now=False)

    def _payloads(self, feed: Feed, kind: str, stream: str) -> list[Json]:
        simple = _SIMPLE.get(kind)
        if simple is not None:
            return simple(feed)
        if kind.startswith(_WINDOW):
            return [tickers.window_frame(feed, kind.removeprefix(_WINDOW))]
        levels = _DEPTH.fullmatch(kind)
        if levels is not None and levels[1]:
            return [quotes.depth(feed, int(levels[1]))]
        return self._depths[stream].frames(feed)

    # -- stream names

    def _parse(self, stream: str) -> tuple[Feed, str] | None:
        # As on Binance, an unknown stream is accepted and sends nothing; names are lower case.
        name, _, kind = stream.partition("@")
        if not name or name != name.lower() or not self._known(kind):
            return None
        try:
            feed = self._feed(name.upper())
        except UnknownSymbol:
            return None
        if kind.startswith(_KLINE):
            found = interval(kind.removeprefix(_KLINE))
            if found is None or not klines.offered(feed, found):
                return None
        return feed, kind

    @staticmethod
    def _known(kind: str) -> bool:
        if kind.startswith(_KLINE):
            return interval(kind.removeprefix(_KLINE)) is not None
        if kind.startswith(_WINDOW):
            return kind.removeprefix(_WINDOW) in tickers.WINDOWS
        return kind in _SIMPLE or _DEPTH.fullmatch(kind) is not None

    def _prepare(self, stream: str) -> None:
        """Make the candles of a symbol, and the book from which changes are sent."""
        parsed = self._parse(stream)
        if parsed is not None and _sends_changes(parsed[1]):
            parsed[0].book.note()

    def _opened(self, stream: str) -> None:
        parsed = self._parse(stream)
        if parsed is not None:
            parsed[0].outputs[parsed[1]] = stream
            if _sends_changes(parsed[1]):
                self._depths[stream] = quotes.DepthDiff(parsed[0])
            self._seconds_sent[stream] = parsed[0].time - parsed[0].time % SECOND
            self._changed(parsed[0])

    def _left(self, stream: str) -> None:
        self._depths.pop(stream, None)
        self._seconds_sent.pop(stream, None)
        parsed = self._parse(stream)
        if parsed is not None:
            parsed[0].outputs.pop(parsed[1], None)
            self._changed(parsed[0])

    def _snapshot(self, stream: str) -> object | None:
        found = self.kline(stream)
        if found is None or not found[0].trading:
            return None
        feed, kind = found
        bar = klines.forming(feed, kind)
        return None if bar is None else quotes.kline_frame(feed, kind, bar, closed=False)
