"""The dispatcher of operations for both APIs: request weights, timestamps and faults."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from botlib.core.errors import PaperExchangeError
from botlib.paper.accounts.signatures import check_timing
from botlib.paper.api.parameters import check_names
from botlib.paper.api.rate_limits import RateLimits
from botlib.paper.faults import Fault, Faults
from botlib.paper.faults.lag import lagging
from botlib.paper.protocol.operation import Key, Operation
from botlib.paper.protocol.params import Params
from botlib.paper.protocol.refusals import Refusal, refusal

logger = logging.getLogger(__name__)


class AnswerWithheld(Exception):
    """The client gets no answer, and its connection is closed."""


class Dispatcher:
    """Dispatcher of operations.

    Args:
        operations: by HTTP method and path.
        limits: rate limits that requests are charged to.
        faults: faults on request.
        time: returns the time of an event that happens now, ms.

    Attributes:
        requests: number of requests so far.
    """

    def __init__(
        self,
        operations: Mapping[Key, Operation],
        limits: RateLimits,
        faults: Faults,
        time: Callable[[], int],
    ) -> None:
        self.operations = operations
        self.limits = limits
        self.faults = faults
        self.requests = 0
        self._time = time

    async def run(self, key: Key, params: Params, address: str) -> object:
        """Run an operation, whose caller has been authorized before.

        Args:
            key: HTTP method and path of the operation.
            params: parameters of the request.
            address: network address of the client.

        Raises:
            Refusal: the answer is an error.
            AnswerWithheld: a fault withholds the answer.
        """
        operation = self.operations[key]
        self.requests += 1
        symbol = params.text("symbol") or ""
        self._status_fault(key[1], symbol)
        if (slow := self.faults.take("slow", key[1], symbol)) is not None:
            await asyncio.sleep(slow.seconds)
        # A request whose weight cannot be computed is charged the lowest weight.
        try:
            weight = operation.weight(params)
        except Refusal:
            self.limits.charge(1, address)
            raise
        self.limits.charge(weight, address)
        check_names(key, params)
        if operation.signed:
            check_timing(params, self.faults.server_time())
        if not operation.orders:
            lag = self.faults.take("read_lag", key[1], symbol)
            if lag is not None:
                params.then = self._time() - round(lag.seconds * 1_000)
            answer = await operation.handler(params)
            return answer if params.then is None else lagging(key, answer, params.then)
        return await self._run_order(key, operation, params, address, weight)

    async def _run_order(
        self, key: Key, operation: Operation, params: Params, address: str, weight: int
    ) -> object:
        name, symbol = f"{key[0]} {key[1]}", params.text("symbol") or ""
        take = self.faults.take
        self._crash_fault("crash_before_accept", name, symbol)
        await self._withhold_answer(take("before_accept", name, symbol))
        try:
            answer = await operation.handler(params)
        except PaperExchangeError as error:
            logger.error("An order could not be stored: %s", error)
            raise refusal(-1001) from None
        if not operation.charged:
            self.limits.refund(weight, address)
        self.faults.time_changed()
        self._crash_fault("crash_after_accept", name, symbol)
        await self._withhold_answer(take("after_accept", name, symbol))
        return answer

    def _crash_fault(self, kind: str, name: str, symbol: str) -> None:
        if self.faults.take(kind, name, symbol) is not None and self.faults.crash is not None:
            self.faults.crash()

    def _status_fault(self, path: str, symbol: str) -> None:
        fault = self.faults.take("http_status", path, symbol)
        if fault is not None:
            wait = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            code = {429: -1003, 418: -1003, 504: -1007, 403: -2015}.get(fault.status, -1000)
            raise Refusal(code, "An ordered fault of the paper exchange.", fault.status, wait)

    @staticmethod
    async def _withhold_answer(fault: Fault | None) -> None:
        if fault is None:
            return
        if fault.reply == "timeout":
            raise refusal(-1007)
        if fault.reply == "hang":
            await asyncio.sleep(3_600)
        raise AnswerWithheld
