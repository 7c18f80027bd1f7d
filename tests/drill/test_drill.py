"""The fire drill in a real notebook kernel, with real processes, sockets and kills."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

from botlib.core.errors import InvalidInput
from botlib.drill import STEPS, DrillReport, DrillRow, fire_drill

LIMIT = 240.0
"""Seconds to wait for a condition."""

DRILL_LIMIT = 720.0
"""Seconds to wait for a drill: two kernels start, and each of three faults has two minutes."""

CONNECT = """
import json
import botlib as bl
bot = bl.connect(
    symbols=["BTC/USDT"], history=30, health={"port": 0},
    paper={"lockstep": True, "start": "2026-01-05"},
)
"""
DRILL = """
before = len(bot.orders())
report = bot.fire_drill(faults=["entry unanswered", "kernel killed", "computer asleep"])
result = dict(
    rows=[[row.fault, row.passed, row.happened] for row in report.rows],
    untouched=len(bot.orders()) == before,
    one_line=repr(report),
    card=report._repr_html_(),
    table=str(report),
)
"""
# Runs until it is killed; prints the process id of its kernel.
NAP = """
import asyncio, sys
from pathlib import Path
from botlib.drill.session import DrillSession

async def main():
    session = DrillSession(Path(sys.argv[1]), symbol="BTC/USDT", speed=60, seed=1)
    await session._start_kernel()
    await session._kernel.run("started = True")
    print(session._kernel.pid, flush=True)
    await session.suspend_kernel(float(sys.argv[2]))
    await asyncio.sleep(600)

asyncio.run(main())
"""

NAP_SECONDS = 3.0


class Notebook:
    """A notebook's kernel, its cells and its child processes."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client
        self.pid: int = manager.provisioner.pid  # type: ignore[union-attr]

    def run(self, cell: str, result: str = "None", limit: float = LIMIT) -> Any:
        """Run a cell that must not fail; return the value of an expression after it."""
        request = self.client.execute(cell, user_expressions={"result": f"json.dumps({result})"})
        content = self.finish(request, limit)
        assert content["status"] == "ok", content
        text: str = content["user_expressions"]["result"]["data"]["text/plain"]
        return json.loads(eval(text))

    def begin(self, cell: str) -> str:
        """Start a cell and return the id of the request."""
        # After an error the kernel would abort cells that arrive while it recovers.
        name: str = self.client.execute(cell, stop_on_error=False)
        return name

    def finish(self, request: str, limit: float = LIMIT) -> dict[str, Any]:
        """Wait for the end of a cell and return the reply."""
        while True:
            reply = self.client.get_shell_msg(timeout=limit)
            if reply["parent_header"].get("msg_id") == request:
                content: dict[str, Any] = reply["content"]
                return content

    def still_runs(self) -> None:
        """Check that the cell that was begun has not ended."""
        with contextlib.suppress(queue.Empty):
            raise AssertionError(self.client.get_shell_msg(timeout=0)["content"])

    def below(self) -> set[psutil.Process]:
        """Return the descendants of this kernel."""
        return set(psutil.Process(self.pid).children(recursive=True))

    def drill(self, known: set[psutil.Process]) -> set[psutil.Process]:
        """Wait until a drill's kernel and exchange run, and return their processes."""
        found: set[psutil.Process] = set()

        def complete() -> bool:
            self.still_runs()
            found.clear()
            found.update(self.below() - known)
            lines = [" ".join(line_of(one)) for one in found]
            return all(any(w in line for line in lines) for w in ("ipykernel", "botlib paper"))

        until(complete)
        return found


def line_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Notebook]:
    """Return a notebook with a bot of its own."""
    places = {"BOTLIB_HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython")}
    environment = {**os.environ, **places}
    environment.pop("BOTLIB_HEADLESS", None)
    manager, client = start_new_kernel(env=environment, startup_timeout=LIMIT)
    found = Notebook(manager, client)
    try:
        found.run(CONNECT)
        yield found
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.mark.kernel
@pytest.mark.timeout(1_500)
def test_a_drill_runs_beside_the_bot_of_a_notebook(notebook: Notebook) -> None:
    before = notebook.below()
    result = notebook.run(DRILL, "result", DRILL_LIMIT)
    entered, killed, asleep = result["rows"]
    names = ["entry unanswered", "kernel killed", "computer asleep"]
    assert [entered[0], killed[0], asleep[0]] == names
    assert entered[1] and killed[1] and asleep[1], result["table"]
    assert "never answered; its stop rested" in entered[2]
    # A real position, no dust.
    amount = re.search(r"killed with (0\.\d+) held", killed[2])
    assert amount is not None and float(amount[1]) > 0.001
    assert "adopted it with its stop" in killed[2] or "sold by its stop" in killed[2]
    # Candles that closed meanwhile arrived, and led to no entry.
    assert "suspended for 4 s" in asleep[2]
    assert result["untouched"]
    assert "3 of 3 passed" in result["one_line"] and "Fire drill" in result["card"]
    assert notebook.below() <= before
    drill_ends_with_its_cell(notebook, before)
    drill_ends_with_its_notebook(notebook, before)


def drill_ends_with_its_cell(notebook: Notebook, before: set[psutil.Process]) -> None:
    request = notebook.begin("bot.fire_drill()")
    started = notebook.drill(before)
    notebook.manager.interrupt_kernel()
    answer = notebook.finish(request)
    assert (answer["status"], answer["ename"]) == ("error", "KeyboardInterrupt")
    until(lambda: all(map(gone, started)) and notebook.below() <= before)


def drill_ends_with_its_notebook(notebook: Notebook, before: set[psutil.Process]) -> None:
    notebook.begin("bot.fire_drill()")
    started = notebook.drill(before)
    os.kill(notebook.pid, signal.SIGKILL)
    until(lambda: all(map(gone, started | before)))


def test_a_stopped_kernel_is_resumed_and_ends_after_the_drill_was_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", NAP, str(tmp_path), str(NAP_SECONDS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        kernel = psutil.Process(int(program.stdout.readline()))
        end = time.monotonic() + NAP_SECONDS
        while kernel.status() != psutil.STATUS_STOPPED and time.monotonic() < end:
            time.sleep(0.05)
        program.kill()
    until(lambda: gone(kernel))


async def test_an_unknown_fault_starts_nothing() -> None:
    with pytest.raises(InvalidInput, match="Accepted: connections dropped"):
        async with asyncio.timeout(5):
            await fire_drill(faults=["rain"])
    with pytest.raises(InvalidInput, match="Did you mean 'kernel killed'"):
        await fire_drill(faults=["kernel killing"])


def test_a_report_names_the_fault_that_failed() -> None:
    row = DrillRow(
        fault=STEPS[0].fault,
        expected=STEPS[0].expected,
        happened="2 connections cut",
        seconds=60.0,
        broken=("I2 trade 4 of BTCUSDT: the bot says no fill, the venue buy 1 at 2",),
    )
    report = DrillReport(rows=(row,), market="paper:synthetic:seed=1")
    assert not report.passed
    assert "FAILED" in str(report) and "I2 trade 4" in str(report)
    assert "FAILED" in report._repr_html_()
    assert not DrillReport(rows=(), market="").passed
