"""The one connection to the streams of the mirrored venue, dialled again whenever it is lost."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from typing import Final, Literal, NoReturn

import aiohttp
import orjson

from botlib.core.asynctools import first_of
from botlib.core.retry import Backoff
from botlib.paper.mirror.requests import UNREADABLE, PublicRequests
from botlib.venues.obstacles import connection_advice
from botlib.venues.registry import capabilities

logger = logging.getLogger(__name__)

FIRST_DELAY: Final = 1.5
LONGEST_DELAY: Final = 30.0
DIAL_TIMEOUT: Final = 10.0
"""Seconds within which a connection must stand."""
BATCH: Final = 100
"""Most streams in one command."""
COMMAND_INTERVAL: Final = 0.25
"""Seconds between two commands; the venue cuts a client with more than 5 messages a second."""
_Socket = aiohttp.ClientWebSocketResponse[Literal[False]]
_PREFIX: Final = b'{"stream":"'


class VenueStream:
    """The connection to the streams of a venue: which are wanted, and what arrives.

    Args:
        requests: requests to the venue, whose session is used.
        sink: called with the name of a stream and a payload as JSON.
        drained: called after the frames that had arrived together.
        opened: called when the wanted streams of a new connection are subscribed.
        lost: called when the connection is lost, with the reason.

    Attributes:
        frames: frames so far.
        malformed: frames so far that could not be read.
        dials: connections that stood so far.
        refused: streams that were too many for the connection.
        connected: whether the connection stands.
        dialled: loop time at which it was dialled.
    """

    def __init__(
        self,
        requests: PublicRequests,
        *,
        sink: Callable[[bytes, bytes], None],
        drained: Callable[[], None],
        opened: Callable[[], None],
        lost: Callable[[str], None],
    ) -> None:
        self.frames = self.dials = self.refused = self.malformed = 0
        self.connected = False
        self.dialled = 0.0
        self._source = requests.source
        self._requests = requests
        self._sink, self._drained = sink, drained
        self._opened, self._lost = opened, lost
        self._most = capabilities(self._source.venue).streams_per_connection
        self._wanted: dict[str, int] = {}
        self._active: set[str] = set()
        self._changed = asyncio.Event()
        self._socket: _Socket | None = None
        self._cut_for = ""
        self._numbers = 0
        self._scheduled = False
        self._backoff = Backoff(FIRST_DELAY, LONGEST_DELAY, rng=random.Random())

    # -- wanted streams

    @property
    def wanted(self) -> int:
        """The number of wanted streams."""
        return len(self._wanted)

    def want(self, name: str) -> bool:
        """Subscribe a stream, as often as it is wanted; return whether there is room for it."""
        if name not in self._wanted and len(self._wanted) >= self._most:
            self.refused += 1
            logger.warning(
                "%s is not mirrored: one connection has %d streams at most.", name, self._most
            )
            return False
        self._wanted[name] = self._wanted.get(name, 0) + 1
        self._changed.set()
        return True

    def drop(self, name: str) -> None:
        """Want a stream once less."""
        left = self._wanted.get(name, 0) - 1
        if left > 0:
            self._wanted[name] = left
        elif self._wanted.pop(name, None) is not None:
            self._changed.set()

    # -- the connection

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        while True:
            try:
                reason = await self._connect()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                reason = connection_advice(error, DIAL_TIMEOUT)
            self._lost(reason)
            await self._backoff.wait()

    async def cut(self, reason: str) -> None:
        """Close the connection, which is then dialled again."""
        if self._socket is not None:
            self._cut_for = reason
            await self._socket.close()

    async def _connect(self) -> str:
        # A dead peer answers no close frame either.
        limits = aiohttp.ClientWSTimeout(ws_close=1.0)
        async with asyncio.timeout(DIAL_TIMEOUT):
            socket = await self._requests.session.ws_connect(
                self._source.streams,
                proxy=self._requests.proxy(self._source.streams),
                timeout=limits,
                max_msg_size=2**24,
                compress=0,
                decode_text=False,
            )
        self._socket, self._active, self._cut_for = socket, set(), ""
        self.dialled = asyncio.get_running_loop().time()
        self.connected = True
        self.dials += 1
        try:
            ended = await first_of(self._read(socket), self._command(socket))
            return self._cut_for or ended
        finally:
            self.connected, self._socket = False, None
            await socket.close()

    async def _read(self, socket: _Socket) -> str:
        loop = asyncio.get_running_loop()
        while True:
            message = await socket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                    return f"The connection was closed ({socket.close_code})."
                return f"The connection was cut ({message.type.name.lower()})."
            self._receive(message.data)
            if not self._scheduled:
                # It runs when no further frame is at hand.
                self._scheduled = True
                loop.call_soon(self._drain)

    def _drain(self) -> None:
        self._scheduled = False
        self._drained()

    def _receive(self, data: bytes) -> None:
        if data.startswith(_PREFIX):
            end = data.find(b'"', len(_PREFIX))
            if data[end : end + 9] == b'","data":' and data.endswith(b"}"):
                self._pass_on(data[len(_PREFIX) : end], data[end + 9 : -1])
                return
        self._receive_other(data)

    def _receive_other(self, data: bytes) -> None:
        """Receive what is no frame of a stream in the usual form."""
        try:
            message = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            self.unreadable(self._source.venue, error)
            return
        if not isinstance(message, dict):
            self.unreadable(self._source.venue, ValueError(data[:80]))
        elif "stream" in message and "data" in message:
            self._pass_on(str(message["stream"]).encode(), orjson.dumps(message["data"]))
        elif message.get("error") is not None:
            logger.warning("A command to %s was refused: %r", self._source.venue, message["error"])

    def _pass_on(self, name: bytes, payload: bytes) -> None:
        self.frames += 1
        try:
            self._sink(name, payload)
        except UNREADABLE as error:
            self.unreadable(name.decode(errors="replace"), error)

    def unreadable(self, name: str, error: Exception) -> None:
        """Count a frame that cannot be read; the first of each hundred is logged."""
        if self.malformed % 100 == 0:
            logger.warning("A frame of %s cannot be read, and is left out: %r", name, error)
        self.malformed += 1

    async def _command(self, socket: _Socket) -> NoReturn:
        """Subscribe and unsubscribe, in batches with pauses."""
        told = False
        while True:
            self._changed.clear()
            new = [name for name in self._wanted if name not in self._active][:BATCH]
            gone = [name for name in self._active if name not in self._wanted][:BATCH]
            if new:
                await self._send(socket, "SUBSCRIBE", new)
                self._active.update(new)
            elif gone:
                await self._send(socket, "UNSUBSCRIBE", gone)
                self._active.difference_update(gone)
            elif not told:
                told = True
                self._backoff.reset()
                self._opened()
                continue
            else:
                await self._changed.wait()
                continue
            await asyncio.sleep(COMMAND_INTERVAL)

    async def _send(self, socket: _Socket, method: str, names: Iterable[str]) -> None:
        self._numbers += 1
        command = {"method": method, "params": list(names), "id": self._numbers}
        try:
            await socket.send_str(orjson.dumps(command).decode())
        except (aiohttp.ClientError, ConnectionError):
            # The reading task sees the end of the connection.
            await asyncio.sleep(DIAL_TIMEOUT)
