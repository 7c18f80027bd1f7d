"""`ExecutionWatch`: the loops that follow the venue's reports about orders, and keep the stops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from botlib.core.asynctools import first_of
from botlib.core.errors import ExchangeError
from botlib.tasks import beat

if TYPE_CHECKING:
    from botlib.execution import OrderExecutor, Protector
    from botlib.venues.base import Exchange, OrderReport

logger = logging.getLogger(__name__)

PROTECTION_INTERVAL: Final = 2.0
"""Longest seconds between two checks of the stops."""

UNPROTECTED_INTERVAL: Final = 30.0
"""The same while no strategy limits its positions, so that no stop can be missing."""


class ExecutionWatch:
    """Passes the venue's reports to the orders, asks for missed fills, and checks the stops.

    Args:
        exchange: sends the reports.
        orders: books the reported fills.
        protector: places the stops.
        symbols: whose orders and positions are watched.
    """

    def __init__(
        self,
        *,
        exchange: Exchange,
        orders: OrderExecutor,
        protector: Protector,
        symbols: Sequence[str],
    ) -> None:
        self._exchange = exchange
        self._orders = orders
        self._protector = protector
        self._symbols = tuple(symbols)
        self._connected = asyncio.Event()
        self._reported = asyncio.Event()

    async def run(self) -> None:
        """Follow reports, fills and stops until cancelled: the body of ``execution_reports``."""
        reports = self._exchange.watch_executions(self._receive, on_connect=self._connected.set)
        await first_of(reports, self._fetch_missed_fills(), self._keep_stops())

    def _receive(self, report: OrderReport) -> None:
        self._orders.on_execution(report)
        self._reported.set()
        beat()

    async def _fetch_missed_fills(self) -> None:
        # Reports sent during a disconnection are not sent again: the venue has to be asked.
        while True:
            await self._connected.wait()
            self._connected.clear()
            try:
                await self._orders.sync(self._symbols)
            except ExchangeError as error:
                logger.warning("the fills of a disconnection could not be fetched: %s", error)

    async def _keep_stops(self) -> None:
        # After every report, and at the latest after an interval: a report may be lost.
        while True:
            with contextlib.suppress(TimeoutError):
                asked = self._protector.asked
                async with asyncio.timeout(PROTECTION_INTERVAL if asked else UNPROTECTED_INTERVAL):
                    await self._reported.wait()
            self._reported.clear()
            await self._protector.attend_all(self._symbols)
