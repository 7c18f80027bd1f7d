"""`History`: fetches the candles that the storage lacks, page by page, and stores known holes.

Every page is stored as soon as it arrives, so an interrupted download loses nothing and the next
one continues behind it. Candles that the venue proves not to have are stored as holes and never
requested again.
"""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from botlib.core.clock import SystemClock, iso
from botlib.core.errors import ExchangeUnavailable, InvalidInput
from botlib.core.model import Candle
from botlib.core.retry import backoff_delay, retry
from botlib.core.text import formats
from botlib.core.timeframe import open_time, parse_since, timeframe_ms
from botlib.market_data.gaps import ABSENT, ATTEMPTS, Judgement, fetch_answer, judge_answer
from botlib.store import CandleStorage, Database, Run, database_path
from botlib.store.database import check_unlocked
from botlib.store.market_lists import save_market_list
from botlib.venues.base import Exchange

if TYPE_CHECKING:
    import pandas as pd

WRITE: Final = 200
"""Candles stored in one transaction, which takes a few ms of the loop."""

BEFORE_LISTING: Final = "before listing"

RETRY_FIRST: Final = 0.5

Progress = Callable[[int, int], None]
"""Receives how many of the missing candles are settled, and how many there were."""

Moment = float | str | date
"""A time in any form that `botlib.core.timeframe.parse_since` accepts."""


@dataclass(slots=True, kw_only=True)
class FetchReport:
    """The result of one call of `History.fetch`. Counts are of candles."""

    symbol: str
    timeframe: str
    start: int
    """First open time requested, ms."""
    end: int
    """Last open time requested, ms: that of the newest closed candle, or an earlier one."""
    missing: int = 0
    """Neither stored nor known holes before the call."""
    stored: int = 0
    holes: int = 0
    """Found absent at the venue, and stored as holes."""
    before_listing: int = 0
    """Found to be earlier than the venue's first candle, and stored as holes."""
    unsettled: int = 0
    """Not in the answer, but too recent to be sure: the next call requests them again."""
    requests: int = 0

    def __str__(self) -> str:
        span = f"{iso(self.start)} to {iso(self.end)}" if self.start <= self.end else "nothing yet"
        parts = [f"{self.symbol} {self.timeframe}, {span}"]
        if not self.missing:
            return f"{parts[0]}: nothing is missing"
        counts = {
            "candles stored": self.stored,
            "absent at the venue": self.holes,
            "before listing": self.before_listing,
            "not there yet": self.unsettled,
        }
        parts += [f"{formats.count(count)} {name}" for name, count in counts.items() if count]
        return ": ".join((parts[0], ", ".join(parts[1:]) or "nothing came"))


