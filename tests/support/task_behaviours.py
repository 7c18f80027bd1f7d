"""Behaviours of the task manager on every host: a plain program, the runtime's thread, a kernel.

Each behaviour is a coroutine function with assertions that runs on the host's loop, and does not
depend on the kind of host.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from botlib.core.errors import NoTasksRegistered, TaskError, TaskStuck, TaskTimeout, UnknownTask
from botlib.tasks import BackgroundTaskManager, TaskConfig, TaskState, beat

LIMIT = 60.0
"""Seconds after which a condition counts as never met."""

cell: contextvars.ContextVar[str] = contextvars.ContextVar("cell", default="none")

BEHAVIOURS: dict[str, Callable[[], Awaitable[None]]] = {}
"""All behaviours by name."""


def behaviour(func: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """Add a coroutine function to `BEHAVIOURS`."""
    BEHAVIOURS[func.__name__] = func
    return func


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition is true."""
    async with asyncio.timeout(LIMIT):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def nothing() -> None:
    """Do nothing."""


async def for_ever() -> None:
    """Wait until the cancellation."""
    await asyncio.Event().wait()


@behaviour
async def tasks_of_all_kinds_run_and_stop_leaves_no_asyncio_task() -> None:
    before = asyncio.all_tasks()
    manager = BackgroundTaskManager()
    where: dict[str, int] = {}

    @manager.task(interval=0.02)
    async def tick() -> None:
        where["tick"] = threading.get_ident()

    @manager.task(interval=0.02)
    def plain() -> None:
        where["plain"] = threading.get_ident()
        beat(3)

    @manager.task(forever=True, heartbeat=LIMIT)
    async def stream() -> None:
        while True:
            beat()
            await asyncio.sleep(0.01)

    @manager.task(cron="* * * * * *")
    async def second() -> None:
        where["second"] = 1

    @manager.task(name="load")
    async def once() -> None:
        where["once"] = 1

    manager.add_task(TaskConfig(name="lambda", func=lambda: nothing(), interval=0.02))
    manager.add_task(TaskConfig(name="off", func=nothing, interval=1, enabled=False))
    started = await manager.start_all()
    assert started == ("tick", "plain", "stream", "second", "load", "lambda"), started
    assert manager.status()["stream"].state is TaskState.RUNNING
    assert await manager.start_all() == (), "they run already"
    await until(lambda: "second" in where and manager.status()["plain"].runs > 2)
    await until(lambda: manager.status()["lambda"].runs > 2)
    status = manager.status()
    assert where["tick"] == threading.get_ident() != where["plain"]
    assert status["plain"].work >= 3 and status["stream"].work >= 1
    assert status["load"].state is TaskState.DONE
    assert status["off"].state is TaskState.DISABLED
    assert status["lambda"].failures == 0
    assert status.health.ok, status.health
    assert str(status).startswith("7 tasks, 5 running, healthy\n"), str(status)
    assert "<table" in manager._repr_html_() and "stream" in manager._repr_html_()
    report = await manager.stop_all()
    assert report.stuck == () and len(report.stopped) == 5, report
    assert asyncio.all_tasks() == before, asyncio.all_tasks() - before
    assert not manager.running and not manager.health().ok


@behaviour
async def starting_nothing_is_an_error() -> None:
    manager = BackgroundTaskManager()
    for act in (manager.start_all, manager.wait):
        with pytest.raises(NoTasksRegistered, match=r"add_task\("):
            await act()
    assert manager.health().reasons == ["no task is registered"]
    manager.add_task(TaskConfig(name="off", func=nothing, enabled=False), group="data")
    for group in (None, "data", "trading"):
        with pytest.raises(NoTasksRegistered, match=repr(group) if group else None):
            await manager.start_all(group)


