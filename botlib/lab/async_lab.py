"""`AsyncLab`: the research methods of a market to await on the runtime, a bot's or a stored one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from botlib.backtesting.arguments import ARGUMENTS
from botlib.core.arguments import FUNCTION, checked_arguments
from botlib.core.clock import iso
from botlib.core.errors import InvalidInput, StoreError, UnknownSymbol
from botlib.core.text import formats
from botlib.core.text.cards import card, lines
from botlib.core.text.tables import html_table
from botlib.core.timeframe import open_time, parse_since, timeframe_ms
from botlib.frames import Frames, open_times
from botlib.lab.databases import spans, stored_elsewhere
from botlib.lab.listed_market import ListedMarket
from botlib.market_data.history import FetchReport, Moment, Progress
from botlib.store import CandleStorage, Database
from botlib.store.coverage import DataReport, data_report
from botlib.store.experiment_book import ExperimentBook
from botlib.venues.registry import PAPER_PREFIX, SYNTHETIC_PREFIX
from botlib.venues.symbols import unified_symbol

if TYPE_CHECKING:
    import pandas as pd

    from botlib.core.model import Candle
    from botlib.store.files.export import ExportReport
    from botlib.store.files.importing import ImportReport

logger = logging.getLogger(__name__)

_checked = checked_arguments({**ARGUMENTS, "progress": FUNCTION})

SHOWN: Final = 30
"""Most rows of stored candles on the card of a lab."""


class LabMarket(Protocol):
    """The market whose candles a lab reads."""

    @property
    def venue(self) -> str:
        """Stamp of the market."""

    @property
    def directory(self) -> Path:
        """The data directory."""

    @property
    def database(self) -> Path:
        """File of its database, which need not exist yet."""

    @property
    def fetches(self) -> bool:
        """Whether `frame` fetches candles that are missing."""

    def reader(self) -> Database:
        """Open its database for reads, on a connection of its own.

        Raises:
            InvalidInput: nothing is stored yet.
        """

    def default_symbol(self) -> str:
        """Return the symbol of a check that names none."""

    def listed(self, symbol: str) -> ListedMarket:
        """Return how a symbol is traded.

        Raises:
            UnknownSymbol: it is not known.
        """

    async def now(self, symbol: str, timeframes: Sequence[str]) -> int:
        """Return the time in ms from which spans such as ``"180d"`` count back."""

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
        """Return closed candles, and a note on how they were made, empty if as stored."""

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
        """Fetch and store the missing candles of a span."""

    async def import_files(
        self, paths: Iterable[str | Path], *, overwrite: bool, progress: Progress | None
    ) -> ImportReport:
        """Store the candles of files."""


class AsyncLab:
    """Research on one market; the async core of `Lab`.

    Args:
        market: the market whose candles are read.
    """

    def __init__(self, market: LabMarket) -> None:
        self._market = market
        self._noted: set[str] = set()
        self._notes: list[str] = []
        self._told_real = False

    @property
    def venue(self) -> str:
        """Stamp of the market, such as ``binance`` or ``paper:synthetic:seed=42``."""
        return self._market.venue

    @property
    def database(self) -> Path:
        """The SQLite file of the candles."""
        return self._market.database

    @_checked
    def market(self, symbol: str) -> ListedMarket:
        """Return lots, tick, least order and fee of a symbol, and where they come from.

        Raises:
            UnknownSymbol: neither a stored list of the venue's markets nor the shipped one has it.
        """
        listed = self._market.listed(symbol)
        if listed.shipped:
            self._note(
                f"Lots and fee of {listed.symbol}: {listed.source}. A connection or a download "
                "stores those of the venue."
            )
        return listed

    @property
    def book(self) -> ExperimentBook:
        """The experiment book of the data directory."""
        return ExperimentBook(self._market.directory, self.venue)

    def default_symbol(self) -> str:
        """Return the symbol that is used if none is named."""
        return self._market.default_symbol()

    async def moment(
        self, value: Moment | None, symbol: str, timeframes: Sequence[str]
    ) -> int | None:
        """Return a point in time in ms; a span counts back from the market's present."""
        if value is None:
            return None
        now = 0 if _is_absolute(value) else await self._market.now(symbol, timeframes)
        return parse_since(value, now)

    @_checked
    async def candles(
        self,
        symbol: str,
        timeframe: str,
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        limit: int | None = None,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Return closed candles: columns open to volume, index open time (UTC).

        A running bot fetches and stores the missing candles of the span first; with neither
        ``since`` nor ``limit`` it returns the stored ones. A lab of `botlib.research` and a stopped
        bot return stored candles only. A timeframe that is not stored is built from a shorter one
        that is, and a note says so.

        Args:
            since: ``"180d"``, ``"2024-01-01"``, a datetime or ms. A span counts back from the
                market's present: in a lab, the close of the newest stored candle.
            until: the last open time.
            limit: the newest n only.
            progress: called with the fetched and the missing number of candles.

        Raises:
            InvalidInput: there are no such candles; the message says where some are.
        """
        with self._pointing_elsewhere(symbol):
            first = await self.moment(since, symbol, [timeframe])
            last = await self.moment(until, symbol, [timeframe])
            frame, note = await self._market.frame(
                symbol, timeframe, since=first, until=last, limit=limit, progress=progress
            )
        await asyncio.to_thread(self._judge, symbol, timeframe, frame, first, last, limit)
        if note:
            self._note(note)
        return frame

    @_checked
    async def frames(
        self,
        symbol: str,
        timeframes: Sequence[str] | str,
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        warmup: int | Mapping[str, int] = 0,
        progress: Progress | None = None,
    ) -> Frames:
        """Return frames as strategies see them; `candles` says what is fetched.

        Args:
            timeframes: the trading one first.
            since: as in `candles`; None is the first stored candle.
            until: as in `candles`.
            warmup: candles before ``since``, of each timeframe or by timeframe.
            progress: as in `candles`.
        """
        names = (timeframes,) if isinstance(timeframes, str) else timeframes
        with self._pointing_elsewhere(symbol):
            start = await self.moment(since, symbol, names)
            end = await self.moment(until, symbol, names)
        found = {}
        for timeframe in names:
            first = start
            if first is not None:
                before = warmup if isinstance(warmup, int) else warmup.get(timeframe, 0)
                first = max(0, first - before * timeframe_ms(timeframe))
            found[timeframe] = await self.candles(
                symbol, timeframe, since=first, until=end, progress=progress
            )
        return Frames(unified_symbol(symbol), found)

    @_checked
    async def stored_candles(
        self, symbol: str, timeframe: str, *, limit: int | None = None
    ) -> list[Candle]:
        """Return the newest ``limit`` stored closed candles with their provenance, or all."""

        def work() -> list[Candle]:
            with self._market.reader() as database:
                return CandleStorage(database).candles(symbol, timeframe, limit=limit)

        return await asyncio.to_thread(work)

    @_checked
    async def data_report(
        self, symbol: str | None = None, timeframe: str | None = None
    ) -> DataReport:
        """Return how complete the stored candles are, with the causes of their holes."""

        def work() -> DataReport:
            with self._market.reader() as database:
                return data_report(CandleStorage(database), symbol, timeframe)

        return await asyncio.to_thread(work)

    @_checked
    async def export(
        self,
        target: str | Path,
        *,
        symbols: Iterable[str] | None = None,
        timeframes: Iterable[str] | None = None,
    ) -> ExportReport:
        """Update a Parquet dataset with the stored candles.

        Args:
            target: a directory, or any URL fsspec knows.
            symbols: only these; None is all.
            timeframes: only these; None is all.
        """
        from botlib.store.files.export import export_parquet

        def work() -> ExportReport:
            with self._market.reader() as database:
                storage = CandleStorage(database)
                return export_parquet(storage, target, symbols=symbols, timeframes=timeframes)

        return await asyncio.to_thread(work)

    @_checked
    async def download(
        self,
        symbol: str,
        timeframe: str,
        *,
        since: Moment,
        until: Moment | None = None,
        url: str | None = None,
        progress: Progress | None = None,
    ) -> FetchReport:
        """Fetch the missing candles of a span from the venue and store them, without a key.

        Args:
            since: ``"365d"`` (back from now), ``"2024-01-01"``, a datetime or ms.
            until: the last open time; None is that of the newest closed candle.
            url: address of a running paper exchange, in the lab of its market.
            progress: called with the fetched and the missing number of candles.

        Raises:
            StoreLocked: another process writes to the database; the message says which.
            ExchangeUnavailable: the venue cannot be reached. What arrived before is stored.
        """
        return await self._market.download(
            symbol, timeframe, since, until, url=url, progress=progress
        )

    @_checked
    async def import_files(
        self,
        paths: str | Path | Iterable[str | Path],
        *,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> ImportReport:
        """Store the candles of files: dumps of a venue, CSV, Parquet, freqtrade feather or JSON.

        Args:
            paths: one file or several.
            overwrite: use the values of the files where they differ from stored ones.
            progress: called with the bytes that are done and their total.

        Raises:
            StoreLocked: another process writes to the database; the message says which.
            InvalidInput: the market is a paper market.
        """
        if self.venue.startswith(PAPER_PREFIX):
            raise InvalidInput(
                f"Files cannot be imported into {self.venue}: candles of different markets are "
                "never mixed. bl.research().import_files(...) stores real candles, and "
                "bl.connect(recorded=FILE) trades on them."
            )
        files = [paths] if isinstance(paths, (str, Path)) else list(paths)
        return await self._market.import_files(files, overwrite=overwrite, progress=progress)

    def taken_notes(self) -> list[str]:
        """Return the notes on the candles returned so far, each once, and forget them."""
        notes, self._notes = self._notes, []
        return notes

    def _judge(
        self,
        symbol: str,
        timeframe: str,
        frame: pd.DataFrame,
        first: int | None,
        last: int | None,
        limit: int | None,
    ) -> None:
        """Note what was asked and is not there; raise an error if nothing is there."""
        others = self._others(symbol) if not len(frame) else []
        if not len(frame) and (others or not self._market.fetches):
            span = f" from {iso(first)}" if first is not None else ""
            span += f" to {iso(last)}" if last is not None else ""
            raise InvalidInput(
                f"{self.venue} has no candles of {symbol} {timeframe}{span}. {' '.join(others)}"
            )
        if self.venue.startswith(SYNTHETIC_PREFIX) and (first is not None or last is not None):
            self._note_real(symbol)
        if not len(frame) or limit is not None:
            return
        times, length = open_times(frame.index), timeframe_ms(timeframe)
        name = f"{symbol} {timeframe}"
        if first is not None and times[0] >= open_time(first, timeframe) + 2 * length:
            self._note(
                f"{name} of {self.venue} begins {iso(int(times[0]))}; asked for {iso(first)}."
            )
        # A bot has the candles up to the one that forms.
        ends = int(times[-1]) + (length if self._market.fetches else 0)
        if last is not None and ends < open_time(last, timeframe):
            self._note(f"{name} of {self.venue} ends {iso(int(times[-1]))}; asked for {iso(last)}.")
        if self._market.fetches:
            return
        lacking = int(times[-1] - times[0]) // length + 1 - len(times)
        if lacking:
            self._note(
                f"{name}: {formats.count(lacking)} candles between {iso(int(times[0]))} and "
                f"{iso(int(times[-1]))} are not stored; data_report({symbol!r}) lists them."
            )

    def _note_real(self, symbol: str) -> None:
        """Note, once for all symbols, that the candles are invented while real ones are stored."""
        if self._told_real:
            return
        for place in stored_elsewhere(self._market.directory, self.venue, symbol, real_only=True):
            self._told_real = True
            self._note(f"These are candles of {self.venue}. {place}")

    def _others(self, symbol: str) -> list[str]:
        return list(stored_elsewhere(self._market.directory, self.venue, symbol))

    @contextmanager
    def _pointing_elsewhere(self, symbol: str) -> Iterator[None]:
        """Add to an error where else candles of a symbol are stored."""
        try:
            yield
        except (UnknownSymbol, StoreError) as error:
            others = self._others(symbol)
            if not others:
                raise
            raise type(error)(f"{error} {' '.join(others)}") from error

    def _note(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self._notes.append(text)
            logger.info("%s", text)

    def __repr__(self) -> str:
        return f"<research on {self.venue} · {self.database}>"

    def _repr_html_(self) -> str:
        if not self.database.is_file():
            return card(self.venue, lines(["no candles are stored yet"]), badge="RESEARCH")
        with self._market.reader() as database:
            storage = CandleStorage(database)
            names = sorted(database.symbols().values())
            rows = [[name, *span.cells()] for name in names for span in spans(storage, name)]
        more = lines(
            [f"… and {formats.count(len(rows) - SHOWN)} more"] if len(rows) > SHOWN else []
        )
        table = html_table(("symbol", "timeframe", "from (market time)", "to"), rows[:SHOWN])
        return card(self.venue, table, more, notes=str(self.database), badge="RESEARCH")


def _is_absolute(value: Moment) -> bool:
    """Return whether a point in time does not depend on the present."""
    if not isinstance(value, str):
        return True
    return not value.strip() or (value.strip()[4:5] == "-")
