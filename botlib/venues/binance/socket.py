"""Sockets to Binance on top of ccxt's websocket client.

ccxt's own handling of messages is bypassed: it drops the flag that says a candle is final, hangs
for ever when a handler raises, and costs several times the parsing of a frame. Only its client is
used, for dialling and closing.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson
from aiohttp import WSMsgType
from ccxt.async_support.base.ws.client import MSG_SIZE_OVERHEAD

from botlib.core.errors import ExchangeError, ExchangeUnavailable, without_frames
from botlib.venues.base import BadFrameSink, DepthSink, DepthUpdate, KlineSink, RawKline
from botlib.venues.binance import parse
from botlib.venues.binance.api import SpotBinance, VenueError
from botlib.venues.obstacles import connection_advice

REPLY_TIMEOUT: Final = 10.0
"""Longest wait for the reply to a request on a socket, in seconds."""

REQUEST_SPACING: Final = 0.35
"""Seconds between requests: the venue cuts a socket at five messages a second, including pings."""

STREAMS_PER_REQUEST: Final = 200

SILENCE: Final = 21.0
"""Seconds without any message after which a ping is sent: the venue itself pings every 20 s."""

PONG_TIMEOUT: Final = 10.0
"""Longest wait for any message after a ping, in seconds."""

CLOSE_TIMEOUT: Final = 0.5

_BROKEN: Final = 1_006
"""Close code of a connection that ended without a close frame."""

_MOMENT: Final = 0.01
"""Shortest sleep in seconds that advances every clock."""

_TEXT: Final = WSMsgType.TEXT
_LAST: Final = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)
_loads: Final = orjson.loads
_numbers = itertools.count()


class Socket:
    """One socket: requests with replies, events, and its end.

    Args:
        api: dials and closes it.
        url: of the venue.
    """

    def __init__(self, api: SpotBinance, url: str) -> None:
        self.frames = 0
        self.heard = self._alive = asyncio.get_running_loop().time()
        self._client = api.client(url)
        self._api = api
        # ccxt would create a task per message; its one task for pings reads instead.
        self._client.receive_loop = _nothing
        self._client.ping_loop = self._live
        self._room = asyncio.Event()
        self._room.set()
        self._ids = itertools.count(1)
        self._replies: dict[str, asyncio.Future[Mapping[str, Any]]] = {}
        self._requested = -REQUEST_SPACING
        self._sending = asyncio.Lock()
        self._ended = asyncio.Event()
        self._end = ""
        self._retiring = asyncio.Event()
        self._retirement = ""
        self._client.future("ended").add_done_callback(self._on_end)

    async def open(self) -> None:
        """Dial.

        Raises:
            ExchangeUnavailable: the venue did not accept the connection.
        """
        self._api.open()
        try:
            await self._client.connect(self._api.session)
        except Exception as error:
            raise ExchangeUnavailable(
                "Cannot open a stream to the venue. "
                f"{connection_advice(error.__cause__ or error, REPLY_TIMEOUT)}"
            ) from None

    async def request(self, method: str, params: object) -> Mapping[str, Any]:
        """Send a request and return its reply.

        Raises:
            VenueError: the venue refused it.
            ExchangeUnavailable: the socket died, or no reply came in time.
        """
        loop = asyncio.get_running_loop()
        number = str(next(self._ids))
        reply: asyncio.Future[Mapping[str, Any]] = loop.create_future()
        self._replies[number] = reply
        try:
            async with self._sending:
                await asyncio.sleep(self._requested + REQUEST_SPACING - loop.time())
                self._requested = loop.time()
                message: dict[str, object] = {"method": method, "id": self._request_id(number)}
                if params:
                    message["params"] = params
                await self._client.send(message)
            answer = await asyncio.wait_for(reply, REPLY_TIMEOUT)
        except TimeoutError:
            raise ExchangeUnavailable(
                f"The venue did not reply to {method} within {REPLY_TIMEOUT:g} s."
            ) from None
        except (ConnectionError, RuntimeError) as error:
            raise ExchangeUnavailable(f"The stream broke at {method}: {error}") from None
        finally:
            self._replies.pop(number, None)
        if (problem := answer.get("error")) is not None:
            raise VenueError(
                int(answer.get("status", 400)),
                problem.get("code"),
                str(problem.get("msg")),
                advice=self._api.advice(problem.get("code")),
            )
        return answer

    async def ended(self) -> str:
        """Wait until the socket is dead, and return why."""
        await self._ended.wait()
        return self._end

    async def retiring(self) -> str:
        """Wait until the venue announces the end of the socket, and return the reason."""
        await self._retiring.wait()
        return self._retirement

    def hold(self, held: bool) -> None:
        """Pause or resume reading; when the buffer is full, the venue waits."""
        if held:
            self._room.clear()
        else:
            self._room.set()

    async def close(self) -> None:
        """Close the socket with a close frame, or at once if the venue does not answer it."""
        try:
            await asyncio.wait_for(self._client.close(), CLOSE_TIMEOUT)
        except Exception as error:  # the socket is given up in any case
            self._finish(f"closed hard: {type(error).__name__}")
        clients = self._api.clients
        if clients.get(self._client.url) is self._client:
            del clients[self._client.url]
        self._finish("closed by us")

    def _request_id(self, number: str) -> object:
        # Streams accept an integer id, the WS-API a text; replies repeat it.
        return int(number)

    # Reading and pings

    async def _live(self) -> None:
        """Read and ping, from the opening of the socket until ccxt closes it."""
        async with asyncio.TaskGroup() as group:
            pings = group.create_task(self._ping())
            await self._read()
            pings.cancel()

    async def _read(self) -> None:
        """Receive messages until the socket ends."""
        client, time = self._client, asyncio.get_running_loop().time
        try:
            while not client.closed():
                await self._room.wait()
                message = await client.connection.receive()
                self._alive = time()
                frames = self.frames
                if message.type is _TEXT:
                    self._receive(message.data)
                    message = self._receive_waiting(message)
                if self.frames != frames:
                    self.heard = self._alive
                if message.type is WSMsgType.PING:
                    await client.connection.pong(message.data)
                elif message.type in _LAST:
                    # ccxt ends the socket on these.
                    client.handle_message(message)
                    break
        except Exception as error:
            client.reject(ExchangeUnavailable(str(error) or type(error).__name__))
            return
        if client.closed():
            client.on_close(_BROKEN)

    def _receive_waiting(self, message: Any) -> Any:
        """Process the texts in aiohttp's queue directly, because its `receive` is slow.

        The last message is left to aiohttp: its removal updates the size of the queue, which
        decides whether the transport is read further.

        Returns:
            The last message that was removed; the caller handles it if it is no text.
        """
        waiting = self._client.buffer
        if not waiting or len(waiting) < 2:
            return message
        taken, receive = 0, self._receive
        while len(waiting) > 1 and message.type is _TEXT:
            message, size = waiting.popleft()
            taken += size + MSG_SIZE_OVERHEAD
            if message.type is _TEXT:
                receive(message.data)
        following, size = waiting[0]
        waiting[0] = (following, size + taken)
        return message

    def _receive(self, text: str) -> None:
        """Process one message. Never raises, so the next ones are read too."""
        try:
            self._process(_loads(text))
        except Exception as error:
            self._bad_frame(text, f"{type(error).__name__}: {error}")

    async def _ping(self) -> None:
        """Ping a silent socket, and give it up if it stays silent.

        ccxt's own pings count by calendar time: a corrected clock would end the socket.
        """
        client, time = self._client, asyncio.get_running_loop().time
        while not client.closed():
            if not self._room.is_set():
                # Reading is paused on purpose, so it is not known whether anything has come.
                self._alive = time()
            silence = time() - self._alive
            if silence < SILENCE:
                await asyncio.sleep(max(SILENCE - silence, _MOMENT))
                continue
            try:
                await client.connection.ping()
            except Exception as error:  # the socket broke during the write
                if not client.closed():
                    client.on_error(error)
                return
            pinged = time()
            await asyncio.sleep(PONG_TIMEOUT)
            if self._alive < pinged and self._room.is_set():
                client.on_error(ExchangeUnavailable(f"no pong for {PONG_TIMEOUT:g} s"))
                return

    def _process(self, data: Any) -> None:
        """Process a decoded message that is no event of the fast path."""
        if "id" in data:
            reply = self._replies.get(str(data["id"]))
            if reply is not None and not reply.done():
                reply.set_result(data)
            elif "error" in data:
                raise ValueError(f"unasked error {data['error']!r}")
            return
        event = data.get("event") or data.get("data") or data
        kind = event.get("e")
        if kind == "serverShutdown":
            self._retirement = "the venue announced a shutdown"
            self._retiring.set()
        elif kind == "eventStreamTerminated":
            self._client.on_error(ExchangeUnavailable("the venue ended the event stream"))
        else:
            self._event(event)

    def _event(self, event: Mapping[str, Any]) -> None:
        raise ValueError(f"event {event.get('e')!r} is not known here")

    def _bad_frame(self, text: str, reason: str) -> None:
        """Report a frame that could not be used."""

    def _on_end(self, future: asyncio.Future[Any]) -> None:
        if future.cancelled():
            self._finish("closed by us")
        else:
            error = future.exception()
            # ccxt wraps the error of a dial.
            cause = error.args[0] if error is not None and error.args else error
            self._finish(str(error or "ended"), cause if isinstance(cause, Exception) else error)

    def _finish(self, reason: str, cause: BaseException | None = None) -> None:
        if self._ended.is_set():
            return
        self._end = reason
        self._ended.set()
        # ccxt reports a failed dial through every future except the one that waits for the dial.
        for waiting in (*self._replies.values(), self._client.connected):
            if not waiting.done():
                failure = ConnectionError(reason)
                failure.__cause__ = cause
                waiting.set_exception(failure)


class MarketSocket(Socket):
    """A socket of market streams.

    Args:
        api: dials and closes it.
        on_bad: receives frames that cannot be used.
    """

    def __init__(self, api: SpotBinance, on_bad: BadFrameSink) -> None:
        # ccxt identifies a connection by its address, and numbers them the same way.
        super().__init__(api, f"{api.urls['api']['ws']['spot']}/{next(_numbers) % 1_000}")
        self._on_bad = on_bad

    async def _subscribe(self, streams: Iterable[str], method: str = "SUBSCRIBE") -> None:
        names = list(streams)
        for start in range(0, len(names), STREAMS_PER_REQUEST):
            await self.request(method, names[start : start + STREAMS_PER_REQUEST])

    def _bad_frame(self, text: str, reason: str) -> None:
        self._on_bad(str(text)[:500], reason)


class KlineSocket(MarketSocket):
    """A socket that passes every candle frame to the sink of its subscription."""

    def __init__(self, api: SpotBinance, on_bad: BadFrameSink) -> None:
        super().__init__(api, on_bad)
        self._routes: dict[tuple[str, str], KlineSink] = {}

    async def subscribe(self, sinks: Mapping[tuple[str, str], KlineSink]) -> None:
        """Subscribe to (symbol, timeframe) pairs; returns once the venue acknowledged them."""
        names: list[str] = []
        for (symbol, timeframe), sink in sinks.items():
            identifier = self._api.market(symbol)["id"]
            # The route comes first: frames may overtake the acknowledgement.
            self._routes[identifier, timeframe] = sink
            names.append(kline_stream(identifier, timeframe))
        await self._subscribe(names)

    async def unsubscribe(self, keys: Sequence[tuple[str, str]]) -> None:
        """End the subscriptions to (symbol, timeframe) pairs."""
        routes = [(self._api.market(symbol)["id"], timeframe) for symbol, timeframe in keys]
        for route in routes:
            # Frames still come until the venue has acknowledged it.
            self._routes[route] = _discard_kline
        await self._subscribe((kline_stream(*route) for route in routes), "UNSUBSCRIBE")
        for route in routes:
            del self._routes[route]

    def _receive(self, text: str) -> None:
        # The hot path: a few hundred frames a second at full load.
        try:
            data = _loads(text)
            if "k" in data:
                kline = data["k"]
                self._routes[data["s"], kline["i"]](kline["t"], data["E"], kline["x"], kline)
                self.frames += 1
            else:
                self._process(data)
        except Exception as error:
            self._bad_frame(text, f"{type(error).__name__}: {error}")

    def _event(self, event: Mapping[str, Any]) -> None:
        kline = event["k"]
        self._routes[event["s"], kline["i"]](kline["t"], event["E"], kline["x"], kline)
        self.frames += 1


class DepthSocket(MarketSocket):
    """A socket that passes the changes of every order book to the sink of its subscription.

    ccxt's own books are not used: they drop buffered changes that do not follow their snapshot,
    are cut to a number of levels, and hold prices as floats.
    """

    def __init__(self, api: SpotBinance, on_bad: BadFrameSink) -> None:
        super().__init__(api, on_bad)
        self._routes: dict[str, DepthSink] = {}

    async def subscribe(self, sinks: Mapping[tuple[str, str], DepthSink]) -> None:
        """Subscribe to symbols; returns once the venue acknowledged them."""
        for (symbol, _), sink in sinks.items():
            self._routes[self._api.market(symbol)["id"]] = sink
        ids = [self._api.market(symbol)["id"].lower() for symbol, _ in sinks]
        await self._subscribe(f"{identifier}@depth@100ms" for identifier in ids)

    async def unsubscribe(self, keys: Sequence[tuple[str, str]]) -> None:
        """End the subscriptions to symbols."""
        ids = [self._api.market(symbol)["id"] for symbol, _ in keys]
        for identifier in ids:
            self._routes[identifier] = _discard_depth
        names = (f"{identifier.lower()}@depth@100ms" for identifier in ids)
        await self._subscribe(names, "UNSUBSCRIBE")
        for identifier in ids:
            del self._routes[identifier]

    def _event(self, event: Mapping[str, Any]) -> None:
        if event.get("e") != "depthUpdate":
            raise ValueError(f"event {event.get('e')!r} is no change of an order book")
        self._routes[event["s"]](parse.depth_update(event))
        self.frames += 1


class UserSocket(Socket):
    """A socket of the WS-API that carries the account's own events."""

    def __init__(self, api: SpotBinance, on_event: Any, on_bad: BadFrameSink) -> None:
        super().__init__(api, api.urls["api"]["ws"]["ws-api"]["spot"])
        self._on_event = on_event
        self._on_bad = on_bad

    async def subscribe(self) -> None:
        """Subscribe to the account's events.

        Raises:
            ExchangeError: the venue refused the key, the signature or the timestamp.
        """
        method = "userDataStream.subscribe.signature"
        try:
            answer = await self.request(method, self._api.sign_params({}))
        except ExchangeError as error:
            # The frames of the request hold the key and the signature.
            raise without_frames(error) from None
        if answer.get("status", 200) != 200:
            raise ExchangeError(f"The venue refused the account's event stream: {answer!r}")

    def _request_id(self, number: str) -> object:
        return number

    def _event(self, event: Mapping[str, Any]) -> None:
        self._on_event(event)
        self.frames += 1

    def _bad_frame(self, text: str, reason: str) -> None:
        self._on_bad(str(text)[:500], reason)


def _discard_kline(timestamp: int, event_time: int, closed: bool, raw: RawKline) -> None:
    """Take a frame that nobody wants any more."""


def _discard_depth(update: DepthUpdate) -> None:
    """Take a frame that nobody wants any more."""


def kline_stream(identifier: str, timeframe: str) -> str:
    """Return the name of the candle stream of a market id such as ``BTCUSDT``."""
    return f"{identifier.lower()}@kline_{timeframe}"


def _nothing() -> None:
    """Do nothing: `Socket._live` reads."""
