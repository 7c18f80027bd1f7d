"""Tasks as a hand expects them: plain calls, and no task that its cell does not have any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

from botlib.core.errors import TaskConfigError, UnknownTask
from tests.support.kernels import ROOT, Kernel

LIMIT = 60.0
CONNECT = """
import botlib as bl
bot = bl.connect(symbols=["BTC/USDT"], timeframes=["1m"], history=30, strategies=[],
                 health={"port": 0}, paper={"lockstep": True, "start": "2026-01-05"})
"""
ONE = """
@bot.task(interval=0.05)
async def NAME(): ...
"""
NAMES = "print(sorted(t.name for t in bot.tasks.status().tasks if t.group is None))"


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    manager, client = start_new_kernel(cwd=str(ROOT))
    yield Kernel(manager, client)
    client.stop_channels()
    manager.shutdown_kernel()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_tasks_are_started_stopped_and_run_by_plain_calls(bot: Any) -> None:
    ran: list[int] = []

    @bot.task(interval="1h")
    async def mine() -> None:
        ran.append(1)

    until(lambda: len(ran) == 1)
    assert bot.run_task("mine") == "mine has run" and len(ran) == 2
    assert bot.stop_task("mine") == "mine was stopped"
    assert bot.tasks.status()["mine"].state == "stopped"
    assert bot.start_task("mine") == "mine was started"
    until(lambda: len(ran) >= 3)
    bot.pause_task("mine")
    assert bot.tasks.status()["mine"].state == "paused"
    bot.resume_task("mine")
    before = len(ran)
    bot.restart_task("mine")
    until(lambda: len(ran) > before)
    # The manager of a bot is called in the same way.
    assert bot.tasks.stop_task("mine") is None
    assert bot.tasks.status()["mine"].state == "stopped" and "mine" in bot.tasks
    assert bot.remove_task("mine") == "mine was removed" and "mine" not in bot.tasks
    with pytest.raises(UnknownTask, match="No task is registered as 'mine'"):
        bot.stop_task("mine")


def test_a_bare_decorator_says_what_it_lacks(bot: Any) -> None:
    async def mine() -> None: ...

    for decorator in (bot.task, bot.tasks.task):
        with pytest.raises(TaskConfigError, match=r"decorator of mine .* @bot.task\(interval"):
            decorator(mine)
    assert "mine" not in bot.tasks


@pytest.mark.kernel
@pytest.mark.timeout(240)
def test_a_task_that_was_renamed_in_its_cell_does_not_go_on_under_the_old_name(
    kernel: Kernel,
) -> None:
    kernel.ok(CONNECT, "connect")
    kernel.ok(ONE.replace("NAME", "first") + ONE.replace("NAME", "second"), "tasks")
    kernel.ok(ONE.replace("NAME", "other"), "others")
    assert kernel.ok(NAMES) == "['first', 'other', 'second']\n"
    renamed = kernel.ok(ONE.replace("NAME", "first") + ONE.replace("NAME", "renamed"), "tasks")
    assert "The task 'second' was removed: its cell does not have it any more." in renamed
    assert kernel.ok(NAMES) == "['first', 'other', 'renamed']\n"
    # A cell that fails half-way removes nothing, and neither does one that is run again as it was.
    kernel.run(ONE.replace("NAME", "first") + "1 / 0\n" + ONE.replace("NAME", "renamed"), "tasks")
    kernel.ok(ONE.replace("NAME", "other"), "others")
    assert kernel.ok(NAMES) == "['first', 'other', 'renamed']\n"
