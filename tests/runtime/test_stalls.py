"""Stalls of the loop, and the functions named as their causes."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import re
import sysconfig
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from botlib.core import lag
from botlib.core.lag import LagMeter
from botlib.runtime import Runtime, Stall, stalls
from botlib.runtime.stalls import GIL_TIMEOUT, UNKNOWN, StackFrame, StallWatch, parse_dump

pytestmark = pytest.mark.alone

LIMIT = 60.0


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    runtime = Runtime()
    yield runtime
    runtime.close()


@pytest.fixture
def watch() -> Iterator[StallWatch]:
    """A watch that is not started."""
    watch = StallWatch(LagMeter(), thread=0)
    yield watch
    watch._dump.close()


def wait_for_stall(runtime: Runtime, least: float) -> Stall:
    """Return the longest stall of at least ``least`` seconds."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        found = [stall for stall in runtime.stalls if stall.seconds >= least]
        if found:
            return max(found, key=lambda stall: stall.seconds)
        time.sleep(0.02)
    raise AssertionError(f"no stall of {least} s in {runtime.stalls}")


def hog(seen: threading.Event) -> None:
    begun = time.monotonic()
    while time.monotonic() < begun + 0.6 or not seen.is_set():
        assert time.monotonic() < begun + LIMIT
        sum(range(1_000))


async def careless(seen: threading.Event) -> None:
    await asyncio.sleep(0)
    hog(seen)


def test_a_blocking_callback_is_named_during_and_after_the_stall(runtime: Runtime) -> None:
    seen = threading.Event()
    future = runtime.submit(careless(seen))
    during = wait_for_stall(runtime, 0.25)
    seen.set()
    future.result(LIMIT)
    assert re.search(rf"{re.escape(__file__)}:\d+ hog$", during.where)
    after = wait_for_stall(runtime, 0.5)
    assert after.where.endswith(" hog")
    assert 0.5 < after.seconds < LIMIT
    assert abs(after.when - time.time() * 1_000) < LIMIT * 1_000


def test_the_user_function_is_named_and_not_the_library_it_calls(runtime: Runtime) -> None:
    async def reads_slowly() -> None:
        end = time.monotonic() + LIMIT
        while not runtime.stalls and time.monotonic() < end:
            # The innermost Python frame is in the standard library.
            threading.Event().wait(0.5)

    runtime.call(reads_slowly(), 2 * LIMIT)
    assert wait_for_stall(runtime, 0.25).where.endswith("reads_slowly")


def hold_the_gil(seconds: int) -> None:
    ctypes.PyDLL(None).sleep(seconds)  # unlike those of a CDLL, its functions keep the GIL


def test_compiled_code_that_holds_the_gil_is_named(runtime: Runtime) -> None:
    # Long enough for a dump during the hold: stacks read afterwards may show a later function.
    hold_the_gil(3)
    stall = wait_for_stall(runtime, GIL_TIMEOUT)
    assert re.fullmatch(
        rf"{re.escape(__file__)}:\d+ hold_the_gil \(holding the GIL on another thread\)",
        stall.where,
    )


class Culprit:
    """A thread that holds the GIL in one function, and in another one after `move_on`."""

    def __init__(self) -> None:
        self._gone = False
        self._over = False
        self._arrived = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Culprit:
        self._thread.start()
        assert self._arrived.wait(LIMIT)
        self._arrived.clear()
        return self

    def __exit__(self, *_: object) -> None:
        self._gone = self._over = True
        self._thread.join()

    def move_on(self) -> None:
        self._gone = True
        assert self._arrived.wait(LIMIT)

    def _run(self) -> None:
        self.holds()
        self.goes_on()

    def holds(self) -> None:
        self._arrived.set()
        while not self._gone:
            pass

    def goes_on(self) -> None:
        self._arrived.set()
        while not self._over:
            pass


