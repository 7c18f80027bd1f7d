"""The task manager beside APScheduler 3.11: thousands of tasks that are due every second.

Each side runs in a process of its own, with the same function for every task: it notes the time.
CPU per run is the CPU time of the whole process, its idle loop included, divided by the runs.
Lateness is the time between the moment a run was due and its first line. APScheduler is told to
coalesce and to forgive any delay, or it would drop the runs it is late for.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

SIZES = (1_000, 10_000)
SETTLE = 2.5
"""Seconds before the measurement, in which the first runs happen."""
WATCHED = 6.0
"""Seconds measured."""

Noted = list[tuple[int, float]]


def measure() -> list[dict[str, object]]:
    """Return one row per number of tasks: both sides, and botlib's part of APScheduler's CPU."""
    rows: list[dict[str, object]] = []
    for size in SIZES:
        ours = _in_child("botlib", size)
        theirs = _in_child("apscheduler", size)
        rows.append(
            {
                "tasks": size,
                "botlib µs CPU/run": ours["cpu"],
                "APScheduler µs CPU/run": theirs["cpu"],
                "ratio": ours["cpu"] / theirs["cpu"],
                "botlib p99 late ms": ours["p99"],
                "APScheduler p99 late ms": theirs["p99"],
                "botlib runs": ours["runs"],
                "APScheduler runs": theirs["runs"],
            }
        )
    return rows


def _in_child(side: str, size: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.tasks", side, str(size)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(answer.stdout)
    return figures


async def _watch(noted: Noted, phases: dict[int, float]) -> dict[str, float]:
    """Measure for a while; ``phases`` are the due times of the tasks, modulo their second."""
    noted.clear()
    before = time.process_time()
    await asyncio.sleep(WATCHED)
    cpu = time.process_time() - before
    # The phases are known to a millisecond: what seems a little early is on time.
    slack = 0.002
    late = sorted((moment - phases[task] + slack) % 1.0 - slack for task, moment in noted)
    return {
        "cpu": cpu / len(late) * 1e6,
        "p99": late[int(0.99 * len(late))] * 1e3,
        "runs": len(late),
    }


async def _botlib(size: int) -> dict[str, float]:
    from botlib.tasks import BackgroundTaskManager, TaskConfig

    noted: Noted = []
    manager = BackgroundTaskManager()
    for task in range(size):

        async def run(task: int = task) -> None:
            noted.append((task, time.time()))

        manager.add_task(TaskConfig(name=str(task), func=run, interval=1.0))
    await manager.start_all()
    await asyncio.sleep(SETTLE)
    phases = {
        int(task.name): task.next_run / 1_000
        for task in manager.status().tasks
        if task.next_run is not None
    }
    figures = await _watch(noted, phases)
    await manager.stop_all()
    return figures


async def _apscheduler(size: int) -> dict[str, float]:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

    noted: Noted = []
    scheduler = AsyncIOScheduler(
        timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True}
    )
    begin = datetime.now(UTC) + timedelta(seconds=2)
    for task in range(size):

        async def run(task: int = task) -> None:
            noted.append((task, time.time()))

        scheduler.add_job(run, "interval", seconds=1, start_date=begin)
    scheduler.start()
    await asyncio.sleep(max(0.0, begin.timestamp() - time.time()) + SETTLE)
    figures = await _watch(noted, dict.fromkeys(range(size), begin.timestamp()))
    scheduler.shutdown(wait=False)
    return figures


if __name__ == "__main__":
    sides = {"botlib": _botlib, "apscheduler": _apscheduler}
    print(json.dumps(asyncio.run(sides[sys.argv[1]](int(sys.argv[2])))))
