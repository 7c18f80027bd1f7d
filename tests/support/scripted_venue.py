"""A venue of one symbol on a real socket, whose trades and book are those that a test sends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web

SYMBOL = "BTCUSDT"
Level = tuple[str, str]


def symbol_entry(**changes: object) -> dict[str, object]:
    """Return the symbol's entry in exchangeInfo, with filters of its own."""
    filters = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": "0.05",
            "maxPrice": "1000000",
            "tickSize": "0.05",
        },
        {"filterType": "LOT_SIZE", "minQty": "0.002", "maxQty": "500", "stepSize": "0.001"},
        {"filterType": "NOTIONAL", "minNotional": "7", "applyMinToMarket": True},
    ]
    return {
        "symbol": SYMBOL,
        "status": "TRADING",
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "filters": filters,
        "permissionSets": [["SPOT"]],
        "aFieldOfTomorrow": 1,
        **changes,
    }


class ScriptedVenue:
    """The venue: `trade`, `book` and `send` say what happens there."""

    def __init__(self) -> None:
        self.url = ""
        self.entry = symbol_entry()
        self.odd_entries: list[dict[str, object]] = []
        self.trades: list[dict[str, object]] = []
        self.sides: tuple[list[Level], list[Level]] = ([("99.90", "1")], [("100.10", "1")])
        self.sockets: list[web.WebSocketResponse] = []
        self.requests: list[str] = []
        self.keys: set[str] = set()
        """API keys that were sent."""
        self.answers: dict[str, Callable[[web.Request], web.Response]] = {}
        self.streams: set[str] = set()
        self._time = time.time_ns() // 1_000_000
        self._update = 1
        self.record("100", "1", seller=False)

    def record(self, price: str, amount: str, *, seller: bool) -> dict[str, object]:
        """Add a trade that no stream sends, and return it."""
        self._time = max(self._time + 1, time.time_ns() // 1_000_000)
        number = len(self.trades) + 1
        trade: dict[str, object] = {
            **{"a": number, "p": price, "q": amount, "f": number, "l": number},
            **{"T": self._time, "m": seller, "M": True},
        }
        self.trades.append(trade)
        return trade

    async def trade(self, price: str, amount: str, *, seller: bool) -> None:
        """Trade at a price, and send it."""
        trade = self.record(price, amount, seller=seller)
        await self.send("aggTrade", {"e": "aggTrade", "E": self._time, "s": SYMBOL, **trade})

    async def book(self, bids: list[Level], asks: list[Level]) -> None:
        """Show a book, and send it."""
        self.sides = (bids, asks)
        self._update += 1
        await self.send("depth20@100ms", self._depth())

    async def send(self, kind: str, payload: object) -> None:
        """Send a payload of a stream of the symbol."""
        stream = f"{SYMBOL.lower()}@{kind}"
        for socket in self.sockets:
            if not socket.closed:
                await socket.send_str(orjson.dumps({"stream": stream, "data": payload}).decode())

    async def cut(self) -> None:
        """Cut all connections."""
        sockets, self.sockets = self.sockets, []
        for socket in sockets:
            await socket.close()

    def _depth(self) -> dict[str, object]:
        return {"lastUpdateId": self._update, "bids": self.sides[0], "asks": self.sides[1]}

    async def _api(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        self.requests.append(f"{path}?{request.query_string}")
        self.keys.update(request.headers.getall("X-MBX-APIKEY", []))
        if path in self.answers:
            return self.answers[path](request)
        return web.json_response(self._answer(path, request), headers={"X-MBX-USED-WEIGHT-1M": "9"})

    def _answer(self, path: str, request: web.Request) -> Any:
        match path:
            case "time":
                return {"serverTime": time.time_ns() // 1_000_000}
            case "exchangeInfo":
                asked = orjson.loads(request.query.get("symbols", "[]"))
                if any(name != self.entry["symbol"] for name in asked):
                    raise web.HTTPBadRequest(text='{"code": -1121, "msg": "Invalid symbol."}')
                return {"symbols": [self.entry, *self.odd_entries]}
            case "aggTrades":
                limit = int(request.query.get("limit", "500"))
                first = request.query.get("fromId")
                if first is None:
                    return self.trades[-limit:]
                return [one for one in self.trades if one["a"] >= int(first)][:limit]  # type: ignore[operator]
            case "depth":
                return self._depth()
            case "avgPrice":
                return {"mins": 5, "price": "100", "closeTime": self._time}
        return []

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self.keys.update(request.headers.getall("X-MBX-APIKEY", []))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            command = orjson.loads(message.data)
            if command["method"] == "SUBSCRIBE":
                self.streams.update(command["params"])
            await socket.send_str(orjson.dumps({"result": None, "id": command["id"]}).decode())
        return socket


@asynccontextmanager
async def scripted_venue() -> AsyncIterator[ScriptedVenue]:
    """Serve a scripted venue."""
    venue = ScriptedVenue()
    app = web.Application()
    app.router.add_get("/api/v3/{path:.*}", venue._api)
    app.router.add_get("/stream", venue._stream)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    venue.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield venue
    finally:
        await venue.cut()
        await runner.cleanup()


async def until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait until a condition, which may be a coroutine, is true."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.02)
