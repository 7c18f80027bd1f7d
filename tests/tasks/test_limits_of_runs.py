"""The timeout of runs that cannot be ended: plain functions, and coroutines that block the loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from botlib.tasks import BackgroundTaskManager, TaskConfig


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - the state of a task is polled
            await asyncio.sleep(0.01)


async def test_a_plain_function_beyond_its_timeout_is_counted_and_said_to_go_on() -> None:
    manager, release = BackgroundTaskManager(), threading.Event()
    manager.add_task(
        TaskConfig(name="slow", func=lambda: release.wait(60), interval=0.1, timeout=0.1)
    )
    await manager.start_all()
    await until(lambda: manager.status()["slow"].timeouts == 1)
    found = manager.status()["slow"]
    assert (found.state, found.failures, found.runs) == ("stuck", 1, 1)
    assert "cannot be ended, so it goes on" in str(found.last_error)
    assert not manager.health().ok
    release.set()
    await manager.stop_all()


async def test_a_coroutine_that_blocks_the_loop_beyond_its_timeout_is_counted() -> None:
    manager = BackgroundTaskManager(enable_health_monitoring=False)

    async def blocks() -> None:
        time.sleep(0.3)  # noqa: ASYNC251 - what is tested

    manager.add_task(TaskConfig(name="blocks", func=blocks, timeout=0.1, auto_restart=False))
    await manager.start_all()
    await until(lambda: manager.status()["blocks"].timeouts == 1)
    found = manager.status()["blocks"]
    assert (found.state, found.failures) == ("failed", 1)
    assert "blocked the loop meanwhile" in str(found.last_error)
    await manager.stop_all()


async def test_adding_a_task_may_be_awaited() -> None:
    manager = BackgroundTaskManager()
    task = await manager.add_task(TaskConfig(name="mine", func=asyncio.Event().wait))
    assert task is manager.add_task(task.config) and "mine" in manager
