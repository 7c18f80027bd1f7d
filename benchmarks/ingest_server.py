"""The server of the ingest benchmark: exchangeInfo, time, klines, and a flood of frames on demand.

Each symbol has a price of its own, the same in its stored candles and in its frames: a price far
from the last close would have to be confirmed before it is believed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Final

import orjson
from aiohttp import WSMsgType, web

START: Final = 1_767_571_200_000
STEP: Final = 2_000
"""Milliseconds of market time between two frames of a symbol."""

MINUTE: Final = 60_000
ROWS: Final = 1_000
"""Most candles of one answer."""


def market_id(number: int) -> str:
    """Return the venue's id of a symbol by its number."""
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
    name = market_id(symbol)
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


async def serve(symbols: int, total: int) -> None:
    """Serve a market of so many symbols, and print the address.

    A GET of ``/flood`` sends ``total`` frames to the newest socket and answers at their end.
    """
    ids = [market_id(number) for number in range(symbols)]
    frames, last = _flood(symbols, total)
    info = {
        "timezone": "UTC",
        "serverTime": START,
        "rateLimits": [],
        "exchangeFilters": [],
        "symbols": [_listing(name) for name in ids],
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
            number = ids.index(request.query["symbol"])
            body = _rows(number, int(request.query["startTime"]), int(request.query["endTime"]))
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


def _rows(symbol: int, start: int, end: int) -> list[list[object]]:
    first = -(-start // MINUTE) * MINUTE
    prices = [str(price + symbol) for price in (100, 101, 99, 100)]
    return [
        [t, *prices, "1", t + MINUTE - 1, "1", 1, "1", "1", "0"]
        for t in range(first, min(end, START) + 1, MINUTE)
    ][:ROWS]


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
