"""Market streams over WebSocket: who listens to what, and getting every frame there.

A payload is encoded once, however many sockets it goes to. A client that does not read holds the
market when it runs as fast as it can; when the market is tied to the wall clock, such a client is
cut off after `SLOW_CLIENT` seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from botlib.exchange.paper.faults import Faults

MAX_STREAMS: Final = 1_024
MAX_MESSAGES: Final = 5
"""Incoming messages a second, pings and pongs included."""
PING_INTERVAL: Final = 20.0
PONG_DEADLINE: Final = 60.0
SLOW_CLIENT: Final = 10.0
CLOSE_TIMEOUT: Final = 1.0
"""Seconds a client has to answer a close frame."""
_METHODS: Final = "SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS, SET_PROPERTY, GET_PROPERTY"


class Connection:
    """One client socket."""

    def __init__(self, request: web.Request) -> None:
        self.request = request
        # Pings and closes are answered here, so that a fault can leave them unanswered.
        self.ws = web.WebSocketResponse(
            timeout=CLOSE_TIMEOUT,
            autoping=False,
            autoclose=False,
            compress=False,
            max_msg_size=2**20,
        )
        self.stalled = False
        self.silent = False
        self.last_pong = time.monotonic()
        self._farewell: tuple[int, str] | None = None
        self._reading: asyncio.Timeout | None = None
        self._ended = asyncio.Event()

    async def send(self, frame: bytes, *, patient: bool) -> None:
        """Send a text frame; a dead socket is no error, its reader notices.

        Args:
            patient: wait for a slow client as long as it takes.
        """
        if self.stalled or self.silent or self.ws.closed:
            return
        try:
            if patient or not self._backlog():
                await self.ws.send_frame(frame, WSMsgType.TEXT)
            else:
                async with asyncio.timeout(SLOW_CLIENT):
                    await self.ws.send_frame(frame, WSMsgType.TEXT)
        except TimeoutError:
            self.abort()
        except (ConnectionError, RuntimeError):
            pass

    def _backlog(self) -> int:
        transport = self.request.transport
        return transport.get_write_buffer_size() if transport is not None else 0

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
            self.last_pong = time.monotonic()
            return ""
        if message.type is WSMsgType.CLOSE:
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

    async def ping(self) -> None:
        """Ping the client, or cut it off when it has not answered for too long."""
        if time.monotonic() - self.last_pong > PONG_DEADLINE + PING_INTERVAL:
            self.abort()
        elif not self.silent and not self.ws.closed:
            try:
                await self.ws.ping(str(time.time_ns() // 1_000_000).encode())
            except (ConnectionError, RuntimeError):
                pass

    async def close(self, code: int, reason: str = "") -> None:
        """Close politely from outside: the task that reads says goodbye and ends."""
        self.stalled = True
        self._farewell = (code, reason)
        if self._reading is not None:
            self._reading.reschedule(0)
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


class StreamConnection(Connection):
    """A socket of market streams."""

    def __init__(self, request: web.Request, *, combined: bool) -> None:
        super().__init__(request)
        self.combined = combined
        self.streams: set[str] = set()


class MarketStreams:
    """All sockets of market streams, and what they listen to.

    Args:
        faults: what to damage on the way.
        opened: called with a stream that somebody listens to from now on, before `snapshot`.
        left: called with a stream that nobody listens to any more.
        snapshot: returns the current payload of a stream, or None; sent at once to a new
            subscriber, since a market that is held would leave it without any.
    """

    def __init__(
        self,
        faults: Faults,
        *,
        opened: Callable[[str], None],
        left: Callable[[str], None],
        snapshot: Callable[[str], object | None],
    ) -> None:
        self.faults = faults
        self.connections: set[StreamConnection] = set()
        self.sent = 0
        self.closing_sent = 0
        self.patient = True
        self._listeners: dict[str, set[StreamConnection]] = {}
        self._opened = opened
        self._left = left
        self._snapshot = snapshot
        self._forming: dict[str, object] = {}
        self._late: dict[str, object] = {}

    def __contains__(self, stream: str) -> bool:
        return stream in self._listeners

    @property
    def listened(self) -> bool:
        """Whether anybody listens to anything."""
        return bool(self._listeners)

    # -- sending

    async def publish(self, stream: str, payload: object) -> None:
        """Send a payload to every listener of a stream."""
        listeners = self._listeners.get(stream)
        if not listeners:
            return
        raw = orjson.dumps(payload)
        wrapped: bytes | None = None
        for connection in tuple(listeners):
            if connection.combined:
                wrapped = wrapped or b'{"stream":"%b","data":%b}' % (stream.encode(), raw)
                await connection.send(wrapped, patient=self.patient)
            else:
                await connection.send(raw, patient=self.patient)
            self.sent += 1

    async def publish_kline(self, stream: str, payload: object, *, closing: bool) -> None:
        """Send a kline, with the faults that concern klines."""
        if stream not in self._listeners:
            return
        if self.faults.pending("late"):
            self._remember(stream, payload, closing=closing)
        if closing:
            if self.faults.take("drop_closing", stream):
                return
            self.closing_sent += 1
        await self.publish(stream, payload)
        if self.faults.take("duplicate", stream):
            await self.publish(stream, payload)

    def _remember(self, stream: str, payload: object, *, closing: bool) -> None:
        if not closing:
            self._forming[stream] = payload
        elif stream in self._forming:
            self._late[stream] = self._forming.pop(stream)

    async def publish_late(self, stream: str) -> None:
        """Repeat a frame of the candle that has just closed, when such a fault is ordered."""
        payload = self._late.pop(stream, None)
        if payload is not None and self.faults.take("late", stream):
            await self.publish(stream, payload)

    async def broadcast(self, text: str) -> None:
        """Send a text, whatever it holds, to every socket."""
        for connection in tuple(self.connections):
            await connection.send(text.encode(), patient=False)

    # -- receiving

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one socket from its first to its last message."""
        connection = StreamConnection(request, combined=_combined(request.path))
        if not request.query.get("streams") and _names_streams(request.path):
            wanted = request.path.partition("/ws/")[2].split("/")
        else:
            wanted = request.query.get("streams", "").split("/")
        await connection.ws.prepare(request)
        self.connections.add(connection)
        try:
            await self._listen(connection, [name for name in wanted if "@" in name])
            await self._serve(connection)
        finally:
            connection.done()
            self.connections.discard(connection)
            self._unlisten(connection, tuple(connection.streams))
        return connection.ws

    async def _serve(self, connection: StreamConnection) -> None:
        recent: deque[float] = deque()
        while len(connection.streams) <= MAX_STREAMS:
            text = await connection.receive()
            if text is None:
                return
            now = time.monotonic()
            recent.append(now)
            while recent[0] <= now - 1.0:
                recent.popleft()
            if len(recent) > MAX_MESSAGES:
                await connection.end(WSCloseCode.POLICY_VIOLATION, "Too many requests")
                return
            if text:
                answer, wanted = self._answer(connection, text)
                await connection.send(orjson.dumps(answer), patient=False)
                await self._listen(connection, wanted)
        await connection.end(WSCloseCode.POLICY_VIOLATION, "Invalid request: too many streams")

    def _answer(self, connection: StreamConnection, text: str) -> tuple[object, list[str]]:
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            text = f"Invalid JSON: {error.msg} at line {error.lineno} column {error.colno}"
            return {"error": {"code": 3, "msg": text}, "id": None}, []
        if not isinstance(message, dict):
            return _invalid("expected an object", None), []
        method, params, number = message.get("method"), message.get("params"), message.get("id")
        params = [] if params is None else params
        if not isinstance(params, list):
            return _invalid("params must be a list", number), []
        result: object = None
        wanted: list[str] = []
        match method:
            case "SUBSCRIBE" | "UNSUBSCRIBE":
                if not params or not all(isinstance(name, str) for name in params):
                    return _invalid("params must be a list of stream names", number), []
                if method == "SUBSCRIBE":
                    wanted = params
                else:
                    self._unlisten(connection, params)
            case "LIST_SUBSCRIPTIONS":
                result = sorted(connection.streams)
            case "SET_PROPERTY":
                if len(params) != 2 or params[0] != "combined" or not isinstance(params[1], bool):
                    return _invalid("expected the property 'combined' and a boolean", number), []
                connection.combined = params[1]
            case "GET_PROPERTY":
                if params != ["combined"]:
                    return _invalid("expected the property 'combined'", number), []
                result = connection.combined
            case _:
                return _invalid(
                    f"unknown variant `{method}`, expected one of {_METHODS}", number
                ), []
        return {"result": result, "id": number}, wanted

    async def _listen(self, connection: StreamConnection, streams: Iterable[str]) -> None:
        new = [name for name in dict.fromkeys(streams) if name not in connection.streams]
        for name in new:
            connection.streams.add(name)
            if len(connection.streams) > MAX_STREAMS:
                return
            if name not in self._listeners:
                self._listeners[name] = set()
                self._opened(name)
            self._listeners[name].add(connection)
        for name in new:
            payload = self._snapshot(name)
            if payload is None:
                continue
            raw = orjson.dumps(payload)
            if connection.combined:
                raw = b'{"stream":"%b","data":%b}' % (name.encode(), raw)
            await connection.send(raw, patient=False)
            self.sent += 1

    def _unlisten(self, connection: StreamConnection, streams: Iterable[str]) -> None:
        for name in streams:
            connection.streams.discard(name)
            listeners = self._listeners.get(name)
            if listeners is None:
                continue
            listeners.discard(connection)
            if not listeners:
                del self._listeners[name]
                self._left(name)


def _combined(path: str) -> bool:
    # `/stream` frames carry their stream's name; `/stream/ws…`, which ccxt needs, are raw.
    return path.rstrip("/") == "/stream"


def _names_streams(path: str) -> bool:
    return "/ws/" in path


def _invalid(reason: str, number: object) -> dict[str, object]:
    return {"error": {"code": 2, "msg": f"Invalid request: {reason}"}, "id": number}
