"""Market streams over WebSocket: the subscriptions of clients, and the delivery of frames.

A payload is encoded once for all subscribers, and sent with the next `flush`. If the market runs as
fast as it can, it waits for a client that does not read; if it follows a clock, such a client is
disconnected.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final

import orjson
from aiohttp import WSCloseCode, web

from botlib.paper.faults import Faults
from botlib.paper.faults.frames import FrameFaults
from botlib.paper.protocol.refusals import Refusal, refusal, unsupported
from botlib.paper.protocol.timeunit import frame_in_microseconds
from botlib.paper.streams.commands import LONGEST_NAME, Command, InvalidCommand, read_command
from botlib.paper.streams.connection import Connection, framed, refused_response

RETIRED: Final = frozenset({"!ticker@arr"})
"""Streams that Binance has removed, on 2026-03-26."""

MAX_STREAMS: Final = 1_024
BATCH_TIME: Final = 0.005
"""Seconds for which frames of a fast market may wait, to be sent in one batch."""

_NAMES: Final = 5
"""Streams that are prepared in one go, before other tasks may run."""

MAX_MESSAGES: Final = 5
"""Most incoming messages per second, pings and pongs included."""


class ClientStream(Connection):
    """The connection of a client to market streams."""

    def __init__(self, request: web.Request, *, combined: bool) -> None:
        super().__init__(request)
        self.combined = combined
        self.streams: dict[str, None] = {}

    def shutdown_notice(self) -> object:
        event = self._shutdown()
        return {"stream": "", "data": event} if self.combined else event

    def frame(self, stream: str, raw: bytes) -> bytes:
        """Return a payload as a frame in the form that this client has chosen."""
        if self.microseconds:
            raw = frame_in_microseconds(raw)
        return _named(stream, raw) if self.combined else framed(raw)


class MarketStreams:
    """All connections to market streams, and their subscriptions.

    Attributes:
        waits_for_clients: whether `flush` waits for slow clients.
        batches: whether the market never stops, so that frames are sent in batches.

    Args:
        faults: the faults that change frames.
        prepare: called with each stream before it is subscribed, to do what takes time.
        opened: called with a stream that has its first subscriber, before `snapshot`.
        left: called with a stream that has no subscriber left.
        snapshot: returns the current payload of a stream, or None; it is sent at once to a new
            subscriber, who would otherwise get nothing from a market that is held.
    """

    def __init__(
        self,
        faults: Faults,
        *,
        prepare: Callable[[str], None],
        opened: Callable[[str], None],
        left: Callable[[str], None],
        snapshot: Callable[[str], object | None],
    ) -> None:
        self.faults = faults
        self._damage = FrameFaults(faults, self._send_late)
        self.connections: dict[ClientStream, None] = {}
        self.sent = 0
        self.closing_sent = 0
        self.waits_for_clients = True
        self.batches = False
        self._flushed = 0.0
        # Dictionaries, not sets, so that frames are always sent in the same order.
        self._listeners: dict[str, dict[ClientStream, None]] = {}
        self._waiting: dict[ClientStream, None] = {}
        self._prepare = prepare
        self._opened = opened
        self._left = left
        self._snapshot = snapshot
        self._forming: dict[str, object] = {}
        self._late: dict[str, object] = {}

    def __contains__(self, stream: str) -> bool:
        return stream in self._listeners

    @property
    def has_listeners(self) -> bool:
        """Whether any stream has a subscriber."""
        return bool(self._listeners)

    # -- sending

    def publish(self, stream: str, payload: object) -> None:
        """Send a payload to all subscribers of a stream with the next `flush`."""
        listeners = self._listeners.get(stream)
        if not listeners:
            return
        raw = _encoded(payload)
        if self._damage.idle:
            self._put(stream, raw, listeners)
            return
        symbol = stream.partition("@")[0].upper()
        for damaged in self._damage.apply(stream, raw, symbol):
            self._put(stream, damaged, listeners)

    def _put(self, stream: str, raw: bytes, listeners: dict[ClientStream, None]) -> None:
        plain: bytes | None = None
        named: bytes | None = None
        for connection in listeners:
            if connection.microseconds:
                connection.put(connection.frame(stream, raw))
            elif connection.combined:
                named = named or _named(stream, raw)
                connection.put(named)
            else:
                plain = plain or framed(raw)
                connection.put(plain)
        self._waiting.update(listeners)
        self.sent += len(listeners)

    def _send_late(self, stream: str, raw: bytes) -> None:
        listeners = self._listeners.get(stream, {})
        self._put(stream, raw, listeners)
        for connection in listeners:
            connection.push()

    async def flush(self, *, now: bool = True) -> None:
        """Send the frames that were published since the last flush.

        Args:
            now: whether to send at once; otherwise a fast market may wait for more frames, at most
                `BATCH_TIME` seconds.
        """
        if not self._waiting:
            return
        time = asyncio.get_running_loop().time()
        if not now and self.batches and time - self._flushed < BATCH_TIME:
            return
        self._flushed = time
        waiting, self._waiting = self._waiting, {}
        for connection in waiting:
            await connection.flush(patient=self.waits_for_clients)

    def push(self) -> None:
        """Send the frames that were published since the last flush; a slow client is cut."""
        waiting, self._waiting = self._waiting, {}
        for connection in waiting:
            connection.push()

    def publish_kline(self, stream: str, payload: object, *, closing: bool) -> None:
        """Send a kline, subject to the faults of klines."""
        if stream not in self._listeners:
            return
        if self.faults.pending("late"):
            self._remember(stream, payload, closing=closing)
        if closing:
            symbol = stream.partition("@")[0].upper()
            if self.faults.pending("drop_closing") and self.faults.take(
                "drop_closing", stream, symbol
            ):
                return
            self.closing_sent += 1
        self.publish(stream, payload)

    def _remember(self, stream: str, payload: object, *, closing: bool) -> None:
        if not closing:
            self._forming[stream] = payload
        elif stream in self._forming:
            self._late[stream] = self._forming.pop(stream)

    def publish_late(self, stream: str) -> None:
        """Send a frame of the candle that has just closed again, if such a fault is ordered."""
        payload = self._late.pop(stream, None)
        symbol = stream.partition("@")[0].upper()
        if payload is not None and self.faults.take("late", stream, symbol):
            self.publish(stream, payload)

    # -- receiving

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection from its first to its last message."""
        try:
            connection = ClientStream(request, combined=_combined(request.path))
        except Refusal as refused:
            return refused_response(refused)
        wanted = _wanted(request)
        if any(len(name) > LONGEST_NAME for name in wanted):
            return refused_response(refusal(-1130, "streams"))
        if not RETIRED.isdisjoint(wanted):
            return refused_response(unsupported(410))
        await connection.ws.prepare(request)
        self.connections[connection] = None
        try:
            await self._listen(connection, [name for name in wanted if "@" in name])
            await self._serve(connection)
        finally:
            connection.done()
            self.connections.pop(connection, None)
            self._unlisten(connection, tuple(connection.streams))
        return connection.ws

    async def _serve(self, connection: ClientStream) -> None:
        recent: deque[float] = deque()
        loop = asyncio.get_running_loop()
        while len(connection.streams) <= MAX_STREAMS:
            text = await connection.receive()
            if text is None:
                return
            now = loop.time()
            recent.append(now)
            while recent[0] <= now - 1.0:
                recent.popleft()
            if len(recent) > MAX_MESSAGES:
                await connection.end(WSCloseCode.POLICY_VIOLATION, "Too many requests")
                return
            if text:
                await self._execute(connection, text)
        await connection.end(WSCloseCode.POLICY_VIOLATION, "Invalid request: too many streams")

    async def _execute(self, connection: ClientStream, text: str) -> None:
        try:
            command = read_command(text)
            gone = RETIRED.intersection(command.streams)
            if gone and command.method == "SUBSCRIBE":
                reason = f"Invalid request: {min(gone)} is no longer available"
                raise InvalidCommand(2, reason, command.number)
        except InvalidCommand as bad:
            await connection.send(orjson.dumps(bad.answer()), patient=False)
            return
        answer = {"result": self._result(connection, command), "id": command.number}
        await connection.send(orjson.dumps(answer), patient=False)
        if command.method == "SUBSCRIBE":
            await self._listen(connection, command.streams)

    def _result(self, connection: ClientStream, command: Command) -> object:
        match command.method:
            case "UNSUBSCRIBE":
                self._unlisten(connection, command.streams)
            case "LIST_SUBSCRIPTIONS":
                return sorted(connection.streams)
            case "SET_PROPERTY":
                connection.combined = bool(command.combined)
            case "GET_PROPERTY":
                return connection.combined
        return None

    async def _listen(self, connection: ClientStream, streams: Iterable[str]) -> None:
        new = [name for name in dict.fromkeys(streams) if name not in connection.streams]
        for number, name in enumerate(new, 1):
            self._prepare(name)
            if number % _NAMES == 0:
                await asyncio.sleep(0)
        # All at once, since a market that waited for a subscriber starts with the first one.
        for name in new:
            connection.streams[name] = None
            if len(connection.streams) > MAX_STREAMS:
                return
            if name not in self._listeners:
                self._listeners[name] = {}
                self._opened(name)
            self._listeners[name][connection] = None
        for number, name in enumerate(new, 1):
            payload = self._snapshot(name)
            if payload is not None:
                connection.put(connection.frame(name, _encoded(payload)))
                self.sent += 1
            if number % _NAMES == 0:
                await asyncio.sleep(0)
        await connection.flush(patient=False)

    def _unlisten(self, connection: ClientStream, streams: Iterable[str]) -> None:
        for name in streams:
            connection.streams.pop(name, None)
            listeners = self._listeners.get(name)
            if listeners is None:
                continue
            listeners.pop(connection, None)
            if not listeners:
                del self._listeners[name]
                self._left(name)


def _encoded(payload: object) -> bytes:
    return payload if isinstance(payload, bytes) else orjson.dumps(payload)


@lru_cache(maxsize=4_096)
def _quoted(stream: str) -> bytes:
    return orjson.dumps(stream)


def _named(stream: str, raw: bytes) -> bytes:
    return framed(b'{"stream":%b,"data":%b}' % (_quoted(stream), raw))


def _combined(path: str) -> bool:
    # Frames of `/stream` carry the stream's name; those of `/stream/ws…`, as ccxt needs, do not.
    return path.rstrip("/") == "/stream"


def _wanted(request: web.Request) -> list[str]:
    named = request.query.get("streams")
    if not named and "/ws/" in request.path:
        named = request.path.partition("/ws/")[2]
    return (named or "").split("/")
