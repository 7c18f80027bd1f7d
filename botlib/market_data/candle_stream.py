"""`CandleStream`: streams candles of a venue into the storage and onto the bus."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

from botlib.core.asynctools import innermost_error
from botlib.core.bus import EventBus
from botlib.core.clock import MarketClock
from botlib.core.errors import BotlibError, ExchangeError, InvalidInput
from botlib.core.model import Candle, CandleClosed, CandleUpdated, Event, GapFilled
from botlib.core.retry import Backoff
from botlib.core.timeframe import open_time, timeframe_ms
from botlib.market_data.candle_subscription import CandleSubscription, SubscriptionStatus
from botlib.market_data.connection import (
    ConnectionStatus,
    DialLimiter,
    ReconnectingConnection,
    assign_subscriptions,
)
from botlib.market_data.repair import Repairer
from botlib.store.candles import CandleStorage
from botlib.venues.base import Exchange

logger = logging.getLogger(__name__)

DATA_DEADLINE: Final = 35.0
"""Silence in seconds after which a connection is dialled again."""

UPDATE_INTERVAL: Final = 0.1
"""Shortest time in seconds between two `CandleUpdated` of one subscription."""

QUARANTINE: Final = 20
"""Number of unusable frames that are kept for inspection."""

BACKLOG_HIGH: Final = 2_000
BACKLOG_LOW: Final = 500
"""Events waiting for the slowest subscriber of the bus at which reading pauses and resumes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStatus:
    """The state of the stream."""

    subscriptions: tuple[SubscriptionStatus, ...]
    connections: tuple[ConnectionStatus, ...]
    bad_frames: int
    revisions: int
    """Closed candles that the venue described differently later."""
    since_closed: float | None
    """Seconds on the computer's clock since a candle last closed."""

    @property
    def ready(self) -> bool:
        """Whether every subscription is complete up to now."""
        return all(entry.ready for entry in self.subscriptions)


@dataclass(frozen=True, slots=True)
class BadFrame:
    """A frame that could not be used."""

    text: str
    reason: str


