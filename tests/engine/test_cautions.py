"""Cautions: entries are held back while a task that keeps money safe fails, and come back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from botlib.core.errors import ExchangeUnavailable
from botlib.engine import Orchestrator, cautions
from botlib.engine.cautions import failing_safety_task
from botlib.tasks import BackgroundTaskManager, TaskConfig


async def test_a_failing_safety_task_is_named_until_it_succeeds_again() -> None:
    manager = BackgroundTaskManager()
    away, failed, worked = True, asyncio.Event(), asyncio.Event()

    async def order_sync() -> None:
        if away:
            failed.set()
            raise ExchangeUnavailable("no answer")
        worked.set()

    manager.add_task(TaskConfig(name="order_sync", func=order_sync, interval=0.01, backoff=0.01))
    await manager.start_all()
    await failed.wait()
    await asyncio.sleep(0)
    assert "order_sync fails" in str(failing_safety_task(manager.status()))
    away = False
    await worked.wait()
    await asyncio.sleep(0.01)
    assert failing_safety_task(manager.status()) is None
    await manager.stop_all()


async def test_an_engine_says_which_task_holds_entries_back(
    make_engine: Callable[..., Awaitable[Orchestrator]],
) -> None:
    engine = await make_engine()
    assert engine.orders.held_back() is None
    assert cautions.SAFETY_TASKS[0] in {task.name for task in engine.tasks.status().tasks}
