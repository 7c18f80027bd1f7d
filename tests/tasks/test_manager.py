"""The manager: loops that go away, calls from other threads, refused calls."""

from __future__ import annotations

import asyncio
import gc

import pytest

from botlib.core.errors import BlockingCallOnRuntime, TaskConfigError, TaskError, UnknownTask
from botlib.core.lag import LagMeter
from botlib.tasks import BackgroundTaskManager, TaskConfig, TaskState
from tests.support.task_behaviours import LIMIT, for_ever, nothing, until


def test_a_manager_outlives_its_loop() -> None:
    manager = BackgroundTaskManager()
    manager.add_task(TaskConfig(name="a", func=for_ever, forever=True))
    manager.add_task(TaskConfig(name="b", func=nothing, interval=0.01))

    async def once() -> None:
        assert set(await manager.start_all()) == {"a", "b"}
        await asyncio.sleep(0.03)
        assert manager.status().health.ok

    for _ in range(2):
        # Without stop_all: asyncio.run cancels the remaining tasks, and there is no warning.
        asyncio.run(once())
        gc.collect()
        assert not manager.running
        assert {task.state for task in manager.status().tasks} <= {
            TaskState.FAILED,
            TaskState.STOPPED,
        }
    # Replacing a task of a closed loop needs no loop.
    manager.add_task(TaskConfig(name="a", func=nothing, interval=5))


async def test_another_loop_is_refused_while_the_first_one_runs() -> None:
    manager = BackgroundTaskManager()
    manager.add_task(TaskConfig(name="a", func=for_ever, forever=True))
    await manager.start_all()

    def elsewhere() -> None:
        for act in (manager.start_all, manager.stop_all, manager.wait):
            with pytest.raises(TaskError, match="another event loop"):
                asyncio.run(act())  # type: ignore[arg-type]

    await asyncio.to_thread(elsewhere)
    assert manager.status()["a"].state is TaskState.RUNNING
    await manager.stop_all()


def test_errors_of_calls_without_a_loop_name_the_right_call() -> None:
    manager = BackgroundTaskManager()
    config = TaskConfig(name="a", func=nothing)
    with pytest.raises(TaskError, match="needs an event loop"):
        manager.add_task(config, start_immediately=True)
    with pytest.raises(TaskError, match=r"await manager\.start_all"):
        manager.blocking.start_all()
    with pytest.raises(AttributeError, match=r"manager\.status"):
        manager.blocking.status()
    with pytest.raises(UnknownTask, match="Did you mean 'order_sync'"):
        manager.add_task(TaskConfig(name="order_sync", func=nothing))
        manager.pause("order_synk")
    with pytest.raises(TaskError, match="Start it first"):
        manager.pause("order_sync")
    assert "start_all" in dir(manager.blocking) and "status" not in dir(manager.blocking)


async def test_a_blocking_call_on_its_own_loop_is_refused() -> None:
    manager = BackgroundTaskManager()
    manager.add_task(TaskConfig(name="a", func=nothing, interval=5))
    with pytest.raises(BlockingCallOnRuntime, match=r"await manager\.start_all\(\)"):
        manager.blocking.start_all()
    await manager.start_all()
    with pytest.raises(BlockingCallOnRuntime):
        manager.blocking.stop_all()
    await manager.stop_all()


async def test_an_unknown_dependency_is_refused_at_the_start() -> None:
    manager = BackgroundTaskManager()
    manager.add_task(TaskConfig(name="a", func=nothing, depends_on=["b"]))
    with pytest.raises(TaskConfigError, match="'b', which is not registered"):
        await manager.start_all()
    manager.add_task(TaskConfig(name="b", func=nothing), group="other")
    assert await manager.start_all() == ("b", "a")
    await manager.stop_all()


async def test_a_task_cannot_restart_itself_or_wait_for_itself() -> None:
    manager = BackgroundTaskManager()

    async def selfish() -> None:
        for act in (manager.restart_task, manager.run_now):
            with pytest.raises(TaskError, match=r"itself|waiting"):
                await act("selfish")

    manager.add_task(TaskConfig(name="selfish", func=selfish))
    await manager.start_all()
    await manager.wait(LIMIT)
    assert manager.status()["selfish"].state is TaskState.DONE
    await manager.stop_all()


async def test_a_disabled_task_is_not_started_by_name() -> None:
    manager = BackgroundTaskManager()
    manager.add_task(TaskConfig(name="off", func=nothing, enabled=False))
    with pytest.raises(TaskError, match="enabled=True"):
        await manager.start_task("off")


async def test_an_error_in_the_failure_callback_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken(name: str, error: BaseException) -> None:
        raise RuntimeError("callback")

    async def bad() -> None:
        raise ValueError

    manager = BackgroundTaskManager(on_failure=broken)
    manager.add_task(TaskConfig(name="bad", func=bad, interval=0.01, backoff=0.01))
    await manager.start_all()
    await until(lambda: manager.status()["bad"].runs >= 2)
    await manager.stop_all()
    assert "on_failure raised for task 'bad'" in caplog.text


async def test_a_lag_meter_passed_in_is_not_stopped() -> None:
    meter = LagMeter()
    meter.start()
    manager = BackgroundTaskManager(lag=meter)
    manager.add_task(TaskConfig(name="a", func=nothing, interval=60))
    await manager.start_all()
    await manager.stop_all()
    assert meter.running
    meter.stop()
