"""One client's socket: its frames, its pings and its end.

Frames are written as they go over the wire and handed over in batches, so that a thousand of them
cost one system call, not a thousand. What a client has not read yet waits in a bounded buffer. A
sender that is patient waits for it; any other goes on, and cuts the client off when too much waits,
or for too long.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from botlib.paper.accounts.signatures import wall_time
from botlib.paper.protocol.refusals import Refusal
from botlib.paper.protocol.timeunit import PARAMETER, event_in_microseconds, wants_microseconds

PING_INTERVAL: Final = 20.0
PONG_DEADLINE: Final = 60.0
CLOSE_TIMEOUT: Final = 1.0
"""Seconds a client has to answer a close frame."""
LIFETIME: Final = 24 * 3_600.0
"""Seconds after which every connection is closed."""
SHUTDOWN_NOTICE: Final = 600.0
"""Seconds between the announcement of a connection's end and its end."""

SLOW_CLIENT: Final = 10.0
"""Seconds for which more than `HIGH_WATER` may wait for a client."""
PATIENCE: Final = 300.0
"""Seconds for which a patient sender waits for a client that reads nothing at all."""
HIGH_WATER: Final = 512 * 1_024
"""Bytes that may wait for a client before it counts as slow."""
MAX_BACKLOG: Final = 8 * 2**20
"""Bytes that may wait for a client at all."""
MAX_MESSAGE: Final = 2**17
"""Bytes a client's message may have."""
_POLL: Final = 0.002
_PINGS: Final = 8
"""Pings that are remembered until they are answered."""


def framed(payload: bytes) -> bytes:
    """Return a text as an unmasked WebSocket frame (RFC 6455, 5.2)."""
    length = len(payload)
    if length < 126:
        return b"\x81" + length.to_bytes(1, "big") + payload
    if length < 65_536:
        return b"\x81\x7e" + length.to_bytes(2, "big") + payload
    return b"\x81\x7f" + length.to_bytes(8, "big") + payload


def refused_response(refusal: Refusal) -> web.Response:
    """Return the answer to a handshake or request that is refused."""
    return web.Response(
        body=orjson.dumps(refusal.body()),
        status=refusal.status,
        headers=refusal.headers,
        content_type="application/json",
    )


