"""A bot that meets one fault after another, and what came of each.

With `run`, on a simulated exchange: every row of the list of faults in virtual time, with the
deadlines of real life; the kit's own code from the sockets up, ccxt and aiohttp included, only
nobody waits. A `Stage` can also be set up around a bot on an exchange of its own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from botlib.config import Settings
from botlib.core.bus import BusSubscription
from botlib.core.model import CandleClosed, Event, FillReceived, GapFilled, SignalRaised
from botlib.engine import Orchestrator
from botlib.frames import Frames
from botlib.invariants import InvariantChecker, InvariantReport
from botlib.paper import PaperControl
from botlib.simulation import Simulation, SimulationResult, simulate
from botlib.strategy import Signals, Strategy

MINUTE = 60_000
CANARY = "hmf7Kq2vB9xT4nW8sLd3Yp6Rz1Gc5JaE"
STREAM = "btcusdt@kline_1m"


class Restless(Strategy):
    """Buys on every even minute and sells on every odd one: something is always under way."""

    timeframes = ("1m",)

    def signals(self, data: Frames) -> Signals:
        even = data.frame.index.to_series().dt.minute % 2 == 0
        return Signals(entry=even, exit=~even)


class Refusals(dict[str, str]):
    """Why orders were not sent: every time, not only the last."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def __setitem__(self, name: str, why: str) -> None:
        super().__setitem__(name, why)
        self.said.append(why)


@dataclass
class Row:
    """What came of one fault."""

    name: str
    report: InvariantReport | None = None
    seconds: float = 0.0
    """Seconds from the fault until everything held again."""
    facts: dict[str, Any] = field(default_factory=dict)
    closed: list[CandleClosed] = field(default_factory=list)
    signals: list[SignalRaised] = field(default_factory=list)
    fills: list[FillReceived] = field(default_factory=list)
    gaps: list[GapFilled] = field(default_factory=list)


class Stage:
    """A bot, its exchange, its checker, and the rows played so far.

    Args:
        look: seconds between two looks at whether something has come about.
    """

    simulation: Simulation

    def __init__(self, engine: Orchestrator, control: PaperControl, look: float = 0.5) -> None:
        self.engine = engine
        self.control = control
        self.look = look
        self.checker = InvariantChecker.of(engine, secrets=[CANARY])
        self.rows: dict[str, Row] = {}
        self.row = Row("none")
        self._inbox: BusSubscription[Event] = self.engine.bus.subscribe(
            CandleClosed, SignalRaised, FillReceived, GapFilled, name="rows", maxsize=100_000
        )

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def stream(self) -> Any:
        return self.engine.stream.status()

    @property
    def dials(self) -> int:
        return sum(one.dials for one in self.stream.connections)

    def take(self) -> None:
        """Give what was told on the bus to the row that is played."""
        while (event := self._inbox.get_nowait()) is not None:
            row = self.row
            for kind, where in (
                (CandleClosed, row.closed),
                (SignalRaised, row.signals),
                (FillReceived, row.fills),
                (GapFilled, row.gaps),
            ):
                if isinstance(event, kind):
                    where.append(event)  # type: ignore[arg-type]

    async def until(self, condition: Callable[[], bool], seconds: float = 600.0) -> float:
        """Wait until something is so; return how many seconds it took."""
        began = self.now
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(self.look)
        return self.now - began

    async def minutes(self, count: int) -> None:
        """Let so many minutes begin, and three seconds of the last one pass."""
        clock = self.engine.market_clock
        to = (clock.now() // MINUTE + count) * MINUTE + 3_000
        await self.until(lambda: clock.now() >= to, 60 * count + 600)

    async def quiet(self) -> None:
        """Wait for a moment to begin a row at: the beginning of a minute."""
        await self.minutes(1)

    async def play(self, name: str, script: Callable[[Stage, Row], Awaitable[None]]) -> None:
        """Play one row, and wait until all is well again."""
        await self.quiet()
        self.take()
        self.row = self.rows[name] = Row(name)
        began = self.now
        try:
            await script(self, self.row)
        except TimeoutError:
            # What the row waits for never came: it has no report, and nothing is played after it.
            return
        await self.control.fault("clear")
        last = self.now
        self.row.report = await self.checker.converge(ready=lambda: self.stream.ready)
        self.row.seconds = self.now - last
        self.row.facts["took"] = self.now - began
        self.take()
        self.row = Row("between rows")


def run(
    rows: dict[str, Callable[[Stage, Row], Awaitable[None]]],
    *,
    strategy: Strategy | None = None,
    run_for: str = "6h",
    **changes: Any,
) -> tuple[dict[str, Row], SimulationResult]:
    """Play rows in their order; return what came of them, and of the whole run."""
    stages: list[Stage] = []

    async def script(simulation: Simulation) -> None:
        stage = Stage(simulation.engine, simulation.control)
        stage.simulation = simulation
        stages.append(stage)
        await stage.checker.begin()
        for name, play in rows.items():
            await stage.play(name, play)
            report = stage.rows[name].report
            if report is None or not report.ok:
                # What is broken stays so: the rows after it would tell nothing.
                break
        stage.checker.close()
        simulation.engine._stopped.set()

    defaults = {"symbols": ["BTC/USDT"], "timeframes": ["1m", "5m"], "history": 30}
    outcome = simulate(
        Settings().override({**defaults, **changes}),
        seed=5,
        run_for=run_for,
        strategies=strategy or Restless(stop_loss=0.05),
        script=script,
        step="10s",
    )
    return stages[0].rows, outcome


def live(row: Row) -> list[CandleClosed]:
    """Return the closed candles of the shortest timeframe, in the order they came."""
    return [one for one in row.closed if one.candle.timeframe == "1m"]


def check_recovered(row: Row) -> None:
    """Hold that a row left nothing broken: invariants, order and live trading."""
    assert row.report is not None, f"{row.name}: what it waits for never came"
    assert row.report.ok, f"{row.name}: {row.report}"
    assert row.seconds <= 60
    times = [one.candle.timestamp for one in live(row)]
    assert times == sorted(set(times))
    decided = [one.signal.timestamp for one in row.signals]
    assert decided == sorted(set(decided))


def kline(timestamp: int, values: dict[str, Any], *, event_time: int, closed: bool) -> str:
    """Return a frame of the one-minute candles as the venue would send it."""
    candle = {"t": timestamp, "s": "BTCUSDT", "i": "1m", "x": closed, **values}
    return json.dumps({"e": "kline", "E": event_time, "s": "BTCUSDT", "k": candle})
