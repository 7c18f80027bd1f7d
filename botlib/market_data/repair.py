"""`Repairer`: fetches the candles that a subscription has missed, and settles their order."""

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
from botlib.market_data.gaps import (
    ABSENT,
    ATTEMPTS,
    Judgement,
    fetch_answer,
    judge_answer,
    on_grid,
)
from botlib.market_data.sequencer import SettledGap
from botlib.store.candles import CandleStorage
from botlib.venues.base import Exchange

logger = logging.getLogger(__name__)

CONCURRENT_REQUESTS: Final = 4

RECHECKED: Final = 5
"""Candles requested again after a disconnection, in case the venue has revised them meanwhile."""

RETRY_FIRST: Final = 0.2
RETRY_LONGEST: Final = 30.0

Deliver = Callable[[CandleSubscription, list[Candle], bool], None]
"""Receives candles in order, and whether the last one is recent enough to act on."""


@dataclass(slots=True)
class _RepairedSpan:
    """The span that one repair has settled so far."""

    start: int | None = None
    end: int = 0
    candles: int = 0
    holes: int = 0

    def include(self, first: int, last: int) -> None:
        """Extend the span by a run of open times."""
        self.start = first if self.start is None else min(self.start, first)
        self.end = max(self.end, last)


class Repairer:
    """The repair of gaps by REST, page by page, oldest first, for all subscriptions of a stream.

    Args:
        exchange: the venue.
        storage: where holes and older history are stored.
        clock: market time.
        deliver: receives candles to be stored and published.
        again: receives candles that came out before, to find revisions.
        filled: receives the event of a settled gap.
        room: returns whether the subscribers of the bus have caught up.
        running: returns whether the stream runs.
        rng: source of the jitter of retries.
    """

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
        """Fetch and settle until no candle is missing; an unreachable venue only delays it."""
        backoff = Backoff(RETRY_FIRST, RETRY_LONGEST, rng=self._rng)
        span = _RepairedSpan()
        attempts = ATTEMPTS
        while self._running() and not subscription.ended:
            try:
                if subscription.sequence.last is None:
                    await self._load_history(subscription)
                    continue
                if subscription.history_due:
                    await self._extend_history(subscription)
                    continue
                missing = subscription.missing()
                if missing is None and subscription.take_recheck():
                    await self._recheck(subscription, subscription.sequence.last)
                    continue
                if missing is None:
                    break
                subscription.lose()
                progress = await self._step(subscription, *missing, span, final=attempts <= 1)
            except ExchangeError as error:
                subscription.count_failure()
                logger.warning(
                    "Missing candles of %s %s cannot be fetched: %s", *subscription.key, error
                )
                await backoff.wait()
                continue
            backoff.reset()
            if progress:
                attempts = ATTEMPTS
            else:
                attempts -= 1
                if attempts > 0:
                    await asyncio.sleep(backoff_delay(ATTEMPTS - attempts, first=RETRY_FIRST))
        self._report(subscription, span)
        subscription.complete_up_to_now()

    async def _step(
        self,
        subscription: CandleSubscription,
        start: int,
        end: int,
        span: _RepairedSpan,
        *,
        final: bool,
    ) -> bool:
        """Fetch one page and settle what it proves; return whether that was anything."""
        sequence = subscription.sequence
        # If only the clock says that there are more candles, the venue may have halted.
        evident = sequence.gap() is not None
        judged = await self._judged(subscription, start, end, evident=evident, final=final)
        if not judged.again and judged.until < end and not evident:
            subscription.end_check()
        before = sequence.last
        settled = sequence.settle(judged.candles, judged.until)
        self._settle(subscription, settled, judged.until, span)
        return sequence.last != before or final

    async def _judged(
        self,
        subscription: CandleSubscription,
        start: int,
        end: int,
        *,
        evident: bool = False,
        final: bool = False,
    ) -> Judgement:
        """Fetch one page of missing candles and judge it."""
        now = self._clock.now()
        async with self._requests:
            rows = await fetch_answer(self._exchange, *subscription.key, start, end, now=now)
        return judge_answer(
            rows,
            start,
            end,
            subscription.timeframe,
            now=now,
            page=self._exchange.capabilities.candles_per_page,
            evident=evident,
            final=final,
        )

    async def _recheck(self, subscription: CandleSubscription, last: int) -> None:
        """Fetch the newest candles again that came out; the storage notices revisions."""
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
        # The last row may be a copy from before its close.
        for row in on_grid(rows[:-1]):
            if row.closed and row.timestamp <= last:
                self._again(row)

    def _settle(
        self, subscription: CandleSubscription, settled: SettledGap, until: int, span: _RepairedSpan
    ) -> None:
        for first, last in settled.holes:
            span.holes += self._mark(subscription, first, last)
            span.include(first, last)
        candles = settled.candles
        if not candles:
            return
        # Beyond ``until`` come candles that had only waited behind the gap.
        missed = [candle.timestamp for candle in candles if candle.timestamp <= until]
        if missed:
            span.candles += len(missed)
            subscription.count_backfilled(len(missed))
            span.include(missed[0], missed[-1])
        self._deliver(subscription, candles, self._recent(subscription, candles[-1]))

    def _recent(self, subscription: CandleSubscription, candle: Candle) -> bool:
        """Return whether the market is still in the first candle after this one."""
        sequence = subscription.sequence
        if not sequence.caught_up():
            return False
        following = max(candle.timestamp + sequence.length, sequence.forming or 0)
        return open_time(self._clock.now(), subscription.timeframe) <= following

    def _mark(self, subscription: CandleSubscription, first: int, last: int) -> int:
        """Store a hole, and return how many candles it has."""
        self._storage.mark_hole(*subscription.key, first, last, cause=ABSENT, now=self._clock.now())
        count = (last - first) // subscription.sequence.length + 1
        subscription.count_holes(count)
        logger.info("%s %s: the venue has no candles %s to %s", *subscription.key,
                    iso(first), iso(last))  # fmt: skip
        return count

    def _report(self, subscription: CandleSubscription, span: _RepairedSpan) -> None:
        if span.start is None:
            return
        subscription.count_gap()
        symbol, timeframe = subscription.key
        self._filled(
            GapFilled(
                symbol=symbol,
                timeframe=timeframe,
                start=span.start,
                end=span.end,
                candles=span.candles,
                holes=span.holes,
            )
        )

    async def _load_history(self, subscription: CandleSubscription) -> None:
        """Fetch what the storage lacks of the wanted history, and start the sequence behind it."""
        sequence = subscription.sequence
        newest = open_time(self._clock.now(), subscription.timeframe) - sequence.length

        def publish(candles: list[Candle]) -> None:
            self._deliver(subscription, candles, False)

        known = await self._load(subscription, newest, publish)
        ready = sequence.start(newest if known is None else known)
        if ready:
            self._deliver(subscription, ready, self._recent(subscription, ready[-1]))
        subscription.history_loaded(known)

    async def _extend_history(self, subscription: CandleSubscription) -> None:
        """Fetch older history than was wanted at the start."""

        def store(candles: list[Candle]) -> None:
            self._storage.write(candles, now=self._clock.now())

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
        subscription.history_requested(history)
        return known

    async def _load_run(
        self,
        subscription: CandleSubscription,
        start: int,
        end: int,
        newest: int,
        take: Callable[[list[Candle]], None],
    ) -> int | None:
        """Fetch one run of missing history; return the newest candle it has.

        What is not settled at the end of the newest run is left to `_step`.
        """
        length = subscription.sequence.length
        known: int | None = None
        # Before its first candle a symbol was not listed: that is no hole.
        listed = bool(self._storage.candles(*subscription.key, until=start - length, limit=1))
        between = end < newest
        while start <= end:
            judged = await self._judged(subscription, start, end, evident=between, final=between)
            if judged.until < start:
                break
            if judged.candles:
                known = judged.candles[-1].timestamp
                first = judged.candles[0].timestamp
            for gap in judged.holes:
                if (listed or (known is not None and gap[0] > first)) and gap[1] < newest:
                    self._mark(subscription, *gap)
            listed = listed or known is not None
            start = judged.until + length
            if judged.candles:
                subscription.count_backfilled(len(judged.candles))
                take(judged.candles)
                await _wait_for_room(self._room)
        return known


async def _wait_for_room(room: Callable[[], object], *, longest: float = 10.0) -> None:
    """Wait until the subscribers of the bus have caught up, but no longer than that (s)."""
    end = asyncio.get_running_loop().time() + longest
    # There is no event for the queues of others getting shorter.
    while not room() and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
