"""A proxy between a bot and its paper exchange that notes when closes, fills and orders pass.

It prints its port and that of its notes; whoever connects to the latter gets the notes so far as
JSON, and they begin anew. Times are of the monotonic clock, which a computer's processes share. It
ends when the process that started it does.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import Callable
from typing import Final

CLOSED: Final = re.compile(rb'"e":"kline".{0,60}?"s":"(\w+)".{0,300}?"x":(true|false)')
FILLED: Final = re.compile(
    rb'"e":"executionReport".{0,40}?"s":"(\w+)","c":"([\w-]+)","S":"BUY".{0,400}?"X":"FILLED"'
    rb'|"symbol":"(\w+)".{0,80}?"clientOrderId":"([\w-]+)".{0,300}?"status":"FILLED"'
)
SENT: Final = re.compile(rb"POST /api/v3/order(\S*) HTTP.*?\r\n\r\n(\S*)", re.DOTALL)
NEWEST: Final = 4_096
"""Bytes kept of a connection to find what is cut into two parts."""

PARENT_POLL: Final = 0.5
"""Seconds between two looks whether the benchmark still runs."""


class Notes:
    """What passed: a time, a symbol and more."""

    def __init__(self) -> None:
        self.closed: list[tuple[float, str]] = []
        self.filled: list[tuple[float, str, str]] = []
        self.sent: list[tuple[float, str, str]] = []

    def of_venue(self, chunk: bytes, before: bytes, now: float) -> bytes:
        """Note closes and fills; return the bytes to keep."""
        text = before + chunk
        end = 0
        for found in CLOSED.finditer(text):
            end = found.end()
            if found[2] == b"true":
                self.closed.append((now, found[1].decode()))
        for found in FILLED.finditer(text):
            end = max(end, found.end())
            symbol, name = found[1] or found[3], found[2] or found[4]
            self.filled.append((now, symbol.decode(), name.decode()))
        return text[max(end, len(text) - NEWEST) :]

    def of_bot(self, chunk: bytes, before: bytes, now: float) -> bytes:
        """Note orders; return the bytes to keep."""
        text = before + chunk
        end = 0
        for found in SENT.finditer(text):
            symbol = re.search(rb"symbol=(\w+)", found[2] + found[1])
            kind = re.search(rb"(?:[?&]|^)(?:type|belowType)=(\w+)", found[2] + found[1])
            if symbol is None or kind is None:
                continue
            end = found.end()
            self.sent.append((now, symbol[1].decode(), kind[1].decode()))
        return text[max(end, len(text) - NEWEST) :]


class Pipe(asyncio.Protocol):
    """One direction of a connection: what arrives is noted and passed on."""

    def __init__(self, note: Callable[[bytes, bytes, float], bytes]) -> None:
        self._note = note
        self._before = b""
        self._waiting: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._other: Pipe | None = None

    def connect(self, other: Pipe) -> None:
        """Pass on to another connection what arrives here."""
        self._other = other
        for chunk in self._waiting:
            other.write(chunk)
        self._waiting.clear()

    def write(self, chunk: bytes) -> None:
        """Send to this side."""
        if self._transport is not None:
            self._transport.write(chunk)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        if self._other is None:
            self._waiting.append(data)
        else:
            self._other.write(data)
        self._before = self._note(data, self._before, now)

    def connection_lost(self, error: Exception | None) -> None:
        self.close()
        if self._other is not None:
            self._other.close()

    def close(self) -> None:
        """Close this side."""
        if self._transport is not None:
            self._transport.close()


async def serve(host: str, port: int) -> None:
    """Serve until the process that started this one ends."""
    parent = os.getppid()
    loop, notes = asyncio.get_running_loop(), Notes()
    connecting: set[asyncio.Task[None]] = set()

    def accept() -> Pipe:
        bot = Pipe(lambda *args: notes.of_bot(*args))
        task = loop.create_task(connect(bot))
        connecting.add(task)
        task.add_done_callback(connecting.discard)
        return bot

    async def connect(bot: Pipe) -> None:
        venue = Pipe(lambda *args: notes.of_venue(*args))
        await loop.create_connection(lambda: venue, host, port)
        venue.connect(bot)
        bot.connect(venue)

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal notes
        told, notes = notes, Notes()
        writer.write(json.dumps(vars(told)).encode())
        await writer.drain()
        writer.close()

    proxy = await loop.create_server(accept, "127.0.0.1", 0)
    told = await asyncio.start_server(tell, "127.0.0.1", 0)
    print(*(one.sockets[0].getsockname()[1] for one in (proxy, told)), flush=True)
    while os.getppid() == parent:  # noqa: ASYNC110 (a parent's end is no event)
        await asyncio.sleep(PARENT_POLL)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
