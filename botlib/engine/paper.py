"""The paper exchange as a service of the engine: started with it, or one that already runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from botlib.clock import utc

if TYPE_CHECKING:
    from botlib.config import Settings
    from botlib.exchange.paper.client import PaperControl, PaperProcess


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
        from botlib.exchange.paper.client import PaperControl, PaperProcess

        paper = self._settings.paper
        if paper.url is None:
            directory = self._settings.data_directory
            self._process = await PaperProcess.start(
                self._arguments(), log_directory=directory / "logs"
            )
            self.url = self._process.url
        else:
            self.url = paper.url
        self._control = PaperControl(self.url)
        self.venue = (await self._control.state()).venue

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
        return (await self.control.state()).market_time

    def _arguments(self) -> list[str]:
        settings, paper = self._settings, self._settings.paper
        arguments = ["--ledger-directory", str(settings.data_directory / "paper")]
        if paper.market == "synthetic":
            arguments += ["--seed", str(paper.seed)]
            for symbol in settings.symbols:
                arguments += ["--symbol", symbol]
        for path in paper.recording:
            arguments += ["--recording", str(Path(path))]
        if isinstance(paper.start, int):
            arguments += ["--start", utc(paper.start).isoformat()]
        elif paper.start is not None:
            arguments += ["--start", paper.start]
        arguments += ["--history", str(settings.history)]
        arguments += ["--speed", str(paper.speed), "--fee", str(paper.fee)]
        for asset, amount in paper.balances.items():
            arguments += ["--balance", f"{asset}={amount}"]
        if paper.lockstep:
            arguments.append("--lockstep")
        return arguments
