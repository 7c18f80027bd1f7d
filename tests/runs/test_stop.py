"""The orderly stop of a run, with real processes in place of a kernel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from botlib.runs import stop as stop_module
from botlib.runs.stop import StopControl

QUIET = "import signal, time\n{handlers}\nprint('ready', flush=True)\nwhile True: time.sleep(0.05)"
IGNORE_TERM = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
IGNORE_BOTH = IGNORE_TERM + "\nsignal.signal(signal.SIGINT, signal.SIG_IGN)"

Start = Callable[[str], "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """A function that starts an idle process in a new process group, like a kernel."""
    started: list[subprocess.Popen[bytes]] = []

    def run(handlers: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", QUIET.format(handlers=handlers)],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def control(process: subprocess.Popen[bytes] | None, **settings: float | None) -> StopControl:
    lines: list[str] = []
    stop = StopControl(**{"grace": 30.0, "timeout": None, **settings}, log=lines.append)  # type: ignore[arg-type]
    stop.kernel = lambda: process
    return stop


def test_a_run_that_ends_is_left_alone(start: Start) -> None:
    process = start("")
    stop = control(process, timeout=60)
    with stop.watching():
        pass
    assert (stop.reason, stop.stop_signal, stop.escalated) == (None, None, None)
    assert process.poll() is None
    assert "botlib-run-stop" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_becomes_one_sigterm(start: Start, number: signal.Signals) -> None:
    process = start("")
    stop = control(process)
    before = signal.getsignal(number)
    with stop.watching():
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        assert process.wait(60) == -signal.SIGTERM
    assert stop.stop_signal == stop.reason == number.name
    assert stop.escalated is None
    assert signal.getsignal(number) is before


def test_the_deadline_stops_like_a_signal_but_is_none(start: Start) -> None:
    process = start("")
    stop = control(process, timeout=0.1)
    with stop.watching():
        assert process.wait(60) == -signal.SIGTERM
    assert (stop.reason, stop.stop_signal) == (stop_module.DEADLINE, None)


def test_after_the_grace_comes_an_interrupt(start: Start) -> None:
    process = start(IGNORE_TERM)
    stop = control(process, grace=0.2, timeout=0)
    with stop.watching():
        process.wait(60)
    assert stop.escalated == "SIGINT"


def test_after_the_interrupt_comes_a_kill(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop_module, "KILL_AFTER", 0.2)
    process = start(IGNORE_BOTH)
    stop = control(process, grace=0.1, timeout=0)
    with stop.watching():
        assert process.wait(60) == -signal.SIGKILL
    assert stop.escalated == "SIGKILL"


def test_a_repeated_signal_ends_the_grace(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop_module, "REPEATED_WITHIN", 0.1)
    process = start(IGNORE_TERM)
    stop = control(process, grace=3600)
    with stop.watching():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.3)
        assert process.poll() is None
        os.kill(os.getpid(), signal.SIGTERM)
        process.wait(60)
    assert stop.escalated == "SIGINT"


def test_a_stop_before_the_kernel_started_is_remembered() -> None:
    stop = control(None)
    with stop.watching():
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.stop_signal == "SIGTERM"
