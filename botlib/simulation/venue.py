"""The paper exchange of a simulation: the same application, on the simulation's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from botlib.core.clock import utc
from botlib.core.errors import ConfigError, SimulationError
from botlib.core.timeframe import timeframe_ms
from botlib.engine.paper_service import PaperService, configured_depth
from botlib.paper.accounts.ledger import Ledger
from botlib.paper.client import PaperControl
from botlib.paper.market.market import PaperMarket
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.replay import ReplayMarket
from botlib.paper.market.synthetic import SyntheticMarket
from botlib.paper.operator.scenario import ScenarioPlayer
from botlib.paper.protocol.params import DEFAULT_ACCOUNT
from botlib.paper.server import PaperExchange, PaperSettings
from botlib.simulation.network import MemoryConnector

if TYPE_CHECKING:
    from botlib.config import Settings
    from botlib.paper.accounts.account import PaperAccount

START: Final = 1_735_689_600_000
"""2025-01-01 00:00 UTC: where a synthetic market begins that was to begin now."""

SAVE_INTERVAL: Final = 600.0
"""Seconds between two notes of the market time; it is noted at every closing as well."""


def make_market(settings: Settings) -> PaperMarket:
    """Return the market a configuration names.

    Raises:
        ConfigError: it is live, or played by an exchange elsewhere.
        RecordingError: a recording cannot be read.
    """
    if settings.mode != "paper" or settings.paper.url is not None:
        raise ConfigError(
            "Only a paper exchange of its own can be simulated. Set 'mode: paper' and leave "
            "paper.url out."
        )
    if settings.paper.market == "synthetic":
        return SyntheticMarket(settings.paper.seed)
    return ReplayMarket(settings.paper.recording)


def first_moment(settings: Settings, market: PaperMarket) -> int:
    """Return the market time (ms) at which a simulation begins."""
    start = settings.paper.start
    if isinstance(start, int):
        return start
    if settings.paper.market == "synthetic":
        return START
    first = max(market.span(symbol)[0] for symbol in settings.symbols)
    return first + settings.history * timeframe_ms(market.base)


def paper_settings(settings: Settings, *, start: int, step: int, ledger: Path) -> PaperSettings:
    """Return how the exchange of a simulation is set up: at the pace of the calendar."""
    return PaperSettings(
        start=start,
        pace=MarketPace(1.0, step=step),
        ledger=ledger,
        balances={asset: Decimal(amount) for asset, amount in settings.paper.balances.items()},
        fee=settings.paper.fee,
        burn_bnb=settings.paper.burn_bnb,
        bnb_price=settings.paper.bnb_price,
        depth=configured_depth(settings),
        events=settings.paper.events,
        event_seed=settings.paper.seed,
        symbols=settings.symbols if settings.paper.market == "synthetic" else (),
        save_interval=SAVE_INTERVAL,
    )


class SimulatedPaper(PaperService):
    """Serves a market on the running loop, in the place of a process.

    Args:
        settings: of the engine.
        market: what is traded.
        served: how.
        group: carries the running exchange; leaving it waits for `stop`.
    """

    def __init__(
        self,
        settings: Settings,
        market: PaperMarket,
        served: PaperSettings,
        group: asyncio.TaskGroup,
    ) -> None:
        super().__init__(settings)
        self._market = market
        self._served = served
        self._group = group
        self._player = ScenarioPlayer()
        self._player.faults.restart = lambda away: group.create_task(self.restart(away))
        self._exchange: PaperExchange | None = None
        self._running: asyncio.Task[None] | None = None

    @property
    def exchange(self) -> PaperExchange:
        """The exchange that runs.

        Raises:
            SimulationError: it does not run.
        """
        if self._exchange is None:
            raise SimulationError("The paper exchange of the simulation does not run.")
        return self._exchange

    @contextmanager
    def account(self) -> Iterator[PaperAccount]:
        """Open the account as the exchange left it in its ledger; it does not run any more."""
        ledger = Ledger.open(self._served.ledger, venue=self.venue, balances={})
        with closing(ledger):
            yield ledger.load().account(DEFAULT_ACCOUNT)

    @property
    def ended(self) -> bool:
        """Whether the recording has come to its end."""
        return self._exchange is not None and self._exchange.venue.ended

    async def start(self) -> None:
        """Serve, and learn where."""
        await self.serve()
        self._control = PaperControl(self.url, MemoryConnector)

    async def serve(self) -> None:
        """Open the exchange, at the address it had before."""
        exchange = PaperExchange(self._market, self._served, self._player)
        ready = await exchange.start()
        port = int(ready.url.rpartition(":")[2])
        self._served = replace(self._served, port=port)
        self.url, self.venue = ready.url, ready.venue
        self._exchange = exchange
        self._running = self._group.create_task(exchange.run())

    async def shut(self) -> None:
        """Close the exchange as a process that is told to end would; its ledger stays."""
        exchange, running = self._exchange, self._running
        self._exchange = self._running = None
        if running is not None:
            running.cancel()
        if exchange is not None:
            await exchange.close()

    async def restart(self, away: float) -> None:
        """Close the exchange and open it again ``away`` seconds later; its ledger is kept."""
        await self.shut()
        await asyncio.sleep(away)
        await self.serve()

    async def stop(self) -> None:
        """Let go of the control, and close the exchange."""
        await super().stop()
        await self.shut()

    def __repr__(self) -> str:
        state = "closed" if self._exchange is None else utc(self._exchange.venue.market_time)
        return f"<SimulatedPaper {self.venue} {state}>"
