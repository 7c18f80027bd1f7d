"""The part of the soak over simulated days: cuts and hourly faults, and a venue that is away."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from botlib.core.errors import BotlibError
from botlib.frames import Frames
from botlib.invariants import InvariantChecker
from botlib.simulation import Simulation, simulate
from botlib.strategy import Signals, Strategy
from tests.soak.certificate import Part

SYMBOLS: Final = ("BTC/USDT", "ETH/USDT", "BNB/USDT", "SOL/USDT", "XRP/USDT")
HOUR: Final = 3_600.0
FAULTS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("reset", {"target": "all"}),
    ("http_status", {"status": 503, "for": "2m"}),
    ("drop", {"probability": 0.2, "for": "2m"}),
    ("after_accept", {"reply": "drop", "count": 2}),
    ("duplicate", {"for": "3m"}),
    ("stall", {"target": "streams"}),
    ("before_accept", {"reply": "drop", "count": 1}),
    ("read_lag", {"seconds": 2.0, "for": "3m"}),
)
SPARE_MEMORY: Final = 32 * 1024 * 1024
"""Bytes that a later day may need more than the first; the exchange's caches fill for eleven."""
SPARE_OBJECTS: Final = 5_000
"""Objects that a later day may have more than the first; the bot keeps a thousand signals."""
SPARE_TASKS: Final = 10


class Hourly(Strategy):
    """Buys and sells every half hour."""

    timeframes = ("1m",)

    def signals(self, data: Frames) -> Signals:
        """Return an entry in the first half of an hour and an exit in the second."""
        minute = data.frame.index.to_series().dt.minute
        return Signals(entry=minute == 5, exit=minute == 35)


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@dataclass
class Days:
    """Plays faults, and notes after each of them and each day what the bot is like."""

    days: int
    part: Part
    hours: int = 24
    """Hours of each day; fewer for a sample."""
    memory: list[int] = field(default_factory=list)
    """Bytes after each day."""
    objects: list[int] = field(default_factory=list)
    """Objects that the garbage collector knows."""
    records: list[Counter[str]] = field(default_factory=list)
    """Those of them whose class is botlib's, by the class."""
    blocks: list[int] = field(default_factory=list)
    """Pieces of memory that Python has handed out: numbers and texts are counted as well."""
    tasks: list[int] = field(default_factory=list)
    checked: str = ""
    """What was compared with the venue at last."""

    async def script(self, simulation: Simulation) -> None:
        """Run beside the bot for so many days."""
        checker = InvariantChecker.of(simulation.engine)
        await checker.begin()
        number = 0
        try:
            for day in range(self.days):
                for hour in range(self.hours):
                    await asyncio.sleep(HOUR - 600)
                    kind, details = FAULTS[number % len(FAULTS)]
                    number += 1
                    if hour == self.hours // 2:
                        kind, details = "expire", {}
                    await simulation.control.fault(kind, **details)
                    await asyncio.sleep(420)
                    await simulation.control.fault("clear")
                    if hour % 6 == 5 or hour == self.hours - 1:
                        report = await checker.converge(180)
                        case = f"day {day + 1}, hour {hour + 1}"
                        self.part.count(case, [str(one) for one in report.violations])
                        self.checked = report.looked_at
                    await asyncio.sleep(180)
                self.note()
        except BotlibError as error:
            self.part.count("the script", [str(error)])

    def note(self) -> None:
        """Note what is in memory now."""
        # What a simulation has excluded from the garbage collector counts as well.
        gc.unfreeze()
        gc.collect()
        self.memory.append(resident())
        objects = gc.get_objects()
        self.objects.append(len(objects))
        kinds = Counter(str(type(one)) for one in objects)
        self.records.append(
            Counter({kind: n for kind, n in kinds.items() if kind.startswith("<class 'botlib.")})
        )
        self.blocks.append(sys.getallocatedblocks())
        self.tasks.append(len(asyncio.all_tasks()))

    def play(self, seed: int) -> str:
        """Trade for so many days, and return the digest of what happened."""
        result = simulate(
            strategies=Hourly(stop_loss=0.02, take_profit=0.03),
            symbols=list(SYMBOLS),
            timeframes=["1m"],
            run_for=self.days * self.hours * HOUR + self.days * 60 + HOUR,
            seed=seed,
            script=self.script,
            step="10s",
        )
        return result.digest

    def table(self) -> list[str]:
        """Return a row for each day."""
        rows = zip(self.memory, self.objects, self.blocks, self.tasks, strict=True)
        return ["day  memory, MB  objects     blocks  tasks"] + [
            f"{day:3}  {memory / 1e6:10.1f}  {objects:7}  {blocks:9}  {tasks:5}"
            for day, (memory, objects, blocks, tasks) in enumerate(rows, 1)
        ]


def faulty_days(days: int, seed: int = 3, *, hours: int = 24) -> Part:
    """Trade five symbols for simulated days with a daily cut and a fault every hour."""
    part = Part("simulated days with a daily cut and a fault every hour")
    played = Days(days, part, hours)
    digest = played.play(seed)
    grown, born, more = map(_growth, (played.memory, played.objects, played.tasks))
    part.count("memory", [f"{grown} bytes more"] if grown > SPARE_MEMORY else [])
    part.count("objects", [f"{born} objects more"] if born > SPARE_OBJECTS else [])
    part.count("tasks", [f"{more} tasks more"] if more > SPARE_TASKS else [])
    part.did = (
        f"{days} days of {hours} h, {len(SYMBOLS)} symbols, seed {seed}: {days} cuts, "
        f"{days * (hours - 1)} other faults, digest {digest[:16]}; equal to the venue's: "
        f"{played.checked}"
    )
    part.notes = played.table()
    return part


def _growth(numbers: list[int]) -> int:
    """Return by how much the number after any later day exceeds that after the first."""
    return max(numbers, default=0) - numbers[0] if numbers else 0


def outages(minutes: tuple[int, ...] = (5, 60), seed: int = 5) -> Part:
    """Have every request answered with 503 for a while; trading has to resume by itself."""
    part = Part("trading resumes by itself after HTTP 503")
    for length in minutes:
        part.count(f"{length} minutes", _outage(length, seed))
    part.did = f"{' and '.join(map(str, minutes))} minutes of 503, a position held, seed {seed}"
    return part


def _outage(minutes: int, seed: int) -> list[str]:
    found: list[str] = []

    async def script(simulation: Simulation) -> None:
        checker = InvariantChecker.of(simulation.engine)
        await checker.begin()
        await asyncio.sleep(HOUR)
        await simulation.control.fault(
            "http_status",
            status=503,
            **{"for": f"{minutes}m"},  # type: ignore[arg-type]
        )
        await asyncio.sleep(minutes * 60)
        report = await checker.converge(120)
        found.extend(str(one) for one in report.violations)
        before = simulation.engine.orders.fills
        await asyncio.sleep(2 * HOUR)
        if simulation.engine.orders.fills < before + 2:
            why = simulation.engine.halts.reasons() or simulation.engine.orders.cautions
            found.append(f"no trade in the two hours after it: {why}")
        states = simulation.engine.tasks.status().tasks
        found.extend(f"{one.name} is {one.state}" for one in states if str(one.state) == "failed")

    simulate(
        strategies=Hourly(stop_loss=0.05),
        symbols=["BTC/USDT"],
        timeframes=["1m"],
        run_for=3 * HOUR + minutes * 60 + 600,
        seed=seed,
        script=script,
    )
    return found
