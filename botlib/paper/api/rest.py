"""The REST API: paths, API keys, signatures and headers of the operations."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from botlib.paper.accounts.keys import TRADE, USER_DATA, WITHDRAW, KeyRegister
from botlib.paper.accounts.signatures import check_rest_signature, check_timing, wall_time
from botlib.paper.api.dispatch import AnswerWithheld, Dispatcher
from botlib.paper.api.orders import OrderHandlers
from botlib.paper.protocol.operation import Key, Operation
from botlib.paper.protocol.params import DEFAULT_ACCOUNT, Params
from botlib.paper.protocol.refusals import Refusal, unsupported
from botlib.paper.protocol.timeunit import HEADER, answer_in_microseconds, wants_microseconds

REMOVED_PATHS: Final = frozenset({"userDataStream"})
"""Paths that Binance removed on 2026-02-20: those of listen keys."""

_EMPTY_SAPI: Final = frozenset(
    {"capital/config/getall", "margin/allPairs", "margin/isolated/allPairs"}
)

_NOT_OFFERED: Final = (
    "enableInternalTransfer",
    "permitsUniversalTransfer",
    "enableVanillaOptions",
    "enablePortfolioMarginTrading",
    "enableMargin",
    "enableFutures",
)
"""What a key of Binance may do besides; nothing of it exists here."""


class RestApi:
    """The paths below ``/api/v3``, ``/api/v1`` and, as far as clients use them, ``/sapi/v1``."""

    def __init__(self, dispatcher: Dispatcher, orders: OrderHandlers, keys: KeyRegister) -> None:
        self._dispatcher = dispatcher
        self._orders = orders
        self._keys = keys
        self._paths = {path for _, path in dispatcher.operations}

    async def api(self, request: web.Request) -> web.StreamResponse:
        """Answer a request below ``/api/v3/``, or one for market data below ``/api/v1/``."""
        key = (request.method, request.match_info["path"])
        address = request.remote or ""
        headers: dict[str, str] = {}
        status, micro = 200, False
        answer: object
        try:
            micro = self._microseconds(request, address)
            operation, params = await self._authorize(request, key, address)
            answer = await self._dispatcher.run(key, params, address)
            if operation.orders and key[0] == "POST":
                headers.update(self._dispatcher.limits.order_headers(params.account))
        except Refusal as refused:
            answer, status = _error_body(refused), refused.status
            headers.update(refused.headers)
        except AnswerWithheld:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=504)
        if micro:
            answer = answer_in_microseconds(key[1], answer)
        headers.update(self._dispatcher.limits.headers(address))
        return web.Response(
            body=orjson.dumps(answer),
            status=status,
            headers=headers,
            content_type="application/json",
        )

    def _microseconds(self, request: web.Request, address: str) -> bool:
        sent = request.headers.get(HEADER)
        if sent is None:
            return False
        try:
            return wants_microseconds(sent)
        except Refusal:
            self._dispatcher.limits.charge(1, address)
            raise

    async def _authorize(
        self, request: web.Request, key: Key, address: str
    ) -> tuple[Operation, Params]:
        try:
            operation = self._operation(key)
            if operation.signed and request.match_info["version"] == "v1":
                raise unsupported(404)
            return operation, await self._params(request, operation)
        except Refusal:
            # A request that is refused before it is dispatched has a weight too.
            self._dispatcher.limits.charge(1, address)
            raise

    def _operation(self, key: Key) -> Operation:
        if key[1] in REMOVED_PATHS:
            raise unsupported(410)
        operation = self._dispatcher.operations.get(key)
        if operation is None:
            raise unsupported(405 if key[1] in self._paths else 404)
        return operation

    async def _params(self, request: web.Request, operation: Operation) -> Params:
        query = request.raw_path.partition("?")[2]
        body = (await request.read()).decode("utf-8", "replace")
        account = DEFAULT_ACCOUNT
        if operation.signed:
            sent = request.headers.get("X-MBX-APIKEY")
            api_key = self._keys.find(sent, TRADE if operation.orders else USER_DATA)
            check_rest_signature(api_key, query, body)
            account = api_key.account
        return Params(_parse_values(query, body), account)

    async def sapi(self, request: web.Request) -> web.StreamResponse:
        """Answer a request below ``/sapi/v1/``: a few paths of wallet and margin."""
        path = request.match_info["path"]
        if path in _EMPTY_SAPI:
            return web.json_response([])
        if path == "system/status":
            return web.json_response({"status": 0, "msg": "normal"})
        answer: object
        try:
            if path == "account/apiRestrictions":
                answer = self._restrictions(request)
            elif path == "asset/tradeFee":
                answer = await self._orders.accounts.trade_fees(Params(dict(request.query)))
            else:
                raise unsupported(404)
        except Refusal as refused:
            return web.json_response(refused.body(), status=refused.status)
        return web.json_response(answer)

    def _restrictions(self, request: web.Request) -> dict[str, object]:
        """Return what the API key of a request may do."""
        key = self._keys.find(request.headers.get("X-MBX-APIKEY"))
        query = request.raw_path.partition("?")[2]
        check_rest_signature(key, query, "")
        check_timing(Params(_parse_values(query, ""), key.account), wall_time())
        return {
            "ipRestrict": False,
            "createTime": 0,
            "enableReading": True,
            "enableSpotAndMarginTrading": TRADE in key.permissions,
            "enableWithdrawals": WITHDRAW in key.permissions,
            **dict.fromkeys(_NOT_OFFERED, False),
        }


def _parse_values(query: str, body: str) -> dict[str, str]:
    # A parameter of the query overrides the same one of the body. Both accept a parameter once.
    values: dict[str, str] = {}
    for text in (body, query):
        pairs = parse_qsl(text, keep_blank_values=True)
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            double = next(name for name in names if names.count(name) > 1)
            raise Refusal(-1101, f"Duplicate values for parameter '{double}' detected.")
        values.update(found)
    return values


def _error_body(refused: Refusal) -> dict[str, object]:
    # REST answers have data only for a partially failed cancel-replace.
    body = refused.body()
    if refused.code in (-2021, -2022):
        body["data"] = refused.data
    return body