class Connection:
    """One client socket.

    Attributes:
        stalled: whether nothing but pongs is sent any more.
        silent: whether nothing at all is sent any more.
        address: the client's address.
        micro: whether the client wants times in microseconds.

    Raises:
        Refusal: the URL asks for times in no unit there is.
    """

    def __init__(self, request: web.Request) -> None:
        self.request = request
        self.microseconds = wants_microseconds(request.query.get(PARAMETER))
        # Pings and closes are answered here, so that a fault can leave them unanswered.
        self.ws = web.WebSocketResponse(
            timeout=CLOSE_TIMEOUT,
            autoping=False,
            autoclose=False,
            compress=False,
            max_msg_size=MAX_MESSAGE,
        )
        self.stalled = False
        self.silent = False
        self.address = request.remote or ""
        self.opened = self.last_pong = _time()
        self._pings: deque[bytes] = deque(maxlen=_PINGS)
        self._announced = False
        self._pending: list[bytes] = []
        self._behind_since: float | None = None
        self._farewell: tuple[int, str] | None = None
        self._reading: asyncio.Timeout | None = None
        self._ended = asyncio.Event()

    # -- sending

    def put(self, frame: bytes) -> None:
        """Add a frame, as `framed` returns it, to what the next `flush` sends."""
        self._pending.append(frame)

    async def flush(self, *, patient: bool) -> None:
        """Hand over what waits; a dead socket is no error, its reader notices.

        Args:
            patient: wait for a slow client, `PATIENCE` seconds without any progress at most.
        """
        if not patient:
            self.push()
            return
        transport = self._write()
        if transport is None:
            return
        waiting = transport.get_write_buffer_size()
        if waiting > HIGH_WATER:
            await self._drained(transport, waiting)
        else:
            self._behind_since = None

    def push(self) -> None:
        """Hand over what waits; a client that has read too little of it is cut off."""
        transport = self._write()
        if transport is None:
            return
        waiting = transport.get_write_buffer_size()
        if waiting > HIGH_WATER:
            self._weigh(waiting)
        else:
            self._behind_since = None

    def _write(self) -> asyncio.Transport | None:
        if not self._pending:
            return None
        data = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
        self._pending.clear()
        transport = self.request.transport
        if self.stalled or self.silent or self.ws.closed or transport is None:
            return None
        if transport.is_closing():
            return None
        transport.write(data)
        return transport

    async def send(self, payload: bytes, *, patient: bool) -> None:
        """Send a text, after all that waits."""
        self.put(framed(payload))
        await self.flush(patient=patient)

    async def _drained(self, transport: asyncio.Transport, waiting: int) -> None:
        # There is no event for a buffer of a size of one's own choice.
        progress = _time()
        while waiting > HIGH_WATER and not transport.is_closing():
            await asyncio.sleep(_POLL)
            left = transport.get_write_buffer_size()
            if left < waiting:
                progress = _time()
            elif _time() - progress > PATIENCE:
                self.abort()
            waiting = left

    def _weigh(self, waiting: int) -> None:
        now = _time()
        if self._behind_since is None:
            self._behind_since = now
        if waiting > MAX_BACKLOG or now - self._behind_since > SLOW_CLIENT:
            self.abort()

    # -- receiving

    async def receive(self) -> str | None:
        """Return the next text, "" for a ping or pong, None at the end."""
        try:
            # `close` ends the wait from another task by letting it time out.
            async with asyncio.timeout(None) as self._reading:
                if self._farewell is not None:
                    self._reading.reschedule(0)
                message = await self.ws.receive()
        except TimeoutError:
            await self.end(*(self._farewell or (WSCloseCode.GOING_AWAY, "")))
            return None
        finally:
            self._reading = None
        if message.type is WSMsgType.TEXT:
            return str(message.data)
        if message.type is WSMsgType.PING:
            await self._pong(message.data)
            return ""
        if message.type is WSMsgType.PONG:
            # One that nobody asked for is allowed, and proves nothing.
            if bytes(message.data) in self._pings:
                self.last_pong = _time()
            return ""
        if message.type is WSMsgType.BINARY:
            await self.end(WSCloseCode.UNSUPPORTED_DATA, "Invalid request: text expected")
        elif message.type is WSMsgType.CLOSE:
            # A silent peer does not answer a close either; the client gives up in the end.
            while self.silent and self.request.transport is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            await self.ws.close()
        return None

    async def _pong(self, data: bytes) -> None:
        if self.silent:
            return
        try:
            await self.ws.pong(data)
        except (ConnectionError, RuntimeError):
            pass

    # -- pings and the end

    def shutdown_notice(self) -> object:
        """Return what announces the end of the connection."""
        return {"event": self._shutdown()}

    def _shutdown(self) -> object:
        event = {"e": "serverShutdown", "E": wall_time()}
        return event_in_microseconds(event) if self.microseconds else event

    async def keep_alive(self) -> None:
        """Ping the client; announce its end in time, and cut it off when it does not answer."""
        now = _time()
        age = now - self.opened
        if now - self.last_pong > PONG_DEADLINE + PING_INTERVAL:
            self.abort()
        elif age > LIFETIME:
            await self.close(WSCloseCode.OK, "Connection lifetime exceeded")
        elif not self.silent and not self.ws.closed:
            if age > LIFETIME - SHUTDOWN_NOTICE and not self._announced:
                self._announced = True
                await self.send(orjson.dumps(self.shutdown_notice()), patient=False)
            try:
                self._pings.append(str(int(now * 1_000)).encode())
                await self.ws.ping(self._pings[-1])
            except (ConnectionError, RuntimeError):
                pass

    def recover(self) -> None:
        """End a stall or a silence, unless the connection is being closed."""
        self.stalled = self._farewell is not None
        self.silent = False

    def request_close(self, code: int, reason: str = "") -> None:
        """Have the task that reads say goodbye and end."""
        self.stalled = True
        self._farewell = (code, reason)
        if self._reading is not None:
            self._reading.reschedule(0)

    async def close(self, code: int, reason: str = "") -> None:
        """Close politely from outside, and wait for the end."""
        self.request_close(code, reason)
        try:
            async with asyncio.timeout(2 * CLOSE_TIMEOUT):
                await self._ended.wait()
        except TimeoutError:
            self.abort()

    async def end(self, code: int, reason: str = "") -> None:
        """Send the close frame and wait for the client's; for the task that reads."""
        try:
            await self.ws.close(code=code, message=reason.encode())
        except (ConnectionError, RuntimeError):
            self.abort()

    def done(self) -> None:
        """Note that the task that reads has ended."""
        self._ended.set()

    def abort(self) -> None:
        """Cut the connection with a reset."""
        if self.request.transport is not None:
            self.request.transport.abort()


def _time() -> float:
    return asyncio.get_running_loop().time()
