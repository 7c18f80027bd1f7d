"""The paper exchange as a service of the engine: started with it, or one that already runs."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING

from botlib.core.clock import utc
from botlib.core.timeframe import timeframe_ms
from botlib.paper.market.replay import ReplayMarket
from botlib.store import database_path

if TYPE_CHECKING:
    from botlib.config import Settings
    from botlib.paper.client import PaperControl, PaperProcess
    from botlib.paper.market.depth import Depth


def configured_depth(settings: Settings) -> Depth | None:
    """Return the depth of the book as configured, None for a deep market."""
    from botlib.paper.market.depth import Depth

    paper = settings.paper
    if paper.depth is None:
        return None
    seed = paper.seed if paper.depth.seed is None else paper.depth.seed
    return Depth(**{**paper.depth.model_dump(), "seed": seed})


class PaperService:
    """Gives the engine a paper exchange and its control."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: PaperProcess | None = None
        self._control: PaperControl | None = None
        self.url = ""
        self.venue = ""

    @property
    def control(self) -> PaperControl:
        """The control of the exchange; only after the start."""
        if self._control is None:
            raise RuntimeError("the paper exchange has not been started")
        return self._control

    @property
    def pid(self) -> int | None:
        """The process id of an exchange started here."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the exchange, or reach the one configured, and learn which market it plays."""
        from botlib.paper.client import PaperControl, PaperProcess

        paper = self._settings.paper
        if paper.url is None:
            # Reading a recording takes a while.
            arguments = await asyncio.to_thread(self._arguments)
            log = self._settings.data_directory / "logs" / "paper.log"
            self._process = await PaperProcess.start(arguments, log=log)
            self.url = self._process.url
        else:
            self.url = paper.url
        self._control = PaperControl(self.url)
        self.venue = str((await self._control.state())["venue"])

    async def stop(self) -> None:
        """Let go of the exchange; one that was started here ends."""
        if self._control is not None:
            await self._control.close()
            self._control = None
        if self._process is not None:
            await self._process.stop()
            self._process = None

    async def market_time(self) -> int:
        """Return the market's time in ms."""
        return int((await self.control.state())["market_time"])

    def _arguments(self) -> list[str]:
        settings, paper = self._settings, self._settings.paper
        start: int | str | None = paper.start
        if paper.market == "synthetic":
            venue = f"paper:synthetic:seed={paper.seed}"
            arguments = ["--seed", str(paper.seed), "--symbols", ",".join(settings.symbols)]
        else:
            market = ReplayMarket(paper.recording)
            venue = market.venue
            arguments = [part for path in paper.recording for part in ("--recording", str(path))]
            if start is None:
                first = max(market.span(symbol)[0] for symbol in settings.symbols)
                start = first + settings.history * timeframe_ms(market.base)
        if start is not None:
            arguments += ["--start", utc(start).isoformat() if isinstance(start, int) else start]
        ledger = database_path(settings.data_directory, venue).with_suffix(".ledger.db")
        ledger.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        arguments += ["--ledger", str(ledger), "--fee", str(paper.fee)]
        arguments += [f"--balance={asset}={amount}" for asset, amount in paper.balances.items()]
        arguments += ["--events", paper.events]
        if paper.burn_bnb:
            arguments.append("--burn-bnb")
        if paper.bnb_price is not None:
            arguments += ["--bnb-price", str(paper.bnb_price)]
        depth = configured_depth(settings)
        if depth is not None:
            arguments += [f"--depth={name}={value}" for name, value in asdict(depth).items()]
        if paper.lockstep:
            # The pace is that of the acknowledgements.
            arguments.append("--lockstep")
        else:
            arguments += ["--speed", str(paper.speed)]
        return arguments
