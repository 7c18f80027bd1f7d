"""`BookStream`: order books of a venue, followed from their first request on."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from typing import Final

from botlib.core.asynctools import innermost_error
from botlib.core.clock import MarketClock
from botlib.core.errors import BotlibError, ExchangeError, ExchangeUnavailable, InvalidInput
from botlib.core.retry import Backoff
from botlib.market_data.book_subscription import MOST_LEVELS, BookStatus, BookSubscription
from botlib.market_data.connection import (
    ConnectionStatus,
    DialLimiter,
    ReconnectingConnection,
    assign_subscriptions,
)
from botlib.market_data.order_book import OrderBook
from botlib.venues.base import Exchange

logger = logging.getLogger(__name__)

FRESH: Final = 3.0
"""Seconds of silence after which a book is compared with the venue's before it is returned."""

CATCH_UP: Final = 1.0
"""Seconds within which a change that the venue already has must arrive."""

RETRY_FIRST: Final = 0.25
RETRY_LONGEST: Final = 30.0
_LOOK: Final = 0.02


class BookStream:
    """The order books of one venue. Belongs to one loop.

    A book that misses a change is given up and begun anew from a snapshot; until then `book` waits.
    If the stream is silent, the book is compared with the venue's before it is returned.

    Args:
        exchange: the venue.
        clock: market time, for books that no change has touched yet.
        dial_limiter: delays dials; shared by all connections to the venue.
        data_deadline: seconds without a frame after which a connection is dialled again.
        on_progress: called once per change.
        rng: source of the jitter of retries and renewals.
    """

    def __init__(
        self,
        exchange: Exchange,
        clock: MarketClock,
        dial_limiter: DialLimiter,
        *,
        data_deadline: float,
        on_progress: Callable[[], None] = lambda: None,
        rng: random.Random | None = None,
    ) -> None:
        self.bad_frames = 0
        self.exchange = exchange
        self._clock = clock
        self._dial_limiter = dial_limiter
        self._data_deadline = data_deadline
        self._on_progress = on_progress
        self._random = rng or random.Random()
        self._books: dict[str, BookSubscription] = {}
        self._connections: list[ReconnectingConnection[BookSubscription]] = []
        self._group: asyncio.TaskGroup | None = None

    async def follow(self, symbol: str) -> BookSubscription:
        """Follow a symbol's book; a book that is followed already stays as it is.

        Raises:
            UnknownSymbol: the venue does not list it.
        """
        unified = self.exchange.market(symbol).symbol
        known = self._books.get(unified)
        if known is None:
            depth = self.exchange.capabilities.book_levels
            known = BookSubscription(unified, depth, self._resync, self._on_progress)
            self._books[unified] = known
            if self._group is not None:
                await self._assign([known])
        return known

    async def book(self, symbol: str, levels: int, timeout: float) -> OrderBook:
        """Return the venue's present book, waiting until it is in step with the venue.

        Args:
            symbol: in either form.
            levels: of each side, 1 to `MOST_LEVELS`.
            timeout: longest wait in seconds.

        Raises:
            InvalidInput: the number of levels is not accepted.
            UnknownSymbol: the venue does not list it.
            ExchangeUnavailable: the book is out of step with the venue.
        """
        check_levels(levels)
        followed = await self.follow(symbol)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    found = await self._present(followed, levels)
                    if found is not None:
                        return found
                    # Readiness changes with the connections; polling is simplest.
                    await asyncio.sleep(_LOOK)
        except TimeoutError:
            raise ExchangeUnavailable(
                f"The order book of {followed.symbol} was not in step with the venue for "
                f"{timeout:g} s: {followed.status().why or 'it does not confirm it'}. A stale book "
                "is not given out; ask again later."
            ) from None

    async def run(self) -> None:
        """Follow the books until cancelled."""
        if self._group is not None:
            raise BotlibError(
                "The order books are followed already. Stop that before it is run again."
            )
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                try:
                    await self._assign(list(self._books.values()))
                    await asyncio.get_running_loop().create_future()
                finally:
                    # Frames that come while the tasks end must not start new ones.
                    self._group = None
        except BaseExceptionGroup as errors:
            raise innermost_error(errors) from None
        finally:
            self._connections = []
            for one in self._books.values():
                one.stop()

    def status(self) -> tuple[BookStatus, ...]:
        """Return the state of every book."""
        return tuple(one.status() for one in self._books.values())

    def connections(self) -> tuple[ConnectionStatus, ...]:
        """Return the state of the connections."""
        return tuple(connection.status() for connection in self._connections)

    async def _present(self, one: BookSubscription, levels: int) -> OrderBook | None:
        """Return the book if it equals the venue's; on a silent stream the venue is asked."""
        if not one.ready or (one.silence > FRESH and not await self._confirmed(one)):
            return None
        found = one.book(levels)
        if found is None and one.ready:
            one.lose("prices moved to where the last snapshot does not reach")
        return found

    async def _confirmed(self, one: BookSubscription) -> bool:
        carried = one.connections
        truth = (await self.exchange.fetch_depth(one.symbol, 5)).update_id
        end = asyncio.get_running_loop().time() + CATCH_UP
        while one.ready and one.update_id < truth:
            if asyncio.get_running_loop().time() > end:
                one.lose(f"the stream is silent, though the venue is at update {truth}")
                return False
            await asyncio.sleep(_LOOK)
        if not one.ready or one.connections != carried or one.update_id > truth:
            # A change came meanwhile, or the answer is from a copy that lags behind.
            await asyncio.sleep(CATCH_UP / 4)
            return one.ready and one.silence <= FRESH
        one.confirm()
        return True

    async def _assign(self, fresh: list[BookSubscription]) -> None:
        assert self._group is not None
        made = await assign_subscriptions(
            fresh,
            self._connections,
            self.exchange.capabilities.streams_per_connection,
            self._new_connection,
        )
        for connection in made:
            self._connections.append(connection)
            self._group.create_task(connection.run())

    def _new_connection(self) -> ReconnectingConnection[BookSubscription]:
        return ReconnectingConnection(
            lambda: self.exchange.open_depth(self._bad),
            self._dial_limiter,
            what="depth",
            data_deadline=self._data_deadline,
            max_age=self.exchange.capabilities.connection_age,
            on_up=self._came_up,
            rng=self._random,
        )

    def _came_up(self, books: Iterable[BookSubscription]) -> None:
        for one in books:
            self._resync(one)

    def _resync(self, one: BookSubscription) -> None:
        """Start fetching snapshots, unless that is under way."""
        if self._group is not None and one.start_resync():
            self._group.create_task(self._fetch_snapshots(one))

    async def _fetch_snapshots(self, one: BookSubscription) -> None:
        """Fetch snapshots until the changes of the stream lead on from one."""
        backoff = Backoff(RETRY_FIRST, RETRY_LONGEST, rng=self._random, immediate=one.stable)
        limits = self.exchange.capabilities
        try:
            while self._group is not None and one.needs_snapshot:
                await backoff.wait()
                carried = one.connections
                try:
                    snapshot = await self.exchange.fetch_depth(one.symbol, limits.book_levels)
                except ExchangeError as error:
                    one.fail(str(error))
                    logger.warning("No order book of %s: %s", one.symbol, error)
                    continue
                # A snapshot from before the connection does not show what was missed between.
                if one.connections == carried and one.settle(snapshot, self._clock.now()):
                    logger.info("%s: the order book is at update %d", one.symbol, one.update_id)
        finally:
            one.end_resync()

    def _bad(self, text: str, reason: str) -> None:
        self.bad_frames += 1
        if self.bad_frames <= 20 or self.bad_frames % 1_000 == 0:
            logger.warning("Unusable frame %d: %s (%.200s)", self.bad_frames, reason, text)


def check_levels(levels: object) -> None:
    """Check the number of levels of a request.

    Raises:
        InvalidInput: the number is not accepted.
    """
    if type(levels) is not int or not 1 <= levels <= MOST_LEVELS:
        raise InvalidInput(
            f"levels is {levels!r}. Accepted: a whole number from 1 to {MOST_LEVELS}, such as 20."
        )
