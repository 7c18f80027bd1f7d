"""The paper exchange of a simulation: the same application, on the simulation's own loop."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from botlib.core.clock import utc
from botlib.core.errors import ConfigError, SimulationError
from botlib.engine.paper.service import PaperService, configured_paper
from botlib.paper import (
    MarketPace,
    PaperControl,
    PaperExchange,
    PaperMarket,
    PaperOptions,
)
from botlib.simulation.network import MemoryConnector

if TYPE_CHECKING:
    from botlib.config import Settings

START: Final = 1_735_689_600_000
"""2025-01-01 00:00 UTC: the start of a synthetic market that is configured to start now."""

SAVE_INTERVAL: Final = 600.0
"""Seconds between two writes of the market time; it is written when candles close as well."""


def paper_options(settings: Settings, *, step: int, ledger: Path) -> PaperOptions:
    """Return the options of the exchange of a simulation, which runs at the speed of its loop.

    Args:
        settings: of the bot.
        step: market time between two prices, ms.
        ledger: file of the accounts.

    Raises:
        ConfigError: the configuration is live, or names an exchange that already runs.
    """
    if settings.mode != "paper" or settings.paper.url is not None:
        raise ConfigError(
            "Only a paper exchange of its own can be simulated. Set 'mode: paper' and leave "
            "paper.url out."
        )
    options = configured_paper(settings)
    return replace(
        options, pace=MarketPace(1.0, step=step), ledger=ledger, save_interval=SAVE_INTERVAL
    )


class SimulatedPaper(PaperService):
    """The paper exchange on the running loop, in place of a process.

    Args:
        settings: settings of the engine.
        market: what is traded.
        options: options of the exchange; the port is replaced by the one in use.
        group: task group of the running exchange; its end waits for `stop`.
    """

    def __init__(
        self,
        settings: Settings,
        market: PaperMarket,
        options: PaperOptions,
        group: asyncio.TaskGroup,
    ) -> None:
        super().__init__(settings)
        self._market = market
        self.options = options
        self._group = group
        self._latest: PaperExchange | None = None
        self._exchange: PaperExchange | None = None
        self._running: asyncio.Task[None] | None = None

    @property
    def exchange(self) -> PaperExchange:
        """The running exchange.

        Raises:
            SimulationError: it does not run.
        """
        if self._exchange is None:
            raise SimulationError("The paper exchange of the simulation does not run.")
        return self._exchange

    @property
    def ended(self) -> bool:
        """Whether the recording has ended."""
        return self._exchange is not None and self._exchange.venue.ended

    async def start(self) -> None:
        """Open the exchange and a control of it."""
        await self.serve()
        self._control = PaperControl(self.url, MemoryConnector)

    async def serve(self) -> None:
        """Open the exchange, at its former address if it had one."""
        # The faults that were ordered survive a restart.
        player = None if self._latest is None else self._latest.player
        exchange = self._latest = PaperExchange(self._market, self.options, player)
        exchange.faults.restart = self._restart_soon
        ready = await exchange.start()
        port = int(ready.url.rpartition(":")[2])
        self.options = replace(self.options, port=port)
        self.url, self.venue = ready.url, ready.venue
        self._exchange = exchange
        self._running = self._group.create_task(exchange.run())

    def _restart_soon(self, away: float) -> None:
        self._group.create_task(self.restart(away))

    async def close(self) -> None:
        """Close the exchange as a terminated process would; its ledger stays."""
        exchange, running = self._exchange, self._running
        self._exchange = self._running = None
        if running is not None:
            running.cancel()
        if exchange is not None:
            await exchange.close()

    async def restart(self, away: float) -> None:
        """Close the exchange, and open it again after ``away`` seconds with the same ledger."""
        await self.close()
        await asyncio.sleep(away)
        await self.serve()

    async def stop(self) -> None:
        """Close the control and the exchange."""
        await super().stop()
        await self.close()

    def __repr__(self) -> str:
        state = "closed" if self._exchange is None else utc(self._exchange.venue.market_time)
        return f"<SimulatedPaper {self.venue} {state}>"
