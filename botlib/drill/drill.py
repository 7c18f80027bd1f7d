"""`fire_drill`: the faults of a drill, one after another, and their grades."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from botlib.core.errors import InvalidInput, did_you_mean
from botlib.core.temporary import temporary_directory
from botlib.drill.report import DrillReport, DrillRow
from botlib.drill.session import DrillSession
from botlib.invariants import BotRecord

WITHIN: Final = 60.0
"""Seconds within which every invariant has to hold again."""

SPEED: Final = 60.0
"""Seconds of market time per second: a one-minute candle closes every second."""

AWAY: Final = 2.0
ASLEEP: Final = 4.0
"""Seconds for which the exchange is away, and the computer suspended."""

Progress = Callable[[int, int, str], None]
"""Receives the number of faults done, the number of all, and the name of the next one."""


@dataclass(frozen=True, slots=True)
class DrillStep:
    """A fault, the expected reaction, and the coroutine function that injects it.

    ``play`` returns a description of what it did.
    """

    fault: str
    expected: str
    play: Callable[[DrillSession], Awaitable[str]]


async def _drop(session: DrillSession) -> str:
    answer = await session.control.fault("reset")
    return f"{answer['struck']} connections cut"


async def _missed_fill(session: DrillSession) -> str:
    await session.control.fault("drop", match="user@executionReport", count=99)
    await session.control.fault("after_accept")
    await _struck(session, "after_accept")
    await asyncio.sleep(0.5)
    lost = await session.struck("drop")
    await session.control.fault("clear")
    return f"1 answer and {lost} events of an order lost"


async def _unanswered_entry(session: DrillSession) -> str:
    await session.until(lambda: session.held() < session.step, WITHIN)
    await session.control.fault("drop", match="user@executionReport", count=99)
    await session.control.fault("after_accept", match="POST order", reply="hang")
    before = await session.struck("after_accept")
    await _struck(session, "after_accept", before)
    await session.control.fault("clear")
    seconds = await session.protected(WITHIN)
    if seconds is None:
        session.flaws.append("I6 what the entry bought has no stop at the venue")
        return "an entry was filled and never answered"
    return f"an entry was filled and never answered; its stop rested {seconds:.1f} s later"


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
    # The market stands still, so that no exit is under way: a position that is being sold has no
    # stop for a moment, and it would be chance whether the kill comes just then.
    await session.stop_market(WITHIN)
    await session.kill_kernel()
    position = session.held()
    if not await session.covered():
        session.flaws.append("I6 the position had no stop at the venue while no kernel ran")
    await session.control.resume()
    books = await session.restart_kernel()
    adopted = [book for book in books if book["held"] >= session.step]
    if any(book["protection"] != "resting" for book in adopted):
        session.flaws.append(f"I6 the position was not protected after the restart: {adopted}")
    found = "adopted it with its stop" if adopted else "found it sold by its stop"
    return f"the kernel was killed with {position:f} held; a new one {found}, then ran the cells"


async def _sleep(session: DrillSession) -> str:
    await session.suspend_kernel(ASLEEP)
    return f"suspended for {ASLEEP:g} s"


STEPS: Final = (
    DrillStep("connections dropped", "reconnects, fetches what it missed, loses no candle", _drop),
    DrillStep(
        "fill missed", "queries the venue for order and trades, books each once", _missed_fill
    ),
    DrillStep(
        "entry unanswered",
        "asks what became of it, never sends it again, protects what it bought",
        _unanswered_entry,
    ),
    DrillStep("frames doubled", "processes each candle and each fill once", _duplicate),
    DrillStep("exchange restarted", "waits for it, resumes streams and orders", _restart),
    DrillStep("kernel killed", "adopts position and stop before it trades again", _kernel_kill),
    DrillStep("computer asleep", "catches up, enters on no old candle", _sleep),
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
    """Inject faults into a bot of its own on an exchange of its own, and grade each recovery.

    Both are started for the drill, the bot by the cells of a notebook in a Jupyter kernel. Their
    processes and files are removed at the end; nothing else is touched. It takes about a minute.

    Args:
        symbol: the symbol that the drill's bot trades.
        seed: of its market.
        faults: names of `STEPS` to inject; None injects all.
        speed: seconds of market time per second.
        progress: called before every fault.

    Raises:
        InvalidInput: a fault is unknown.
        BotlibError: the exchange or the bot did not start.
    """
    steps = _chosen(faults)
    rows: list[DrillRow] = []
    directory = temporary_directory("drill")
    try:
        progress(0, len(steps), "start")
        session = DrillSession(directory, symbol=symbol, speed=speed, seed=seed)
        async with session:
            empty = BotRecord(candles={(symbol, "1m"): ()})
            await session.recovered(empty, WITHIN)
            for done, step in enumerate(steps):
                progress(done, len(steps), step.fault)
                rows.append(await _played(session, step))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
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
    session.flaws.clear()
    try:
        did = await step.play(session)
    except TimeoutError:
        did = "the fault was not injected: no order was sent"
    began, since = loop.time(), session.record()
    report, why = await session.recovered(since, WITHIN)
    now = session.record()
    stream = (session.symbol, "1m")
    candles = len(now.candles[stream]) - len(before.candles[stream])
    fills = len(now.fills) - len(before.fills)
    broken = (*session.flaws, *map(str, report.violations))
    return DrillRow(
        fault=step.fault,
        expected=step.expected,
        happened=f"{did}; {candles} candles and {fills} fills since",
        seconds=loop.time() - began,
        broken=(*broken, f"I9 {why}") if why else broken,
    )