@behaviour
async def a_task_registered_again_is_kept_or_replaced() -> None:
    manager = BackgroundTaskManager()
    going: list[int] = []
    seen: list[str] = []

    def register(version: int) -> Any:
        async def watch() -> None:
            assert not going, "two at once"
            going.append(version)
            seen.append(f"start {version}")
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.05)
                seen.append(f"end {version}")
                going.remove(version)

        return manager.add_task(TaskConfig(name="watch", func=watch, forever=True))

    first = register(1)
    await manager.start_all()
    assert register(1) is first
    assert seen == ["start 1"]
    second = register(2)
    third = register(3)
    assert first is not second is not third
    await until(lambda: "start 3" in seen)
    assert seen == ["start 1", "end 1", "start 3"], seen
    assert manager.status()["watch"].state is TaskState.RUNNING
    register(4)
    stopping = await manager.stop_all()
    assert stopping.stuck == ()
    assert seen[-1] == "end 3" and going == [], seen
    # Registered again after the stop, it does not start by itself.
    register(5)
    await asyncio.sleep(0.02)
    assert going == [] and manager.status()["watch"].state is TaskState.PENDING


@behaviour
async def a_hung_run_is_cancelled_at_its_timeout() -> None:
    errors: list[BaseException] = []
    manager = BackgroundTaskManager(on_failure=lambda name, error: errors.append(error))
    manager.add_task(
        TaskConfig(name="hung", func=for_ever, interval=0.01, timeout=0.03, backoff=0.01)
    )
    await manager.start_all()
    await until(lambda: manager.status()["hung"].timeouts >= 2)
    status = manager.status()["hung"]
    assert status.failures >= 2 and status.restarts >= 1
    assert isinstance(errors[0], TaskTimeout) and "30 ms" in str(errors[0])
    await manager.stop_all()


@behaviour
async def a_critical_failure_ends_the_wait() -> None:
    manager = BackgroundTaskManager()

    async def vital() -> None:
        await asyncio.sleep(0.01)
        raise ConnectionError("gone")

    manager.add_task(TaskConfig(name="side", func=for_ever, forever=True))
    manager.add_task(
        TaskConfig(
            name="vital",
            func=vital,
            forever=True,
            priority="CRITICAL",
            max_restarts=1,
            backoff=0.01,
        )
    )
    await manager.start_all()
    with pytest.raises(ConnectionError, match=r"^gone$"):
        async with asyncio.timeout(LIMIT):
            await manager.wait()
    status = manager.status()
    assert status["vital"].runs == 2 and status["vital"].state is TaskState.FAILED
    assert "CRITICAL task 'vital' failed for good: ConnectionError: gone" in status.health.reasons
    assert status["side"].state is TaskState.RUNNING
    await manager.stop_all()


@behaviour
async def a_stopped_critical_task_is_unhealthy() -> None:
    manager = BackgroundTaskManager()
    manager.add_task(
        TaskConfig(name="vital", func=asyncio.Event().wait, forever=True, priority="CRITICAL")
    )
    manager.add_task(TaskConfig(name="side", func=asyncio.Event().wait, forever=True))
    await manager.start_all()
    await manager.stop_task("side")
    assert manager.health().ok
    await manager.stop_task("vital")
    assert manager.health().reasons == ["CRITICAL task 'vital' was stopped"]
    await manager.start_task("vital")
    assert manager.health().ok
    await manager.stop_all()


@behaviour
async def a_stream_that_returns_has_failed() -> None:
    manager = BackgroundTaskManager()
    manager.add_task(TaskConfig(name="feed", func=nothing, forever=True, priority="CRITICAL"))
    await manager.start_all()
    with pytest.raises(TaskError, match="returned although it was to run for ever"):
        await manager.wait()
    await manager.stop_all()


@behaviour
async def waiting_ends_with_the_last_task() -> None:
    manager = BackgroundTaskManager()
    manager.add_task(TaskConfig(name="once", func=lambda: time.sleep(0.02)))
    manager.add_task(TaskConfig(name="tick", func=nothing, interval=5))
    await manager.start_all()
    assert not await manager.wait(timeout=0.05), "the tick goes on"
    waiting = asyncio.ensure_future(manager.wait())
    await asyncio.sleep(0.01)
    await manager.stop_task("tick")
    assert await asyncio.wait_for(waiting, LIMIT)
    await manager.stop_all()


