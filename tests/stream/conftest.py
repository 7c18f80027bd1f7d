"""A paper exchange in lockstep, and a candle stream on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from botlib.bus import EventBus
from botlib.clock import MarketClock
from botlib.exchange.binance import BinanceExchange
from botlib.exchange.paper.auth import PAPER_API_KEY, PAPER_API_SECRET
from botlib.exchange.paper.client import PaperControl, PaperProcess
from botlib.model import Candle, CandleClosed, CandleUpdated, Event, GapFilled
from botlib.store.candles import CandleStorage
from botlib.store.database import Database
from botlib.stream import CandleStream

MINUTE = 60_000


@dataclass
class Rig:
    """Everything a test of the stream has at hand."""

    control: PaperControl
    exchange: BinanceExchange
    storage: CandleStorage
    bus: EventBus
    stream: CandleStream
    events: list[Event] = field(default_factory=list)
    progress: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def closed(self, symbol: str = "BTC/USDT", timeframe: str = "1m") -> list[CandleClosed]:
        """Return what was published of one subscription, in order."""
        return [
            event
            for event in self.events
            if isinstance(event, CandleClosed)
            and (event.candle.symbol, event.candle.timeframe) == (symbol, timeframe)
        ]

    def gaps(self) -> list[GapFilled]:
        return [event for event in self.events if isinstance(event, GapFilled)]

    async def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until something published makes a condition true."""
        async with asyncio.timeout(seconds):
            while not condition():
                self.changed.clear()
                try:
                    await asyncio.wait_for(self.changed.wait(), 0.05)
                except TimeoutError:
                    continue

    async def advance(self, boundaries: int = 1, stream: str = "btcusdt@kline_1m") -> int:
        """Let the market run on; return the open time of the newest candle that closed there."""
        now = (await self.control.state())["market_time"]
        closed = 0
        for _ in range(boundaries):
            answer = await self.control.advance([stream], now)
            now, closed = answer.market_time, answer.closed[-1].timestamp
        return closed

    async def step(self) -> CandleClosed:
        """Let one minute pass and return the candle that was published for it."""
        timestamp = await self.advance()
        await self.until(lambda: any(e.candle.timestamp == timestamp for e in self.closed()))
        return next(e for e in self.closed() if e.candle.timestamp == timestamp)

    async def truth(self, symbol: str, timeframe: str, start: int, end: int) -> list[Candle]:
        now = (await self.control.state())["market_time"]
        return await self.exchange.fetch_candles(symbol, timeframe, start, end, now=now)

    async def check_order(self, symbol: str = "BTC/USDT", timeframe: str = "1m") -> None:
        """Hold what was published and stored against the venue's own candles: all, in order."""
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


@pytest.fixture(scope="module")
def paper() -> Iterator[PaperProcess]:
    """A synthetic market in lockstep, shared by the tests of a module."""
    process = asyncio.run(
        PaperProcess.start(["--seed", "7", "--lockstep", "--start", "2026-01-05T00:00"])
    )
    yield process
    asyncio.run(process.stop())


MakeRig = Callable[..., AbstractAsyncContextManager[Rig]]


@pytest.fixture
def rig(tmp_path: Path, paper: PaperProcess) -> MakeRig:
    """Return a maker of rigs on the shared market."""

    @asynccontextmanager
    async def make(
        symbols: tuple[str, ...] = ("BTC/USDT",),
        timeframes: tuple[str, ...] = ("1m",),
        history: int = 10,
        *,
        max_streams: int = 1_024,
        updates: bool = False,
        process: PaperProcess = paper,
        **options: float,
    ) -> AsyncIterator[Rig]:
        control = process.control()

        async def market_time() -> int:
            return int((await control.state())["market_time"])

        exchange = BinanceExchange(
            venue=process.venue,
            rest_url=process.url,
            keys=(PAPER_API_KEY, PAPER_API_SECRET),
            market_time=market_time,
            max_streams=max_streams,
        )
        database = Database.open(tmp_path / "candles.db", process.venue)
        storage, bus = CandleStorage(database), EventBus()
        made: list[Rig] = []

        def progress() -> None:
            made[0].progress += 1

        stream = CandleStream(
            exchange, storage, bus, MarketClock(), on_progress=progress, **options
        )
        entry = Rig(control, exchange, storage, bus, stream)
        made.append(entry)
        types = [CandleClosed, GapFilled, *([CandleUpdated] if updates else [])]
        inbox = bus.subscribe(*types, name="test")

        async def read() -> None:
            async for event in inbox:
                if isinstance(event, CandleClosed):
                    # Whoever hears of a candle finds it stored.
                    known = storage.last_closed(event.candle.symbol, event.candle.timeframe)
                    assert known is not None
                    assert known >= event.candle.timestamp
                entry.events.append(event)
                entry.changed.set()

        try:
            for symbol in symbols:
                await stream.subscribe_candles(symbol, timeframes, history)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(stream.run()), group.create_task(read())]
                async with asyncio.timeout(60):
                    await stream.ready()
                yield entry
                for task in tasks:
                    task.cancel()
        finally:
            await exchange.close()
            await control.close()
            database.close()

    return make
