"""`ExecutionWatch`: follows the venue's reports about orders."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from botlib.tasks import beat

if TYPE_CHECKING:
    from botlib.execution import OrderPath
    from botlib.venues.base import Exchange, OrderReport

CAUTION: Final = "reports"


class ExecutionWatch:
    """Passes the venue's reports to the order path; while they are lost, nothing is entered.

    Args:
        exchange: sends the reports.
        orders: takes them.
    """

    def __init__(self, *, exchange: Exchange, orders: OrderPath) -> None:
        self._exchange = exchange
        self._orders = orders
        self.connected = asyncio.Event()
        """Set while reports arrive."""

    async def run(self) -> None:
        """Follow reports until cancelled: the body of ``execution_reports``."""
        try:
            await self._exchange.watch_executions(
                self._receive, on_connect=self._connect, on_loss=self._lose
            )
        finally:
            self._lose("nobody follows them")

    def _receive(self, report: OrderReport) -> None:
        self._orders.on_execution(report)
        beat()

    def _connect(self) -> None:
        # Reports sent during a disconnection are not sent again: the venue has to be asked.
        self.connected.set()
        self._orders.caution(CAUTION, None)
        self._orders.check(thorough=True)

    def _lose(self, why: str) -> None:
        self.connected.clear()
        self._orders.caution(CAUTION, f"the venue's reports about orders are lost: {why}")
