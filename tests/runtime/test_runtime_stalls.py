"""The naming of what keeps the loop from running."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Iterator

import pytest

from botlib.runtime import Runtime, Stall, stalls
from botlib.runtime.stalls import GIL_TIMEOUT, UNKNOWN, Frame, parse_dump

LIMIT = 20.0


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    runtime = Runtime()
    yield runtime
    runtime.close()


def wait_for_stall(runtime: Runtime, least: float) -> Stall:
    """Return the longest stall of at least ``least`` seconds."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        found = [stall for stall in runtime.stalls if stall.seconds >= least]
        if found:
            return max(found, key=lambda stall: stall.seconds)
        time.sleep(0.02)
    raise AssertionError(f"no stall of {least} s in {runtime.stalls}")


def hog() -> None:
    end = time.monotonic() + 0.8
    while time.monotonic() < end:
        sum(range(1_000))


async def careless() -> None:
    await asyncio.sleep(0)
    hog()


def test_a_blocking_callback_is_named_while_it_lasts_and_afterwards(runtime: Runtime) -> None:
    future = runtime.submit(careless())
    during = wait_for_stall(runtime, 0.25)
    future.result(LIMIT)
    assert re.search(rf"{re.escape(__file__)}:\d+ hog$", during.where)
    after = wait_for_stall(runtime, 0.5)
    assert after.where.endswith(" hog")
    assert 0.5 < after.seconds < LIMIT
    assert abs(after.when - time.time() * 1_000) < LIMIT * 1_000


def test_the_users_function_is_named_and_not_the_library_it_calls(runtime: Runtime) -> None:
    async def reads_slowly() -> None:
        # The innermost Python frame is in the standard library.
        threading.Event().wait(0.7)

    runtime.call(reads_slowly(), LIMIT)
    assert wait_for_stall(runtime, 0.4).where.endswith("reads_slowly")


def hold_the_gil(letters: int) -> None:
    re.match(r"(a+)+b", "a" * letters)  # backtracks without ever letting go of the GIL


def test_compiled_code_that_holds_the_gil_is_named(runtime: Runtime) -> None:
    letters = 20
    taken = 0.0
    while taken < 0.6:
        letters += 1
        begun = time.monotonic()
        hold_the_gil(letters)
        taken = time.monotonic() - begun
    stall = wait_for_stall(runtime, 0.4)
    assert "hold_the_gil" in stall.where
    assert stall.where.endswith("(holding the GIL on another thread)")


def test_a_long_hold_is_read_from_the_stacks_written_meanwhile(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is learnt by looking afterwards.
    monkeypatch.setattr(stalls, "_stacks", lambda without: {})
    letters = 24
    taken = 0.0
    while taken < 2.5:
        letters += 1
        begun = time.monotonic()
        hold_the_gil(letters)
        taken = time.monotonic() - begun
    assert "hold_the_gil" in wait_for_stall(runtime, GIL_TIMEOUT).where


def test_an_idle_loop_has_no_stalls(runtime: Runtime) -> None:
    runtime.call(asyncio.sleep(0.3), LIMIT)
    # A busy machine may stall any process; but then nothing of this one is blamed.
    assert all(stall.where == UNKNOWN for stall in runtime.stalls)


def test_a_stall_is_logged(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "botlib")
    runtime.call(careless(), LIMIT)
    wait_for_stall(runtime, 0.5)
    deadline = time.monotonic() + LIMIT
    while "stood still" not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert " hog." in caplog.text


def test_the_stacks_of_faulthandler_are_read() -> None:
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
            Frame("/usr/lib/python3.11/selectors.py", 468, "select"),
            Frame("/usr/lib/python3.11/asyncio/base_events.py", 1884, "_run_once"),
        ],
        0x7F0000000001: [
            Frame("/home/me/my strategy.py", 12, "signals"),
            Frame("<stdin>", 1, "<module>"),
        ],
    }


def test_the_watch_leaves_nothing_behind() -> None:
    runtime = Runtime()
    assert runtime._watch is not None
    dump = runtime._watch._dump
    runtime.close()
    assert dump.closed
    assert not any(thread.name == "botlib-stalls" for thread in threading.enumerate())
