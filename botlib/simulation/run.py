"""`simulate`: a bot and its exchange in one process, in virtual time, the same each time."""

from __future__ import annotations

import asyncio
import gc
import math
import random
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from botlib.config import Settings
from botlib.core.asynctools import first_of, innermost_error
from botlib.core.errors import InvalidInput
from botlib.core.lag import LagMeter
from botlib.core.symbol import split_symbol
from botlib.core.tables import text_table
from botlib.core.timeframe import parse_duration
from botlib.engine import Orchestrator
from botlib.engine.environment import EngineEnvironment
from botlib.paper import read_ledger
from botlib.simulation.eventlog import EventLog
from botlib.simulation.loop import VirtualLoop
from botlib.simulation.network import MemoryConnector
from botlib.simulation.venue import START, SimulatedPaper, paper_options
from botlib.views.summary import RunSummary, Summaries

if TYPE_CHECKING:
    from botlib.paper import PaperControl, PaperExchange, PaperMarket, PaperOptions
    from botlib.strategy import Strategy

STEP: Final = "15s"
"""Market time between two prices: four in a minute, as in a replay."""

_NO_BEATS: Final = 3_600.0
"""Seconds between two looks at the lag of a loop that cannot be late."""

_LOOK: Final = 30.0
"""Seconds between two looks for what nobody tells of: a stop file, a recording's end."""

_MEMORY: Final = Path("/dev/shm")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a simulation came to.

    Two simulations with the same digest went the same way: every event of the bus at the same
    moment, the same orders and trades at the exchange, the same balances in the end.
    """

    seed: int
    digest: str
    """SHA-256 of the event log."""
    events: int
    """Lines of the event log."""
    log: Path | None
    """The event log, where one was asked for."""
    balances: dict[str, Decimal]
    """What the account holds in the end, free and locked together."""
    summary: RunSummary
    simulated: float
    """Seconds of market time, the start included."""
    seconds: float
    """Seconds it took."""

    @property
    def speed(self) -> float:
        """How many times faster than the market it went."""
        return self.simulated / self.seconds

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Return headers and rows of what stands below the summary."""
        held = [f"{amount.normalize():f} {asset}" for asset, amount in self.balances.items()]
        return ["simulation", "value"], [
            ["seed", self.seed],
            ["event log", f"{self.events} lines, sha256 {self.digest}"],
            ["balances", ", ".join(held)],
            ["took", f"{self.seconds:.1f} s, {self.speed:,.0f} times real time"],
        ]

    def __str__(self) -> str:
        return f"{self.summary}\n{text_table(*self.table())}"


Script = Callable[["Simulation"], Awaitable[None]]
"""Runs beside the bot, in virtual time."""


