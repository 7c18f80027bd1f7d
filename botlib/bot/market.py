"""`BotMarket`: the market of a bot, as its lab reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from botlib.backtesting.costs import Costs
from botlib.core.clock import iso
from botlib.core.errors import EngineError, InvalidInput
from botlib.core.timeframe import open_time, timeframe_ms
from botlib.lab import ListedMarket
from botlib.market_data.history import FetchReport, Moment, Progress
from botlib.store import CandleStorage, Database
from botlib.venues.symbols import unified_symbol

if TYPE_CHECKING:
    import pandas as pd

    from botlib.engine import Orchestrator
    from botlib.store.files.importing import ImportReport


class BotMarket:
    """The candles of a bot: missing ones are fetched while it runs, and only read afterwards.

    Args:
        engine: of the bot.
    """

    def __init__(self, engine: Orchestrator) -> None:
        self._engine = engine

    @property
    def venue(self) -> str:
        """Stamp of the market."""
        return self._engine.venue

    @property
    def directory(self) -> Path:
        """The data directory."""
        return self._engine.settings.data_directory

    @property
    def database(self) -> Path:
        """File of its database."""
        return Path(self._engine.database)

    @property
    def fetches(self) -> bool:
        """Whether missing candles are fetched."""
        return self._engine.started

    def reader(self) -> Database:
        """Open its database for reads; it also reads after the stop, and does not delay the bot."""
        return Database.open(self.database, self.venue, readonly=True)

    def default_symbol(self) -> str:
        """Return the first configured symbol."""
        return self._engine.settings.symbols[0]

    def listed(self, symbol: str) -> ListedMarket:
        """Return how the venue trades a symbol."""
        return ListedMarket(
            market=self._engine.exchange.market(symbol),
            fee=float(self._engine.fee),
            source=f"read from {self.venue} by this bot",
            costs=self._costs(),
            exact=self._fills_any and self._engine.settings.paper.url is None,
            order_cost=float(self._engine.risk.limits.usual_cost),
        )

    @property
    def _fills_any(self) -> bool:
        """Whether it is a paper market that fills any amount at its price and its slippage."""
        settings = self._engine.settings
        paper = settings.paper
        walked = paper.depth is not None or (paper.market == "mirror" and paper.mirror.book)
        return settings.mode == "paper" and not walked

    def _costs(self) -> Costs:
        """Return what fills cost: what the settings of a paper market say, or the usual costs."""
        paper, fee = self._engine.settings.paper, float(self._engine.fee)
        if not self._fills_any:
            return Costs().changed(fee=fee)
        maker = fee if paper.maker_fee is None else float(paper.maker_fee)
        costs = Costs.none(fee=fee).changed(slippage=float(paper.market_slippage))
        costs = replace(costs, maker=maker)
        known = self._engine.exchange.capabilities
        if not paper.burn_bnb or not paper.balances.get(str(known.fee_asset)):
            return costs
        return costs.discounted(float(known.fee_discount), str(known.fee_asset))

    async def now(self, symbol: str, timeframes: Sequence[str]) -> int:
        """Return the market time, ms."""
        return self._engine.market_clock.now()

    async def frame(
        self,
        symbol: str,
        timeframe: str,
        *,
        since: int | None,
        until: int | None,
        limit: int | None,
        progress: Progress | None,
    ) -> tuple[pd.DataFrame, str]:
        """Return closed candles, after fetching those that are missing if the bot runs.

        With an ``until`` later than the market's present, recorded candles that have not been
        replayed yet follow.
        """
        ahead = self._ahead(symbol, timeframe, since, until)
        if ahead is not None:
            return await asyncio.to_thread(self._recorded, ahead, symbol, timeframe, since, limit)
        if self._engine.started:
            fetched = await self._engine.history.frame(
                symbol, timeframe, since=since, until=until, limit=limit, progress=progress
            )
            return fetched, ""

        def stored() -> pd.DataFrame:
            with self.reader() as database:
                return CandleStorage(database).frame(symbol, timeframe, since, until, limit)

        return await asyncio.to_thread(stored), ""

    def _ahead(
        self, symbol: str, timeframe: str, since: int | None, until: int | None
    ) -> int | None:
        """Return the last recorded open time (ms) of a span that ends after the present."""
        paper = self._engine.paper
        if until is None or paper is None or paper.recorded is None:
            return None
        market, length = paper.recorded, timeframe_ms(timeframe)
        if timeframe not in market.timeframes():
            return None
        _, end = market.span(symbol)
        last = open_time(until, timeframe)
        if end is not None:
            # The last candle is one that the recording covers to its end.
            over = end + timeframe_ms(market.base)
            last = min(last, open_time(over - length, timeframe))
        return last if last + length > self._engine.market_clock.now() else None

    def _recorded(
        self, last: int, symbol: str, timeframe: str, since: int | None, limit: int | None
    ) -> tuple[pd.DataFrame, str]:
        from botlib.frames import candle_frame

        paper = self._engine.paper
        assert paper is not None and paper.recorded is not None
        bars = paper.recorded.bars(symbol, timeframe, since or 0, last)
        columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
        frame = candle_frame(bars.timestamp, np.column_stack(columns))
        if limit is not None:
            frame = frame.iloc[-limit:] if limit > 0 else frame.iloc[:0]
        now = open_time(self._engine.market_clock.now(), timeframe)
        note = (
            f"{unified_symbol(symbol)} {timeframe}: the candles from {iso(now)} on are recorded "
            "but not replayed yet."
        )
        return frame, note

    async def download(
        self,
        symbol: str,
        timeframe: str,
        since: Moment,
        until: Moment | None,
        *,
        url: str | None,
        progress: Progress | None,
    ) -> FetchReport:
        """Fetch and store missing candles over the connection of the bot."""
        if url is not None:
            raise InvalidInput("A bot downloads from its own market. Leave out url=.")
        self._require_started("download candles")
        return await self._engine.history.fetch(
            unified_symbol(symbol), timeframe, since, until, progress=progress
        )

    async def import_files(
        self, paths: Iterable[str | Path], *, overwrite: bool, progress: Progress | None
    ) -> ImportReport:
        """Store the candles of files beside the candles that the bot collects."""
        from botlib.store.files.importing import import_files

        self._require_started("import files")
        return await asyncio.to_thread(
            import_files,
            list(paths),
            self._engine.storage,
            now=self._engine.market_clock.now(),
            overwrite=overwrite,
            progress=progress,
        )

    def _require_started(self, what: str) -> None:
        if not self._engine.started:
            raise EngineError(
                f"A stopped bot does not {what}. bl.research({self.venue!r}) does, without a bot."
            )
