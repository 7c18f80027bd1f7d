"""A mirror of a venue that sends and answers whatever is drawn."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from botlib.paper import PaperExchange, PaperOptions
from botlib.paper.mirror.market import MirrorMarket
from botlib.paper.mirror.source import MirrorSource
from tests.support.fuzzing import NASTY, changed
from tests.support.scripted_venue import SYMBOL, ScriptedVenue, scripted_venue, symbol_entry

ANSWERED = ("time", "exchangeInfo", "aggTrades", "depth", "avgPrice", "klines", "ticker/24hr")
STREAMS = ("aggTrade", "depth20@100ms", "avgPrice", "kline_1m")

Ask = Callable[[str], Awaitable[list[str]]]


class FuzzedMirror:
    """The mirror and its venue, on the running loop."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._serving = scripted_venue()

    async def start(self) -> None:
        """Start both; the venue behaves until the first case."""
        self._venue: ScriptedVenue = await self._serving.__aenter__()
        self._market = MirrorMarket(MirrorSource(upstream=self._venue.url))
        await self._market.open(["BTC/USDT"])
        options = PaperOptions(symbols=("BTC/USDT",), balances={"USDT": 1_000})
        self._exchange = PaperExchange(self._market, options)
        self.url = (await self._exchange.start()).url
        self.running = asyncio.get_running_loop().create_task(self._exchange.run())

    async def stop(self) -> None:
        """Stop both."""
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        await self._exchange.close()
        await self._market.close()
        await self._serving.__aexit__(None, None, None)

    async def case(self) -> None:
        """Let the venue send something, answer something, or end its connections."""
        rng, venue = self._rng, self._venue
        kind = rng.randrange(20)
        if kind == 0:
            await venue.cut()
        elif kind == 1:
            venue.entry = symbol_entry(**{rng.choice(("status", "filters", "symbol", "baseAsset")):
                                          rng.choice((*NASTY, "HALT", "BREAK"))})  # fmt: skip
        elif kind == 2:
            venue.entry = symbol_entry()
            venue.answers.clear()
        elif kind < 8:
            venue.answers[rng.choice(ANSWERED)] = self._answer()
        elif kind < 12:
            await venue.trade(
                rng.choice(("100", "99.95", "100.05")), "1", seller=rng.random() < 0.5
            )
        else:
            await self._send(self._frame())

    async def recover(self) -> None:
        """Let the venue behave again."""
        self._venue.entry = symbol_entry()
        self._venue.answers.clear()

    def _answer(self) -> Callable[[web.Request], web.Response]:
        rng = self._rng
        value: Any = rng.choice((*NASTY, {"serverTime": rng.choice(NASTY)}, [{"a": 1, "T": "x"}]))
        good = json.dumps({"lastUpdateId": 1, "bids": [["1", "1"]], "asks": [], "price": "1"})
        raw = json.dumps(value, default=str).encode()
        body = changed(good.encode(), rng) if rng.random() < 0.5 else raw
        status = rng.choice((200, 200, 200, 400, 418, 429, 500, 503))
        headers = {"Retry-After": "0", "X-MBX-USED-WEIGHT-1M": rng.choice(("9", "x", "1e9", ""))}
        return lambda request: web.Response(
            status=status, body=body, headers=headers, content_type="application/json"
        )

    def _frame(self) -> bytes:
        rng = self._rng
        trade = {"e": "aggTrade", "E": 1, "s": SYMBOL, "a": 1, "p": "100", "q": "1"}
        trade |= {"f": 1, "l": 1, "T": 1, "m": True, "M": True}
        book = {"lastUpdateId": 2, "bids": [["99.9", "1"]], "asks": [["101", "1"]]}
        payload: dict[str, Any] = rng.choice((trade, book))
        for name in list(payload):
            if rng.random() < 0.2:
                payload[name] = rng.choice(NASTY)
        stream = f"{SYMBOL.lower()}@{rng.choice(STREAMS)}"
        raw = json.dumps({"stream": stream, "data": payload}, default=str).encode()
        return changed(raw, rng) if rng.random() < 0.5 else raw

    async def _send(self, frame: bytes) -> None:
        for socket in self._venue.sockets:
            if not socket.closed:
                if self._rng.random() < 0.2:
                    await socket.send_bytes(frame)
                else:
                    await socket.send_str(frame.decode("utf-8", "replace"))
