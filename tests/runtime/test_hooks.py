"""The end of the runtime in plain programs: exit, SIGTERM, a parent that died."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from tests.support.kernels import LIMIT, ProgramFactory

CLOSER = """
import asyncio, os, signal, sys, threading, time
from botlib.runtime import get_runtime

rt = get_runtime()

async def closer():
    await asyncio.to_thread(time.sleep, 0.01)   # threads still work while closing
    await asyncio.sleep(0.05)
    print("closed:", rt.stop_requested, flush=True)

rt.add_closer("tasks", closer)
"""

# In short sleeps: Python may miss a signal that arrives just before the main thread falls asleep.
READY = """
print("ready")
while True:
    time.sleep(0.05)
"""


def line(process: subprocess.Popen[str], text: str) -> None:
    """Read lines until one contains ``text``."""
    assert process.stdout is not None
    seen = []
    for got in process.stdout:
        seen.append(got)
        if text in got:
            return
    raise AssertionError(f"{text!r} is not in {seen}")


def test_exit_runs_the_closers(program: ProgramFactory) -> None:
    out, _ = program(CLOSER).communicate(timeout=LIMIT)
    assert out == "closed: exit\n"


def test_an_exit_by_exception_runs_the_closers(program: ProgramFactory) -> None:
    process = program(CLOSER + "sys.exit(3)")
    assert process.communicate(timeout=LIMIT)[0] == "closed: exit\n"
    assert process.returncode == 3


def test_exit_does_nothing_after_the_runtime_was_closed(program: ProgramFactory) -> None:
    process = program(CLOSER + "rt.close('by hand')")
    assert process.communicate(timeout=LIMIT)[0] == "closed: by hand\n"
    assert process.returncode == 0


def test_a_stalled_loop_does_not_delay_the_exit_for_long(program: ProgramFactory) -> None:
    process = program(
        CLOSER
        + """
rt.close_timeout = 0.5
blocked = threading.Event()

async def block():
    blocked.set()
    time.sleep(600)

rt.submit(block())
blocked.wait()
"""
    )
    out, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    assert "did not close within 0.5 s" in out


def test_sigterm_runs_the_closers_and_then_ends_a_plain_program(program: ProgramFactory) -> None:
    process = program(CLOSER + READY)
    line(process, "ready")
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)  # as a supervisor does that signals the whole group
    out, _ = process.communicate(timeout=LIMIT)
    assert out == "closed: SIGTERM\n"
    assert process.returncode == -signal.SIGTERM


def test_sigterm_reaches_a_program_that_waits_in_a_call(program: ProgramFactory) -> None:
    process = program(
        CLOSER
        + """
async def wait():
    await asyncio.sleep(0.2)   # the main thread sleeps by then (see READY)
    print("ready", flush=True)
    await asyncio.Event().wait()

rt.call(wait())
"""
    )
    line(process, "ready")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=LIMIT)
    assert out == "closed: SIGTERM\n"
    assert process.returncode == -signal.SIGTERM


def test_sigterm_delivered_to_another_thread_reaches_a_program_that_waits_in_a_call(
    program: ProgramFactory,
) -> None:
    process = program(
        CLOSER
        + """
async def wait():
    await asyncio.sleep(0.2)   # the main thread sleeps by then (see READY)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    await asyncio.Event().wait()

rt.call(wait())
"""
    )
    out, _ = process.communicate(timeout=LIMIT)
    assert out == "closed: SIGTERM\n"
    assert process.returncode == -signal.SIGTERM


def test_sigterm_is_the_exit_code_of_a_program_that_ends_while_it_is_passed_on(
    program: ProgramFactory,
) -> None:
    process = program(
        CLOSER
        + """
from botlib.runtime import hooks

def wait_stopped(runtime, wait=hooks.wait_stopped):
    wait(runtime)
    time.sleep(0.5)     # the main thread ends meanwhile

hooks.wait_stopped = wait_stopped
os.kill(os.getpid(), signal.SIGTERM)
rt.request_stop("again").result(60)
"""
    )
    out, _ = process.communicate(timeout=LIMIT)
    assert out == "closed: SIGTERM\n"
    assert process.returncode == -signal.SIGTERM


def test_sigterm_ends_a_program_whose_loop_is_stalled(program: ProgramFactory) -> None:
    process = program(
        CLOSER
        + """
rt.close_timeout = 0.5
rt.loop.call_soon_threadsafe(time.sleep, 600)
"""
        + READY
    )
    line(process, "ready")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=LIMIT)
    assert process.returncode == -signal.SIGTERM


def test_an_earlier_handler_of_sigterm_is_called_after_the_closers(
    program: ProgramFactory,
) -> None:
    process = program(
        """
import signal, sys

def earlier(number, frame):
    print("earlier", number, flush=True)
    sys.exit(5)

signal.signal(signal.SIGTERM, earlier)
"""
        + CLOSER
        + READY
    )
    line(process, "ready")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=LIMIT)
    assert out == f"closed: SIGTERM\nearlier {int(signal.SIGTERM)}\n"
    assert process.returncode == 5


def test_an_ignored_sigterm_runs_the_closers_and_stays_ignored(program: ProgramFactory) -> None:
    process = program(
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        + CLOSER
        + """
os.kill(os.getpid(), signal.SIGTERM)
rt.request_stop("again").result(60)
time.sleep(0.3)
print("still here")
"""
    )
    out, _ = process.communicate(timeout=LIMIT)
    assert out == "closed: SIGTERM\nstill here\n"
    assert process.returncode == 0


def test_a_runtime_started_in_another_thread_gets_its_signal_hook_later(
    program: ProgramFactory,
) -> None:
    process = program(
        """
import concurrent.futures, signal, threading
from botlib.runtime import get_runtime
with concurrent.futures.ThreadPoolExecutor(1) as pool:
    other = pool.submit(get_runtime).result()
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""
        + CLOSER
        + "assert rt is other"
        + READY
    )
    line(process, "ready")
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=LIMIT)[0] == "closed: SIGTERM\n"


def test_hooks_are_installed_once(program: ProgramFactory) -> None:
    process = program(
        CLOSER
        + """
handler = signal.getsignal(signal.SIGTERM)
for name in [name for name in sys.modules if name.startswith("botlib")]:
    del sys.modules[name]
from botlib.runtime import get_runtime as again
assert again() is rt
assert signal.getsignal(signal.SIGTERM) is handler
rt.close("first")
second = again()
assert second is not rt
assert signal.getsignal(signal.SIGTERM) is handler

async def note():
    print("second closed:", second.stop_requested)

second.add_closer("note", note)
"""
    )
    out, _ = process.communicate(timeout=LIMIT)
    assert out == "closed: first\nsecond closed: exit\n"
    assert process.returncode == 0


def test_a_program_whose_parent_died_stops_and_ends(program: ProgramFactory) -> None:
    child = CLOSER + "get_runtime(watch_parent=True); print(os.getpid())" + READY
    parent = program(
        f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-u", "-c", {child!r}])
time.sleep(600)
"""
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    try:
        parent.kill()
        # The child holds the pipe open until it has ended.
        assert "closed: the parent process died" in parent.stdout.read()
        wait_gone(pid)
    finally:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_gone(pid: int) -> None:
    deadline = time.monotonic() + LIMIT
    while alive(pid):
        assert time.monotonic() < deadline, "the process still runs"
        time.sleep(0.05)
