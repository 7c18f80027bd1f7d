"""The tasks every engine runs, registered before it starts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from botlib.core.asynctools import first_of
from botlib.core.errors import ExchangeError
from botlib.tasks import TaskConfig, TaskPriority, beat

if TYPE_CHECKING:
    from botlib.engine.orchestrator import Orchestrator
    from botlib.venues.base import OrderReport

logger = logging.getLogger(__name__)

TRADING: Final = "trading"
"""Group of the default tasks."""

PROTECTION_INTERVAL: Final = 2.0
"""Seconds after which positions are looked after although nothing was reported."""

UNASKED_INTERVAL: Final = 30.0
"""The same while no strategy limits its positions, so that none can be without its stop."""

PLUMBING: Final = "plumbing"
"""Group of the tasks the kit needs beside them."""


def register_default_tasks(engine: Orchestrator) -> None:
    """Register the five default tasks as the settings say."""
    tasks = engine.settings.tasks
    symbols = engine.settings.symbols

    async def market_data_collection() -> None:
        """Stream candles into the store and onto the bus."""
        await engine.stream.run()

    async def signal_generation() -> None:
        """Ask the strategies about every closed candle."""
        await engine.signals.run()

    async def position_monitoring() -> None:
        """Mark the account to market and compare the book with the venue."""
        await engine.account.monitor_positions()

    async def order_sync() -> None:
        """Settle orders of unknown outcome and find fills nobody reported."""
        await engine.orders.sync(symbols, thorough=False)

    async def risk_checks() -> None:
        """Halt entries when the day's loss is beyond its limit."""
        await engine.account.check_risk()

    for config in (
        TaskConfig(
            name="market_data_collection",
            func=market_data_collection,
            forever=True,
            priority=TaskPriority.CRITICAL,
            enabled=tasks.market_data_collection.enabled,
        ),
        TaskConfig(
            name="position_monitoring",
            func=position_monitoring,
            interval=tasks.position_monitoring.interval,
            priority=TaskPriority.HIGH,
            timeout=tasks.position_monitoring.interval,
            enabled=tasks.position_monitoring.enabled,
        ),
        TaskConfig(
            name="signal_generation",
            func=signal_generation,
            forever=True,
            priority=TaskPriority.HIGH,
            enabled=tasks.signal_generation.enabled,
        ),
        TaskConfig(
            name="order_sync",
            func=order_sync,
            interval=tasks.order_sync.interval,
            priority=TaskPriority.MEDIUM,
            timeout=tasks.order_sync.interval,
            enabled=tasks.order_sync.enabled,
        ),
        TaskConfig(
            name="risk_checks",
            func=risk_checks,
            interval=tasks.risk_checks.interval,
            priority=TaskPriority.MEDIUM,
            timeout=tasks.risk_checks.interval,
            enabled=tasks.risk_checks.enabled,
        ),
    ):
        engine.tasks.add_task(config, group=TRADING)


def register_plumbing(engine: Orchestrator) -> None:
    """Register the reader of the venue's reports, and in lockstep the mover of the market."""

    connected = asyncio.Event()
    reported = asyncio.Event()

    def take(report: OrderReport) -> None:
        engine.orders.on_execution(report)
        reported.set()
        beat()

    async def sweep() -> None:
        # What was reported while nobody listened is lost: the venue has to be asked.
        while True:
            await connected.wait()
            connected.clear()
            try:
                await engine.orders.sync(engine.settings.symbols)
            except ExchangeError as error:
                logger.warning("the fills of a disconnection could not be asked for: %s", error)

    async def protect() -> None:
        # On every report, and at the latest after a moment: no position stays without its stop.
        while True:
            with contextlib.suppress(TimeoutError):
                asked = engine.protector.asked
                async with asyncio.timeout(PROTECTION_INTERVAL if asked else UNASKED_INTERVAL):
                    await reported.wait()
            reported.clear()
            await engine.protector.attend_all(engine.settings.symbols)

    async def execution_reports() -> None:
        """Take what the venue reports about our orders, ask for the rest, and see to the stops."""
        watching = engine.exchange.watch_executions(take, on_connect=connected.set)
        await first_of(watching, sweep(), protect())

    engine.tasks.add_task(
        TaskConfig(
            name="execution_reports",
            func=execution_reports,
            forever=True,
            priority=TaskPriority.HIGH,
        ),
        group=PLUMBING,
    )
    if engine.lockstep is not None:
        engine.tasks.add_task(
            TaskConfig(
                name="paper_lockstep",
                func=engine.lockstep.run,
                forever=True,
                priority=TaskPriority.CRITICAL,
                auto_restart=False,
            ),
            group=PLUMBING,
        )
