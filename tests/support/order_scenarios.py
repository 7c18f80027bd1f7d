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

from tests.support.order_rig import Rig, in_virtual_time
from tests.support.order_venue import Crash, OrderVenue

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
            rig.orders.candle(name, symbol, float(price))


@dataclass(slots=True)
class Play:
    """One run of a scenario: what it was, and what came of it."""

    moments: list[str] = field(default_factory=list)
    """Every moment before and after a write or a request, in their order."""
    crashed_at: str = ""
    violations: list[str] = field(default_factory=list)
    halts: tuple[str, ...] = ()
    requests: int = 0


def play(
    place: Path,
    steps: Sequence[Step],
    *,
    crash_at: int | None = None,
    seed: int | None = None,
    partial: int = 1,
    sabotage: Callable[[Rig], None] = lambda rig: None,
) -> Play:
    """Run a scenario.

    Args:
        place: directory of the database.
        crash_at: number of the moment at which the process crashes, from 0; None never.
        seed: draws faults of the venue and crashes; None has none.
        partial: market orders fill in this many parts.
        sabotage: breaks the rig, to see whether that is noticed.
    """
    result = Play()

    async def main() -> None:
        rig = Rig(place / "orders.db", OrderVenue(partial=partial))
        rig.symbols = ("BTC/USDT", "ETH/USDT")
        rng = random.Random(seed) if seed is not None else None
        armed = True

        def hook(moment: str) -> None:
            result.moments.append(moment)
            if armed and crash_at == len(result.moments) - 1:
                result.crashed_at = moment
                raise Crash
            if armed and rng is not None and rng.random() < 0.02:
                result.crashed_at = moment
                raise Crash

        def arm() -> None:
            rig.hook = rig.venue.on_request = hook if armed else lambda moment: None

        arm()
        await rig.start()
        sabotage(rig)
        for step in steps:
            if rng is not None:
                _draw(rig, rng)
            if rig.crashed.is_set():
                await _again(rig, arm, sabotage)
            try:
                waiting = step(rig)
                if waiting is not None:
                    await waiting
            except Crash:
                rig.crash()
            await rig.quiet()
        armed = False
        rig.venue.faults.place.clear()
        rig.venue.faults.cancel.clear()
        rig.venue.faults.read.clear()
        rig.venue.faults.deaf = rig.venue.faults.mute = False
        rig.venue.faults.lag = 0.0
        if rig.crashed.is_set():
            await _again(rig, arm, sabotage)
        arm()
        await rig.minute(3)
        rig.orders.check()
        await rig.quiet(120)
        result.violations = rig.violations()
        if not rig.halts.first and not all(desk.quiet for desk in rig.orders.desks.values()):
            result.violations += [
                f"I9 not quiet: {desk.doing}" for desk in rig.orders.desks.values()
            ]
        result.halts = rig.halts.reasons()
        result.requests = len(rig.venue.requests)
        await rig.stop()

    in_virtual_time(main)
    return result


async def _again(rig: Rig, arm: Callable[[], None], sabotage: Callable[[Rig], None]) -> None:
    await asyncio.sleep(1)
    while rig.crashed.is_set():
        arm()
        rig.venue.faults.deaf = False  # A start that is not answered fails; a person repeats it.
        rig.venue.faults.read.clear()
        await rig.start()
        sabotage(rig)
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
