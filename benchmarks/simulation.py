"""A bot with its default tasks on two symbols, simulated: how many times faster than the market.

The default configuration: two symbols at three timeframes, one strategy on each, the five tasks at
their usual intervals. Each row is a process of its own; its start is counted. A month, for its
memory, takes some minutes: ``python -m benchmarks --full simulation``.
"""

from __future__ import annotations

from typing import Final

from benchmarks.measuring import Row, Size, result_of

LIMIT: Final = 1_800.0
"""Seconds for one simulation."""

RUNS: Final = {
    Size.SMOKE: (("3h", "60s"),),
    Size.USUAL: (("1d", "15s"), ("1d", "60s"), ("6h", "2s")),
    Size.FULL: (("1d", "15s"), ("1d", "60s"), ("6h", "2s"), ("30d", "15s")),
}
"""What is simulated, and how often the market has a price."""

_RUN = """
import json, sys, time, psutil
from botlib.simulation import simulate
from botlib.strategies import TrendCross

memory = []

async def watch(simulation):
    import asyncio
    me = psutil.Process()
    while True:
        await asyncio.sleep(3_600)
        memory.append(me.memory_info().rss / 2**20)

began = time.process_time()
outcome = simulate(
    strategies=TrendCross(timeframes=("1m",)),
    run_for=sys.argv[1], step=sys.argv[2], seed=7, script=watch,
)
print(json.dumps({
    "seconds": outcome.seconds,
    "CPU seconds": time.process_time() - began,
    "times real time": outcome.speed,
    "events": outcome.events,
    "orders": outcome.summary.orders,
    "MB after 2 h": memory[1],
    "MB at half time": memory[len(memory) // 2],
    "MB at the end": memory[-1],
}))
"""


def measure(size: Size = Size.USUAL) -> list[Row]:
    """Return one row per simulation."""
    rows: list[Row] = []
    for run_for, step in RUNS[size]:
        found = result_of(f"simulation of {run_for}", ["-c", _RUN, run_for, step], limit=LIMIT)
        rows.append({"simulated": run_for, "price every": step, **found})
    return rows
