"""A child process that ends or hangs is an error, and leaves no process behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from benchmarks import ingest
from benchmarks.measuring import BenchmarkError, Child, absent, result_of, seconds

GRANDCHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]{session})
print(child.pid, flush=True)
time.sleep(600)
"""


def running(pid: int) -> bool:
    """Return whether a process runs; one that has ended and was not waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until_ended(pid: int) -> None:
    deadline = time.monotonic() + 20
    while running(pid):
        assert time.monotonic() < deadline, "the process still runs"
        time.sleep(0.02)


def test_the_result_is_the_json_on_the_last_line() -> None:
    code = "print('progress'); print('{\"cpu\": 1.5}')"
    assert result_of("child", ["-c", code], limit=30) == {"cpu": 1.5}


def test_a_large_output_does_not_block_the_child() -> None:
    code = "import sys; sys.stderr.write('x' * 1_000_000); print('y' * 1_000_000); print(2)"
    assert result_of("child", ["-c", code], limit=30) == 2


def test_the_environment_and_the_working_directory_are_those_given(tmp_path: Path) -> None:
    code = "import json, os; print(json.dumps([os.environ['COLOUR'], os.getcwd()]))"
    found = result_of(
        "child", ["-c", code], limit=30, environment={"COLOUR": "red"}, folder=tmp_path
    )
    assert found == ["red", str(tmp_path)]


def test_a_child_that_fails_is_an_error_with_its_own_words() -> None:
    with pytest.raises(BenchmarkError, match=r"'child' ended with code 3.*\n.*out of paper"):
        code = "import sys; print('out of paper', file=sys.stderr); sys.exit(3)"
        result_of("child", ["-c", code], limit=30)


def test_a_child_that_prints_no_result_is_an_error() -> None:
    with pytest.raises(BenchmarkError, match="'child' printed no result but 'nothing"):
        result_of("child", ["-c", "print('nothing')"], limit=30)


@pytest.mark.parametrize("session", ["", ", start_new_session=True"])
def test_a_child_that_hangs_is_killed_with_what_it_started(session: str) -> None:
    with Child("child", ["-c", GRANDCHILD.format(session=session)]) as child:
        grandchild = int(child.line(30))
        with pytest.raises(BenchmarkError, match=r"'child' did not end within 0\.2 s"):
            child.result(0.2)
    until_ended(child.pid)
    until_ended(grandchild)


def test_a_child_that_is_never_ready_is_killed() -> None:
    with Child("server", ["-c", "import time; time.sleep(600)"]) as child:
        with pytest.raises(BenchmarkError, match=r"'server' was not ready within 0\.2 s"):
            child.line(0.2)
    until_ended(child.pid)


def test_a_child_that_ends_before_it_is_ready_is_an_error() -> None:
    with Child("server", ["-c", "raise SystemExit(4)"]) as child:
        with pytest.raises(BenchmarkError, match="ended with code 4 before it was ready"):
            child.line(30)


def test_an_error_in_the_block_leaves_no_process() -> None:
    with pytest.raises(KeyboardInterrupt):
        with Child("child", ["-c", GRANDCHILD.format(session="")]) as child:
            grandchild = int(child.line(30))
            raise KeyboardInterrupt
    until_ended(child.pid)
    until_ended(grandchild)


def test_a_child_is_sampled_while_it_runs() -> None:
    samples: list[int] = []
    with Child("child", ["-c", "import time; time.sleep(0.5); print(1)"]) as child:
        assert child.result(30, lambda: samples.append(child.pid)) == 1
    assert set(samples) == {child.pid}


@pytest.mark.parametrize("struck", [signal.SIGKILL, signal.SIGSTOP])
def test_an_ingest_client_that_is_lost_fails_the_benchmark_and_its_server_ends(
    monkeypatch: pytest.MonkeyPatch, struck: signal.Signals
) -> None:
    """Kills or stops the first client; a stopped one is given little time."""
    monkeypatch.setattr(ingest, "LIMIT", 20.0 if struck is signal.SIGKILL else 4.0)
    found: list[psutil.Process] = []

    def strike() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for process in psutil.Process().children(recursive=True):
                try:
                    line = " ".join(process.cmdline())
                except psutil.Error:
                    continue
                if "benchmarks.ingest_server" in line and process not in found:
                    found.append(process)
                if "benchmarks.ingest_clients" in line:
                    found.append(process)
                    os.kill(process.pid, struck)
                    return
            time.sleep(0.01)

    thread = threading.Thread(target=strike)
    thread.start()
    what = "ended with code -9" if struck is signal.SIGKILL else "did not end within 4 s"
    try:
        with pytest.raises(BenchmarkError, match=f"'ingest client bare, 20 symbols' {what}"):
            ingest.measure(ingest.Size.SMOKE)
    finally:
        thread.join()
    assert len(found) == 2
    for process in found:
        until_ended(process.pid)


def test_the_quickest_of_several_calls_counts() -> None:
    waits = iter([0.05, 0.0, 0.05])
    assert seconds(lambda: time.sleep(next(waits)), 3) < 0.05


def test_an_absent_package_is_named() -> None:
    assert absent("json") == ""
    assert absent("no_such_peer") == "the package no_such_peer is not installed"


def test_the_proxy_ends_with_the_benchmark_that_started_it() -> None:
    """A killed benchmark ends no child, and a new session keeps the terminal's signals away."""
    words = [sys.executable, "-m", "benchmarks.orders_proxy", "127.0.0.1", "1"]
    start = (
        "import subprocess, sys; "
        f"print(subprocess.Popen({words}, start_new_session=True).pid, flush=True); "
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as benchmark:
        assert benchmark.stdout is not None
        proxy = int(benchmark.stdout.readline())
        assert benchmark.stdout.readline()  # its ports
        benchmark.kill()
    try:
        until_ended(proxy)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(proxy, signal.SIGKILL)
