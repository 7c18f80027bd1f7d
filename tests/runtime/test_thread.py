"""The runtime thread: calls from other threads, closers, stopping and closing."""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import botlib.runtime
from botlib.core.errors import BlockingCallOnRuntime, InvalidInput, RuntimeClosed
from botlib.runtime import Runtime
from botlib.runtime.thread import SWITCH_INTERVAL

LIMIT = 60.0


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    runtime = Runtime(close_timeout=LIMIT)
    yield runtime
    runtime.close()


async def double(number: int) -> int:
    await asyncio.sleep(0.001)
    return 2 * number


def test_a_call_returns_the_result(runtime: Runtime) -> None:
    assert runtime.call(double(21)) == 42
    assert runtime.submit(double(4)).result(LIMIT) == 8


def test_a_call_raises_what_the_coroutine_raised(runtime: Runtime) -> None:
    async def fail() -> None:
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        runtime.call(fail())


def test_calls_from_many_threads_at_once(runtime: Runtime) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: runtime.call(double(n), LIMIT), range(200)))
    assert results == [2 * n for n in range(200)]


def test_work_runs_on_one_daemon_thread(runtime: Runtime) -> None:
    async def where() -> threading.Thread:
        return threading.current_thread()

    thread = runtime.call(where())
    assert thread is runtime.call(where())
    assert thread.daemon
    assert thread is not threading.current_thread()


def test_work_does_not_see_the_context_of_its_caller(runtime: Runtime) -> None:
    cell = contextvars.ContextVar("cell", default="none")
    cell.set("In [7]")

    async def read() -> str:
        return cell.get()

    assert runtime.call(read()) == "none"
    assert runtime.submit(read()).result(LIMIT) == "none"


def test_a_blocking_call_on_the_loop_thread_is_refused(runtime: Runtime) -> None:
    async def nested() -> int:
        return runtime.call(double(1))

    # Warnings are errors here: the refused coroutine must not warn that it was never awaited.
    with pytest.raises(BlockingCallOnRuntime, match=r"double .* await the async form"):
        runtime.call(nested(), LIMIT)

    async def close() -> None:
        runtime.close()

    with pytest.raises(BlockingCallOnRuntime, match="request_close"):
        runtime.call(close(), LIMIT)
    assert not runtime.closed


def test_a_timeout_cancels_the_call_and_nothing_else(runtime: Runtime) -> None:
    other = runtime.submit(asyncio.Event().wait())
    cancelled = threading.Event()

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(TimeoutError, match=r"slow did not end within 0\.5 s"):
        runtime.call(slow(), timeout=0.5)
    assert cancelled.wait(LIMIT)
    assert not other.done()
    other.cancel()


def test_a_timeout_of_the_coroutine_itself_passes_unchanged(runtime: Runtime) -> None:
    async def own() -> None:
        raise TimeoutError("the venue did not answer")

    with pytest.raises(TimeoutError, match="the venue did not answer"):
        runtime.call(own(), timeout=LIMIT)


def test_only_coroutines_are_run(runtime: Runtime) -> None:
    with pytest.raises(InvalidInput, match=r"Call the async function: f\(\), not f"):
        runtime.call(double)  # type: ignore[arg-type]


def test_an_exit_in_a_task_does_not_end_the_loop(runtime: Runtime) -> None:
    async def leave() -> None:
        sys.exit(3)

    with pytest.raises(SystemExit):
        runtime.call(leave(), LIMIT)
    assert runtime.call(double(2), LIMIT) == 4


def test_the_loop_goes_on_after_a_task_stopped_it(runtime: Runtime) -> None:
    runtime.loop.call_soon_threadsafe(runtime.loop.stop)
    assert runtime.call(double(2), LIMIT) == 4


def test_the_switch_interval_is_short_while_the_runtime_lives() -> None:
    before = sys.getswitchinterval()
    runtime = Runtime()
    assert sys.getswitchinterval() == pytest.approx(min(before, SWITCH_INTERVAL))
    runtime.close()
    assert sys.getswitchinterval() == pytest.approx(before)


def test_closers_run_in_reverse_order() -> None:
    runtime = Runtime()
    order: list[str] = []

    def closer(name: str) -> Callable[[], Coroutine[Any, Any, None]]:
        async def run() -> None:
            await asyncio.sleep(0)
            order.append(name)

        return run

    for name in ("store", "exchange", "stream", "extra"):
        runtime.add_closer(name, closer(name))
    runtime.add_closer("exchange", closer("exchange again"))
    runtime.remove_closer("extra")
    runtime.remove_closer("never there")
    report = runtime.close("done")
    assert order == ["stream", "exchange again", "store"]
    assert report.reason == "done"
    assert report.closed == ("stream", "exchange", "store")
    assert report.clean


def test_a_failing_and_a_hanging_closer_do_not_prevent_the_others() -> None:
    runtime = Runtime(close_timeout=2)
    order: list[str] = []

    async def good() -> None:
        order.append("store")

    async def bad() -> None:
        raise OSError("no route")

    async def hang() -> None:
        await asyncio.Event().wait()

    runtime.add_closer("store", good)
    runtime.add_closer("exchange", bad)
    runtime.add_closer("stream", hang)
    report = runtime.close()
    assert order == ["store"]
    assert report.stuck == ("stream",)
    assert isinstance(report.failed["exchange"], OSError)
    assert not report.clean