class CandleStream:
    """The candle stream of one venue, into the storage and onto the bus.

    A closed candle is stored first, then published as `CandleClosed`: once each, in order per
    symbol and timeframe. Belongs to one loop.

    Args:
        exchange: the venue.
        storage: where closed candles go.
        bus: where `CandleClosed`, `CandleUpdated` and `GapFilled` are published.
        clock: moved on by the event times of the frames; None makes one.
        data_deadline: seconds without a frame after which a connection is dialled again.
        on_progress: called once per closed candle.
        max_age: seconds after which a connection is renewed; None is the venue's limit.
        rng: source of the jitter of retries and renewals.
    """

    def __init__(
        self,
        exchange: Exchange,
        storage: CandleStorage,
        bus: EventBus,
        clock: MarketClock | None = None,
        *,
        data_deadline: float = DATA_DEADLINE,
        on_progress: Callable[[], None] | None = None,
        max_age: float | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.clock = clock or MarketClock()
        self.quarantine: deque[BadFrame] = deque(maxlen=QUARANTINE)
        self._exchange = exchange
        self._storage = storage
        self._bus = bus
        self._data_deadline = data_deadline
        self._on_progress = on_progress or (lambda: None)
        limits = exchange.capabilities
        self._max_age = limits.connection_age if max_age is None else max_age
        self._random = rng or random.Random()
        self.dial_limiter = DialLimiter(limits.dial_burst, limits.dial_rate)
        """Shared by all streams: the venue counts the dials of one address together."""
        self._subscriptions: dict[tuple[str, str], CandleSubscription] = {}
        self._connections: list[ReconnectingConnection[CandleSubscription]] = []
        self._ended: tuple[ConnectionStatus, ...] = ()
        """The last state of the connections when the stream was stopped."""
        self._outbox: deque[tuple[Candle, bool] | Candle | Event] = deque()
        self._flushing = False
        self._group: asyncio.TaskGroup | None = None
        self._failure: asyncio.Future[None] | None = None
        self._held = False
        self._full = asyncio.Event()
        self._bad_frames = self._revisions = 0
        self._closed_at: float | None = None
        self._time = time.monotonic
        self._repairer = Repairer(
            exchange,
            storage,
            self.clock,
            deliver=self._deliver,
            again=self.on_again,
            filled=self._filled,
            room=lambda: bus.backlog() < BACKLOG_LOW,
            running=lambda: self._group is not None,
            rng=self._random,
        )

    async def subscribe_candles(
        self, symbol: str, timeframes: str | Iterable[str], history: int = 500
    ) -> None:
        """Subscribe to a symbol's candles; existing subscriptions stay as they are.

        Args:
            symbol: in either form, ``BTC/USDT`` or ``BTCUSDT``.
            timeframes: one or several, such as ``["1m", "1h"]``.
            history: closed candles wanted before the first live one; missing ones are fetched. A
                larger number in a later call fetches more: those are stored, not published,
                since they would come after younger ones.

        Raises:
            UnknownSymbol, UnknownTimeframe: the venue does not have it.
            ExchangeUnavailable: the venue cannot be reached.
        """
        names = [timeframes] if isinstance(timeframes, str) else list(timeframes)
        for timeframe in names:
            timeframe_ms(timeframe)
        if history < 0:
            raise InvalidInput(f"history is {history}; accepted: a number of candles from 0 up.")
        await self._exchange.connect()
        unified = self._exchange.market(symbol).symbol
        fresh: list[CandleSubscription] = []
        for timeframe in names:
            known = self._subscriptions.get((unified, timeframe))
            if known is not None:
                if known.want_history(history):
                    self.on_gap(known)
                continue
            entry = CandleSubscription(
                unified, timeframe, history, self._exchange, self.clock, self
            )
            self._subscriptions[entry.key] = entry
            fresh.append(entry)
        if self._group is not None:
            await self._assign(fresh)

    async def unsubscribe_candles(self, symbol: str, timeframe: str) -> None:
        """End a subscription, by its unified symbol; stored candles stay.

        One that there is not is ignored.
        """
        entry = self._subscriptions.pop((symbol, timeframe), None)
        if entry is None:
            return
        entry.end()
        for connection in self._connections:
            await connection.remove([entry.key])

    async def run(self) -> None:
        """Stream until cancelled: connect, subscribe, fetch missing candles, reconnect for ever.

        Raises:
            StoreError: a candle could not be stored; it was not published.
        """
        if self._group is not None:
            raise BotlibError("The candle stream runs already. Stop it before it is run again.")
        await self._exchange.connect()
        loop = asyncio.get_running_loop()
        self._time = loop.time
        self._failure = loop.create_future()
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                try:
                    group.create_task(self._update())
                    group.create_task(self._resume())
                    await self._assign(list(self._subscriptions.values()))
                    await self._failure
                finally:
                    # Frames that come while the tasks end must not start new ones.
                    self._group = None
        except BaseExceptionGroup as errors:
            raise innermost_error(errors) from None
        finally:
            self._ended = tuple(connection.status() for connection in self._connections)
            self._connections = []
            for entry in self._subscriptions.values():
                entry.stop()

    async def ready(self, keys: Collection[tuple[str, str]] | None = None) -> None:
        """Wait until subscriptions are complete up to now, stored and published.

        Args:
            keys: their symbols and timeframes; None is all, of which there has to be one.
        """
        # Readiness changes with the connections; polling is simplest.
        while not self._is_ready(keys):  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    def _is_ready(self, keys: Collection[tuple[str, str]] | None) -> bool:
        known = self._subscriptions
        wanted = list(known) if keys is None else [key for key in keys if key in known]
        complete = all(known[key].ready for key in wanted)
        return bool(wanted or keys is not None) and complete and not self._outbox

    def status(self) -> StreamStatus:
        """Return the present state."""
        return StreamStatus(
            subscriptions=tuple(entry.status() for entry in self._subscriptions.values()),
            connections=tuple(connection.status() for connection in self._connections)
            or self._ended,
            bad_frames=self._bad_frames,
            revisions=self._revisions,
            since_closed=None if self._closed_at is None else self._time() - self._closed_at,
        )

    # Notices of subscriptions

    def on_closed(self, subscription: CandleSubscription, candles: list[Candle]) -> None:
        """Queue candles that closed on the stream, in order."""
        self._deliver(subscription, candles, True)

    def on_again(self, candle: Candle) -> None:
        """Queue a closed candle that came out before; the storage notices a revision."""
        self._outbox.append(candle)
        self._schedule_flush()

    def on_gap(self, subscription: CandleSubscription) -> None:
        """Start a repair of missing candles, unless one is under way."""
        subscription.lose()
        if self._group is not None and subscription.start_repair():
            self._group.create_task(self._repair(subscription))

    # Connections

    async def _assign(self, fresh: list[CandleSubscription]) -> None:
        """Assign subscriptions to connections with room, and open further ones if needed."""
        assert self._group is not None
        made = await assign_subscriptions(
            fresh,
            self._connections,
            self._exchange.capabilities.streams_per_connection,
            self._new_connection,
        )
        for connection in made:
            self._connections.append(connection)
            self._group.create_task(connection.run())

    def _new_connection(self) -> ReconnectingConnection[CandleSubscription]:
        return ReconnectingConnection(
            lambda: self._exchange.open_klines(self._bad),
            self.dial_limiter,
            what="candle",
            data_deadline=self._data_deadline,
            max_age=self._max_age,
            on_up=self._came_up,
            rng=self._random,
        )

    def _came_up(self, subscriptions: Iterable[CandleSubscription]) -> None:
        if self._group is not None:
            self._group.create_task(self._catch_up(list(subscriptions)))

    async def _catch_up(self, subscriptions: list[CandleSubscription]) -> None:
        """Check what was missed before the subscription took effect."""
        backoff = Backoff(0.2, 30.0)
        while self._group is not None:
            try:
                now = await self._exchange.market_time()
                break
            except ExchangeError as error:
                logger.warning("The market's time is not known: %s", error)
            await backoff.wait()
        else:
            return
        self.clock.advance(now)
        now = self.clock.now()
        for entry in subscriptions:
            entry.check(open_time(now, entry.timeframe) - entry.sequence.length)
            self.on_gap(entry)

    async def _repair(self, subscription: CandleSubscription) -> None:
        try:
            await self._repairer.repair(subscription)
        finally:
            subscription.end_repair()

    def _bad(self, text: str, reason: str) -> None:
        self._bad_frames += 1
        self.quarantine.append(BadFrame(text, reason))
        if self._bad_frames <= QUARANTINE or self._bad_frames % 1_000 == 0:
            logger.warning("Unusable frame %d: %s (%.200s)", self._bad_frames, reason, text)

    # Storage and publication

    def _deliver(
        self, subscription: CandleSubscription, candles: list[Candle], recent: bool
    ) -> None:
        """Queue closed candles for storage and publication, in order."""
        for candle in candles:
            self._outbox.append((candle, not (recent and candle is candles[-1])))
        subscription.candles_out(candles)
        self._schedule_flush()

    def _filled(self, event: GapFilled) -> None:
        self._outbox.append(event)
        self._schedule_flush()

    def _schedule_flush(self) -> None:
        # Candles that arrive in one iteration of the loop are stored in one transaction.
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """Store what is queued, then publish it."""
        self._flushing = False
        batch = list(self._outbox)
        self._outbox.clear()
        now = self.clock.now()
        candles = [
            entry[0] if isinstance(entry, tuple) else entry
            for entry in batch
            if not isinstance(entry, Event)
        ]
        try:
            report = self._storage.write(candles, now=now)
            self._revisions += report.revised
            for entry in batch:
                if isinstance(entry, tuple):
                    candle, backfilled = entry
                    self._bus.publish(
                        CandleClosed(candle=candle, event_time=now, backfilled=backfilled)
                    )
                    self._on_progress()
                elif isinstance(entry, Event):
                    self._bus.publish(entry)
        except Exception as error:
            if self._failure is not None and not self._failure.done():
                self._failure.set_exception(error)
            else:
                logger.exception("Closed candles could not be stored")
            return
        if candles:
            self._closed_at = self._time()
        if not self._held and self._bus.backlog() > BACKLOG_HIGH:
            self._hold(True)

    def _hold(self, held: bool) -> None:
        """Pause or resume reading; while paused, the sockets wait for the slowest subscriber."""
        self._held = held
        if held:
            self._full.set()
        for connection in self._connections:
            connection.pause(held)

    async def _resume(self) -> None:
        """Resume reading when the subscribers have caught up."""
        while True:
            await self._full.wait()
            self._full.clear()
            # There is no event for the queues of others getting shorter.
            while self._held:
                await asyncio.sleep(0.005)
                if self._bus.backlog() < BACKLOG_LOW:
                    self._hold(False)

    def newest_price(self, symbol: str) -> float | None:
        """Return the newest price of the forming candles of a symbol, None if none forms."""
        found = [
            (entry.last_event or 0, price)
            for entry in self._subscriptions.values()
            if entry.symbol == symbol and (price := entry.price()) is not None
        ]
        return max(found)[1] if found else None

    async def _update(self) -> None:
        """Publish forming candles at intervals while the bus has a subscriber for them."""
        while True:
            await self._bus.wanted(CandleUpdated)
            await asyncio.sleep(UPDATE_INTERVAL)
            if self._held:
                continue
            for entry in self._subscriptions.values():
                if entry.ready:
                    self._publish_forming(entry)

    def _publish_forming(self, entry: CandleSubscription) -> None:
        try:
            candle = entry.forming()
        except InvalidInput as error:
            self._bad(f"{entry.symbol} {entry.timeframe}", str(error))
            return
        if candle is not None:
            self._bus.publish(CandleUpdated(candle=candle, event_time=entry.last_event or 0))
