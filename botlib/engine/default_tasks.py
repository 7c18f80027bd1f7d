"""The tasks of every engine, registered before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from botlib.engine.cautions import DESK, MIRROR_WATCH
from botlib.engine.paper.mirror_watch import INTERVAL
from botlib.tasks import TaskConfig, TaskPriority

if TYPE_CHECKING:
    from botlib.config import Settings
    from botlib.engine.parts import TradingParts
    from botlib.execution import Desk
    from botlib.tasks import BackgroundTaskManager

TRADING: Final = "trading"
"""Group of the default tasks."""

SUPPORT: Final = "plumbing"
"""Group of the tasks that the default ones need beside them."""


WATCHING: Final = ("market_data_collection", "signal_generation")
"""The default tasks of a bot that only watches: it has no account and no orders to look after."""

DESKS: Final = "desks"
"""Group of the desks, which look after orders and positions."""

FOR_EVER: Final = 1 << 30
"""Restarts of a task that keeps money safe: it is never given up, with a capped back-off."""


def register_default_tasks(
    tasks: BackgroundTaskManager, parts: TradingParts, settings: Settings
) -> None:
    """Register the five default tasks with the intervals of the settings; two if it watches."""
    chosen = settings.tasks

    async def market_data_collection() -> None:
        """Stream candles into the store and onto the bus."""
        await parts.stream.run()

    async def signal_generation() -> None:
        """Evaluate the strategies on every closed candle."""
        await parts.signals.run()

    async def position_monitoring() -> None:
        """Value the account and compare the positions with the venue's balances."""
        await parts.account.monitor_positions()

    async def order_sync() -> None:
        """Have the desks ask about what rests, and for fills that were not reported."""
        parts.orders.check(thorough=False)
        await parts.orders.read_markets()

    async def risk_checks() -> None:
        """Halt entries when the loss of the day exceeds its limit."""
        await parts.account.check_risk()

    for config in (
        TaskConfig(
            name="market_data_collection",
            func=market_data_collection,
            forever=True,
            priority=TaskPriority.CRITICAL,
            enabled=chosen.market_data_collection.enabled,
        ),
        TaskConfig(
            name="position_monitoring",
            func=position_monitoring,
            interval=chosen.position_monitoring.interval,
            priority=TaskPriority.HIGH,
            timeout=chosen.position_monitoring.interval,
            enabled=chosen.position_monitoring.enabled,
            max_restarts=FOR_EVER,
        ),
        TaskConfig(
            name="signal_generation",
            func=signal_generation,
            forever=True,
            priority=TaskPriority.HIGH,
            enabled=chosen.signal_generation.enabled,
        ),
        TaskConfig(
            name="order_sync",
            func=order_sync,
            interval=chosen.order_sync.interval,
            priority=TaskPriority.MEDIUM,
            timeout=chosen.order_sync.interval,
            enabled=chosen.order_sync.enabled,
            max_restarts=FOR_EVER,
        ),
        TaskConfig(
            name="risk_checks",
            func=risk_checks,
            interval=chosen.risk_checks.interval,
            priority=TaskPriority.MEDIUM,
            timeout=chosen.risk_checks.interval,
            enabled=chosen.risk_checks.enabled,
            max_restarts=FOR_EVER,
        ),
    ):
        if settings.mode != "watch" or config.name in WATCHING:
            tasks.add_task(config, group=TRADING)


def register_support_tasks(tasks: BackgroundTaskManager, parts: TradingParts) -> None:
    """Register the tasks of the desks, of the order reports and, in lockstep, of the time."""

    def open_desk(desk: Desk, *, running: bool = True) -> None:
        tasks.add_task(
            TaskConfig(
                name=f"{DESK}{desk.symbol}",
                func=desk.run,
                forever=True,
                priority=TaskPriority.HIGH,
                max_restarts=FOR_EVER,
            ),
            group=DESKS,
            # A desk that opens while the bot runs has orders to send at once.
            start_immediately=running,
        )

    for desk in parts.orders.desks.values():
        open_desk(desk, running=False)
    parts.orders.on_desk = open_desk
    tasks.add_task(
        TaskConfig(
            name="execution_reports",
            func=parts.executions.run,
            forever=True,
            priority=TaskPriority.HIGH,
            max_restarts=FOR_EVER,
        ),
        group=SUPPORT,
    )
    if parts.mirror is not None:
        tasks.add_task(
            TaskConfig(
                name=MIRROR_WATCH,
                func=parts.mirror.look,
                interval=INTERVAL,
                priority=TaskPriority.HIGH,
                max_restarts=FOR_EVER,
            ),
            group=SUPPORT,
        )
    if parts.lockstep is not None:
        tasks.add_task(
            TaskConfig(
                name="paper_lockstep",
                func=parts.lockstep.run,
                forever=True,
                priority=TaskPriority.CRITICAL,
                auto_restart=False,
            ),
            group=SUPPORT,
        )
