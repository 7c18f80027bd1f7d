"""The WebSocket API: the operations over a socket, sessions, and the user data stream."""

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

REMOVED_METHODS: Final = frozenset(
    {"userDataStream.start", "userDataStream.ping", "userDataStream.stop"}
)
"""Methods that Binance removed on 2026-02-20: those of listen keys."""

BANNED: Final = 418
"""Status of an answer after which the socket is closed."""

_ID_RANGE: Final = "^[a-zA-Z0-9-_]{1,36}$"
_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,36}")


class WsSession(Connection):
    """A socket of the WebSocket API.

    Attributes:
        key: API key of the session, None before a logon.
        authorized: wall time (ms) of the logon.
        shows_limits: whether answers carry the rate limits, unless a request says otherwise.
        connected: wall time (ms) at which the socket was opened.
        subscribed: number of the subscription that was made with the logon, None for none.
    """

    def __init__(self, request: web.Request, *, shows_limits: bool) -> None:
        super().__init__(request)
        self.key: ApiKey | None = None
        self.authorized: int | None = None
        self.shows_limits = shows_limits
        self.connected = wall_time()
        self.subscribed: int | None = None


@dataclass(slots=True)
class WsRequest:
    """One request of a client.

    Attributes:
        account: account of the API key.
        orders: whether it sends, changes or cancels orders.
    """

    id: object
    method: str
    params: dict[str, str]
    account: str = DEFAULT_ACCOUNT
    orders: bool = False


_Method = Callable[[WsSession, WsRequest], Awaitable[object]]


class WsApi:
    """The path ``/ws-api/v3``."""

    def __init__(self, dispatcher: Dispatcher, venue: Venue, keys: KeyRegister) -> None:
        self._dispatcher = dispatcher
        self._limits = dispatcher.limits
        self._venue = venue
        self._keys = keys
        self.connections: dict[WsSession, None] = {}
        self._session_methods: dict[str, _Method] = {
            "session.logon": self._logon,
            "session.status": self._status,
            "session.logout": self._logout,
            "session.subscriptions": self._subscriptions,
            "userDataStream.subscribe": self._subscribe,
            "userDataStream.subscribe.signature": self._subscribe_signed,
            "userDataStream.unsubscribe": self._unsubscribe,
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket until it is closed."""
        try:
            self._limits.connect(request.remote or "", CONNECTION_WEIGHT)
            shows_limits = request.query.get("returnRateLimits") != "false"
            session = WsSession(request, shows_limits=shows_limits)
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
        shows_limits = session.shows_limits
        try:
            _parse(text, request)
            answer["id"] = request.id
            shows_limits = Params(request.params).flag("returnRateLimits", shows_limits)
            result = await self._run(session, request)
            answer["result"] = self._in_time_unit(session, request, result)
        except Refusal as refused:
            error = refused.body()
            if refused.data is not None:
                error["data"] = self._in_time_unit(session, request, refused.data)
            answer.pop("result", None)
            answer.update(id=request.id, status=refused.status, error=error)
        if shows_limits:
            orders = self._limits.order_counts(request.account) if request.orders else []
            answer["rateLimits"] = [*orders, self._limits.weight_status(session.address)]
        return answer

    @staticmethod
    def _in_time_unit(session: WsSession, request: WsRequest, answer: object) -> object:
        """Return an answer with its times in the time unit of the session."""
        if not session.microseconds:
            return answer
        return answer_in_microseconds(WS_METHODS.get(request.method, ("", ""))[1], answer)

    async def _run(self, session: WsSession, request: WsRequest) -> object:
        method = self._session_methods.get(request.method)
        if method is not None:
            self._limits.charge(2, session.address)
            return await method(session, request)
        if request.method in REMOVED_METHODS:
            raise unsupported(410)
        key = WS_METHODS.get(request.method)
        if key is None or key not in self._dispatcher.operations:
            self._limits.charge(1, session.address)
            raise unsupported()
        operation = self._dispatcher.operations[key]
        if operation.signed:
            permission = TRADE if operation.orders else USER_DATA
            request.account = self._authorize(session, request, permission).account
            request.orders = operation.orders
        # This parameter is part of the signature, but not of the operation.
        read = {name: text for name, text in request.params.items() if name != "returnRateLimits"}
        params = Params(read, request.account)
        return await self._dispatcher.run(key, params, session.address)

    def _authorize(self, session: WsSession, request: WsRequest, permission: str) -> ApiKey:
        """Return the API key of a signed request: its own, or that of the session."""
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
        session.key, session.authorized = key, wall_time()
        return self._session_fields(session)

    async def _status(self, session: WsSession, request: WsRequest) -> object:
        return self._session_fields(session)

    async def _logout(self, session: WsSession, request: WsRequest) -> object:
        session.key = session.authorized = None
        active = self._venue.users.connections.get(session, {})
        if session.subscribed in active:
            await self._venue.users.unsubscribe(
                session, session.subscribed, self._venue.event_time()
            )
        session.subscribed = None
        return self._session_fields(session)

    def _session_fields(self, session: WsSession) -> Json:
        return {
            "apiKey": session.key.key if session.key is not None else None,
            "authorizedSince": session.authorized,
            "connectedSince": session.connected,
            "returnRateLimits": session.shows_limits,
            "serverTime": self._venue.faults.server_time(),
            "userDataStream": session in self._venue.users.connections,
        }

    # -- the user data stream

    async def _subscribe(self, session: WsSession, request: WsRequest) -> object:
        if session.key is None:
            raise refusal(-1002)
        key = self._keys.find(session.key.key)
        session.subscribed = self._venue.users.subscribe(session, key.account)
        return {"subscriptionId": session.subscribed}

    async def _subscribe_signed(self, session: WsSession, request: WsRequest) -> object:
        key = self._keys.find(request.params.get("apiKey"))
        check_ws_signature(key, request.params)
        check_timing(Params(request.params), self._venue.faults.server_time())
        return {"subscriptionId": self._venue.users.subscribe(session, key.account)}

    async def _unsubscribe(self, session: WsSession, request: WsRequest) -> object:
        wanted = Params(request.params).integer("subscriptionId")
        await self._venue.users.unsubscribe(session, wanted, self._venue.event_time())
        return {}

    async def _subscriptions(self, session: WsSession, request: WsRequest) -> object:
        active = self._venue.users.connections.get(session, {})
        return [{"subscriptionId": number} for number in active]


def _parse(text: str, request: WsRequest) -> None:
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
    request.method = method.removeprefix("v3/")
    if params is not None and not isinstance(params, dict):
        raise refusal(-1135)
    request.params = {name: _text(value) for name, value in (params or {}).items()}


def _text(value: object) -> str:
    # Signatures cover JSON values as they are written in JSON.
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode()
