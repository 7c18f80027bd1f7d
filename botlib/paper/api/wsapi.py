"""The WS-API: the same operations over a socket, sessions, and the user data stream."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import orjson
from aiohttp import WSCloseCode, web

from botlib.paper.accounts.keys import TRADE, USER_DATA, ApiKey, KeyRegister
from botlib.paper.accounts.signatures import check_timing, check_ws_signature, wall_time
from botlib.paper.api.dispatch import AnswerWithheld, Dispatcher
from botlib.paper.api.operations import WS_METHODS
from botlib.paper.api.rate_limits import CONNECTION_WEIGHT
from botlib.paper.market.quotes import Json
from botlib.paper.protocol.params import DEFAULT_ACCOUNT, Params
from botlib.paper.protocol.refusals import Refusal, illegal, missing, refusal, unsupported
from botlib.paper.protocol.timeunit import answer_in_microseconds
from botlib.paper.streams.connection import Connection, refused_response
from botlib.paper.venue import Venue

REMOVED: Final = frozenset({"userDataStream.start", "userDataStream.ping", "userDataStream.stop"})
"""Methods that Binance has taken away: listen keys, since 2026-02-20."""

BANNED: Final = 418
"""The status of an answer after which a socket is closed."""

_ID_RANGE: Final = "^[a-zA-Z0-9-_]{1,36}$"
_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,36}")
_VERSION: Final = re.compile(r"v3/")


class WsSession(Connection):
    """A socket of the WS-API.

    Attributes:
        key: who logged on, None for nobody.
        since: when (ms, wall time).
        limits_told: whether answers carry the rate limits unless asked otherwise.
    """

    def __init__(self, request: web.Request, *, limits_told: bool) -> None:
        super().__init__(request)
        self.key: ApiKey | None = None
        self.since: int | None = None
        self.limits_told = limits_told
        self.connected = wall_time()


@dataclass(slots=True)
class WsRequest:
    """One message of a client."""

    id: object
    method: str
    params: dict[str, str]
    account: str = DEFAULT_ACCOUNT
    orders: bool = False


_Method = Callable[[WsSession, WsRequest], Awaitable[object]]


class WsApi:
    """Serves ``/ws-api/v3``."""

    def __init__(self, dispatcher: Dispatcher, venue: Venue, keys: KeyRegister) -> None:
        self._dispatcher = dispatcher
        self._limits = dispatcher.limits
        self._venue = venue
        self._keys = keys
        self.connections: dict[WsSession, None] = {}
        self._own: dict[str, _Method] = {
            "session.logon": self._logon,
            "session.status": self._status,
            "session.logout": self._logout,
            "session.subscriptions": self._subscriptions,
            "userDataStream.subscribe": self._subscribe,
            "userDataStream.subscribe.signature": self._subscribe_signed,
            "userDataStream.unsubscribe": self._unsubscribe,
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket from its first to its last request."""
        try:
            self._limits.connect(request.remote or "", CONNECTION_WEIGHT)
            told = request.query.get("returnRateLimits") != "false"
            session = WsSession(request, limits_told=told)
        except Refusal as refused:
            return refused_response(refused)
        await session.ws.prepare(request)
        self.connections[session] = None
        try:
            while (text := await session.receive()) is not None:
                if text:
                    answer = await self._answer(session, text)
                    await session.send(orjson.dumps(answer), patient=False)
                    if answer["status"] == BANNED:
                        await session.end(WSCloseCode.POLICY_VIOLATION, "IP banned")
                        break
        except AnswerWithheld:
            session.abort()
        finally:
            session.done()
            self.connections.pop(session, None)
            self._venue.users.forget(session)
        return session.ws

    async def _answer(self, session: WsSession, text: str) -> Json:
        request = WsRequest(None, "", {})
        answer: Json = {"id": None, "status": 200}
        told = session.limits_told
        try:
            _read(text, request)
            answer["id"] = request.id
            told = Params(request.params).flag("returnRateLimits", told)
            result = await self._run(session, request)
            answer["result"] = self._told(session, request, result)
        except Refusal as refused:
            error = refused.body()
            if refused.data is not None:
                error["data"] = self._told(session, request, refused.data)
            answer.pop("result", None)
            answer.update(id=request.id, status=refused.status, error=error)
        if told:
            orders = self._limits.order_counts(request.account) if request.orders else []
            answer["rateLimits"] = [*orders, self._limits.weight_status(session.address)]
        return answer

    @staticmethod
    def _told(session: WsSession, request: WsRequest, answer: object) -> object:
        """Return an answer with its times in the unit of a session."""
        if not session.microseconds:
            return answer
        return answer_in_microseconds(WS_METHODS.get(request.method, ("", ""))[1], answer)

    async def _run(self, session: WsSession, request: WsRequest) -> object:
        own = self._own.get(request.method)
        if own is not None:
            self._limits.charge(2, session.address)
            return await own(session, request)
        if request.method in REMOVED:
            raise unsupported(410)
        key = WS_METHODS.get(request.method)
        if key is None or key not in self._dispatcher.operations:
            self._limits.charge(1, session.address)
            raise unsupported()
        operation = self._dispatcher.operations[key]
        if operation.signed:
            permission = TRADE if operation.orders else USER_DATA
            request.account = self._entitled(session, request, permission).account
            request.orders = operation.orders
        # It is signed with the rest, but speaks of the answer only.
        read = {name: text for name, text in request.params.items() if name != "returnRateLimits"}
        params = Params(read, request.account)
        return await self._dispatcher.run(key, params, session.address)

    def _entitled(self, session: WsSession, request: WsRequest, permission: str) -> ApiKey:
        """Return the key of a signed request: its own, or that of the session."""
        try:
            if "apiKey" not in request.params and session.key is not None:
                # The key may have been replaced by one with other permissions since the logon.
                return self._keys.find(session.key.key, permission)
            key = self._keys.find(request.params.get("apiKey"), permission)
            check_ws_signature(key, request.params)
            return key
        except Refusal:
            self._limits.charge(1, session.address)
            raise

    # -- sessions

    async def _logon(self, session: WsSession, request: WsRequest) -> object:
        key = self._keys.find(request.params.get("apiKey"))
        if not key.ed25519:
            raise refusal(-4056)
        check_ws_signature(key, request.params)
        check_timing(Params(request.params), self._venue.faults.server_time())
        session.key, session.since = key, wall_time()
        return self._described(session)

    async def _status(self, session: WsSession, request: WsRequest) -> object:
        return self._described(session)

    async def _logout(self, session: WsSession, request: WsRequest) -> object:
        session.key = session.since = None
        return self._described(session)

    def _described(self, session: WsSession) -> Json:
        return {
            "apiKey": session.key.key if session.key is not None else None,
            "authorizedSince": session.since,
            "connectedSince": session.connected,
            "returnRateLimits": session.limits_told,
            "serverTime": self._venue.faults.server_time(),
            "userDataStream": session in self._venue.users.connections,
        }

    # -- the user data stream

    async def _subscribe(self, session: WsSession, request: WsRequest) -> object:
        if session.key is None:
            raise refusal(-1002)
        key = self._keys.find(session.key.key)
        return {"subscriptionId": self._venue.users.subscribe(session, key.account)}

    async def _subscribe_signed(self, session: WsSession, request: WsRequest) -> object:
        key = self._keys.find(request.params.get("apiKey"))
        check_ws_signature(key, request.params)
        check_timing(Params(request.params), self._venue.faults.server_time())
        return {"subscriptionId": self._venue.users.subscribe(session, key.account)}

    async def _unsubscribe(self, session: WsSession, request: WsRequest) -> object:
        wanted = Params(request.params).integer("subscriptionId")
        await self._venue.users.unsubscribe(session, wanted, self._venue.market_time)
        return {}

    async def _subscriptions(self, session: WsSession, request: WsRequest) -> object:
        active = self._venue.users.connections.get(session, {})
        return [{"subscriptionId": number} for number in active]


def _read(text: str, request: WsRequest) -> None:
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise refusal(-1135) from None
    if not isinstance(message, dict):
        raise refusal(-1135)
    number = message.get("id")
    if isinstance(number, str):
        if not _ID.fullmatch(number):
            raise illegal("id", _ID_RANGE)
    elif number is not None and (isinstance(number, bool) or not isinstance(number, int)):
        raise illegal("id", _ID_RANGE)
    request.id = number
    method, params = message.get("method"), message.get("params")
    if not isinstance(method, str) or not method:
        raise missing("method")
    request.method = _VERSION.sub("", method, count=1) if _VERSION.match(method) else method
    if params is not None and not isinstance(params, dict):
        raise refusal(-1135)
    request.params = {name: _text(value) for name, value in (params or {}).items()}


def _text(value: object) -> str:
    # Signed payloads write a JSON value the way a query string would.
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode()
