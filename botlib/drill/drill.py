"""The faults of a drill, one after another, and their grades."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from botlib.core.errors import InvalidInput, did_you_mean
from botlib.drill.report import DrillReport, DrillRow
from botlib.drill.session import DrillSession
from botlib.invariants import BotRecord

WITHIN: Final = 60.0
"""Seconds in which everything has to hold again."""

SPEED: Final = 60.0
"""Market seconds a second: a candle closes every second."""

AWAY: Final = 2.0
ASLEEP: Final = 4.0
"""Seconds for which the exchange is away, and the computer asleep."""

Progress = Callable[[int, int, str], None]
"""Is told how many faults are done, of how many, and which one is next."""


@dataclass(frozen=True, slots=True)
class DrillStep:
    """A fault, what is expected of the bot, and how it is played; returns what was done."""

    fault: str
    expected: str
    play: Callable[[DrillSession], Awaitable[str]]


async def _drop(session: DrillSession) -> str:
    told = await session.control.fault("reset")
    return f"{told['struck']} connections cut"


async def _missed_fill(session: DrillSession) -> str:
    await session.control.fault("drop", match="user@executionReport", count=99)
    await session.control.fault("after_accept")
    await _struck(session, "after_accept")
    await asyncio.sleep(0.5)
    lost = await session.struck("drop")
    await session.control.fault("clear")
    return f"1 answer and {lost} events of an order lost"


async def _duplicate(session: DrillSession) -> str:
    before = await session.struck("duplicate")
    await session.control.fault("duplicate", count=1_000_000)
    start = session.record()
    await session.until(lambda: len(session.record().fills) >= len(start.fills) + 2, WITHIN)
    await session.control.fault("clear")
    return f"{await session.struck('duplicate') - before} frames sent twice"


async def _restart(session: DrillSession) -> str:
    before = await session.struck("restart")
    await session.control.fault("restart", away=AWAY)
    await _struck(session, "restart", before)
    return f"the exchange was away for {AWAY:g} s"


async def _kernel_kill(session: DrillSession) -> str:
    await session.until(lambda: session.held() > 0, WITHIN)
    await session.kill_kernel()
    position = session.held()
    await session.restart_kernel()
    return f"the kernel was killed with {position:f} held, a new one ran the same cells"


async def _sleep(session: DrillSession) -> str:
    await session.suspend_kernel(ASLEEP)
    return f"stood for {ASLEEP:g} s"


STEPS: Final = (
    DrillStep("connections dropped", "redials, fetches what it missed, loses no candle", _drop),
    DrillStep("fill missed", "asks the venue for order and trades, books each once", _missed_fill),
    DrillStep("frames doubled", "takes each candle and each fill once", _duplicate),
    DrillStep("exchange restarted", "waits for it, takes up streams and orders again", _restart),
    DrillStep("kernel killed", "adopts position and stop before it trades on", _kernel_kill),
    DrillStep("computer asleep", "catches up; enters on nothing that is old", _sleep),
)


async def _struck(session: DrillSession, kind: str, before: int = 0) -> None:
    async with asyncio.timeout(WITHIN):
        while await session.struck(kind) <= before:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def fire_drill(
    *,
    symbol: str = "BTC/USDT",
    seed: int = 42,
    faults: Sequence[str] | None = None,
    speed: float = SPEED,
    progress: Progress = lambda done, total, fault: None,
) -> DrillReport:
    """Play faults against a bot of its own on an exchange of its own, and grade the recovery.

    Both are started for it, the bot by the cells of a notebook in a Jupyter kernel, in processes
    and files that are gone afterwards; nothing else is touched. It takes about a minute.

    Args:
        symbol: what the drill's bot trades.
        seed: of its market.
        faults: names of `STEPS` to play; None plays all.
        speed: market seconds a second.
        progress: told before every fault.

    Raises:
        InvalidInput: a fault is unknown.
        BotlibError: the exchange or the bot did not start.
    """
    steps = _chosen(faults)
    rows: list[DrillRow] = []
    with tempfile.TemporaryDirectory(prefix="botlib-drill-") as directory:
        progress(0, len(steps), "start")
        session = DrillSession(Path(directory), symbol=symbol, speed=speed, seed=seed)
        async with session:
            nothing = BotRecord(candles={(symbol, "1m"): ()})
            await session.recovered(nothing, WITHIN)
            for done, step in enumerate(steps):
                progress(done, len(steps), step.fault)
                rows.append(await _played(session, step))
    progress(len(steps), len(steps), "done")
    return DrillReport(rows=tuple(rows), market=session.venue)


def _chosen(faults: Sequence[str] | None) -> list[DrillStep]:
    names = [step.fault for step in STEPS]
    for name in faults or ():
        if name not in names:
            raise InvalidInput(
                f"Unknown fault {name!r}. Accepted: {', '.join(names)}.{did_you_mean(name, names)}"
            )
    return [step for step in STEPS if faults is None or step.fault in faults]


async def _played(session: DrillSession, step: DrillStep) -> DrillRow:
    loop = asyncio.get_running_loop()
    before = session.record()
    try:
        did = await step.play(session)
    except TimeoutError:
        did = "the fault found no occasion: no order was sent"
    began, since = loop.time(), session.record()
    report, why = await session.recovered(since, WITHIN)
    now = session.record()
    stream = (session.symbol, "1m")
    candles = len(now.candles[stream]) - len(before.candles[stream])
    fills = len(now.fills) - len(before.fills)
    broken = tuple(map(str, report.violations))
    return DrillRow(
        fault=step.fault,
        expected=step.expected,
        happened=f"{did}; {candles} candles and {fills} fills since",
        seconds=loop.time() - began,
        broken=(*broken, f"I9 {why}") if why else broken,
    )