@behaviour
async def tasks_start_by_priority_and_stop_in_reverse() -> None:
    manager = BackgroundTaskManager()
    seen: list[str] = []

    def add(name: str, priority: str, *needs: str) -> None:
        async def run() -> None:
            seen.append(f"+{name}")
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.02)
                seen.append(f"-{name}")

        manager.add_task(
            TaskConfig(name=name, func=run, forever=True, priority=priority, depends_on=needs)
        )

    add("low", "LOW")
    add("signals", "CRITICAL", "feed")
    add("feed", "MEDIUM")
    add("high", "HIGH")
    await manager.start_all()
    assert seen == ["+high", "+feed", "+signals", "+low"], seen
    seen.clear()
    await manager.stop_task("feed")
    assert seen == ["-signals", "-feed"], seen
    await manager.start_task("signals")
    assert seen[2:] == ["+feed", "+signals"], seen
    seen.clear()
    await manager.stop_all()
    assert seen == ["-low", "-signals", "-feed", "-high"], seen
    with pytest.raises(TaskError, match="signals"):
        await manager.remove_task("feed")
    await manager.remove_task("signals")
    await manager.remove_task("feed")
    assert "feed" not in manager


@behaviour
async def a_task_that_outlives_its_cancellation_is_stuck() -> None:
    manager = BackgroundTaskManager(stop_timeout=0.2)
    release = asyncio.Event()
    thread_release = threading.Event()
    runs: list[str] = []

    async def deaf() -> None:
        runs.append("deaf")
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                pass

    def slow() -> None:
        runs.append("slow")
        thread_release.wait(LIMIT)

    manager.add_task(TaskConfig(name="deaf", func=deaf, forever=True))
    manager.add_task(TaskConfig(name="slow", func=slow, interval=0.01, timeout=0.02))
    manager.add_task(TaskConfig(name="good", func=for_ever, forever=True))
    await manager.start_all()
    with pytest.raises(TaskStuck, match="deaf"):
        await manager.restart_task("deaf")
    await until(lambda: manager.status()["slow"].state is TaskState.STUCK)
    assert any("'slow' is stuck" in reason for reason in manager.health().reasons)
    async with asyncio.timeout(LIMIT / 2):
        report = await manager.stop_all(deadline=0.8)
    assert sorted(report.stuck) == ["deaf", "slow"] and report.stopped == ("good",), report
    assert manager.status()["deaf"].state is TaskState.STUCK
    assert await manager.start_all() == ("good",), "stuck ones are not started twice"
    assert runs == ["deaf", "slow"], runs
    release.set()
    thread_release.set()
    await until(lambda: manager.status()["deaf"].state is TaskState.STOPPED)
    await until(lambda: manager.status()["slow"].state is TaskState.STOPPED)
    assert set(await manager.start_all()) == {"deaf", "slow"}
    await manager.stop_all()


@behaviour
async def tasks_can_be_paused_and_run_now() -> None:
    manager = BackgroundTaskManager()
    seen: list[str] = []

    async def tick() -> None:
        seen.append("tick")

    async def stream() -> None:
        seen.append("+stream")
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("-stream")

    async def bad() -> None:
        raise ValueError("no")

    manager.add_task(TaskConfig(name="tick", func=tick, interval=600))
    manager.add_task(TaskConfig(name="stream", func=stream, forever=True))
    manager.add_task(TaskConfig(name="bad", func=bad, interval=600), group="later")
    await manager.start_all()
    await manager.run_now("tick")
    assert seen.count("tick") == 2
    manager.pause("tick")
    manager.pause("stream")
    await until(lambda: "-stream" in seen)
    status = manager.status()
    assert {status["tick"].state, status["stream"].state} == {TaskState.PAUSED}
    assert status["tick"].next_run is None
    manager.resume("tick")
    manager.resume("stream")
    await until(lambda: seen.count("tick") == 3 and seen.count("+stream") == 2)
    manager.pause("stream")
    manager.resume("stream")
    await until(lambda: seen.count("+stream") == 3)
    with pytest.raises(ValueError, match=r"^no$"):
        await manager.run_now("bad")
    for name, act in {"ticc": manager.run_now, "x": manager.stop_task}.items():
        with pytest.raises(UnknownTask, match=name):
            await act(name)
    await manager.stop_all()


