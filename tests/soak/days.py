"""The part of the soak over simulated days: cuts and hourly faults, and a venue that is away."""

from __future__ import annotations

import asyncio
import gc
import os
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
SPARE_MEMORY: Final = 64 * 1024 * 1024
"""Bytes that a later day may need more than the first; the exchange keeps its trades in memory."""
SPARE_OBJECTS: Final = 0.25
"""Fraction of the objects of the first day that a later day may have more."""
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
    objects: list[int] = field(default_factory=list)
    tasks: list[int] = field(default_factory=list)
    candles: int = 0
    trades: int = 0

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
                    if hour % 6 == 5:
                        report = await checker.converge(180)
                        case = f"day {day + 1}, hour {hour + 1}"
                        self.part.count(case, [str(one) for one in report.violations])
                        self.candles = sum(
                            len(simulation.engine.storage.candles(symbol, "1m"))
                            for symbol in SYMBOLS
                        )
                    await asyncio.sleep(180)
                gc.collect()
                self.memory.append(resident())
                self.objects.append(len(gc.get_objects()))
                self.tasks.append(len(asyncio.all_tasks()))
            ledger = await simulation.control.ledger()
            self.trades = len(ledger["trades"])
        except BotlibError as error:
            self.part.count("the script", [str(error)])


def faulty_days(days: int, seed: int = 3, *, hours: int = 24) -> Part:
    """Trade five symbols for simulated days with a daily cut and a fault every hour."""
    part = Part("simulated days with a daily cut and a fault every hour")
    played = Days(days, part, hours)
    result = simulate(
        strategies=Hourly(stop_loss=0.02, take_profit=0.03),
        symbols=list(SYMBOLS),
        timeframes=["1m"],
        run_for=days * hours * HOUR + days * 60 + HOUR,
        seed=seed,
        script=played.script,
        step="10s",
    )
    grown = max(played.memory[1:], default=0) - played.memory[0] if played.memory else 0
    more = played.tasks[-1] - played.tasks[0] if played.tasks else 0
    part.count("memory", [f"{grown} bytes more"] if grown > SPARE_MEMORY else [])
    born = max(played.objects[1:], default=0) - played.objects[0] if played.objects else 0
    flat = born <= SPARE_OBJECTS * (played.objects or [0])[0]
    part.count("objects", [] if flat else [f"{born} objects more"])
    part.count("tasks", [f"{more} tasks more"] if more > SPARE_TASKS else [])
    part.did = (
        f"{days} days of {hours} h, {len(SYMBOLS)} symbols, seed {seed}: {days} cuts, "
        f"{days * (hours - 1)} other faults, {played.trades} trades, digest {result.digest[:16]}"
    )
    part.notes = [
        f"memory after each day, MB: {' '.join(f'{one / 1e6:.1f}' for one in played.memory[:40])}",
        f"objects after each day: {' '.join(map(str, played.objects[:40]))}",
        f"tasks after each day: {' '.join(map(str, played.tasks[:40]))}",
    ]
    return part


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
