"""The WebSocket connection of one client: its frames, its pings and its end.

Frames are encoded for the wire and written in batches, so that a thousand of them cost one system
call. Unread frames wait in a bounded buffer. A patient sender waits until the client has read; any
other sender continues, and disconnects a client with too much unread data, or for too long.
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
"""Seconds within which a client must answer a close frame."""
LIFETIME: Final = 24 * 3_600.0
"""Seconds after which every connection is closed."""
SHUTDOWN_NOTICE: Final = 600.0
"""Seconds from the announcement of a connection's end to its end."""

SLOW_CLIENT: Final = 10.0
"""Seconds for which a client may have more than `HIGH_WATER` unread."""
PATIENCE: Final = 300.0
"""Seconds for which a patient sender waits for a client that reads nothing."""
HIGH_WATER: Final = 512 * 1_024
"""Unread bytes from which on a client counts as slow."""
MAX_BACKLOG: Final = 8 * 2**20
"""Most unread bytes of a client."""
MAX_MESSAGE: Final = 2**17
"""Most bytes of a client's message."""
_POLL: Final = 0.002
_PINGS: Final = 8
"""Pings that are stored until they are answered."""


def framed(payload: bytes) -> bytes:
    """Return a text as an unmasked WebSocket frame (RFC 6455, 5.2)."""
    length = len(payload)
    if length < 126:
        return b"\x81" + length.to_bytes(1, "big") + payload
    if length < 65_536:
        return b"\x81\x7e" + length.to_bytes(2, "big") + payload
    return b"\x81\x7f" + length.to_bytes(8, "big") + payload


def refused_response(refusal: Refusal) -> web.Response:
    """Return the HTTP response for a handshake or a request that is refused."""
    return web.Response(
        body=orjson.dumps(refusal.body()),
        status=refusal.status,
        headers=refusal.headers,
        content_type="application/json",
    )


class Connection:
    """The WebSocket connection of one client.

    Attributes:
        stalled: whether only pongs are sent.
        silent: whether nothing is sent.
        address: the client's address.
        microseconds: whether the client wants times in microseconds.

    Raises:
        Refusal: the URL asks for an unknown unit of time.
    """

    def __init__(self, request: web.Request) -> None:
        self.request = request
        self.microseconds = wants_microseconds(request.query.get(PARAMETER))
        # Pings and closes are answered here, so that a fault can suppress the answers.
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
        self._close_frame: tuple[int, str] | None = None
        self._reading: asyncio.Timeout | None = None
        self._ended = asyncio.Event()

    # -- sending

    def put(self, frame: bytes) -> None:
        """Queue a frame, as `framed` returns it, for the next `flush`."""
        self._pending.append(frame)

    async def flush(self, *, patient: bool) -> None:
        """Write the queued frames; a dead socket is not an error here, its reader notices it.

        Args:
            patient: whether to wait for a slow client, at most `PATIENCE` seconds without progress.
        """
        if not patient:
            self.push()
            return
        transport = self._write()
        if transport is None:
            return
        waiting = transport.get_write_buffer_size()
        if waiting > HIGH_WATER:
            await self._wait_until_read(transport, waiting)
        else:
            self._behind_since = None

    def push(self) -> None:
        """Write the queued frames, and disconnect a client that has read too little."""
        transport = self._write()
        if transport is None:
            return
        waiting = transport.get_write_buffer_size()
        if waiting > HIGH_WATER:
            self._check_backlog(waiting)
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
        """Send a text after the queued frames."""
        self.put(framed(payload))
        await self.flush(patient=patient)

    async def _wait_until_read(self, transport: asyncio.Transport, waiting: int) -> None:
        # asyncio has no event for a buffer that falls below a chosen size.
        progress = _time()
        while waiting > HIGH_WATER and not transport.is_closing():
            await asyncio.sleep(_POLL)
            left = transport.get_write_buffer_size()
            if left < waiting:
                progress = _time()
            elif _time() - progress > PATIENCE:
                self.abort()
            waiting = left

    def _check_backlog(self, waiting: int) -> None:
        now = _time()
        if self._behind_since is None:
            self._behind_since = now
        if waiting > MAX_BACKLOG or now - self._behind_since > SLOW_CLIENT:
            self.abort()

    # -- receiving

    async def receive(self) -> str | None:
        """Return the next text, "" for a ping or a pong, None at the end of the connection."""
        try:
            # `close` ends this wait from another task by its timeout.
            async with asyncio.timeout(None) as self._reading:
                if self._close_frame is not None:
                    self._reading.reschedule(0)
                message = await self.ws.receive()
        except TimeoutError:
            await self.end(*(self._close_frame or (WSCloseCode.GOING_AWAY, "")))
            return None
        finally:
            self._reading = None
        if message.type is WSMsgType.TEXT:
            return str(message.data)
        if message.type is WSMsgType.PING:
            await self._pong(message.data)
            return ""
        if message.type is WSMsgType.PONG:
            # An unsolicited pong is allowed, and does not prove that the client answers.
            if bytes(message.data) in self._pings:
                self.last_pong = _time()
            return ""
        if message.type is WSMsgType.BINARY:
            await self.end(WSCloseCode.UNSUPPORTED_DATA, "Invalid request: text expected")
        elif message.type is WSMsgType.CLOSE:
            # A silent peer does not answer a close either: wait until the client disconnects.
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

    # -- pings and closing

    def shutdown_notice(self) -> object:
        """Return the announcement of the connection's end."""
        return {"event": self._shutdown()}

    def _shutdown(self) -> object:
        event = {"e": "serverShutdown", "E": wall_time()}
        return event_in_microseconds(event) if self.microseconds else event

    async def keep_alive(self) -> None:
        """Ping the client, announce the connection's end, and abort it if the client is dead."""
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
        """Send again after a stall or a silence, unless the connection is being closed."""
        self.stalled = self._close_frame is not None
        self.silent = False

    def request_close(self, code: int, reason: str = "") -> None:
        """Make the reading task send a close frame and end."""
        self.stalled = True
        self._close_frame = (code, reason)
        if self._reading is not None:
            self._reading.reschedule(0)

    async def close(self, code: int, reason: str = "") -> None:
        """Close the connection from another task, and wait for its end."""
        self.request_close(code, reason)
        try:
            async with asyncio.timeout(2 * CLOSE_TIMEOUT):
                await self._ended.wait()
        except TimeoutError:
            self.abort()

    async def end(self, code: int, reason: str = "") -> None:
        """Send a close frame and wait for the client's; called by the reading task."""
        try:
            await self.ws.close(code=code, message=reason.encode())
        except (ConnectionError, RuntimeError):
            self.abort()

    def done(self) -> None:
        """Store that the reading task has ended."""
        self._ended.set()

    def abort(self) -> None:
        """Abort the connection with a TCP reset."""
        if self.request.transport is not None:
            self.request.transport.abort()


def _time() -> float:
    return asyncio.get_running_loop().time()
