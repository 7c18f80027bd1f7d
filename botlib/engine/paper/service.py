"""`PaperService`: the paper exchange of an engine, started with it or running already."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from botlib.core.files import private_directory
from botlib.core.timeframe import timeframe_ms
from botlib.engine.paper.sign import ExchangeSign
from botlib.paper import DEFAULT_ACCOUNT, PAPER_API_KEY, PAPER_API_SECRET
from botlib.store import database_path

if TYPE_CHECKING:
    from botlib.config import Settings
    from botlib.paper import MirrorState, PaperControl, PaperMarket, PaperOptions, PaperProcess


def configured_paper(settings: Settings) -> PaperOptions:
    """Return the options of the paper exchange of an engine."""
    from botlib.paper import PaperOptions

    return PaperOptions.configured(
        settings.paper,
        settings.symbols,
        settings.history,
        directory=settings.data_directory,
        lead=settings.history * max(map(timeframe_ms, settings.timeframes)),
    )


class PaperService:
    """The connection of an engine to its paper exchange."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: PaperProcess | None = None
        self._control: PaperControl | None = None
        self._sign: ExchangeSign | None = None
        self.url = ""
        self.venue = ""
        """The market, and the account in it if that is not the first one."""
        self.keys = (PAPER_API_KEY, PAPER_API_SECRET)
        """API key and secret of the account."""
        self.mirror: MirrorState | None = None
        """The state of a mirror as it was last read, None if the market is no mirror."""
        self.recorded: PaperMarket | None = None
        """The market of recorded candles, past and future, if the exchange was started here."""

    @property
    def control(self) -> PaperControl:
        """The control API of the exchange.

        Raises:
            RuntimeError: it has not been started.
        """
        if self._control is None:
            raise RuntimeError("the paper exchange has not been started")
        return self._control

    @property
    def pid(self) -> int | None:
        """The process id of an exchange that was started here, else None."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the exchange, or connect to the configured one, and read its market's name."""
        from botlib.paper import PaperControl, PaperProcess

        paper = self._settings.paper
        if paper.url is None:
            # A recording takes a while to read.
            options = await asyncio.to_thread(self._process_options)
            log = self._settings.data_directory / "logs" / "paper.log"
            assert options.ledger is not None
            self._sign = ExchangeSign(options.ledger)
            await self._sign.check_free()
            self._process = await PaperProcess.start(options, log=log)
            self.url = self._process.url
            self._sign.put(self.url)
        else:
            self.url = paper.url
        self._control = PaperControl(self.url)
        self.venue = str((await self._control.state())["venue"])
        self.mirror = await self._control.mirror()
        if paper.account != DEFAULT_ACCOUNT:
            self.keys = await self._control.open_account(paper.account, paper.balances)
            self.venue += f"/{paper.account}"

    async def read_mirror(self) -> MirrorState | None:
        """Read the state of a mirror again."""
        self.mirror = await self.control.mirror()
        return self.mirror

    async def stop(self) -> None:
        """Close the connection, and end the exchange if it was started here."""
        if self._control is not None:
            await self._control.close()
            self._control = None
        if self._process is not None:
            await self._process.stop()
            self._process = None
        if self._sign is not None:
            self._sign.remove()

    async def market_time(self) -> int:
        """Return the market's time in ms."""
        return int((await self.control.state())["market_time"])

    def _process_options(self) -> PaperOptions:
        """Return the options of the process; its ledger is named after the market."""
        options = configured_paper(self._settings)
        market = options.open_market()
        # A refusal here is one sentence; that of the process comes with its log.
        options.first_moment(market, now=0)
        if options.recordings or options.stretch is not None:
            self.recorded = market
        ledger = database_path(self._settings.data_directory, market.venue).with_suffix(
            ".ledger.db"
        )
        private_directory(ledger.parent)
        if options.mirror is not None:
            # Real candles are kept apart from the play money of the account.
            candles = ledger.with_name(ledger.name.replace(".ledger.db", ".candles.sqlite"))
            options = replace(options, mirror=replace(options.mirror, cache=candles))
        return replace(options, ledger=ledger)
