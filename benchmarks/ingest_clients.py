"""The clients of the ingest benchmark: each returns the CPU seconds it used for all frames."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Final, TypeVar
from urllib.request import urlopen

import aiohttp
import orjson

from benchmarks.ingest_server import market_id

T = TypeVar("T")

PATIENCE: Final = 20.0
"""Seconds after the last frame was sent in which a client has to have it."""


class Meter:
    """CPU time between the first frame and the last."""

    def __init__(self) -> None:
        self._start: float | None = None

    def begin(self) -> None:
        if self._start is None:
            self._start = time.process_time()

    def end(self) -> float:
        assert self._start is not None, "no frame came"
        return time.process_time() - self._start


def _last(url: str) -> int:
    """Return the open time (ms) of the candle that the last frame closes."""
    with urlopen(f"{url}/api/v3/time") as answer:
        return int(json.load(answer)["last"])


def _flood(url: str) -> asyncio.Future[object]:
    """Start the flood from a thread; the future ends when the last frame was sent."""
    return asyncio.get_running_loop().run_in_executor(None, urlopen, f"{url}/flood")


async def _arrived(last: Awaitable[T], flood: asyncio.Future[object]) -> T:
    """Wait until the last frame has arrived and return what came of it.

    Raises:
        TimeoutError: all frames were sent, and the last one did not arrive.
    """
    arriving = asyncio.ensure_future(last)
    try:
        await asyncio.wait((arriving, flood), return_when=asyncio.FIRST_COMPLETED)
        return await asyncio.wait_for(arriving, PATIENCE)
    except TimeoutError:
        raise TimeoutError(
            f"All frames were sent, and the last one did not arrive within {PATIENCE:g} s."
        ) from None


async def _bare(symbols: int, frames: int, url: str) -> float:
    meter = Meter()
    newest: dict[str, object] = {}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url.replace("http", "ws") + "/stream/ws/0") as socket,
    ):
        names = [f"{market_id(n).lower()}@kline_1m" for n in range(symbols)]
        await socket.send_str(json.dumps({"method": "SUBSCRIBE", "params": names, "id": 1}))
        await socket.receive()

        async def read() -> float:
            for _ in range(frames):
                message = await socket.receive()
                meter.begin()
                data = orjson.loads(message.data)
                newest[data["s"]] = data["k"]
            return meter.end()

        return await _arrived(read(), _flood(url))


async def _ccxt(symbols: int, url: str, last: int) -> float:
    from ccxt.pro.binance import binance

    from botlib.venues.binance.api import make_api

    class LocalBinance(binance):  # type: ignore[misc]
        """ccxt's own class, with the addresses of the benchmark's server."""

        def is_spot_url(self, client: object) -> bool:
            return True

    configured = make_api(rest_url=url, ws_url=url.replace("http", "ws"), key=None, secret=None)
    session, configured.session = configured.session, None
    exchange = LocalBinance(
        {"options": configured.options, "enableRateLimit": False, "session": session}
    )
    exchange.urls["api"] = configured.urls["api"]
    meter = Meter()
    await exchange.load_markets()
    wanted = [[f"{market_id(n).removesuffix('USDT')}/USDT", "1m"] for n in range(symbols)]
    try:
        first = asyncio.ensure_future(exchange.watch_ohlcv_for_symbols(wanted))
        # ccxt does not say when it is subscribed.
        await asyncio.sleep(2)

        async def read() -> float:
            await first
            meter.begin()
            while True:
                found = await exchange.watch_ohlcv_for_symbols(wanted)
                if any(
                    candles[-1][0] == last
                    for frames in found.values()
                    for candles in frames.values()
                    if len(candles)
                ):
                    return meter.end()

        return await _arrived(read(), _flood(url))
    finally:
        await exchange.close()
        await session.close()


async def _botlib(symbols: int, url: str, last: int, *, stored: bool) -> float:
    from botlib.core.bus import EventBus
    from botlib.core.model import Candle, CandleClosed
    from botlib.market_data import CandleStream
    from botlib.store.candles import CandleStorage, WriteReport
    from botlib.store.database import Database
    from botlib.venues.binance.venue import BinanceExchange

    class NullStorage(CandleStorage):
        """A storage that keeps nothing."""

        def write(self, candles: object, *, now: int, durable: bool = False) -> WriteReport:
            return WriteReport()

    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(Path(folder) / "candles.db", "paper:bench")
        storage = CandleStorage(database) if stored else NullStorage(database)
        exchange = BinanceExchange(venue="paper:bench", rest_url=url)
        bus = EventBus()
        stream = CandleStream(exchange, storage, bus)
        inbox = bus.subscribe(CandleClosed, name="bench", maxsize=1_000_000)
        meter = Meter()
        final = f"{market_id(symbols - 1).removesuffix('USDT')}/USDT"
        for number in range(symbols):
            await stream.subscribe_candles(market_id(number), "1m", history=1)
        try:
            async with asyncio.TaskGroup() as group:
                running = group.create_task(stream.run())
                await stream.ready()
                while inbox.get_nowait() is not None:
                    continue

                async def read() -> float:
                    candle: Candle | None = None
                    while candle is None or (candle.symbol, candle.timestamp) != (final, last):
                        candle = (await inbox.get()).candle
                    return meter.end()

                flood = _flood(url)
                meter.begin()
                used = await _arrived(read(), flood)
                running.cancel()
        finally:
            await exchange.close()
            database.close()
        return used


async def measure(client: str, symbols: int, frames: int, url: str) -> float:
    """Return the CPU seconds that a client used from the first frame to the last."""
    if client == "bare":
        return await _bare(symbols, frames, url)
    last = await asyncio.to_thread(_last, url)
    if client == "ccxt":
        return await _ccxt(symbols, url, last)
    return await _botlib(symbols, url, last, stored=client == "stream+store")


if __name__ == "__main__":
    name, symbols, frames, url = sys.argv[1:]
    used = asyncio.run(measure(name, int(symbols), int(frames), url))
    print(json.dumps({"cpu": used / int(frames)}))
