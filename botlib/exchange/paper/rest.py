"""The REST side: paths, keys, signatures, weights and refusals around the operations."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from botlib.errors import PaperExchangeError
from botlib.exchange.paper.auth import check_key, check_rest_signature, check_timing, wall_time
from botlib.exchange.paper.faults import Fault, Faults
from botlib.exchange.paper.limits import Limits
from botlib.exchange.paper.operation import Operation
from botlib.exchange.paper.params import Params
from botlib.exchange.paper.private import Trading
from botlib.exchange.paper.refusals import Refusal, unsupported

logger = logging.getLogger(__name__)

_TIMEOUT: Final = Refusal(
    -1007,
    "Timeout waiting for response from backend server. "
    "Send status unknown; execution status unknown.",
    504,
)

_EMPTY_SAPI: Final = frozenset(
    {"capital/config/getall", "margin/allPairs", "margin/isolated/allPairs"}
)


class Unanswered(Exception):
    """The client gets no answer: its connection is cut."""


class Dispatcher:
    """Runs operations, with what surrounds every one of them, for REST and WS-API alike."""

    def __init__(
        self, operations: Mapping[tuple[str, str], Operation], limits: Limits, faults: Faults
    ) -> None:
        self.operations = operations
        self.limits = limits
        self.faults = faults

    async def run(self, key: tuple[str, str], params: Params) -> object:
        """Run an operation whose caller is known to be entitled.

        Raises:
            Refusal: the answer is an error.
            Unanswered: the answer is withheld.
        """
        operation = self.operations[key]
        self._status_fault(key[1])
        weight = operation.weight(params)
        self.limits.charge(weight)
        if operation.signed:
            check_timing(params, wall_time())
        if not operation.orders:
            return await operation.handler(params)
        await self._withhold(self.faults.take("before_accept", f"{key[0]} {key[1]}"))
        try:
            answer = await operation.handler(params)
        except PaperExchangeError as error:
            logger.error("An order was not taken: %s", error)
            raise Refusal(
                -1001, "Internal error; unable to process your request. Please try again.", 500
            ) from None
        self.limits.refund(weight)
        await self._withhold(self.faults.take("after_accept", f"{key[0]} {key[1]}"))
        return answer

    def _status_fault(self, path: str) -> None:
        fault = self.faults.take("http_status", path)
        if fault is not None:
            wait = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            code = {429: -1003, 418: -1003, 504: -1007, 403: -2015}.get(fault.status, -1000)
            raise Refusal(code, "An ordered fault of the paper exchange.", fault.status, wait)

    @staticmethod
    async def _withhold(fault: Fault | None) -> None:
        if fault is None:
            return
        if fault.reply == "timeout":
            raise _TIMEOUT
        if fault.reply == "hang":
            await asyncio.sleep(3_600)
        raise Unanswered


class Rest:
    """Serves ``/api/v3`` and the few ``/sapi/v1`` paths that clients touch."""

    def __init__(self, dispatcher: Dispatcher, trading: Trading) -> None:
        self._dispatcher = dispatcher
        self._trading = trading

    async def api(self, request: web.Request) -> web.StreamResponse:
        """Answer one request below ``/api/v3/``."""
        path = request.match_info["path"]
        headers: dict[str, str] = {}
        status = 200
        answer: object
        try:
            answer = await self._answer(request, path)
            if request.method == "POST" and path == "order":
                headers.update(self._dispatcher.limits.order_headers())
        except Refusal as refusal:
            answer, status = refusal.body(), refusal.status
            headers.update(refusal.headers)
        except Unanswered:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=504)
        headers.update(self._dispatcher.limits.headers())
        return web.Response(
            body=orjson.dumps(answer),
            status=status,
            headers=headers,
            content_type="application/json",
        )

    async def _answer(self, request: web.Request, path: str) -> object:
        if path == "userDataStream":
            raise unsupported(410)
        operation = self._dispatcher.operations.get((request.method, path))
        if operation is None:
            known = {name for _, name in self._dispatcher.operations}
            raise unsupported(405 if path in known else 404)
        query = request.raw_path.partition("?")[2]
        body = (await request.read()).decode("utf-8", "replace")
        if operation.signed:
            check_key(request.headers.get("X-MBX-APIKEY"))
            check_rest_signature(query, body)
        values = dict(parse_qsl(body, keep_blank_values=True))
        values.update(parse_qsl(query, keep_blank_values=True))
        return await self._dispatcher.run((request.method, path), Params(values))

    async def sapi(self, request: web.Request) -> web.StreamResponse:
        """Answer the wallet and margin paths a client may touch; nothing else is there."""
        path = request.match_info["path"]
        if path in _EMPTY_SAPI:
            return web.json_response([])
        if path == "system/status":
            return web.json_response({"status": 0, "msg": "normal"})
        try:
            if path != "asset/tradeFee":
                raise unsupported(404)
            answer = await self._trading.trade_fees(Params(dict(request.query)))
        except Refusal as refusal:
            return web.json_response(refusal.body(), status=refusal.status)
        return web.json_response(answer)
