"""The manager beyond what every host does: loops that go away, plain calls, threads, tables."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import json
import logging
import subprocess
import sys
import threading
from textwrap import dedent

import pytest

from botlib.core.errors import BlockingCallOnRuntime, TaskConfigError, TaskError, UnknownTask
from botlib.core.lag import LagMeter
from botlib.tasks import BackgroundTaskManager, Health, TaskConfig, TaskState
from botlib.tasks.threads import ThreadJob, ThreadPool
from tests.support import simulated_time
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
        # Left without stop_all: asyncio.run cancels what is left, and no warning comes of it.
        asyncio.run(once())
        gc.collect()
        assert not manager.running
        assert {task.state for task in manager.status().tasks} <= {
            TaskState.FAILED,
            TaskState.STOPPED,
        }
    # Replacing a task of a dead loop needs no loop.
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


def test_without_a_loop_the_way_is_shown() -> None:
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


async def test_a_blocking_call_on_the_own_loop_is_refused() -> None:
    manager = BackgroundTaskManager()
    manager.add_task(TaskConfig(name="a", func=nothing, interval=5))
    with pytest.raises(BlockingCallOnRuntime, match=r"await manager\.start_all\(\)"):
        manager.blocking.start_all()
    await manager.start_all()
    with pytest.raises(BlockingCallOnRuntime):
        manager.blocking.stop_all()
    await manager.stop_all()


async def test_an_unknown_dependency_is_found_at_the_start() -> None:
    manager = BackgroundTaskManager()
    manager.add_task(TaskConfig(name="a", func=nothing, depends_on=["b"]))
    with pytest.raises(TaskConfigError, match="'b', which is not registered"):
        await manager.start_all()
    manager.add_task(TaskConfig(name="b", func=nothing), group="other")
    assert await manager.start_all() == ("b", "a")
    await manager.stop_all()


async def test_a_task_cannot_restart_or_await_itself() -> None:
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


async def test_a_callback_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
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


def test_the_health_is_looked_after_and_its_changes_logged(
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


def test_troubles_of_low_tasks_are_warnings() -> None:
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


def test_a_lagging_loop_is_unhealthy_also_for_who_looks_from_outside() -> None:
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


async def test_a_meter_that_is_given_is_left_to_its_owner() -> None:
    meter = LagMeter()
    meter.start()
    manager = BackgroundTaskManager(lag=meter)
    manager.add_task(TaskConfig(name="a", func=nothing, interval=60))
    await manager.start_all()
    await manager.stop_all()
    assert meter.running
    meter.stop()


async def test_the_status_can_be_sent_and_shown() -> None:
    manager = BackgroundTaskManager()
    for index in range(70):
        manager.add_task(TaskConfig(name=f"<b>{index}", func=nothing, interval="30s"), group="g")
    await manager.start_all("g")
    status = manager.status()
    sent = json.loads(json.dumps(status.as_dict()))
    assert sent["tasks"][0]["name"] == "<b>0" and sent["tasks"][0]["state"] == "waiting"
    assert sent["health"] == {"ok": True, "reasons": [], "warnings": []}
    lock = threading.Lock()  # of the user's own, and not to be copied
    manager.add_task(TaskConfig(name="other", func=nothing, metadata={"lock": lock}))
    assert manager.status().as_dict()["tasks"][-1]["metadata"] == {"lock": lock}
    text = str(status)
    assert text.splitlines()[0] == "70 tasks, 70 running, healthy"
    assert text.splitlines()[-1] == "… and 10 more"
    assert repr(status) == "<ManagerStatus 70 tasks, 70 running, healthy>"
    assert "overruns" not in text and "every 30 s" in text
    assert "&lt;b&gt;0" in status._repr_html_() and "<b>0" not in status._repr_html_()
    with pytest.raises(UnknownTask):
        status["nobody"]
    await manager.stop_all()


def test_the_process_ends_in_spite_of_a_function_that_does_not() -> None:
    program = """
    import asyncio, time
    from botlib.tasks import BackgroundTaskManager, TaskConfig
    async def main():
        manager = BackgroundTaskManager(stop_timeout=0.05)
        manager.add_task(TaskConfig(name="endless", func=lambda: time.sleep(600)))
        await manager.start_all()
        print((await manager.stop_all(0.1)).stuck)
    asyncio.run(main())
    """
    ended = subprocess.run(
        [sys.executable, "-c", dedent(program)], capture_output=True, text=True, timeout=60
    )
    assert ended.stdout == "('endless',)\n", ended.stderr
    assert ended.returncode == 0


async def test_threads_are_few_and_a_lost_one_is_replaced() -> None:
    loop = asyncio.get_running_loop()
    pool = ThreadPool(2)
    hold = threading.Event()
    ran: list[int] = []
    context = contextvars.copy_context()
    before = set(threading.enumerate())

    def job(act: object) -> ThreadJob:
        return ThreadJob(act, lambda result, error: ran.append(1), loop, context.copy())  # type: ignore[arg-type]

    held = [job(lambda: hold.wait(LIMIT)) for _ in range(2)]
    for each in held:
        pool.submit(each)
    await until(lambda: all(each.started for each in held))
    waiting = job(lambda: None)
    refused = job(lambda: ran.append(100))
    pool.submit(waiting)
    pool.submit(refused)
    assert pool.cancel(refused) and not pool.cancel(held[0])
    await asyncio.sleep(0.02)
    assert not waiting.started
    pool.abandon(held[0])
    await until(lambda: len(ran) == 1)
    hold.set()
    await until(lambda: len(ran) == 3)
    pool.close()
    await until(lambda: set(threading.enumerate()) <= before)
    assert 100 not in ran