def test_closing_again_is_harmless() -> None:
    runtime = Runtime()
    runs: list[int] = []

    async def closer() -> None:
        runs.append(1)

    runtime.add_closer("once", closer)
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: runtime.close("by four"), range(4)))
    assert runtime.close("later") is reports[0]
    assert runs == [1]
    assert runtime.closed
    assert runtime._thread not in threading.enumerate()


def test_a_later_thread_with_the_ident_of_the_ended_loop_thread_may_close_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runtime = Runtime()
    report = runtime.close()
    # The system gives the ident of a thread that has ended to a new one.
    monkeypatch.setattr(runtime._thread, "_ident", threading.get_ident())
    assert not runtime.on_thread
    assert runtime.close() is report
    with pytest.raises(RuntimeClosed):
        runtime.call(double(1))


def test_calls_of_a_closed_runtime_raise_an_error_with_the_reason() -> None:
    runtime = Runtime()
    runtime.close("end of the day")
    with pytest.raises(RuntimeClosed, match=r"closed \(end of the day\)"):
        runtime.call(double(1))
    with pytest.raises(RuntimeClosed):
        runtime.submit(double(1))
    with pytest.raises(RuntimeClosed):
        runtime.add_closer("late", asyncio.Event().wait)
    assert "closed" in repr(runtime)


def test_closing_cancels_remaining_tasks_and_ends_waiting_calls() -> None:
    runtime = Runtime()
    cleaned = threading.Event()
    begun = threading.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(runtime.call, work())
        assert begun.wait(LIMIT)
        runtime.close()
        with pytest.raises(RuntimeClosed):
            waiting.result(LIMIT)
    assert cleaned.is_set()


def test_the_loop_still_works_after_a_stop() -> None:
    runtime = Runtime()
    stopped: list[str] = []

    async def closer() -> None:
        stopped.append("tasks")

    async def last() -> None:
        stopped.append("late")

    runtime.add_closer("tasks", closer)
    assert runtime.stop_requested is None
    future = runtime.request_stop("SIGTERM")
    assert runtime.request_stop("again") is future
    assert future.result(LIMIT).reason == "SIGTERM"
    assert not future.cancel()
    assert runtime.stop_requested == "SIGTERM"
    assert runtime.call(double(3), LIMIT) == 6
    assert "stopped (SIGTERM)" in repr(runtime)
    runtime.add_closer("late", last)
    runtime.close()
    assert stopped == ["tasks", "late"]


def test_a_coroutine_that_waits_for_the_stop_is_answered_before_the_loop_closes() -> None:
    runtime = Runtime()
    begun = threading.Event()

    async def wait() -> str:
        stopped = runtime.request_stop("at once")
        begun.set()
        return (await asyncio.wrap_future(stopped)).reason

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(runtime.call, wait())
        assert begun.wait(LIMIT)
        runtime.close("later")
        assert waiting.result(LIMIT) == "at once"


def test_a_caller_that_gives_up_waiting_does_not_cancel_the_stop(runtime: Runtime) -> None:
    release = threading.Event()

    async def closer() -> None:
        await asyncio.to_thread(release.wait, LIMIT)

    async def wait() -> None:
        await asyncio.wrap_future(runtime.request_stop("first"))

    runtime.add_closer("slow", closer)
    with pytest.raises(TimeoutError):
        runtime.call(wait(), timeout=0.01)
    release.set()
    report = runtime.request_stop("later").result(LIMIT)
    assert (report.reason, report.closed) == ("first", ("slow",))


def test_there_is_one_runtime_for_many_threads_and_after_a_reload() -> None:
    with ThreadPoolExecutor(8) as pool:
        runtimes = set(pool.map(lambda _: botlib.runtime.get_runtime(), range(16)))
    assert len(runtimes) == 1
    runtime = runtimes.pop()
    names = [name for name in sys.modules if name.startswith("botlib.runtime")]
    saved = {name: sys.modules.pop(name) for name in names}
    try:
        again = importlib.import_module("botlib.runtime")
        assert again is not botlib.runtime or saved["botlib.runtime"] is not again
        assert again.get_runtime() is runtime
        importlib.reload(sys.modules["botlib.runtime.thread"])
        importlib.reload(sys.modules["botlib.runtime.current"])
        assert importlib.reload(again).get_runtime() is runtime
    finally:
        sys.modules.update(saved)
        botlib.runtime = saved["botlib.runtime"]
    runtime.close()
    fresh = botlib.runtime.get_runtime()
    assert fresh is not runtime
    fresh.close()


# Python 3.12 and later warn about a fork with threads, which is what this test does.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_refuses_the_thread_of_its_parent(runtime: Runtime) -> None:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:  # no assertion may escape from here
        answer = "wrong"
        try:
            if runtime.closed and runtime.close().reason == "forked":
                runtime.submit(double(1))
        except RuntimeClosed as error:
            answer = str(error)
        finally:
            os.write(write, answer.encode())
            os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    with os.fdopen(read) as pipe:
        assert "started in the parent" in pipe.read()
    assert runtime.call(double(5), LIMIT) == 10


def test_the_lag_of_a_blocked_loop_is_measured(runtime: Runtime) -> None:
    seen = threading.Event()
    runtime.loop.call_soon_threadsafe(seen.wait, LIMIT)
    deadline = time.monotonic() + LIMIT / 2
    while runtime.lag.current < 0.3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    seen.set()
