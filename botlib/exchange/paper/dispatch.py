"""What surrounds every operation, for REST and WS-API alike: weights, times, faults."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from botlib.errors import PaperExchangeError
from botlib.exchange.paper.auth import check_timing, wall_time
from botlib.exchange.paper.faults import Fault, Faults
from botlib.exchange.paper.limits import Limits
from botlib.exchange.paper.operation import Key, Operation
from botlib.exchange.paper.params import Params
from botlib.exchange.paper.refusals import Refusal, refusal
from botlib.exchange.paper.schema import check_names

logger = logging.getLogger(__name__)


class Unanswered(Exception):
    """The client gets no answer: its connection is cut."""


class Dispatcher:
    """Runs operations, with what surrounds every one of them."""

    def __init__(self, operations: Mapping[Key, Operation], limits: Limits, faults: Faults) -> None:
        self.operations = operations
        self.limits = limits
        self.faults = faults

    async def run(self, key: Key, params: Params, address: str) -> object:
        """Run an operation whose caller is known to be entitled.

        Args:
            address: where the request came from.

        Raises:
            Refusal: the answer is an error.
            Unanswered: the answer is withheld.
        """
        operation = self.operations[key]
        self._status_fault(key[1])
        # A request that cannot even be weighed is charged as the lightest.
        try:
            weight = operation.weight(params)
        except Refusal:
            self.limits.charge(1, address)
            raise
        self.limits.charge(weight, address)
        check_names(key, params)
        if operation.signed:
            check_timing(params, wall_time())
        if not operation.orders:
            return await operation.handler(params)
        await self._withhold(self.faults.take("before_accept", f"{key[0]} {key[1]}"))
        try:
            answer = await operation.handler(params)
        except PaperExchangeError as error:
            logger.error("An order was not taken: %s", error)
            raise refusal(-1001) from None
        self.limits.refund(weight, address)
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
            raise refusal(-1007)
        if fault.reply == "hang":
            await asyncio.sleep(3_600)
        raise Unanswered
