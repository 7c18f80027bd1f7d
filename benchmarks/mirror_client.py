"""The clients of the mirror benchmark: one that reads frames, and one that compares two ways."""

from __future__ import annotations

import asyncio
import sys
import time

import aiohttp
import orjson

from benchmarks.ingest_server import market_id

PATIENCE = 60.0
FLOOD = 5_000
"""Frames of one flood."""


async def _socket(session: aiohttp.ClientSession, url: str, symbols: int) -> _Socket:
    socket = await session.ws_connect(f"{url}/stream", compress=0, max_msg_size=2**24)
    names = [f"{market_id(number).lower()}@kline_1m" for number in range(symbols)]
    await socket.send_str(orjson.dumps({"method": "SUBSCRIBE", "params": names, "id": 1}).decode())
    await socket.receive(timeout=PATIENCE)
    return socket


_Socket = aiohttp.ClientWebSocketResponse


async def read(url: str, server: str, symbols: int, total: int) -> dict[str, float]:
    """Read floods, each frame parsed, and return the CPU seconds a frame took.

    A flood ends before the client is so far behind that an exchange would cut it off.
    """
    async with aiohttp.ClientSession() as session:
        socket = await _socket(session, url, symbols)
        # The mirror subscribes with pauses.
        await asyncio.sleep(1.5)
        count, used = 0, 0.0
        while count < total:
            most = min(FLOOD, total - count)
            flood = asyncio.create_task(_ask(session, f"{server}/flood?total={most}"))
            end, begun = count + most, 0.0
            while count < end:
                message = await socket.receive(timeout=PATIENCE)
                begun = begun or time.process_time()
                count += "data" in orjson.loads(message.data)
            used += time.process_time() - begun
            await flood
        return {"cpu": used / total}


async def delays(url: str, server: str, symbols: int, total: int) -> dict[str, list[float]]:
    """Receive each frame from the server and through a mirror, and return the differences in s."""
    rate = 2_000
    async with aiohttp.ClientSession() as session:
        direct, mirrored = (
            await _socket(session, server, symbols),
            await _socket(session, url, symbols),
        )
        await asyncio.sleep(1.5)
        pace = asyncio.create_task(_ask(session, f"{server}/pace?rate={rate}&total={total}"))
        ways = await asyncio.gather(_times(direct, total), _times(mirrored, total))
        await pace
        return {"delays": [ways[1][number] - ways[0][number] for number in ways[0]]}


async def _times(socket: _Socket, total: int) -> dict[int, float]:
    found: dict[int, float] = {}
    while len(found) < total:
        message = orjson.loads((await socket.receive(timeout=PATIENCE)).data)
        if "data" in message:
            found[message["data"]["E"]] = time.perf_counter()
    return found


async def _ask(session: aiohttp.ClientSession, url: str) -> None:
    async with session.get(url) as answer:
        await answer.read()


if __name__ == "__main__":
    kind, url, server, symbols, total = sys.argv[1:6]
    work = read if kind == "read" else delays
    print(orjson.dumps(asyncio.run(work(url, server, int(symbols), int(total)))).decode())
