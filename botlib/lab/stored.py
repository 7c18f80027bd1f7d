"""`StoredMarket`: a venue or a paper market as its database has it, without a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from botlib.core.errors import InvalidInput, StoreLocked, UnknownSymbol, did_you_mean
from botlib.core.timeframe import TIMEFRAMES, open_time, timeframe_ms
from botlib.lab.databases import StoredSpan, open_reader, spans, stored_elsewhere
from botlib.lab.listed_market import ListedMarket
from botlib.market_data.history import FetchReport, Moment, Progress
from botlib.market_data.history import download as fetch
from botlib.store import CandleStorage, Database, database_path
from botlib.store.market_lists import load_market_list, market_list_path
from botlib.venues.market_list import MarketList
from botlib.venues.registry import PAPER_PREFIX, SYNTHETIC_PREFIX, build_exchange
from botlib.venues.symbols import unified_symbol

if TYPE_CHECKING:
    import pandas as pd

    from botlib.store.files.importing import ImportReport

LONGEST_WAIT: Final = 600.0
"""Longest wait in seconds that the venue may impose on a download."""


class StoredMarket:
    """The stored candles of a market.

    Args:
        directory: the data directory.
        venue: stamp of the market.
    """

    fetches: Final = False

    def __init__(self, directory: Path, venue: str) -> None:
        self.directory: Final = directory
        self.venue: Final = venue
        self.database: Final = database_path(directory, venue)
        self._markets: tuple[int, MarketList | None] | None = None

    def reader(self) -> Database:
        """Open its database for reads, beside any writer.

        Raises:
            InvalidInput: it does not exist.
        """
        if not self.database.exists():
            if self.venue.startswith(PAPER_PREFIX):
                advice = "A bot that connects to this market makes it."
            else:
                advice = (
                    "lab.download(symbol, timeframe, since='365d') fetches candles without a key, "
                    "and lab.import_files(...) reads files."
                )
            raise InvalidInput(
                f"There are no stored candles of {self.venue}: {str(self.database)!r} does not "
                f"exist. {advice}"
            )
        return open_reader(self.database, self.venue)

    def default_symbol(self) -> str:
        """Return the only symbol with candles.

        Raises:
            InvalidInput: there are none, or several.
        """
        with self.reader() as database:
            names = sorted(database.symbols().values())
        if len(names) != 1:
            raise InvalidInput(f"Name a symbol. Stored: {', '.join(names) or 'none'}.")
        return names[0]

    def listed(self, symbol: str) -> ListedMarket:
        """Return how a symbol is traded, by the stored list of markets or the shipped one.

        Raises:
            UnknownSymbol: neither has it.
        """
        name, listed = unified_symbol(symbol), self._list()
        if listed is None:
            raise UnknownSymbol(
                f"Nothing is known of the markets of {self.venue}. A bot that connects to it "
                "stores them."
            )
        if name not in listed.markets:
            known = "" if listed.complete else " A connection or a download stores all markets."
            raise UnknownSymbol(
                f"{name} is not in the list of the markets of {self.venue} ({listed.source})."
                f"{known}{did_you_mean(name, listed.markets)}"
            )
        from botlib.backtesting.costs import Costs

        fee = float(listed.fee)
        # A synthetic market fills at its price; recorded candles are a real one's.
        free = self.venue.startswith(SYNTHETIC_PREFIX)
        return ListedMarket(
            market=listed.markets[name],
            fee=fee,
            source=listed.source,
            shipped=not listed.complete,
            costs=Costs.none(fee=fee) if free else Costs().changed(fee=fee),
        )

    async def now(self, symbol: str, timeframes: Sequence[str]) -> int:
        """Return when the newest stored candle closed, ms.

        Raises:
            InvalidInput: there are no candles.
        """

        def work() -> int:
            with self.reader() as database:
                stored = spans(CandleStorage(database), symbol)
            if not stored:
                raise self._absent(symbol, timeframes[0], stored)
            chosen = [span for span in stored if span.timeframe in timeframes] or stored
            return max(span.last + timeframe_ms(span.timeframe) for span in chosen)

        return await asyncio.to_thread(work)

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
        """Return stored candles; a timeframe that is not stored is built from a shorter one."""
        return await asyncio.to_thread(self._frame, symbol, timeframe, since, until, limit)

    def _frame(
        self, symbol: str, timeframe: str, since: int | None, until: int | None, limit: int | None
    ) -> tuple[pd.DataFrame, str]:
        with self.reader() as database:
            storage = CandleStorage(database)
            if storage.last_closed(symbol, timeframe) is not None:
                return storage.frame(symbol, timeframe, since, until, limit), ""
            stored = spans(storage, symbol)
            base = _base(stored, timeframe)
            if base is None:
                raise self._absent(symbol, timeframe, stored)
            return _built(storage, symbol, timeframe, base, since, until, limit)

    async def download(
        self,
        symbol: str,
        timeframe: str,
        since: Moment,
        until: Moment | None,
        *,
        url: str | None = None,
        progress: Progress | None = None,
    ) -> FetchReport:
        """Connect to the venue, fetch and store missing candles, and close the connection.

        Args:
            url: address of a running paper exchange, for its market only.
        """
        try:
            if not self.venue.startswith(PAPER_PREFIX):
                if url is not None:
                    raise InvalidInput(
                        f"url is the address of a paper exchange; candles of {self.venue} come "
                        "from the venue itself. Leave it out."
                    )
                exchange = build_exchange(self.venue, max_wait=LONGEST_WAIT)
                return await fetch(
                    exchange, self.directory, symbol, timeframe, since, until, progress=progress
                )
            if url is None:
                raise InvalidInput(
                    f"Candles of {self.venue} come from its paper exchange. Pass the address of "
                    "a running one as url=, or connect a bot to it."
                )
            return await self._from_paper(url, symbol, timeframe, since, until, progress)
        except StoreLocked as error:
            raise _locked(error) from error

    async def _from_paper(
        self,
        url: str,
        symbol: str,
        timeframe: str,
        since: Moment,
        until: Moment | None,
        progress: Progress | None,
    ) -> FetchReport:
        from botlib.paper import PaperControl

        async with PaperControl(url) as control:

            async def market_time() -> int:
                return int((await control.state())["market_time"])

            venue = str((await control.state())["venue"])
            if venue != self.venue:
                raise InvalidInput(
                    f"The exchange at {url} is {venue}, not {self.venue}. Candles of different "
                    f"markets are never mixed: use the lab of that market."
                )
            exchange = build_exchange(venue, rest_url=url, market_time=market_time)
            return await fetch(
                exchange, self.directory, symbol, timeframe, since, until, progress=progress
            )

    async def import_files(
        self, paths: Iterable[str | Path], *, overwrite: bool, progress: Progress | None
    ) -> ImportReport:
        """Store the candles of files, as the writer of the database."""
        from botlib.store.files.importing import import_into

        try:
            return await asyncio.to_thread(
                import_into,
                self.directory,
                paths,
                venue=self.venue,
                overwrite=overwrite,
                progress=progress,
            )
        except StoreLocked as error:
            raise _locked(error) from error

    def _list(self) -> MarketList | None:
        """Return the list of markets, read again if its file has changed."""
        path = market_list_path(self.database)
        try:
            stamp = path.stat().st_mtime_ns
        except OSError:
            stamp = 0
        if self._markets is None or self._markets[0] != stamp:
            self._markets = stamp, load_market_list(self.database, self.venue)
        return self._markets[1]

    def _absent(self, symbol: str, timeframe: str, stored: Sequence[StoredSpan]) -> InvalidInput:
        name = unified_symbol(symbol)
        if stored:
            there = f"Stored of it: {'; '.join(map(str, stored))}."
        else:
            with self.reader() as database:
                names = sorted(database.symbols().values())
            there = f"Stored symbols: {', '.join(names) or 'none'}.{did_you_mean(name, names)}"
        if self.venue.startswith(PAPER_PREFIX):
            advice = "A bot on this market fetches them."
        else:
            advice = (
                f"lab.download({name!r}, {timeframe!r}, since='365d') fetches them without a key, "
                "lab.import_files(...) reads files."
            )
        others = "".join(
            f" {place}" for place in stored_elsewhere(self.directory, self.venue, name)
        )
        return InvalidInput(
            f"{str(self.database)!r} has no candles of {name} {timeframe}. {there} {advice}{others}"
        )


def _base(stored: Sequence[StoredSpan], timeframe: str) -> str | None:
    """Return the longest stored timeframe from which another can be built."""
    from botlib.frames.resampling import divides

    timeframe_ms(timeframe)
    fitting = [span.timeframe for span in stored if divides(span.timeframe, timeframe)]
    return max(fitting, key=list(TIMEFRAMES).index, default=None)


def _built(
    storage: CandleStorage,
    symbol: str,
    timeframe: str,
    base: str,
    since: int | None,
    until: int | None,
    limit: int | None,
) -> tuple[pd.DataFrame, str]:
    from botlib.frames import open_times, resample

    first = None if since is None else open_time(since, timeframe)
    last = None
    if until is not None:
        last = open_time(until, timeframe) + timeframe_ms(timeframe) - timeframe_ms(base)
    frame = resample(storage.frame(symbol, base, first, last), timeframe, base=base)
    if since is not None:
        frame = frame.iloc[int((open_times(frame.index) < since).sum()) :]
    if limit is not None:
        frame = frame.iloc[-limit:] if limit > 0 else frame.iloc[:0]
    note = (
        f"{unified_symbol(symbol)} {timeframe} is not stored; it is built from the {base} candles."
    )
    return frame, note


def _locked(error: StoreLocked) -> StoreLocked:
    """Return the error of a lock, with what a researcher can do."""
    text = str(error).split(" Stop that one first")[0]
    return StoreLocked(
        f"{text} Reading needs no lock. If it is a bot, use its own bot.download or "
        "bot.import_files in its kernel; else wait until it has ended."
    )
