"""The server of the mirror benchmark: a venue of many symbols that sends frames on demand."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final

import orjson
from aiohttp import web

from benchmarks.ingest_server import START, _frame, _listing, market_id
from botlib.paper.streams.connection import framed

BATCH: Final = 100
"""Frames that are written in one go in a flood."""


class Server:
    """The venue: `/flood` sends as fast as is read, `/pace` at a rate, both to all sockets."""

    def __init__(self, symbols: int) -> None:
        self.symbols = symbols
        self.entries = [_listing(market_id(number)) for number in range(symbols)]
        self.number = 0
        self.sockets: list[tuple[web.WebSocketResponse, asyncio.Transport]] = []

    def frame(self) -> bytes:
        """Return the next frame as it goes over the wire; its event time is its number."""
        self.number += 1
        symbol = self.number % self.symbols
        raw = _frame(symbol, START + self.number, START, False, self.number % 1_000)
        stream = f"{market_id(symbol).lower()}@kline_1m"
        return framed(b'{"stream":"%b","data":%b}' % (stream.encode(), raw))

    async def flood(self, request: web.Request) -> web.Response:
        """Send frames as fast as they are read."""
        total = int(request.query["total"])
        frames = [self.frame() for _ in range(total)]
        for first in range(0, total, BATCH):
            part = b"".join(frames[first : first + BATCH])
            for _, transport in self.sockets:
                transport.write(part)
            while any(one.get_write_buffer_size() > 2**18 for _, one in self.sockets):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        return web.json_response({"last": START + self.number})

    async def pace(self, request: web.Request) -> web.Response:
        """Send frames at a rate a second, as a venue does: some of them together."""
        rate, total = float(request.query["rate"]), int(request.query["total"])
        loop = asyncio.get_running_loop()
        begun, sent = loop.time(), 0
        while sent < total:
            due = min(total, int((loop.time() - begun) * rate) + 1)
            part = b"".join(self.frame() for _ in range(due - sent))
            for _, transport in self.sockets:
                transport.write(part)
            sent = due
            await asyncio.sleep(0.005)
        return web.json_response({"last": START + self.number})

    async def answer(self, request: web.Request) -> web.Response:
        """Answer what a mirror asks for."""
        body: Any = []
        if request.path.endswith("exchangeInfo"):
            body = {"symbols": self.entries}
        elif request.path.endswith("time"):
            body = {"serverTime": START}
        return web.json_response(body)

    async def stream(self, request: web.Request) -> web.WebSocketResponse:
        """Serve a client, who gets all frames."""
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        assert request.transport is not None
        entry = (socket, request.transport)
        self.sockets.append(entry)
        try:
            async for message in socket:
                asked = orjson.loads(message.data)
                await socket.send_str(orjson.dumps({"result": None, "id": asked["id"]}).decode())
        finally:
            self.sockets.remove(entry)
        return socket


async def serve(symbols: int) -> None:
    """Serve a market of so many symbols, and print the address."""
    server = Server(symbols)
    app = web.Application()
    app.router.add_get("/flood", server.flood)
    app.router.add_get("/pace", server.pace)
    app.router.add_get("/stream", server.stream)
    app.router.add_get("/api/v3/{name:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
