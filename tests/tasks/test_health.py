"""The health of a manager, computed from the work of its tasks."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from botlib.tasks import BackgroundTaskManager, Health, TaskConfig, beat
from tests.support import simulated_time
from tests.support.task_behaviours import LIMIT, nothing


def test_changes_of_the_health_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    down = True

    async def work() -> None:
        if down:
            raise OSError("down")

    async def main() -> None:
        nonlocal down
        manager = BackgroundTaskManager(health_check_interval="10s")
        manager.add_task(TaskConfig(name="work", func=work, interval=5, max_restarts=100))
        await manager.start_all()
        await asyncio.sleep(100)
        down = False
        await asyncio.sleep(100)
        await manager.stop_all()

    with caplog.at_level(logging.INFO, "botlib.tasks.health"):
        simulated_time.run(main)
    told = [record.message for record in caplog.records if record.name == "botlib.tasks.health"]
    assert len(told) == 2 and told[1] == "The tasks are healthy"
    assert "unhealthy: MEDIUM task 'work' failed" in told[0]


def test_problems_of_low_tasks_are_warnings() -> None:
    async def bad() -> None:
        raise OSError("down")

    async def main() -> None:
        manager = BackgroundTaskManager(enable_auto_recovery=False)
        manager.add_task(TaskConfig(name="low", func=bad, priority="LOW", interval=5))
        await manager.start_all()
        health = manager.health()
        assert health.ok and "LOW task 'low' failed for good" in health.warnings[0]
        await manager.stop_all()

    simulated_time.run(main)
    assert str(Health(True)) == "healthy"
    assert bool(Health(False, ["x"])) is False


def test_a_lagging_loop_is_unhealthy_as_seen_from_another_thread() -> None:
    async def main() -> None:
        manager = BackgroundTaskManager(unhealthy_lag=0.2)
        manager.add_task(TaskConfig(name="a", func=nothing, interval=60))
        await manager.start_all()
        seen: list[Health] = []
        done = threading.Event()

        def look() -> None:
            while manager.health().ok and not done.is_set():
                pass
            seen.append(manager.health())
            done.set()

        threading.Thread(target=look, daemon=True).start()
        assert done.wait(LIMIT)  # blocks the loop until the other thread has noticed
        assert "the event loop lags" in seen[0].reasons[0]
        await manager.stop_all()

    asyncio.run(main())


def test_a_silent_stream_is_unhealthy() -> None:
    quiet = asyncio.Event()

    async def stream() -> None:
        while not quiet.is_set():
            beat(2)
            await asyncio.sleep(1)
        await asyncio.Event().wait()

    async def main() -> None:
        tasks = BackgroundTaskManager()
        tasks.add_task(TaskConfig(name="feed", func=stream, forever=True, heartbeat=5))
        await tasks.start_all()
        await asyncio.sleep(10.5)
        assert tasks.status()["feed"].work == 22
        assert tasks.health().ok
        quiet.set()
        await asyncio.sleep(10)
        health = tasks.health()
        assert not health
        assert "did no work for 10.5 s (heartbeat 5 s)" in health.reasons[0]
        await tasks.stop_all()

    simulated_time.run(main)
    beat()  # outside a task nothing happens
