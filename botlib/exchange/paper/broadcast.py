"""What the market tells its listeners: stream names, and the payloads sent at each price."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

from botlib.errors import UnknownSymbol
from botlib.exchange.paper import quotes
from botlib.exchange.paper.faults import Faults
from botlib.exchange.paper.feed import Feed
from botlib.exchange.paper.lockstep import Closed
from botlib.exchange.paper.streams import MarketStreams

ALL_TICKERS: Final = "!miniTicker@arr"
_KLINE: Final = "kline_"
_SIMPLE: Final = frozenset({"trade", "aggTrade", "miniTicker", "ticker", "bookTicker"})
_DEPTH: Final = re.compile(r"depth(5|10|20|)(@100ms|@1000ms)?")


class Broadcast:
    """Knows which streams of which feeds are listened to, and publishes them.

    Args:
        feed: returns the feed of a symbol's id, at the present.
        changed: called with a feed whose listeners changed.
        timeframes: what candles are offered.
        slippage: how far the book's best prices lie from the price.
        faults: what to damage on the way.
    """

    def __init__(
        self,
        feed: Callable[[str], Feed],
        changed: Callable[[Feed], None],
        timeframes: Sequence[str],
        slippage: Decimal,
        faults: Faults,
    ) -> None:
        self._feed = feed
        self._changed = changed
        self._timeframes = frozenset(timeframes)
        self._slippage = slippage
        self._depths: dict[str, quotes.DepthDiff] = {}
        self.streams = MarketStreams(
            faults, opened=self._opened, left=self._left, snapshot=self._snapshot
        )

    def kline(self, stream: str) -> tuple[Feed, str] | None:
        """Return the feed and timeframe of a kline stream, None where it is none."""
        parsed = self._parse(stream)
        if parsed is None or not parsed[1].startswith(_KLINE):
            return None
        return parsed[0], parsed[1].removeprefix(_KLINE)

    def heard_timeframes(self, feed: Feed) -> set[str]:
        """Return the timeframes whose klines somebody listens to."""
        return {kind.removeprefix(_KLINE) for kind in feed.outputs if kind.startswith(_KLINE)}

    async def close(self, closed: Sequence[tuple[Feed, Closed]]) -> None:
        """Send the closing frames, in the order given."""
        for feed, candle in closed:
            if candle.stream not in self.streams:
                continue
            bar = feed.whole(candle.timeframe, candle.timestamp)
            if bar is not None:
                frame = quotes.kline_frame(feed, candle.timeframe, bar, closed=True)
                self.streams.publish_kline(candle.stream, frame, closing=True)
        await self.streams.flush()

    async def publish(self, feeds: Sequence[Feed], everything: Sequence[str]) -> None:
        """Send what changed with the price of each feed.

        Args:
            everything: ids of all symbols, for the stream of all tickers.
        """
        for feed in feeds:
            for kind, stream in tuple(feed.outputs.items()):
                if kind.startswith(_KLINE):
                    timeframe = kind.removeprefix(_KLINE)
                    bar = feed.forming(timeframe)
                    if bar is not None:
                        frame = quotes.kline_frame(feed, timeframe, bar, closed=False)
                        self.streams.publish_kline(stream, frame, closing=False)
                elif (payload := self._payload(feed, kind, stream)) is not None:
                    self.streams.publish(stream, payload)
        if ALL_TICKERS in self.streams:
            trading = [feed for feed in map(self._feed, everything) if feed.trading]
            self.streams.publish(ALL_TICKERS, [quotes.mini_ticker(one) for one in trading])
        await self.streams.flush()

    async def late(self, closed: Sequence[tuple[Feed, Closed]]) -> None:
        """Send frames of candles that have closed, where such a fault is ordered."""
        for _, candle in closed:
            self.streams.publish_late(candle.stream)
        await self.streams.flush()

    def _payload(self, feed: Feed, kind: str, stream: str) -> object | None:
        match kind:
            case "trade" | "aggTrade":
                return quotes.trade_frame(feed, kind) if feed.traded > 0 else None
            case "miniTicker":
                return quotes.mini_ticker(feed)
            case "ticker":
                return quotes.ticker(feed, self._slippage)
            case "bookTicker":
                return quotes.book_ticker_frame(feed, self._slippage)
        levels = _DEPTH.fullmatch(kind)
        if levels is None or not levels[1]:
            diff = self._depths.setdefault(stream, quotes.DepthDiff())
            return diff.frame(feed)
        return quotes.depth(feed, int(levels[1]))

    def _parse(self, stream: str) -> tuple[Feed, str] | None:
        # Like Binance, an unknown stream is accepted and stays silent; names are lower case.
        name, _, kind = stream.partition("@")
        if not name or name != name.lower():
            return None
        if kind.startswith(_KLINE):
            known = kind.removeprefix(_KLINE) in self._timeframes
        else:
            known = kind in _SIMPLE or _DEPTH.fullmatch(kind) is not None
        try:
            return (self._feed(name.upper()), kind) if known else None
        except UnknownSymbol:
            return None

    def _opened(self, stream: str) -> None:
        parsed = self._parse(stream)
        if parsed is not None:
            parsed[0].outputs[parsed[1]] = stream
            self._changed(parsed[0])

    def _left(self, stream: str) -> None:
        self._depths.pop(stream, None)
        parsed = self._parse(stream)
        if parsed is not None:
            parsed[0].outputs.pop(parsed[1], None)
            self._changed(parsed[0])

    def _snapshot(self, stream: str) -> object | None:
        found = self.kline(stream)
        if found is None or not found[0].trading:
            return None
        feed, timeframe = found
        bar = feed.forming(timeframe)
        return None if bar is None else quotes.kline_frame(feed, timeframe, bar, closed=False)
