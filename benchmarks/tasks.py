"""The task manager next to APScheduler 3.11: thousands of tasks that are due every second.

Each side runs in a process of its own, with the same function for every task, which records the
time. CPU per run is the CPU time of the whole process, its idle loop included, divided by the runs.
Lateness is the time between the moment a run was due and its first line. APScheduler is set to
coalesce and to accept any delay, or it would drop late runs.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Final

from benchmarks.measuring import Row, Size, absent, result_of

SIZES: Final = (1_000, 10_000)
SMOKE_SIZES: Final = (100,)
SETTLE: Final = 2.5
SMOKE_SETTLE: Final = 1.2
"""Seconds before the measurement, in which the first runs happen."""

WATCHED: Final = 6.0
SMOKE_WATCHED: Final = 1.0
"""Seconds measured."""

LIMIT: Final = 120.0
"""Seconds for one process."""

RunTimes = list[tuple[int, float]]


def measure(size: Size = Size.USUAL) -> list[Row]:
    """Return one row per number of tasks: both sides, and botlib's part of APScheduler's CPU."""
    smoke = size is Size.SMOKE
    spans = (SMOKE_SETTLE, SMOKE_WATCHED) if smoke else (SETTLE, WATCHED)
    reason = absent("apscheduler")
    rows: list[Row] = []
    for tasks in SMOKE_SIZES if smoke else SIZES:
        ours = _in_child("botlib", tasks, spans)
        row: Row = {"tasks": tasks, "botlib µs CPU/run": ours["cpu"]}
        row |= {"botlib p99 late ms": ours["p99"], "botlib runs": ours["runs"]}
        if reason:
            row["skipped"] = f"APScheduler: {reason}"
        else:
            theirs = _in_child("apscheduler", tasks, spans)
            row |= {
                "APScheduler µs CPU/run": theirs["cpu"],
                "ratio": ours["cpu"] / theirs["cpu"],
                "APScheduler p99 late ms": theirs["p99"],
                "APScheduler runs": theirs["runs"],
            }
        rows.append(row)
    return rows


def _in_child(side: str, tasks: int, spans: tuple[float, float]) -> dict[str, float]:
    arguments = ["-m", "benchmarks.tasks", side, str(tasks), *map(str, spans)]
    figures: dict[str, float] = result_of(f"{side}, {tasks} tasks", arguments, limit=LIMIT)
    return figures


async def _watch(runs: RunTimes, phases: dict[int, float], watched: float) -> dict[str, float]:
    """Measure for some seconds; ``phases`` are the due times of the tasks, modulo their second."""
    runs.clear()
    before = time.process_time()
    await asyncio.sleep(watched)
    cpu = time.process_time() - before
    # The phases have a precision of a millisecond, so a run may seem a little early.
    slack = 0.002
    late = sorted((moment - phases[task] + slack) % 1.0 - slack for task, moment in runs)
    return {
        "cpu": cpu / len(late) * 1e6,
        "p99": late[int(0.99 * len(late))] * 1e3,
        "runs": len(late),
    }


async def _botlib(size: int, settle: float, watched: float) -> dict[str, float]:
    from botlib.tasks import BackgroundTaskManager, TaskConfig

    runs: RunTimes = []
    manager = BackgroundTaskManager()
    for task in range(size):

        async def run(task: int = task) -> None:
            runs.append((task, time.time()))

        manager.add_task(TaskConfig(name=str(task), func=run, interval=1.0))
    await manager.start_all()
    await asyncio.sleep(settle)
    phases = {
        int(task.name): task.next_run / 1_000
        for task in manager.status().tasks
        if task.next_run is not None
    }
    figures = await _watch(runs, phases, watched)
    await manager.stop_all()
    return figures


async def _apscheduler(size: int, settle: float, watched: float) -> dict[str, float]:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

    runs: RunTimes = []
    scheduler = AsyncIOScheduler(
        timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True}
    )
    begin = datetime.now(UTC) + timedelta(seconds=2)
    for task in range(size):

        async def run(task: int = task) -> None:
            runs.append((task, time.time()))

        scheduler.add_job(run, "interval", seconds=1, start_date=begin)
    scheduler.start()
    await asyncio.sleep(max(0.0, begin.timestamp() - time.time()) + settle)
    figures = await _watch(runs, dict.fromkeys(range(size), begin.timestamp()), watched)
    scheduler.shutdown(wait=False)
    return figures


if __name__ == "__main__":
    sides = {"botlib": _botlib, "apscheduler": _apscheduler}
    run = sides[sys.argv[1]](int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
    print(json.dumps(asyncio.run(run)))
