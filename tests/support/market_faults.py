"""A bot into which faults are injected one after another, and a record of each.

`run` does so on a simulated exchange in virtual time, with the deadlines of real trading and all of
the real code from the sockets up, ccxt and aiohttp included. A `Stage` can also be used with a bot
on a separate exchange.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from botlib.config import Settings
from botlib.core.bus import BusSubscription, EventBus
from botlib.core.model import (
    CandleClosed,
    EntryRefused,
    Event,
    FillReceived,
    GapFilled,
    SignalRaised,
)
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
    """Buys on every even minute and sells on every odd one, so that an order is always open."""

    timeframes = ("1m",)

    def signals(self, data: Frames) -> Signals:
        even = data.frame.index.to_series().dt.minute % 2 == 0
        return Signals(entry=even, exit=~even)


class Refusals:
    """Reasons why entries were not sent: all of them, and not only the latest per strategy."""

    def __init__(self, bus: EventBus) -> None:
        self._events = bus.subscribe(EntryRefused, name="refusals")
        self._seen: list[str] = []

    @property
    def all(self) -> list[str]:
        """The reasons so far."""
        while (event := self._events.get_nowait()) is not None:
            self._seen.append(event.reason)
        return self._seen


@dataclass
class FaultRecord:
    """Everything observed of one fault."""

    name: str
    report: InvariantReport | None = None
    seconds: float = 0.0
    """Seconds from the fault until all invariants held again."""
    facts: dict[str, Any] = field(default_factory=dict)
    closed: list[CandleClosed] = field(default_factory=list)
    signals: list[SignalRaised] = field(default_factory=list)
    fills: list[FillReceived] = field(default_factory=list)
    gaps: list[GapFilled] = field(default_factory=list)


class Stage:
    """A bot, its exchange, its checker, and the records of the faults so far.

    Args:
        look: seconds between two checks of a condition.
    """

    simulation: Simulation

    def __init__(self, engine: Orchestrator, control: PaperControl, look: float = 0.5) -> None:
        self.engine = engine
        self.control = control
        self.look = look
        self.checker = InvariantChecker.of(engine, secrets=[CANARY])
        self.records: dict[str, FaultRecord] = {}
        self.record = FaultRecord("none")
        self._inbox: BusSubscription[Event] = self.engine.bus.subscribe(
            CandleClosed, SignalRaised, FillReceived, GapFilled, name="records", maxsize=100_000
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
        """Move the events of the bus into the present record."""
        while (event := self._inbox.get_nowait()) is not None:
            record = self.record
            for kind, where in (
                (CandleClosed, record.closed),
                (SignalRaised, record.signals),
                (FillReceived, record.fills),
                (GapFilled, record.gaps),
            ):
                if isinstance(event, kind):
                    where.append(event)  # type: ignore[arg-type]

    async def until(self, condition: Callable[[], bool], seconds: float = 600.0) -> float:
        """Wait until a condition is true; return the seconds that took."""
        began = self.now
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(self.look)
        return self.now - began

    async def minutes(self, count: int) -> None:
        """Wait until ``count`` minutes have begun, and three seconds of the last have passed."""
        clock = self.engine.market_clock
        to = (clock.now() // MINUTE + count) * MINUTE + 3_000
        await self.until(lambda: clock.now() >= to, 60 * count + 600)

    async def quiet(self) -> None:
        """Wait for the next minute, at which a fault is injected."""
        await self.minutes(1)

    async def play(
        self, name: str, script: Callable[[Stage, FaultRecord], Awaitable[None]]
    ) -> None:
        """Inject one fault, and wait until all invariants hold again."""
        await self.quiet()
        self.take()
        self.record = self.records[name] = FaultRecord(name)
        began = self.now
        try:
            await script(self, self.record)
        except TimeoutError:
            # The script waited in vain: the record has no report, and no fault follows.
            return
        await self.control.fault("clear")
        last = self.now
        self.record.report = await self.checker.converge(ready=lambda: self.stream.ready)
        self.record.seconds = self.now - last
        self.record.facts["took"] = self.now - began
        self.take()
        self.record = FaultRecord("between faults")


def run(
    records: dict[str, Callable[[Stage, FaultRecord], Awaitable[None]]],
    *,
    strategy: Strategy | None = None,
    run_for: str = "6h",
    **changes: Any,
) -> tuple[dict[str, FaultRecord], SimulationResult]:
    """Inject faults in their order; return their records and the result of the whole run."""
    stages: list[Stage] = []

    async def script(simulation: Simulation) -> None:
        stage = Stage(simulation.engine, simulation.control)
        stage.simulation = simulation
        stages.append(stage)
        await stage.checker.begin()
        for name, play in records.items():
            await stage.play(name, play)
            report = stage.records[name].report
            if report is None or not report.ok:
                # A broken bot stays broken, so later records would mean nothing.
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
    return stages[0].records, outcome


def live(record: FaultRecord) -> list[CandleClosed]:
    """Return the closed candles of the shortest timeframe in the order of their arrival."""
    return [one for one in record.closed if one.candle.timeframe == "1m"]


def check_recovered(record: FaultRecord) -> None:
    """Assert that invariants, order and live trading hold after a fault."""
    assert record.report is not None, f"{record.name}: its script waited in vain"
    assert record.report.ok, f"{record.name}: {record.report}"
    assert record.seconds <= 60
    times = [one.candle.timestamp for one in live(record)]
    assert times == sorted(set(times))
    decided = [one.signal.timestamp for one in record.signals]
    assert decided == sorted(set(decided))


def kline(timestamp: int, values: dict[str, Any], *, event_time: int, closed: bool) -> str:
    """Return a frame of a one-minute candle as the venue sends it."""
    candle = {"t": timestamp, "s": "BTCUSDT", "i": "1m", "x": closed, **values}
    return json.dumps({"e": "kline", "E": event_time, "s": "BTCUSDT", "k": candle})
