"""Scenarios of the order path: what is wanted and what the market does, step by step.

A scenario is run with a crash at every moment before and after each journal write and each request,
or with faults drawn by a seed. After a crash the process starts again and the scenario goes on.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from botlib.core.model import SignalAction
from tests.support.order_rig import WRITES, Rig, in_virtual_time
from tests.support.order_venue import Crash, Faults, OrderVenue

Step = Callable[[Rig], Awaitable[None] | None]


def entry_and_exit() -> list[Step]:
    """Return: buy with a stop, hold for a while, sell."""
    return [
        lambda rig: rig.trade(stop_loss=0.05),
        lambda rig: rig.enter(),
        lambda rig: rig.minute(),
        lambda rig: rig.exit(),
        lambda rig: rig.minute(),
    ]


def trailing_stop_and_target() -> list[Step]:
    """Return: buy with a trailing stop and a target; the stop is moved, the target is filled."""
    return [
        lambda rig: rig.trade(trailing_stop=0.1, take_profit=0.3),
        lambda rig: rig.enter(),
        lambda rig: rig.minute(),
        lambda rig: _rise(rig, 120),
        lambda rig: rig.minute(),
        lambda rig: rig.venue.set_price(131),
        lambda rig: rig.minute(),
        lambda rig: rig.enter(),
        lambda rig: rig.minute(),
        lambda rig: _rise(rig, 140),
        lambda rig: rig.minute(),
        lambda rig: rig.venue.set_price(110),
        lambda rig: rig.minute(),
    ]


def two_strategies_on_two_symbols() -> list[Step]:
    """Return: two strategies, one of them on two symbols, entries and exits side by side."""

    def begin(rig: Rig) -> None:
        rig.trade("trend", stop_loss=0.05)
        rig.trade("swing", trailing_stop=0.1)
        rig.trade("trend", "ETH/USDT", stop_loss=0.02, take_profit=0.04)

    def together(rig: Rig) -> None:
        rig.enter("trend")
        rig.enter("swing")
        rig.enter("trend", "ETH/USDT")

    return [
        begin,
        together,
        lambda rig: rig.minute(),
        lambda rig: rig.venue.set_price(105, "ETH/USDT"),
        lambda rig: rig.exit("swing"),
        lambda rig: rig.minute(),
        lambda rig: rig.enter("swing"),
        lambda rig: rig.minute(),
        lambda rig: rig.venue.set_price(90),
        lambda rig: rig.minute(),
    ]


SCENARIOS = {
    "entry and exit": entry_and_exit,
    "trailing stop and target": trailing_stop_and_target,
    "two strategies on two symbols": two_strategies_on_two_symbols,
}


def _rise(rig: Rig, price: int) -> None:
    rig.venue.set_price(price)
    for name, symbol in rig.strategies:
        if symbol == "BTC/USDT":
            rig.candle(name, symbol, float(price))


@dataclass(slots=True)
class Play:
    """One run of a scenario: what it was, and what came of it."""

    moments: list[str] = field(default_factory=list)
    """Every moment before and after a write or a request, in their order."""
    crashed_at: str = ""
    violations: list[str] = field(default_factory=list)
    halts: tuple[str, ...] = ()
    requests: int = 0
    writes: int = 0
    """Writes to the journal, counted while a disk may be full."""


def play(
    place: Path,
    steps: Sequence[Step],
    *,
    crash_at: int | None = None,
    seed: int | None = None,
    partial: int = 1,
    full_disk: tuple[int, int] | None = None,
    sabotage: Callable[[Rig], None] = lambda rig: None,
) -> Play:
    """Run a scenario.

    Args:
        place: directory of the database.
        crash_at: number of the moment at which the process crashes, from 0; None never.
        seed: draws faults of the venue and crashes; None has none.
        partial: market orders fill in this many parts.
        full_disk: number of the first write that fails, from 0, and how many fail; None has none.
        sabotage: breaks the rig, to see whether that is noticed.
    """
    return Player(
        place,
        steps,
        crash_at=crash_at,
        rng=None if seed is None else random.Random(seed),
        partial=partial,
        full_disk=full_disk,
        sabotage=sabotage,
    ).play()


@dataclass
class Player:
    """Runs a scenario once; see `play`."""

    place: Path
    steps: Sequence[Step]
    crash_at: int | None
    rng: random.Random | None
    partial: int
    full_disk: tuple[int, int] | None
    sabotage: Callable[[Rig], None]
    armed: bool = True
    writes: int = 0
    result: Play = field(default_factory=Play)

    def play(self) -> Play:
        """Run the scenario on a loop of its own."""
        in_virtual_time(self._main)
        return self.result

    async def _main(self) -> None:
        self.rig = rig = Rig(self.place / "orders.db", OrderVenue(partial=self.partial))
        rig.symbols = ("BTC/USDT", "ETH/USDT")
        self._arm()
        await rig.start()
        self.sabotage(rig)
        for step in self.steps:
            await self._step(step)
        self._heal()
        if rig.crashed.is_set():
            await self._again()
        await rig.minute(3)
        rig.orders.check()
        await rig.quiet(120)
        self._conclude("")
        await self._resume()
        self.result.halts = rig.halts.reasons()
        self.result.requests = len(rig.venue.requests)
        self.result.writes = self.writes
        await rig.stop()

    async def _step(self, step: Step) -> None:
        rig = self.rig
        if self.rng is not None:
            _draw(rig, self.rng)
        if rig.crashed.is_set():
            await self._again()
        try:
            waiting = step(rig)
            if waiting is not None:
                await waiting
        except Crash:
            rig.crash()
        await rig.quiet()
        if self._undisturbed:
            found = rig.monitor.settled()
            self.result.violations += [one for one in found if one not in self.result.violations]

    @property
    def _undisturbed(self) -> bool:
        """Whether nothing goes wrong now, so that every position has to be protected."""
        rig = self.rig
        return (
            self.rng is None
            and self.crash_at is None
            and self.full_disk is None
            and not rig.crashed.is_set()
            and not rig.disk_full
            and rig.venue.faults == Faults()
            and all(desk.quiet for desk in rig.orders.desks.values())
        )

    def _conclude(self, when: str) -> None:
        rig = self.rig
        found = rig.violations()
        if not rig.halts.first and not all(desk.quiet for desk in rig.orders.desks.values()):
            found += [f"I9 not quiet: {desk.doing}" for desk in rig.orders.desks.values()]
        self.result.violations += [f"{when}{one}" for one in found]

    async def _resume(self) -> None:
        """Check that trading goes on by itself: every book is bought and sold once more."""
        rig = self.rig
        if rig.halts.first or self.result.violations:
            return
        for action in (SignalAction.EXIT, SignalAction.ENTRY, SignalAction.EXIT):
            for name, symbol in rig.strategies:
                rig.signal(action, name, symbol, 50)
            await rig.quiet(60)
            self._conclude("afterwards: ")
            held = [key for key in rig.strategies if rig.monitor.sellable(key)]
            wanted = list(rig.strategies) if action is SignalAction.ENTRY else []
            if held != wanted and not rig.halts.first:
                self.result.violations.append(
                    f"I9 after {action} of {wanted}, {held} are held: {rig.orders.refused}"
                )
            await rig.minute(2)

    # What goes wrong

    def _arm(self) -> None:
        rig = self.rig
        rig.hook = rig.venue.on_request = self._hook if self.armed else lambda moment: None

    def _hook(self, moment: str) -> None:
        self.result.moments.append(moment)
        number = len(self.result.moments) - 1
        drawn = self.rng is not None and self.rng.random() < 0.02
        if self.crash_at == number or drawn:
            self.result.crashed_at = moment
            raise Crash
        self._fill_the_disk(moment)

    def _fill_the_disk(self, moment: str) -> None:
        if self.full_disk is None or moment.removeprefix("before ") not in WRITES:
            return
        first, count = self.full_disk
        self.writes += 1
        self.rig.disk_full = first < self.writes <= first + count

    def _heal(self) -> None:
        faults = self.rig.venue.faults
        faults.place.clear()
        faults.cancel.clear()
        faults.read.clear()
        faults.deaf = faults.mute = False
        faults.lag = faults.late = 0.0
        faults.echo = 0
        self.armed = False
        self.rig.disk_full = False
        self.full_disk = None
        if not self.rig.crashed.is_set():
            self._arm()

    async def _again(self) -> None:
        rig = self.rig
        await asyncio.sleep(1)
        while rig.crashed.is_set():
            self._arm()
            rig.venue.faults.deaf = False  # A start that is not answered fails; a person repeats.
            rig.venue.faults.read.clear()
            await rig.start()
            self.sabotage(rig)
            await rig.quiet()


def _draw(rig: Rig, rng: random.Random) -> None:
    """Draw what goes wrong with the next requests."""
    faults = rig.venue.faults
    kinds = ("", "", "", "lost before", "lost after", "busy", "hang", "refused")
    faults.place[:] = rng.choices(kinds, k=rng.randrange(3))
    faults.cancel[:] = rng.choices(("", "lost before", "lost after", "busy"), k=rng.randrange(2))
    faults.read[:] = rng.choices(("", "lost before"), k=rng.randrange(4))
    faults.lag = rng.choice((0.0, 0.0, 0.3, 1.5))
    faults.deaf = rng.random() < 0.05
    faults.mute = rng.random() < 0.2
    faults.echo = rng.choice((0, 0, 0, 1, 2))
    faults.late = rng.choice((0.0, 0.0, 0.0, 0.2, 3.0))
