"""The speed of the paper exchange, next to a bare aiohttp server with ready-made answers.

Both serve from a process of their own to the same client in this one, in the same run:

- frames a second to one client, klines of five symbols at the speed ``max`` (aim: 20,000), next to
  a server that sends one ready-made frame of the same length again and again;
- orders a second, each durable in the ledger before it is answered, one at a time and 32 at once
  (aim: 2,000), next to a server that answers the same requests with one ready-made answer;
- a month of 1m candles of five symbols replayed into a client that reads them all (aim: 60 s), and
  how much the venue's memory grows in its second half.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import hmac
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeVar
from urllib.parse import urlencode

import aiohttp
import numpy as np
import psutil

from benchmarks.measuring import BenchmarkError, Child, Row, Size

T = TypeVar("T")

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT")
STREAMS: Final = "/".join(f"{name.lower()}@kline_1m" for name in SYMBOLS)
AT_ONCE: Final = 32
START: Final = 1_767_225_600_000
READY: Final = 60.0
"""Seconds in which the bare server has to be ready."""

LIMIT: Final = 600.0
"""Seconds for one figure of one server."""


class VenueSize(NamedTuple):
    """How many frames are read, orders sent and minutes of a market replayed."""

    frames: int
    warm_up: int
    orders: int
    minutes: int


USUAL: Final = VenueSize(frames=200_000, warm_up=5_000, orders=4_000, minutes=30 * 24 * 60)
SMOKE: Final = VenueSize(frames=2_000, warm_up=100, orders=64, minutes=12 * 60)


def measure(size: Size = Size.USUAL) -> list[Row]:
    """Return one row per figure: ours, the bare server's, and the share.

    Raises:
        BenchmarkError: a server ended or hung.
    """
    chosen = SMOKE if size is Size.SMOKE else USUAL
    try:
        return asyncio.run(_measure(chosen))
    except (aiohttp.ClientError, aiohttp.WSMessageTypeError, TimeoutError) as error:
        raise BenchmarkError(f"A server ended or hung: {error!r}") from error


async def _measure(size: VenueSize) -> list[Row]:
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        async with asyncio.timeout(LIMIT):
            bare_frames, bare_one, bare_many = await _bare(session, size)
        async with asyncio.timeout(LIMIT):
            options = ["--speed", "max"]
            frames = await _with_venue(options, lambda url, _: _frames(session, url, size))
        async with asyncio.timeout(LIMIT):
            one, many = await _with_ledger(session, size)
        async with asyncio.timeout(LIMIT):
            seconds, growth = await _month(session, size)
    return [
        _row("stream frames/s to one client", frames, bare_frames),
        _row("durable orders/s, one at a time", one, bare_one),
        _row(f"durable orders/s, {AT_ONCE} at once", many, bare_many),
        {"figure": f"{size.minutes:,} 1m candles of 5 symbols, s", "venue": seconds},
        {"figure": "memory grown in its second half, MiB", "venue": growth},
    ]


def _row(figure: str, ours: float, bare: float) -> Row:
    return {"figure": figure, "venue": ours, "bare aiohttp": bare, "share": ours / bare}


# -- the figures


async def _frames(session: aiohttp.ClientSession, url: str, size: VenueSize) -> float:
    query = f"streams={STREAMS}&count={size.warm_up + size.frames}"
    async with session.ws_connect(f"{url}/stream?{query}") as ws:
        for _ in range(size.warm_up):
            await ws.receive_str()
        begun = time.perf_counter()
        for _ in range(size.frames):
            await ws.receive_str()
        return size.frames / (time.perf_counter() - begun)


async def _orders(session: aiohttp.ClientSession, url: str, at_once: int, size: VenueSize) -> float:
    from botlib.paper import PAPER_API_KEY, PAPER_API_SECRET

    headers = {"X-MBX-APIKEY": PAPER_API_KEY}

    async def order(number: int) -> None:
        side = "BUY" if number % 2 else "SELL"
        query = urlencode(
            {
                "symbol": "BTCUSDT",
                "side": side,
                "type": "MARKET",
                "quantity": "0.001",
                "timestamp": time.time_ns() // 1_000_000,
                "recvWindow": 60_000,
            }
        )
        signature = hmac.new(PAPER_API_SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()
        target = f"{url}/api/v3/order?{query}&signature={signature}"
        async with session.post(target, headers=headers) as response:
            answer = await response.text()
            assert response.status == 200, answer

    async def worker(count: int) -> None:
        for number in range(count):
            await order(number)

    await worker(min(50, size.orders))
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker(size.orders // at_once))
    return size.orders / (time.perf_counter() - begun)


async def _both(session: aiohttp.ClientSession, url: str, size: VenueSize) -> tuple[float, float]:
    one = await _orders(session, url, 1, size)
    return one, await _orders(session, url, AT_ONCE, size)


async def _with_ledger(session: aiohttp.ClientSession, size: VenueSize) -> tuple[float, float]:

    with tempfile.TemporaryDirectory(prefix="bench-venue-") as name:
        options = ["--ledger", f"{name}/ledger.db", "--balance", "USDT=1000000"]
        # The market runs fast, so that its clock renews the order limits all the time.
        options += ["--balance", "BTC=10", "--speed", "10000"]
        return await _with_venue(options, lambda url, _: _both(session, url, size))


async def _month(session: aiohttp.ClientSession, size: VenueSize) -> tuple[float, float]:
    expected = size.minutes * len(SYMBOLS)

    async def replay(url: str, pid: int) -> tuple[float, float]:
        process = psutil.Process(pid)
        async with session.ws_connect(f"{url}/stream?streams={STREAMS}") as ws:
            begun, closed, half = time.perf_counter(), 0, 0
            while closed < expected:
                frame = await ws.receive_str()
                closed += '"x":true' in frame
                if not half and closed >= expected // 2:
                    half = process.memory_info().rss
            taken = time.perf_counter() - begun
        return taken, (process.memory_info().rss - half) / 2**20

    with tempfile.TemporaryDirectory(prefix="bench-venue-") as name:
        files = await asyncio.to_thread(_record, Path(name), size.minutes)
        options = [text for file in files for text in ("--recording", str(file))]
        return await _with_venue([*options, "--speed", "max"], replay)


def _record(directory: Path, minutes: int) -> list[Path]:
    """Write a random walk of some minutes for each symbol; return the files."""
    chance = np.random.default_rng(3)
    files = []
    for name in SYMBOLS:
        close = np.round(100 * np.exp(np.cumsum(chance.normal(0, 5e-4, minutes))), 2)
        opened = np.concatenate([[100.0], close[:-1]])
        high, low = np.maximum(opened, close) + 0.05, np.minimum(opened, close) - 0.05
        volume = np.round(chance.exponential(12.0, minutes), 3)
        times = START + 60_000 * np.arange(minutes)
        file = directory / f"{name}-1m-2026.csv"
        with file.open("w", newline="") as target:
            columns = (times, opened, high.round(2), low.round(2), close, volume)
            csv.writer(target).writerows(zip(*(one.tolist() for one in columns), strict=True))
        files.append(file)
    return files


# -- the servers


async def _with_venue(options: list[str], use: Callable[[str, int], Awaitable[T]]) -> T:
    from botlib.paper import PaperProcess

    process = await PaperProcess.start(options)
    try:
        return await use(process.url, process.pid)
    finally:
        await process.stop()


async def _bare(session: aiohttp.ClientSession, size: VenueSize) -> tuple[float, float, float]:
    with Child("bare aiohttp server", ["-m", "benchmarks.venue"]) as server:
        url = await asyncio.to_thread(server.line, READY)
        return await _frames(session, url, size), *(await _both(session, url, size))


def _serve() -> None:
    """Serve ready-made frames and answers, and print the address."""
    from aiohttp import web

    kline = {letter: "12345.67000000" for letter in "tTsifLochlvnxqVQB"}
    frame = json.dumps({"stream": "btcusdt@kline_1m", "data": {"e": "kline", "k": kline}})
    answer = json.dumps({letter * 8: "12345.67000000" for letter in "abcdefghijklmnopqrst"})

    async def stream(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        for number in range(int(request.query["count"])):
            await ws.send_str(frame)
            if number % 100 == 0:
                await asyncio.sleep(0)
        await ws.close()
        return ws

    async def order(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text=answer, content_type="application/json")

    async def started(app: web.Application) -> None:
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
        await asyncio.Event().wait()

    app = web.Application()
    app.router.add_get("/stream", stream)
    app.router.add_post("/api/v3/order", order)
    asyncio.run(started(app))


if __name__ == "__main__":
    _serve()
