"""Fixtures: a paper exchange in the loop of the test, on a real socket, and a signing client."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import orjson
import pytest

from botlib.paper import PAPER_API_KEY, PAPER_API_SECRET, PaperControl, PaperExchange, PaperOptions
from botlib.paper.market.market import PaperMarket
from botlib.paper.market.replay import ReplayMarket

T0 = 1_767_571_200_000  # 2026-01-05 00:00 UTC
Row = Sequence[float]


class Served:
    """A running exchange with a client of its APIs."""

    def __init__(self, exchange: PaperExchange, url: str, session: aiohttp.ClientSession) -> None:
        self.exchange = exchange
        self.venue = exchange.venue
        self.url = url
        self.session = session
        self.control = PaperControl(url)

    async def call(
        self, method: str, path: str, query: str = "", body: str = "", key: str | None = None
    ) -> tuple[int, Any]:
        headers = {"X-MBX-APIKEY": key} if key is not None else {}
        target = f"{self.url}/api/v3/{path}" + (f"?{query}" if query else "")
        async with self.session.request(method, target, data=body, headers=headers) as response:
            self.headers = response.headers
            return response.status, orjson.loads(await response.read())

    async def get(self, path: str, **params: object) -> Any:
        status, answer = await self.call("GET", path, urlencode(params))
        assert status == 200, answer
        return answer

    async def refused(self, method: str, path: str, **params: object) -> int:
        status, answer = await self.signed(method, path, **params)
        assert status >= 400, answer
        return int(answer["code"])

    async def signed(self, method: str, path: str, **params: object) -> tuple[int, Any]:
        query = urlencode({"timestamp": time.time_ns() // 1_000_000, **params})
        return await self.call(method, path, sign(query), key=PAPER_API_KEY)

    async def order(self, side: str, kind: str, **params: object) -> Any:
        status, answer = await self.signed(
            "POST", "order", symbol="BTCUSDT", side=side, type=kind, **params
        )
        assert status == 200, answer
        return answer

    async def balance(self, asset: str) -> tuple[str, str]:
        _, account = await self.signed("GET", "account")
        found = {one["asset"]: one for one in account["balances"]}[asset]
        return found["free"], found["locked"]

    async def listen(self, *streams: str, path: str = "/ws") -> Listener:
        ws = await self.session.ws_connect(self.url + path)
        listener = Listener(ws)
        if streams:
            await listener.ask("SUBSCRIBE", list(streams))
        return listener

    async def user_stream(self) -> Listener:
        ws = await self.session.ws_connect(f"{self.url}/ws-api/v3")
        listener = Listener(ws)
        params = {"apiKey": PAPER_API_KEY, "timestamp": time.time_ns() // 1_000_000}
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
        params["signature"] = digest(payload)
        method = "userDataStream.subscribe.signature"
        await ws.send_str(orjson.dumps({"id": 1, "method": method, "params": params}).decode())
        assert (await listener.next())["status"] == 200
        return listener

    async def advance(self, *streams: str) -> list[tuple[str, str, int]]:
        answer = await self.control.advance(streams, self.venue.market_time)
        return [tuple(candle) for candle in answer.closed]


class Listener:
    """A socket of the market streams or the WebSocket API."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws

    async def next(self, timeout: float = 60.0) -> Any:
        return orjson.loads(await self.ws.receive_str(timeout=timeout))

    async def many(self, count: int) -> list[Any]:
        return [await self.next() for _ in range(count)]

    async def ask(self, method: str, params: object = None, number: object = 1) -> Any:
        await self.ws.send_str(
            orjson.dumps({"method": method, "params": params, "id": number}).decode()
        )
        return await self.next()

    async def until_closed(self) -> int | None:
        while True:
            message = await self.ws.receive(timeout=30)
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                return self.ws.close_code


def digest(payload: str) -> str:
    return hmac.new(PAPER_API_SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest()


def sign(query: str) -> str:
    return f"{query}&signature={digest(query)}"


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start exchanges: ``await serve(market, pace=…)``."""
    running: list[tuple[Served, asyncio.Task[None]]] = []

    async def start(market: PaperMarket, **settings: Any) -> Served:
        exchange = PaperExchange(market, PaperOptions(**settings))
        ready = await exchange.start()
        served = Served(exchange, ready.url, aiohttp.ClientSession())
        running.append((served, asyncio.get_running_loop().create_task(exchange.run())))
        return served

    yield start
    for served, task in running:
        await served.control.close()
        await served.session.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await served.exchange.close()


@pytest.fixture
def candles(tmp_path: Path) -> Callable[..., ReplayMarket]:
    """Return a function that builds a market: minute → (open, high, low, close, volume)."""

    def make(**symbols: dict[int, Row]) -> ReplayMarket:
        files = []
        for name, rows in symbols.items():
            path = tmp_path / f"{name}-1m-2026.csv"
            path.write_text(
                "".join(
                    f"{T0 + minute * 60_000},{','.join(map(str, row))}\n"
                    for minute, row in rows.items()
                )
            )
            files.append(path)
        return ReplayMarket(files)

    return make


@pytest.fixture
def start_time() -> int:
    """Open time of the first handwritten candle, ms."""
    return T0


@pytest.fixture
def signer() -> Callable[[str], str]:
    """Return a function that signs a query string."""
    return sign
