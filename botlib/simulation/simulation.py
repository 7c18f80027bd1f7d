"""A bot and its exchange on one virtual loop."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from botlib.config import Settings
from botlib.core.asynctools import first_of
from botlib.core.errors import InvalidInput
from botlib.core.lag import LagMeter
from botlib.core.symbol import split_symbol
from botlib.engine import Orchestrator
from botlib.engine.environment import EngineEnvironment
from botlib.paper import read_ledger
from botlib.simulation.event_log import EventLog
from botlib.simulation.loop import VirtualLoop
from botlib.simulation.network import MemoryConnector
from botlib.simulation.result import SimulationResult
from botlib.simulation.venue import SimulatedPaper
from botlib.views.summary import Summaries

if TYPE_CHECKING:
    from botlib.paper import PaperControl, PaperExchange, PaperMarket, PaperOptions
    from botlib.strategy import Strategy

_NO_BEATS: Final = 3_600.0
"""Seconds between two measurements of the lag of a loop that cannot be late."""

_POLL: Final = 30.0
"""Seconds between two checks of conditions without an event: a stop file, a recording's end."""

Script = Callable[["Simulation"], Awaitable[None]]
"""A coroutine function that runs beside the bot, in virtual time."""


class Simulation:
    """A bot and its exchange on one `VirtualLoop`.

    A script receives the simulation and can read and disturb all of it: `engine`, `exchange`,
    `control` (the faults of a real paper exchange), `restart_exchange`.

    Args:
        settings: of the bot.
        market: what is traded.
        options: of the exchange.
        seed: of the random source.
        log: file of the event log; None writes none.
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
        """The paper exchange."""
        return self.paper.exchange

    @property
    def control(self) -> PaperControl:
        """The control API of the exchange."""
        return self.paper.control

    async def restart_exchange(self, away: float = 0.0) -> None:
        """Close the exchange and open it again after ``away`` seconds; its ledger is kept."""
        await self.paper.restart(away)

    async def run(
        self,
        run_for: float,
        *,
        strategies: Sequence[Strategy] = (),
        script: Script | None = None,
    ) -> SimulationResult:
        """Run for a number of seconds, or to the end of a recording.

        Raises:
            InvalidInput: the running loop is not a `VirtualLoop`.
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
        return SimulationResult(
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
                stop_file_interval=_POLL,
                health_check_interval=_POLL,
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
                    running = group.create_task(_run_script(script, self))
                    await first_of(asyncio.sleep(run_for), self._market_over(), engine.wait())
                    running.cancel()
        finally:
            await engine.stop()
        assert self._options.ledger is not None
        self._log_ledger(self._options.ledger, log)

    async def _market_over(self) -> None:
        while not self.paper.ended:  # noqa: ASYNC110 (the end has no event)
            await asyncio.sleep(_POLL)
        # The bot still acts on the last candles.
        await asyncio.sleep(_POLL)

    def _log_ledger(self, ledger: Path, log: EventLog) -> None:
        """Log the orders and trades in the ledger of the exchange at the end."""
        contents = read_ledger(ledger, self.market.venue)
        for order in contents.orders:
            log.add("VenueOrder", order)
        for trade in contents.trades:
            log.add("VenueTrade", trade)
        self._balances = contents.balances


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Collect garbage rarely, and skip the objects of the start: it took a tenth of the time."""
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


async def _run_script(script: Script | None, simulation: Simulation) -> None:
    if script is not None:
        await script(simulation)
