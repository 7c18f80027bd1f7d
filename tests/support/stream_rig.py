"""A candle stream on a paper exchange, with everything that its tests need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from botlib.core.bus import EventBus
from botlib.core.model import Candle, CandleClosed, Event, GapFilled
from botlib.market_data import CandleStream
from botlib.paper import PaperControl
from botlib.store.candles import CandleStorage
from botlib.venues.binance.venue import BinanceExchange

MINUTE = 60_000


@dataclass
class Rig:
    """The parts of a test of the candle stream."""

    control: PaperControl
    exchange: BinanceExchange
    storage: CandleStorage
    bus: EventBus
    stream: CandleStream
    events: list[Event] = field(default_factory=list)
    progress: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def closed(self, symbol: str = "BTC/USDT", timeframe: str = "1m") -> list[CandleClosed]:
        """Return the published candles of one subscription, in order."""
        return [
            event
            for event in self.events
            if isinstance(event, CandleClosed)
            and (event.candle.symbol, event.candle.timeframe) == (symbol, timeframe)
        ]

    def gaps(self) -> list[GapFilled]:
        return [event for event in self.events if isinstance(event, GapFilled)]

    async def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until a published event makes a condition true."""
        async with asyncio.timeout(seconds):
            while not condition():
                self.changed.clear()
                try:
                    await asyncio.wait_for(self.changed.wait(), 0.05)
                except TimeoutError:
                    continue

    async def advance(self, boundaries: int = 1, stream: str = "btcusdt@kline_1m") -> int:
        """Advance the market; return the open time of the newest candle that closed."""
        now = (await self.control.state())["market_time"]
        closed = 0
        for _ in range(boundaries):
            answer = await self.control.advance([stream], now)
            now, closed = answer.market_time, answer.closed[-1].timestamp
        return closed

    async def step(self) -> CandleClosed:
        """Advance the market by a minute, and return the candle published for it."""
        timestamp = await self.advance()
        await self.until(lambda: any(e.candle.timestamp == timestamp for e in self.closed()))
        return next(e for e in self.closed() if e.candle.timestamp == timestamp)

    async def truth(self, symbol: str, timeframe: str, start: int, end: int) -> list[Candle]:
        now = (await self.control.state())["market_time"]
        return await self.exchange.fetch_candles(symbol, timeframe, start, end, now=now)

    async def check_order(self, symbol: str = "BTC/USDT", timeframe: str = "1m") -> None:
        """Compare the published and stored candles with the venue's: all of them, in order."""
        published = [event.candle for event in self.closed(symbol, timeframe)]
        first, last = published[0].timestamp, published[-1].timestamp
        truth = await self.truth(symbol, timeframe, first, last)
        assert [values(c) for c in published] == [values(c) for c in truth]
        stored = self.storage.candles(symbol, timeframe, first, last)
        assert [values(c) for c in stored] == [values(c) for c in truth]


def values(candle: Candle) -> tuple[float, ...]:
    return (
        candle.timestamp,
        candle.open,
        candle.high,
        candle.low,
        candle.close,
        candle.volume,
        candle.closed,
    )


MakeRig = Callable[..., AbstractAsyncContextManager[Rig]]
