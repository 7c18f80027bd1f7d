"""`Repairer`: asks the venue for the candles a subscription has missed, and settles its order."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from botlib.core.clock import MarketClock, iso
from botlib.core.errors import ExchangeError
from botlib.core.model import Candle, GapFilled
from botlib.core.retry import Backoff, backoff_delay
from botlib.core.timeframe import open_time
from botlib.market_data.candle_subscription import CandleSubscription
from botlib.market_data.sequencer import Settled
from botlib.store.candles import CandleStorage
from botlib.venues.base import Exchange

logger = logging.getLogger(__name__)

PAGE: Final = 1_000
CONCURRENT_REQUESTS: Final = 4
PATIENCE: Final = 4
"""How often an answer that does not reach the newest candle is asked for again: reads may lag."""

RECHECKED: Final = 5
"""Candles asked for again after a cut, in case the venue has revised them meanwhile."""

RETRY_FIRST: Final = 0.2
RETRY_LONGEST: Final = 30.0

Deliver = Callable[[CandleSubscription, list[Candle], bool], None]
"""Takes candles in order, and whether the last one is recent enough to act on."""


@dataclass(slots=True)
class _Tally:
    """What one repair has done so far."""

    start: int | None = None
    end: int = 0
    candles: int = 0
    holes: int = 0

    def cover(self, first: int, last: int) -> None:
        """Take in a stretch of open times."""
        self.start = first if self.start is None else min(self.start, first)
        self.end = max(self.end, last)


class Repairer:
    """Fills gaps by REST, page by page, oldest first. Shared by all subscriptions of a stream."""

    def __init__(
        self,
        exchange: Exchange,
        storage: CandleStorage,
        clock: MarketClock,
        *,
        deliver: Deliver,
        again: Callable[[Candle], None],
        filled: Callable[[GapFilled], None],
        room: Callable[[], object],
        running: Callable[[], bool],
        rng: random.Random,
    ) -> None:
        self._exchange = exchange
        self._storage = storage
        self._clock = clock
        self._deliver = deliver
        self._again = again
        self._filled = filled
        self._room = room
        self._running = running
        self._rng = rng
        self._requests = asyncio.Semaphore(CONCURRENT_REQUESTS)

    async def repair(self, subscription: CandleSubscription) -> None:
        """Ask and settle until nothing is missing; the venue being away only delays it."""
        backoff = Backoff(RETRY_FIRST, RETRY_LONGEST, rng=self._rng)
        tally = _Tally()
        patience = PATIENCE
        while self._running():
            try:
                if subscription.sequence.last is None:
                    await self._load_history(subscription)
                    continue
                if subscription.history > subscription.loaded:
                    await self._deepen(subscription)
                    continue
                missing = self._missing(subscription)
                if missing is None and subscription.recheck:
                    await self._recheck(subscription, subscription.sequence.last)
                    continue
                if missing is None:
                    break
                subscription.complete = False
                progress = await self._step(subscription, *missing, tally, final=patience <= 1)
            except ExchangeError as error:
                subscription.failures += 1
                logger.warning(
                    "Missing candles of %s %s cannot be fetched: %s", *subscription.key, error
                )
                await backoff.wait()
                continue
            backoff.reset()
            if progress:
                patience = PATIENCE
            else:
                patience -= 1
                if patience > 0:
                    await asyncio.sleep(backoff_delay(PATIENCE - patience, first=RETRY_FIRST))
        self._report(subscription, tally)
        subscription.complete = True

    def _missing(self, subscription: CandleSubscription) -> tuple[int, int] | None:
        """Return the first and last candle to ask for, from frames or from a check after a cut."""
        sequence = subscription.sequence
        if (gap := sequence.gap()) is not None:
            return gap
        until, last = subscription.check_until, sequence.last
        if until is not None and last is not None and until > last:
            return last + sequence.length, until
        subscription.check_until = None
        return None

    async def _step(
        self, subscription: CandleSubscription, start: int, end: int, tally: _Tally, *, final: bool
    ) -> bool:
        """Fetch one page and settle what it proves; return whether that was anything.

        The candle after ``end`` is asked for too, open or not: an answer that has it is up to
        date, and what it lacks before does not exist. Without it the answer may be a lagging copy.
        ``final`` takes such an answer for the truth after all.
        """
        sequence, length = subscription.sequence, subscription.sequence.length
        evident = sequence.gap() is not None
        async with self._requests:
            rows = await self._exchange.fetch_candles(
                *subscription.key,
                start,
                end + length,
                now=self._clock.now(),
                limit=PAGE,
                forming=True,
            )
        reached = rows[-1].timestamp if rows else start - length
        if reached > end:
            until = end
        elif not final or len(rows) == PAGE:
            # The last row itself may be a copy from before its close.
            until = reached - length
        elif evident:
            until = end
        else:
            # Nothing but the clock says that there is more: the venue may have halted.
            until = reached if rows and rows[-1].closed else reached - length
            subscription.check_until = None
        before = sequence.last
        closed = [row for row in rows if row.closed]
        self._settle(subscription, sequence.settle(closed, until), until, tally)
        return sequence.last != before or final

    async def _recheck(self, subscription: CandleSubscription, last: int) -> None:
        """Fetch the newest candles again that came out; the storage notices revisions."""
        subscription.recheck = False
        length = subscription.sequence.length
        async with self._requests:
            rows = await self._exchange.fetch_candles(
                *subscription.key,
                last - (RECHECKED - 1) * length,
                last + length,
                now=self._clock.now(),
                limit=RECHECKED + 1,
                forming=True,
            )
        # What the last row says may come from a copy that lags behind, from before its close.
        for row in rows[:-1]:
            if row.closed and row.timestamp <= last:
                self._again(row)

    def _settle(
        self, subscription: CandleSubscription, settled: Settled, until: int, tally: _Tally
    ) -> None:
        for first, last in settled.holes:
            tally.holes += self._mark(subscription, first, last)
            tally.cover(first, last)
        candles = settled.candles
        if not candles:
            return
        # Beyond ``until`` come candles that had only waited behind the gap.
        missed = [candle.timestamp for candle in candles if candle.timestamp <= until]
        if missed:
            tally.candles += len(missed)
            subscription.backfilled += len(missed)
            tally.cover(missed[0], missed[-1])
        self._deliver(subscription, candles, self._recent(subscription, candles[-1]))

    def _recent(self, subscription: CandleSubscription, candle: Candle) -> bool:
        """Tell whether the market still stands in the first candle after this one."""
        sequence = subscription.sequence
        if not sequence.caught_up():
            return False
        following = max(candle.timestamp + sequence.length, sequence.forming or 0)
        return open_time(self._clock.now(), subscription.timeframe) <= following

    def _mark(self, subscription: CandleSubscription, first: int, last: int) -> int:
        length = subscription.sequence.length
        self._storage.mark_hole(
            *subscription.key, first, last, cause="absent at the venue", now=self._clock.now()
        )
        count = (last - first) // length + 1
        subscription.holes += count
        logger.info("%s %s: the venue has no candles %s to %s", *subscription.key,
                    iso(first), iso(last))  # fmt: skip
        return count

    def _report(self, subscription: CandleSubscription, tally: _Tally) -> None:
        if tally.start is None:
            return
        subscription.gaps += 1
        symbol, timeframe = subscription.key
        self._filled(
            GapFilled(
                symbol=symbol,
                timeframe=timeframe,
                start=tally.start,
                end=tally.end,
                candles=tally.candles,
                holes=tally.holes,
            )
        )

    async def _load_history(self, subscription: CandleSubscription) -> None:
        """Fetch what the storage lacks of the wanted history, and start the order behind it."""
        sequence = subscription.sequence
        newest = open_time(self._clock.now(), subscription.timeframe) - sequence.length

        def publish(rows: list[Candle]) -> None:
            self._deliver(subscription, rows, False)

        known = await self._load(subscription, newest, publish)
        ready = sequence.start(newest if known is None else known)
        if ready:
            self._deliver(subscription, ready, self._recent(subscription, ready[-1]))
        if known is not None:
            subscription.last_closed = max(subscription.last_closed or 0, known)

    async def _deepen(self, subscription: CandleSubscription) -> None:
        """Fetch older history than was wanted at the start."""

        def store(rows: list[Candle]) -> None:
            self._storage.write(rows, now=self._clock.now())

        await self._load(subscription, subscription.sequence.last or 0, store)

    async def _load(
        self, subscription: CandleSubscription, newest: int, take: Callable[[list[Candle]], None]
    ) -> int | None:
        """Fetch what the storage lacks of the history up to ``newest``; return the newest known."""
        history, length = subscription.history, subscription.sequence.length
        oldest = newest - (history - 1) * length
        known: int | None = None
        if history > 0:
            for start, end in self._storage.missing(*subscription.key, oldest, newest):
                loaded = await self._load_run(subscription, start, end, newest, take)
                known = loaded if loaded is not None else known
            for candle in self._storage.candles(*subscription.key, oldest, newest, limit=1):
                known = max(known or 0, candle.timestamp)
        subscription.loaded = history
        return known

    async def _load_run(
        self,
        subscription: CandleSubscription,
        start: int,
        end: int,
        newest: int,
        take: Callable[[list[Candle]], None],
    ) -> int | None:
        """Fetch one run of missing history; return the newest candle it has."""
        length = subscription.sequence.length
        known: int | None = None
        now = self._clock.now()
        bounded = bool(self._storage.candles(*subscription.key, until=start - length, limit=1))
        while start <= end:
            async with self._requests:
                rows = await self._exchange.fetch_candles(
                    *subscription.key, start, end, now=now, limit=PAGE
                )
            for row in rows:
                # Before its first candle a symbol was not listed: that is no hole.
                if row.timestamp > start and (bounded or known is not None):
                    self._mark(subscription, start, row.timestamp - length)
                known, start = row.timestamp, row.timestamp + length
            if rows:
                subscription.backfilled += len(rows)
                take(rows)
                await _settled(self._room)
            if len(rows) < PAGE:
                break
        if start <= end < newest and (bounded or known is not None):
            # Something later is stored, so that the rest of the run lies between candles.
            self._mark(subscription, start, end)
        return known


async def _settled(room: Callable[[], object], *, patience: float = 10.0) -> None:
    """Wait a while until subscribers of the bus have caught up."""
    end = asyncio.get_running_loop().time() + patience
    # Queues of others getting shorter is no event to wait for.
    while not room() and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