def test_the_stacks_of_a_short_hold_are_read_before_its_thread_moves_on(
    watch: StallWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Culprit() as culprit:
        monkeypatch.setattr(watch, "_read_dump", culprit.move_on)
        watch.note(0.5)
    assert "Culprit.holds (holding the GIL" in watch.stalls()[0].where


def test_the_watch_reads_stacks_before_it_releases_the_gil(
    watch: StallWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    armed = threading.Event()
    with Culprit() as culprit:
        turns = iter([lambda: None, culprit.move_on])

        def arm(now: float) -> None:
            next(turns, armed.set)()

        looks = iter([0.0, 9.0])
        monkeypatch.setattr(LagMeter, "overdue", property(lambda self: next(looks, 0.0)))
        monkeypatch.setattr(watch, "_arm", arm)
        # As if the watch had not run between its first two turns.
        monkeypatch.setattr(watch, "threshold", 0.01)
        monkeypatch.setattr(watch._over, "wait", lambda seconds: time.sleep(0.05))
        watch.start()
        assert armed.wait(LIMIT)
        watch._over.set()
        watch._watcher.join(LIMIT)
        watch.note(0.5)
    assert "Culprit.holds (holding the GIL" in watch.stalls()[0].where


def test_stacks_read_after_a_stall_are_not_used_for_the_next_one(
    watch: StallWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = stalls._stacks

    def reads_slowly(*, without: Sequence[int | None]) -> dict[int, list[StackFrame]]:
        watch._meter.beats += 1
        return read(without=without)

    with Culprit():
        watch._look(held=True)
        assert len(watch._seen) == 1
        watch.note(0.5)
        monkeypatch.setattr(stalls, "_stacks", reads_slowly)
        watch._look(held=True)
    assert not watch._seen


def test_no_function_on_an_idle_loop_is_named(runtime: Runtime) -> None:
    runtime.call(asyncio.sleep(0.3), LIMIT)
    # A busy machine may stall any process, but then no function on the loop is named.
    blamed = [stall.where for stall in runtime.stalls if stall.where != UNKNOWN]
    assert all("on another thread" in where for where in blamed)


def test_a_stall_is_logged(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "botlib")
    seen = threading.Event()
    future = runtime.submit(careless(seen))
    wait_for_stall(runtime, 0.25)
    seen.set()
    future.result(LIMIT)
    deadline = time.monotonic() + LIMIT
    while " hog." not in caplog.text:
        assert time.monotonic() < deadline, caplog.text
        time.sleep(0.02)
    assert "stood still" in caplog.text


def test_dumps_of_faulthandler_are_parsed() -> None:
    text = """Timeout (0:00:01)!
Thread 0x00007f0000000002 (most recent call first):
  File "/usr/lib/python3.11/selectors.py", line 468 in select
  File "/usr/lib/python3.11/asyncio/base_events.py", line 1884 in _run_once

Current thread 0x00007f0000000001 (most recent call first):
  File "/home/me/my strategy.py", line 12 in signals
  File "<stdin>", line 1 in <module>
"""
    assert parse_dump(text) == {
        0x7F0000000002: [
            StackFrame("/usr/lib/python3.11/selectors.py", 468, "select"),
            StackFrame("/usr/lib/python3.11/asyncio/base_events.py", 1884, "_run_once"),
        ],
        0x7F0000000001: [
            StackFrame("/home/me/my strategy.py", 12, "signals"),
            StackFrame("<stdin>", 1, "<module>"),
        ],
    }


def test_the_beat_of_the_meter_is_not_named_as_a_cause() -> None:
    with_beat = [
        StackFrame("/home/me/strategy.py", 3, "seen"),
        StackFrame(lag.__file__, 1, "LagMeter._beat"),
    ]
    assert stalls._blocking(with_beat) is None
    assert stalls._blocking(with_beat[:1]) == "/home/me/strategy.py:3 seen"


def test_closing_ends_the_watch_and_its_thread() -> None:
    runtime = Runtime()
    assert runtime._watch is not None
    dump, watcher = runtime._watch._dump, runtime._watch._watcher
    runtime.close()
    assert dump.closed
    assert watcher not in threading.enumerate()


@pytest.mark.parametrize("within", [False, True], ids=["elsewhere", "in the project"])
def test_files_of_libraries_are_named_without_their_folders(
    within: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(stalls.__file__).parents[2]
    pandas, stdlib = sysconfig.get_path("purelib"), sysconfig.get_path("stdlib")
    if within:
        pandas = f"{root}/.venv/lib/python3/site-packages"
        monkeypatch.setattr(stalls, "_LIBRARIES", (f"{stdlib}/", f"{pandas}/"))
    for file, shown in [
        (f"{pandas}/pandas/core/frame.py", "pandas/core/frame.py"),
        (f"{stdlib}/json/decoder.py", "json/decoder.py"),
        (f"{root}/botlib/store/write.py", "botlib/store/write.py"),
        ("/home/me/mine.py", "/home/me/mine.py"),
        ("/tmp/ipykernel_17/123.py", "cell"),
    ]:
        assert stalls._name(stalls.StackFrame(file, 7, "f")) == f"{shown}:7 f"