class History:
    """The history of a venue's candles, fetched into the storage.

    Args:
        exchange: connected; it respects the venue's limits and waits when it is told to.
        storage: of the same venue.
        rng: source of the jitter of retries.
    """

    def __init__(
        self, exchange: Exchange, storage: CandleStorage, rng: random.Random | None = None
    ) -> None:
        self._exchange = exchange
        self._storage = storage
        self._rng = rng or random.Random()
        self._busy: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def fetch(
        self,
        symbol: str,
        timeframe: str,
        since: Moment,
        until: Moment | None = None,
        *,
        progress: Progress | None = None,
    ) -> FetchReport:
        """Fetch and store the missing closed candles of a time span, oldest first.

        Args:
            symbol: in either form.
            timeframe: one of `botlib.core.timeframe.TIMEFRAMES`.
            since: start of the span: ``"180d"``, ``"2024-01-01"``, a datetime or ms.
            until: the last open time; None is that of the newest closed candle.
            progress: called after every page.

        Raises:
            InvalidInput: the span cannot be read, starts in the future or ends before its start.
            UnknownSymbol: the venue does not list it.
            ExchangeUnavailable: the venue cannot be reached or asks to wait for too long.
            StoreError: a page could not be stored.
            Pages that arrived before an error are stored, and the next call continues behind them.
        """
        name, now = self._exchange.market(symbol).symbol, await self._exchange.market_time()
        start, end = _span(timeframe, since, until, now)
        report = FetchReport(symbol=name, timeframe=timeframe, start=start, end=end)
        # Two calls at once would fetch everything twice; the second one finds it stored.
        async with self._busy[name, timeframe]:
            runs = await asyncio.to_thread(self._storage.missing, name, timeframe, start, end)
            download = _Download(self._exchange, self._storage, self._rng, report, now, progress)
            download.expect(runs)
            page = self._exchange.capabilities.candles_per_page
            for group in grouped(runs, timeframe_ms(timeframe), page):
                await download.fetch(group)
        return report

    async def frame(
        self,
        symbol: str,
        timeframe: str,
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        limit: int | None = None,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Return closed candles as a candle frame, after fetching those that are missing.

        Args:
            symbol: in either form.
            timeframe: one of `botlib.core.timeframe.TIMEFRAMES`.
            since: start of the frame. None with a ``limit`` is that many candles before the end;
                None without one returns all stored candles and fetches nothing.
            until: the last open time; None is that of the newest closed candle.
            limit: most candles returned, the newest ones.
            progress: called after every page.

        Raises:
            As `fetch`.
        """
        now = await self._exchange.market_time()
        first = None if since is None else parse_since(since, now)
        last = None if until is None else parse_since(until, now)
        if limit is not None and limit > 0 and first is None:
            length = timeframe_ms(timeframe)
            newest = min(now - length, now if last is None else last)
            first = max(0, open_time(newest, timeframe) - (limit - 1) * length)
        if first is not None:
            await self.fetch(symbol, timeframe, first, last, progress=progress)
        return await asyncio.to_thread(self._storage.frame, symbol, timeframe, first, last, limit)


async def download(
    exchange: Exchange,
    directory: Path,
    symbol: str,
    timeframe: str,
    since: Moment,
    until: Moment | None = None,
    *,
    progress: Progress | None = None,
) -> FetchReport:
    """Connect, fetch missing candles into the venue's database, and close everything.

    Args:
        exchange: not connected yet; closed at the end.
        directory: the data directory, as configured.
        symbol: in either form.
        timeframe: one of `botlib.core.timeframe.TIMEFRAMES`.
        since: as in `History.fetch`.
        until: as in `History.fetch`.
        progress: as in `History.fetch`.

    Raises:
        StoreLocked: a running bot writes to the database; use its own history instead.
        BotlibError: as in `History.fetch`.
    """
    path = database_path(directory, exchange.venue)
    try:
        check_unlocked(path)
        await exchange.connect()
        exchange.market(symbol)
        await store_markets(exchange, path)
        with Database.open(path, exchange.venue) as database:
            history = History(exchange, CandleStorage(database))
            return await history.fetch(symbol, timeframe, since, until, progress=progress)
    finally:
        await exchange.close()


async def store_markets(exchange: Exchange, database: Path, fee: Decimal | None = None) -> None:
    """Store what a connected venue lists beside its database, with the date.

    Args:
        exchange: connected.
        database: path of its database.
        fee: fraction of the value of a fill; None is the venue's standard fee.
    """

    def work() -> None:
        save_market_list(
            database,
            exchange.venue,
            exchange.markets(),
            now=SystemClock().now(),
            fee=exchange.capabilities.standard_fee if fee is None else fee,
        )

    await asyncio.to_thread(work)


def _span(timeframe: str, since: Moment, until: Moment | None, now: int) -> tuple[int, int]:
    """Return the first and last open time of the closed candles of a time span."""
    length = timeframe_ms(timeframe)
    begin = parse_since(since, now)
    stop = now if until is None else parse_since(until, now)
    if begin > now:
        raise InvalidInput(
            f"Cannot fetch candles since {since!r}: {iso(begin)} UTC is in the future of the "
            f"market, where it is {iso(now)} UTC."
        )
    if stop < begin:
        raise InvalidInput(
            f"Cannot fetch candles since {since!r} until {until!r}: the end is before the "
            f"start ({iso(stop)} and {iso(begin)} UTC)."
        )
    start = open_time(begin, timeframe)
    start += length if start < begin else 0
    # A candle has closed when the next one opens.
    return start, min(open_time(stop, timeframe), open_time(now, timeframe) - length)


def grouped(runs: Iterable[Run], length: int, page: int) -> list[list[Run]]:
    """Return runs of missing candles in groups, each of which fits into one answer.

    Args:
        runs: first and last open time of each, ms, ascending.
        length: of a candle, ms.
        page: most candles in one answer.
    """
    groups: list[list[Run]] = []
    for run in runs:
        # One row of the answer is reserved for the candle behind the last run.
        if groups and run[1] - groups[-1][0][0] <= (page - 2) * length:
            groups[-1].append(run)
        else:
            groups.append([run])
    return groups


def counted(runs: Iterable[Run], start: int, end: int, length: int) -> int:
    """Return how many candles of ``runs`` are between two open times, both included."""
    return sum(max(0, (min(last, end) - max(first, start)) // length + 1) for first, last in runs)


def _among(runs: list[Run], timestamp: int) -> bool:
    place = bisect_right(runs, timestamp, key=itemgetter(0)) - 1
    return place >= 0 and timestamp <= runs[place][1]


class _Download:
    """The work of one call of `History.fetch`."""

    def __init__(
        self,
        exchange: Exchange,
        storage: CandleStorage,
        rng: random.Random,
        report: FetchReport,
        now: int,
        progress: Progress | None,
    ) -> None:
        self._exchange = exchange
        self._rng = rng
        self._storage = storage
        self._report = report
        self._key = report.symbol, report.timeframe
        self._length = timeframe_ms(report.timeframe)
        self._now = now
        self._progress = progress
        self._done = 0

    def expect(self, runs: list[Run]) -> None:
        """Record which candles are to be fetched."""
        self._report.missing = counted(runs, 0, self._now, self._length)
        self._advance(0)

    async def fetch(self, runs: list[Run]) -> None:
        """Fetch some runs of missing candles, and the candles that lie between them."""
        length, start, end = self._length, runs[0][0], runs[-1][1]
        if not self._storage.candles(*self._key, until=start - length, limit=1):
            start = await self._after_listing(runs)
        attempts = ATTEMPTS
        while start <= end:
            judged = await self._judged(start, end, final=attempts <= 1)
            if judged.until >= start:
                await self._settle(runs, judged, start)
                start, attempts = judged.until + length, ATTEMPTS
            elif judged.again:
                attempts -= 1
                await asyncio.sleep(backoff_delay(ATTEMPTS - attempts, first=RETRY_FIRST / 2))
            if not judged.again:
                break
        left = counted(runs, start, end, length)
        self._report.unsettled += left
        self._advance(left)

    async def _after_listing(self, runs: list[Run]) -> int:
        """Store candles before the venue's first one as holes; return where candles may start."""
        start, end = runs[0][0], runs[-1][1]

        async def oldest() -> list[Candle]:
            return await self._exchange.fetch_candles(
                *self._key, 0, self._now, now=self._now, limit=1, forming=True
            )

        rows = await self._ask(oldest)
        listed = open_time(rows[0].timestamp, self._report.timeframe) if rows else start
        if listed <= start:
            return start
        last = min(end, listed - self._length)
        self._report.before_listing += self._storage.mark_hole(
            *self._key, start, last, cause=BEFORE_LISTING, now=self._now
        )
        self._advance(counted(runs, start, last, self._length))
        return last + self._length

    async def _settle(self, runs: list[Run], judged: Judgement, start: int) -> None:
        """Store the candles of an answer, then its holes."""
        wanted = [candle for candle in judged.candles if _among(runs, candle.timestamp)]
        for first in range(0, len(wanted), WRITE):
            part = wanted[first : first + WRITE]
            self._report.stored += self._storage.write(part, now=self._now).closed
            await asyncio.sleep(0)
        for first, last in judged.holes:
            self._report.holes += self._storage.mark_hole(
                *self._key, first, last, cause=ABSENT, now=self._now
            )
        self._advance(counted(runs, start, judged.until, self._length))

    def _advance(self, candles: int) -> None:
        self._done += candles
        if self._progress is not None and self._report.missing:
            self._progress(self._done, self._report.missing)

    async def _judged(self, start: int, end: int, *, final: bool) -> Judgement:
        """Fetch one page of missing candles and judge it."""

        async def page() -> list[Candle]:
            return await fetch_answer(self._exchange, *self._key, start, end, now=self._now)

        return judge_answer(
            await self._ask(page),
            start,
            end,
            self._report.timeframe,
            now=self._now,
            page=self._exchange.capabilities.candles_per_page,
            final=final,
        )

    async def _ask(self, fetch: Callable[[], Awaitable[list[Candle]]]) -> list[Candle]:
        """Fetch candles; a venue that is unreachable for a moment only delays it."""

        async def counted_fetch() -> list[Candle]:
            self._report.requests += 1
            return await fetch()

        try:
            return await retry(counted_fetch, rng=self._rng, delay=RETRY_FIRST)
        except ExchangeUnavailable as error:
            raise ExchangeUnavailable(
                f"{error} {formats.count(self._report.stored)} candles of {' '.join(self._key)} "
                "were stored before; the same call goes on behind them."
            ) from error