class Simulation:
    """A bot and its exchange on one `VirtualLoop`.

    A script is given the simulation, and may look at and disturb all of it: `engine`, `exchange`,
    `control` (the faults of a real paper exchange), `restart_exchange`.

    Args:
        settings: of the bot.
        market: what is traded.
        options: of the exchange.
        seed: of everything left to chance.
        log: where the event log goes, None for nowhere.
    """

    def __init__(
        self,
        settings: Settings,
        market: PaperMarket,
        options: PaperOptions,
        *,
        seed: int,
        log: Path | None = None,
    ) -> None:
        self.settings = settings
        self.market = market
        self.seed = seed
        self.rng = random.Random(seed)
        self._options = options
        self._log = log
        self.engine: Orchestrator
        self.paper: SimulatedPaper

    @property
    def exchange(self) -> PaperExchange:
        """The paper exchange, as the object it is."""
        return self.paper.exchange

    @property
    def control(self) -> PaperControl:
        """The control API of the exchange."""
        return self.paper.control

    async def restart_exchange(self, away: float = 0.0) -> None:
        """Close the exchange and open it again ``away`` seconds later; its ledger is kept."""
        await self.paper.restart(away)

    async def run(
        self,
        run_for: float,
        *,
        strategies: Sequence[Strategy] = (),
        script: Script | None = None,
    ) -> Outcome:
        """Run for so many seconds, or to the end of a recording.

        Raises:
            InvalidInput: the running loop is no `VirtualLoop`.
        """
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualLoop):
            raise InvalidInput("A simulation runs on a VirtualLoop; use botlib.simulate().")
        began, here = time.perf_counter(), loop.time()
        log = EventLog(loop.calendar, self._log)
        try:
            async with asyncio.TaskGroup() as group:
                self._assemble(group, loop)
                follow = group.create_task(log.follow(self.engine.bus))
                await asyncio.sleep(0)
                try:
                    await self._run(run_for, strategies, script, log)
                finally:
                    follow.cancel()
            balances = self._balances
            log.add("Balances", balances)
        finally:
            log.close()
        return Outcome(
            seed=self.seed,
            digest=log.digest,
            events=log.lines,
            log=self._log,
            balances=balances,
            summary=await self._summaries.get(),
            simulated=loop.time() - here,
            seconds=time.perf_counter() - began,
        )

    def _assemble(self, group: asyncio.TaskGroup, loop: VirtualLoop) -> None:
        self.paper = SimulatedPaper(self.settings, self.market, self._options, group)
        self.engine = Orchestrator(
            self.settings,
            lag=LagMeter(_NO_BEATS, clock=loop.time),
            environment=EngineEnvironment(
                paper=lambda _: self.paper,
                connector=MemoryConnector,
                rng=self.rng,
                threads=0,
                stop_file_interval=_LOOK,
                health_check_interval=_LOOK,
            ),
        )
        self._summaries = Summaries(self.engine)

    async def _run(
        self,
        run_for: float,
        strategies: Sequence[Strategy],
        script: Script | None,
        log: EventLog,
    ) -> None:
        engine = self.engine
        await engine.start()
        try:
            for strategy in strategies:
                for symbol in self.settings.symbols:
                    name = f"{type(strategy).__name__}-{split_symbol(symbol)[0]}".lower()
                    await engine.trade(strategy, symbol, name=name)
            with _rare_collections():
                async with asyncio.TaskGroup() as group:
                    beside = group.create_task(_beside(script, self))
                    await first_of(asyncio.sleep(run_for), self._market_over(), engine.wait())
                    beside.cancel()
        finally:
            await engine.stop()
        assert self._options.ledger is not None
        self._write_down(self._options.ledger, log)

    async def _market_over(self) -> None:
        while not self.paper.ended:  # noqa: ASYNC110 (no event tells of it)
            await asyncio.sleep(_LOOK)
        # The last candles are still acted on.
        await asyncio.sleep(_LOOK)

    def _write_down(self, ledger: Path, log: EventLog) -> None:
        """Log what the ledger of the exchange holds in the end."""
        contents = read_ledger(ledger, self.market.venue)
        for order in contents.orders:
            log.add("VenueOrder", order)
        for trade in contents.trades:
            log.add("VenueTrade", trade)
        self._balances = contents.balances


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for garbage rarely, and not among what is there now: it took a tenth of the time."""
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


async def _beside(script: Script | None, simulation: Simulation) -> None:
    if script is not None:
        await script(simulation)


def simulate(
    config: str | Path | Settings | None = None,
    *,
    run_for: float | str = "1d",
    seed: int | None = None,
    strategies: Strategy | Sequence[Strategy] = (),
    script: Script | None = None,
    step: float | str = STEP,
    log: str | Path | None = None,
    **changes: Any,
) -> Outcome:
    """Run a bot and its paper exchange in virtual time, as fast as they compute.

    The bot is the one `connect` starts, and the exchange the one it would trade on, with the same
    protocol between them; only waiting takes no time. The same configuration and seed give the
    same run to the last event. Files are made in a directory of its own and removed in the end.

    Args:
        config: settings, or a YAML file; the defaults where nothing is given.
        run_for: market time from when the bot is ready, such as ``"1d"``; a recording may end
            earlier.
        seed: of the synthetic market, and of all chance; by default that of the settings.
        strategies: put to work on every symbol, in place of those of the settings.
        script: an async function that is given the `Simulation` and runs beside the bot, to order
            faults or look at something; it ends with the bot.
        step: market time between two prices of a symbol; ``"2s"`` is what Binance sends.
        log: a file for the event log.
        changes: settings that differ, such as ``symbols=["BTC/USDT"]``.

    Raises:
        ConfigError: a setting is not accepted, or the market cannot be simulated.
        SimulationError: nothing could happen any more, though something still waited.
        Exception: what a CRITICAL task failed with for good, or what the script raised.
    """
    settings = config if isinstance(config, Settings) else Settings.load(config)
    given = [strategies] if not isinstance(strategies, Sequence) else list(strategies)
    settings = settings.override(changes)
    paper: dict[str, Any] = {"lockstep": False, "speed": 1.0}
    if seed is not None:
        paper["seed"] = seed
    fixed: dict[str, Any] = {"paper": paper, "health": {"port": 0}}
    if given:
        fixed["strategies"] = []
    seconds, millis = parse_duration(run_for), round(parse_duration(step) * 1_000)
    if not (seconds > 0 and math.isfinite(seconds)):
        raise InvalidInput(f"Cannot simulate for {run_for!r}. Accepted: a span such as '1d'.")
    with tempfile.TemporaryDirectory(
        prefix="botlib-simulation-", dir=_MEMORY if _MEMORY.is_dir() else None
    ) as directory:
        settings = settings.override({**fixed, "data_directory": directory})
        ledger = Path(directory) / "paper.ledger.db"
        options = paper_options(settings, step=millis, ledger=ledger)
        market = options.open_market()
        start = options.first_moment(market, now=START)
        simulation = Simulation(
            settings,
            market,
            replace(options, start=start),
            seed=settings.paper.seed,
            log=None if log is None else Path(log),
        )
        return _in_thread(lambda: simulation.run(seconds, strategies=given, script=script), start)


def _in_thread(main: Callable[[], Awaitable[Outcome]], start: int) -> Outcome:
    """Run a coroutine on a virtual loop in a thread: a notebook's own thread has a loop already."""
    loops: list[VirtualLoop] = []
    found: list[Outcome] = []
    errors: list[BaseException] = []
    stop = threading.Event()

    def make_loop() -> VirtualLoop:
        loops.append(VirtualLoop(start))
        return loops[0]

    async def body() -> Outcome:
        task = asyncio.current_task()
        assert task is not None
        cancels.append(task.cancel)
        if stop.is_set():
            task.cancel()
        return await main()

    cancels: list[Callable[[], object]] = []

    def work() -> None:
        try:
            with asyncio.Runner(loop_factory=make_loop) as runner:
                found.append(runner.run(body()))
        except BaseException as error:
            errors.append(innermost_error(error))

    thread = threading.Thread(target=work, name="botlib-simulation")
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        stop.set()
        for cancel in cancels:
            loops[0].call_soon_threadsafe(cancel)
        thread.join()
        raise
    if errors:
        raise errors[0]
    return found[0]
