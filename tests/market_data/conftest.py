"""A paper exchange in lockstep, and a candle stream on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from botlib.core.bus import EventBus
from botlib.core.clock import MarketClock
from botlib.core.model import CandleClosed, CandleUpdated, GapFilled
from botlib.market_data import CandleStream
from botlib.paper import PAPER_API_KEY, PAPER_API_SECRET, PaperProcess
from botlib.store.candles import CandleStorage
from botlib.store.database import Database
from botlib.venues.binance.capabilities import BINANCE
from botlib.venues.binance.venue import BinanceExchange
from tests.support.stream_rig import MakeRig, Rig


@pytest.fixture(scope="module")
def paper() -> Iterator[PaperProcess]:
    """A synthetic market in lockstep, shared by the tests of a module."""
    process = asyncio.run(
        PaperProcess.start(["--seed", "7", "--lockstep", "--start", "2026-01-05T00:00"])
    )
    yield process
    asyncio.run(process.stop())


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
            capabilities=replace(BINANCE, streams_per_connection=max_streams),
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
