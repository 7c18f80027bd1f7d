"""The WS-API: the same operations over a socket, and the user data stream."""

from __future__ import annotations

import itertools
from typing import Final

import orjson
from aiohttp import web

from botlib.exchange.paper.auth import check_key, check_timing, check_ws_signature, wall_time
from botlib.exchange.paper.limits import MAX_WEIGHT, RATE_LIMITS
from botlib.exchange.paper.operations import WS_METHODS
from botlib.exchange.paper.params import Params
from botlib.exchange.paper.quotes import Json
from botlib.exchange.paper.refusals import Refusal, unsupported
from botlib.exchange.paper.rest import Dispatcher, Unanswered
from botlib.exchange.paper.streams import Connection
from botlib.exchange.paper.venue import Venue

_SUBSCRIBE: Final = "userDataStream.subscribe.signature"
_REMOVED: Final = frozenset({"userDataStream.start", "userDataStream.ping", "userDataStream.stop"})


class WsApi:
    """Serves ``/ws-api/v3``."""

    def __init__(self, dispatcher: Dispatcher, venue: Venue) -> None:
        self._dispatcher = dispatcher
        self._venue = venue
        self._numbers = itertools.count()
        self.connections: set[Connection] = set()

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one socket from its first to its last request."""
        connection = Connection(request)
        await connection.ws.prepare(request)
        self.connections.add(connection)
        try:
            while (text := await connection.receive()) is not None:
                if text:
                    answer = await self._answer(connection, text)
                    await connection.send(orjson.dumps(answer), patient=False)
        except Unanswered:
            connection.abort()
        finally:
            connection.done()
            self.connections.discard(connection)
            self._venue.users.connections.pop(connection, None)
        return connection.ws

    async def _answer(self, connection: Connection, text: str) -> Json:
        number: object = None
        params: dict[str, str] = {}
        answer: Json = {"id": None, "status": 200}
        try:
            number, method, params = _read(text)
            answer["id"] = number
            answer["result"] = await self._run(connection, method, params)
        except Refusal as refusal:
            answer.pop("result", None)
            answer.update(status=refusal.status, error=refusal.body())
        if params.get("returnRateLimits") != "false":
            used = self._dispatcher.limits.weight.count
            answer["rateLimits"] = [{**RATE_LIMITS[0], "limit": MAX_WEIGHT, "count": used}]
        return answer

    async def _run(self, connection: Connection, method: str, params: dict[str, str]) -> object:
        if method in _REMOVED:
            raise unsupported(410)
        if method == _SUBSCRIBE:
            return self._subscribe(connection, params)
        if method == "userDataStream.unsubscribe":
            return await self._unsubscribe(connection)
        key = WS_METHODS.get(method)
        if key is None:
            raise unsupported()
        if self._dispatcher.operations[key].signed:
            check_key(params.get("apiKey"))
            check_ws_signature(params)
        return await self._dispatcher.run(key, Params(params))

    def _subscribe(self, connection: Connection, params: dict[str, str]) -> Json:
        check_key(params.get("apiKey"))
        check_ws_signature(params)
        check_timing(Params(params), wall_time())
        self._dispatcher.limits.charge(2)
        if connection in self._venue.users.connections:
            raise Refusal(-2035, "User Data Stream subscription already active.")
        number = next(self._numbers)
        self._venue.users.connections[connection] = number
        return {"subscriptionId": number}

    async def _unsubscribe(self, connection: Connection) -> Json:
        number = self._venue.users.connections.pop(connection, None)
        if number is not None:
            event: Json = {"e": "eventStreamTerminated", "E": self._venue.market_time}
            await self._venue.users.send(connection, number, event)
        return {}


def _read(text: str) -> tuple[object, str, dict[str, str]]:
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Refusal(-1099, "Invalid JSON.") from None
    if not isinstance(message, dict) or not isinstance(message.get("method"), str):
        raise Refusal(-1100, "A request needs 'id', 'method' and 'params'.")
    params = message.get("params") or {}
    if not isinstance(params, dict):
        raise Refusal(-1100, "'params' must be an object.")
    return message.get("id"), message["method"], {k: _text(v) for k, v in params.items()}


def _text(value: object) -> str:
    # Signed payloads write a JSON value the way a query string would.
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode()
