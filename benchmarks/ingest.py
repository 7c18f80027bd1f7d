"""CPU per kline frame: a bare client, ccxt's own way, and botlib without and with the storage.

A process of its own floods one socket with kline frames of many symbols, faster than any client
reads. Each client runs in a fresh process; what counts is the CPU time of that process from its
first frame to its last, divided by the frames. The shares of a real stream are kept: an update
every two seconds of market time, so that one frame in 31 closes a candle.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import aiohttp
import orjson
from aiohttp import WSMsgType, web

SYMBOLS = (100, 500)
FRAMES = 60_000
ROUNDS = 4
START = 1_767_571_200_000
STEP = 2_000
MINUTE = 60_000
CLIENTS = ("bare", "ccxt", "stream", "stream+store")
NAMES = {
    "bare": "aiohttp + orjson",
    "ccxt": "ccxt watch_ohlcv_for_symbols",
    "stream": "botlib stream, without storage",
    "stream+store": "botlib stream, storing every closed candle",
}


def measure() -> list[dict[str, object]]:
    """Return one row per client and number of symbols: µs of CPU per frame, ratio to bare."""
    rows: list[dict[str, object]] = []
    for symbols in SYMBOLS:
        server = _spawn("serve", str(symbols))
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            best: dict[str, float] = {}
            # Turn by turn, so that a busy moment of the machine meets all clients alike.
            for _ in range(ROUNDS):
                for client in CLIENTS:
                    found = _run(client, url, symbols)
                    best[client] = min(found, best.get(client, found))
        finally:
            server.terminate()
            server.wait()
            if server.stdout is not None:
                server.stdout.close()
        rows += [
            {
                "benchmark": "ingest",
                "client": NAMES[client],
                "symbols": symbols,
                "frames": FRAMES,
                "cpu_us_per_frame": round(best[client] * 1e6, 2),
                "ratio_to_bare": round(best[client] / best["bare"], 2),
            }
            for client in CLIENTS
        ]
    return rows


def _spawn(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True
    )


def _run(client: str, url: str, symbols: int) -> float:
    process = _spawn(client, str(symbols), url)
    output, _ = process.communicate(timeout=300)
    if process.returncode != 0:
        raise RuntimeError(f"The client {client!r} ended with code {process.returncode}.")
    return float(json.loads(output.splitlines()[-1])["cpu"])


# The server: exchangeInfo, time, klines, and a flood of frames on demand.


def _id(number: int) -> str:
    return f"COIN{number:03}USDT"


def _flood(symbols: int, total: int) -> tuple[list[bytes], int]:
    """Return the frames in sending order, and the open time of the candle that the last closes."""
    frames: list[bytes] = []
    # The last symbol's newest candle after each frame.
    newest: list[int] = []
    for number in range(total // symbols + 1):
        now = START + number * STEP
        opens = now - now % MINUTE
        if number and now == opens:
            frames += [_frame(s, now, opens - MINUTE, True, number) for s in range(symbols)]
            newest += [opens - MINUTE] * symbols
        frames += [_frame(s, now, opens, False, number) for s in range(symbols)]
        newest += [opens] * symbols
    last = newest[total - symbols - 1]
    closing = _frame(symbols - 1, last + MINUTE, last, True, 1)
    return [*frames[: total - 1], closing], last


def _frame(symbol: int, now: int, opens: int, closed: bool, number: int) -> bytes:
    price = 100 + symbol + (number % 50) / 100
    name = _id(symbol)
    return orjson.dumps(
        {
            "e": "kline",
            "E": now,
            "s": name,
            "k": {
                "t": opens,
                "T": opens + MINUTE - 1,
                "s": name,
                "i": "1m",
                "f": 100,
                "L": 200,
                "o": f"{100 + symbol:.8f}",
                "c": f"{price:.8f}",
                "h": f"{101 + symbol:.8f}",
                "l": f"{99 + symbol:.8f}",
                "v": f"{number:.8f}",
                "n": 100,
                "x": closed,
                "q": "1.00000000",
                "V": "0.50000000",
                "Q": "0.50000000",
                "B": "0",
            },
        }
    )


def _listing(name: str) -> dict[str, object]:
    return {
        "symbol": name,
        "status": "TRADING",
        "baseAsset": name.removesuffix("USDT"),
        "baseAssetPrecision": 8,
        "quoteAsset": "USDT",
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00",
             "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "9000", "stepSize": "0.001"},
        ],
    }  # fmt: skip


async def _serve(symbols: int) -> None:
    frames, last = _flood(symbols, FRAMES)
    info = {
        "timezone": "UTC",
        "serverTime": START,
        "rateLimits": [],
        "exchangeFilters": [],
        "symbols": [_listing(_id(number)) for number in range(symbols)],
    }

    sockets: list[web.WebSocketResponse] = []

    async def flood(request: web.Request) -> web.Response:
        # The newest one: those of earlier clients are closed.
        for frame in frames:
            await sockets[-1].send_frame(frame, WSMsgType.TEXT)
        return web.Response()

    async def answer(request: web.Request) -> web.Response:
        body: object = {}
        if request.path.endswith("exchangeInfo"):
            body = info
        elif request.path.endswith("time"):
            body = {"serverTime": START, "last": last}
        elif request.path.endswith("klines"):
            body = _rows(int(request.query["startTime"]), int(request.query["endTime"]))
        return web.json_response(body)

    async def stream(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            asked = orjson.loads(message.data)
            await socket.send_str(json.dumps({"result": None, "id": asked["id"]}))
            sockets.append(socket)
        return socket

    app = web.Application()
    app.router.add_get("/flood", flood)
    app.router.add_get("/api/v3/{name:.*}", answer)
    for path in ("/stream/ws", "/stream/ws/{name}"):
        app.router.add_get(path, stream)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


def _rows(start: int, end: int) -> list[list[object]]:
    first = -(-start // MINUTE) * MINUTE
    return [
        [t, "100", "101", "99", "100", "1", t + MINUTE - 1, "1", 1, "1", "1", "0"]
        for t in range(first, min(end, START) + 1, MINUTE)
    ][:1_000]


# The clients. Each returns the CPU seconds it used from the first frame to the last.


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
    """Ask the server which candle the last frame closes."""
    with urlopen(f"{url}/api/v3/time") as answer:
        return int(json.load(answer)["last"])


async def _begin(url: str) -> None:
    """Have the flood begin, from a thread: the answer comes at its end."""
    asyncio.get_running_loop().run_in_executor(None, urlopen, f"{url}/flood")


async def _bare(symbols: int, url: str) -> float:
    meter, seen = Meter(), 0
    newest: dict[str, object] = {}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url.replace("http", "ws") + "/stream/ws/0") as socket,
    ):
        names = [f"{_id(n).lower()}@kline_1m" for n in range(symbols)]
        await socket.send_str(json.dumps({"method": "SUBSCRIBE", "params": names, "id": 1}))
        await socket.receive()
        await _begin(url)
        async for message in socket:
            meter.begin()
            data = orjson.loads(message.data)
            newest[data["s"]] = data["k"]
            seen += 1
            if seen == FRAMES:
                break
        return meter.end()


async def _ccxt(symbols: int, url: str, last: int) -> float:
    from ccxt.pro.binance import binance

    from botlib.venues.binance.api import make_api

    class Plain(binance):  # type: ignore[misc]
        """ccxt's own way, but for the addresses."""

        def is_spot_url(self, client: object) -> bool:
            return True

    configured = make_api(rest_url=url, ws_url=url.replace("http", "ws"), key=None, secret=None)
    session, configured.session = configured.session, None
    exchange = Plain({"options": configured.options, "enableRateLimit": False, "session": session})
    exchange.urls["api"] = configured.urls["api"]
    meter = Meter()
    await exchange.load_markets()
    wanted = [[f"{_id(n).removesuffix('USDT')}/USDT", "1m"] for n in range(symbols)]
    try:
        first = asyncio.ensure_future(exchange.watch_ohlcv_for_symbols(wanted))
        # ccxt does not say when it is subscribed.
        await asyncio.sleep(2)
        await _begin(url)
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

    class Nowhere(CandleStorage):
        """A storage that keeps nothing."""

        def write(self, candles: object, *, now: int, durable: bool = False) -> WriteReport:
            return WriteReport()

    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(Path(folder) / "candles.db", "paper:bench")
        storage = CandleStorage(database) if stored else Nowhere(database)
        exchange = BinanceExchange(venue="paper:bench", rest_url=url)
        bus = EventBus()
        stream = CandleStream(exchange, storage, bus)
        inbox = bus.subscribe(CandleClosed, name="bench", maxsize=1_000_000)
        meter = Meter()
        final = f"{_id(symbols - 1).removesuffix('USDT')}/USDT"
        for number in range(symbols):
            await stream.subscribe_candles(_id(number), "1m", history=1)
        try:
            async with asyncio.TaskGroup() as group:
                running = group.create_task(stream.run())
                await stream.ready()
                while inbox.get_nowait() is not None:
                    continue
                await _begin(url)
                meter.begin()
                candle: Candle | None = None
                while candle is None or (candle.symbol, candle.timestamp) != (final, last):
                    candle = (await inbox.get()).candle
                used = meter.end()
                running.cancel()
        finally:
            await exchange.close()
            database.close()
        return used


def _client(name: str, symbols: int, url: str) -> Coroutine[Any, Any, float]:
    last = _last(url)
    if name == "bare":
        return _bare(symbols, url)
    if name == "ccxt":
        return _ccxt(symbols, url, last)
    return _botlib(symbols, url, last, stored=name == "stream+store")


def main() -> None:
    """Serve, run one client, or measure them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", choices=("serve", *CLIENTS))
    parser.add_argument("symbols", nargs="?", type=int)
    parser.add_argument("url", nargs="?")
    options = parser.parse_args()
    if options.part is None:
        print(json.dumps(measure(), indent=2))
    elif options.part == "serve":
        asyncio.run(_serve(options.symbols))
    else:
        used = asyncio.run(_client(options.part, options.symbols, options.url))
        print(json.dumps({"cpu": used / FRAMES}))


if __name__ == "__main__":
    main()