@behaviour
async def other_threads_may_register_pause_and_read_the_status() -> None:
    manager = BackgroundTaskManager()
    going: list[int] = []

    async def tick() -> None:
        going.append(threading.get_ident())

    manager.add_task(TaskConfig(name="first", func=nothing, interval=60))
    await manager.start_all()

    def elsewhere() -> None:
        config = TaskConfig(name="tick", func=tick, interval=0.01)
        manager.add_task(config, start_immediately=True)
        while len(going) < 2:
            time.sleep(0.005)
        manager.pause("tick")
        assert manager.status()["tick"].state in (TaskState.PAUSED, TaskState.RUNNING)
        manager.resume("tick")
        assert manager.health().ok, manager.health()
        manager.blocking.stop_task("tick")
        assert manager.status()["tick"].state is TaskState.STOPPED
        assert manager.blocking.start_all() == ("tick",)

    await asyncio.wait_for(asyncio.to_thread(elsewhere), LIMIT)
    assert set(going) == {threading.get_ident()}
    await manager.stop_all()


@behaviour
async def a_task_may_stop_all_tasks_including_itself() -> None:
    manager = BackgroundTaskManager()
    seen: list[str] = []

    async def guard() -> None:
        try:
            report = await manager.stop_all()
            seen.append(f"stopped {report.stopped}")
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    manager.add_task(TaskConfig(name="guard", func=guard, priority="LOW"))
    manager.add_task(TaskConfig(name="other", func=for_ever, forever=True))
    await manager.start_all()
    await until(lambda: manager.status()["guard"].state is TaskState.STOPPED)
    assert seen[0].startswith("stopped") and "other" in seen[0] and seen[1:] == ["cancelled"], seen
    assert manager.status()["other"].state is TaskState.STOPPED


@behaviour
async def tasks_do_not_see_the_context_of_their_cell() -> None:
    cell.set("one")
    manager = BackgroundTaskManager()
    seen: dict[str, list[str]] = {"a": [], "b": [], "plain": []}

    async def sets() -> None:
        seen["a"].append(cell.get())
        cell.set("set by a")

    async def looks() -> None:
        seen["b"].append(cell.get())

    manager.add_task(TaskConfig(name="a", func=sets, interval=0.01, priority="HIGH"))
    manager.add_task(TaskConfig(name="b", func=looks, interval=0.01, priority="LOW"))
    manager.add_task(
        TaskConfig(name="plain", func=lambda: seen["plain"].append(cell.get()), interval=0.01)
    )
    await manager.start_all()
    await until(lambda: all(len(values) > 3 for values in seen.values()))
    await manager.stop_all()
    assert {value for values in seen.values() for value in values} == {"none"}, seen


@behaviour
async def an_exit_or_a_base_exception_ends_only_its_task() -> None:
    manager = BackgroundTaskManager()

    class Odd(BaseException):
        pass

    async def leaves() -> None:
        raise SystemExit(3)

    def leaves_thread() -> None:
        raise SystemExit(4)

    async def odd() -> None:
        raise Odd

    async def cancels_itself() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    for func in (leaves, leaves_thread, odd, cancels_itself):
        manager.add_task(TaskConfig(name=func.__name__, func=func, interval=60, max_restarts=0))
    manager.add_task(TaskConfig(name="tick", func=nothing, interval=0.01))
    await manager.start_all()
    await until(lambda: sum(t.state is TaskState.FAILED for t in manager.status().tasks) == 4)
    status = manager.status()
    assert "sys.exit(3)" in (status["leaves"].last_error or "")
    assert "sys.exit(4)" in (status["leaves_thread"].last_error or "")
    assert "had been cancelled" in (status["cancels_itself"].last_error or "")
    runs = status["tick"].runs
    await until(lambda: manager.status()["tick"].runs > runs)
    await manager.stop_all()


@behaviour
async def a_task_can_be_stopped_before_its_first_step() -> None:
    manager = BackgroundTaskManager()
    manager.add_task(TaskConfig(name="a", func=for_ever, forever=True))
    starting = asyncio.ensure_future(manager.start_all())
    await asyncio.sleep(0)
    await manager.stop_task("a")
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    assert manager.status()["a"].state is TaskState.STOPPED
    await manager.start_all()
    assert manager.status()["a"].state is TaskState.RUNNING
    await manager.stop_all()
