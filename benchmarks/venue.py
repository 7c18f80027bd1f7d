"""The paper exchange's speed, beside a bare aiohttp server that does nothing but answer.

Both sides serve from a process of their own, to the same client in this one, in the same run:

- frames a second to one client, klines of five symbols at the speed ``max`` (aim: 20,000), beside a
  server that sends one ready-made frame of the same length over and over;
- orders a second, each durable in the ledger before it is answered, one at a time and 32 at once
  (aim: 2,000), beside a server that answers the same requests with one ready-made answer;
- a month of 1m candles of five symbols replayed into a client that reads them all (aim: 60 s), and
  how much the venue's memory grows in its second half.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import hmac
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlencode

import aiohttp
import numpy as np
import psutil

T = TypeVar("T")

ROOT: Final = Path(__file__).resolve().parents[1]
SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT")
STREAMS: Final = "/".join(f"{name.lower()}@kline_1m" for name in SYMBOLS)
FRAMES: Final = 200_000
WARM_UP: Final = 5_000
ORDERS: Final = 4_000
AT_ONCE: Final = 32
MINUTES: Final = 30 * 24 * 60
START: Final = 1_767_225_600_000


def measure() -> list[dict[str, object]]:
    """Return one row per figure: ours, the bare server's, and the share."""
    return asyncio.run(_measure())


async def _measure() -> list[dict[str, object]]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        bare_frames, bare_one, bare_many = await _bare(session)
        frames = await _with_venue(["--speed", "max"], lambda url, _: _frames(session, url))
        one, many = await _with_ledger(session)
        seconds, growth = await _month(session)
    return [
        _row("stream frames/s to one client", frames, bare_frames),
        _row("durable orders/s, one at a time", one, bare_one),
        _row(f"durable orders/s, {AT_ONCE} at once", many, bare_many),
        {"figure": "a month of 1m candles, 5 symbols, s", "venue": seconds},
        {"figure": "memory grown in its second half, MiB", "venue": growth},
    ]


def _row(figure: str, ours: float, bare: float) -> dict[str, object]:
    return {"figure": figure, "venue": ours, "bare aiohttp": bare, "share": ours / bare}


# -- what is measured


async def _frames(session: aiohttp.ClientSession, url: str) -> float:
    query = f"streams={STREAMS}&count={WARM_UP + FRAMES}"
    async with session.ws_connect(f"{url}/stream?{query}") as ws:
        for _ in range(WARM_UP):
            await ws.receive_str()
        begun = time.perf_counter()
        for _ in range(FRAMES):
            await ws.receive_str()
        return FRAMES / (time.perf_counter() - begun)


async def _orders(session: aiohttp.ClientSession, url: str, at_once: int) -> float:
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

    await worker(50)
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker(ORDERS // at_once))
    return ORDERS / (time.perf_counter() - begun)


async def _with_ledger(session: aiohttp.ClientSession) -> tuple[float, float]:
    async def both(url: str, _: int) -> tuple[float, float]:
        return await _orders(session, url, 1), await _orders(session, url, AT_ONCE)

    with tempfile.TemporaryDirectory(prefix="bench-venue-") as name:
        options = ["--ledger", f"{name}/ledger.db", "--balance", "USDT=1000000"]
        # The market runs fast, so that its clock renews the order limits all the time.
        options += ["--balance", "BTC=10", "--speed", "10000"]
        return await _with_venue(options, both)


async def _month(session: aiohttp.ClientSession) -> tuple[float, float]:
    expected = MINUTES * len(SYMBOLS)

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
        files = await asyncio.to_thread(_record, Path(name))
        options = [text for file in files for text in ("--recording", str(file))]
        return await _with_venue([*options, "--speed", "max"], replay)


def _record(directory: Path) -> list[Path]:
    """Write a month of a random walk for each symbol."""
    chance = np.random.default_rng(3)
    files = []
    for name in SYMBOLS:
        close = np.round(100 * np.exp(np.cumsum(chance.normal(0, 5e-4, MINUTES))), 2)
        opened = np.concatenate([[100.0], close[:-1]])
        high, low = np.maximum(opened, close) + 0.05, np.minimum(opened, close) - 0.05
        volume = np.round(chance.exponential(12.0, MINUTES), 3)
        times = START + 60_000 * np.arange(MINUTES)
        file = directory / f"{name}-1m-2026.csv"
        with file.open("w", newline="") as target:
            columns = (times, opened, high.round(2), low.round(2), close, volume)
            csv.writer(target).writerows(zip(*(one.tolist() for one in columns), strict=True))
        files.append(file)
    return files


# -- the processes that serve


async def _with_venue(options: list[str], use: Callable[[str, int], Awaitable[T]]) -> T:
    from botlib.paper import PaperProcess

    process = await PaperProcess.start(options)
    try:
        return await use(process.url, process.pid)
    finally:
        await process.stop()


async def _bare(session: aiohttp.ClientSession) -> tuple[float, float, float]:
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.venue"), cwd=ROOT, stdout=subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        url = (await server.stdout.readline()).decode().strip()
        frames = await _frames(session, url)
        return frames, await _orders(session, url, 1), await _orders(session, url, AT_ONCE)
    finally:
        server.terminate()
        await server.wait()


def _serve() -> None:
    """Be the bare server: print its address, and answer."""
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
        sys.stdout.write(f"http://127.0.0.1:{runner.addresses[0][1]}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()

    app = web.Application()
    app.router.add_get("/stream", stream)
    app.router.add_post("/api/v3/order", order)
    asyncio.run(started(app))


if __name__ == "__main__":
    _serve()
