"""`ReconnectingConnection`: one connection with its share of the subscriptions, kept alive."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Generic, Protocol, TypeVar

from botlib.core.asynctools import first_of
from botlib.core.errors import ExchangeError
from botlib.core.retry import Backoff
from botlib.venues.base import StreamConnection

logger = logging.getLogger(__name__)

RETRY_FIRST: Final = 0.25
RETRY_LONGEST: Final = 30.0


class DialLimiter:
    """A limit of ``burst + rate × t`` dials in t seconds, for all connections of one address."""

    def __init__(self, burst: int, rate: float) -> None:
        self._burst = burst
        self._rate = rate
        self._tokens = float(burst)
        self._updated: float | None = None

    async def wait(self) -> None:
        """Wait until one more dial is allowed."""
        while True:
            now = asyncio.get_running_loop().time()
            passed = now - (now if self._updated is None else self._updated)
            self._tokens = min(self._burst, self._tokens + passed * self._rate)
            self._updated = now
            # After a wait of exactly the right length, rounding may leave a tiny rest.
            if self._tokens >= 1 - 1e-6:
                self._tokens -= 1
                return
            await asyncio.sleep((1 - self._tokens) / self._rate)


class ConnectionEnd(Enum):
    """The way in which a connection is given up."""

    DEAD = "dead"
    RENEWAL = "renewal"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionStatus:
    """The state of one connection. Times are in seconds of the loop's timer."""

    connected: bool
    subscriptions: int
    age: float | None
    silence: float | None
    """Time since the last frame."""
    dials: int
    reconnects: int
    last_loss: str
    """Why the last connection was given up."""


class StreamSubscription(Protocol):
    """A subscription that a connection carries."""

    @property
    def key(self) -> tuple[str, str]:
        """Symbol, and the timeframe or kind of its frames."""

    @property
    def on_frame(self) -> Callable[..., None]:
        """The receiver of the frames."""

    def connect(self) -> None:
        """Record that a live connection carries it from now on."""

    def disconnect(self) -> None:
        """Record that no connection carries it."""


S = TypeVar("S", bound=StreamSubscription)


class ReconnectingConnection(Generic[S]):
    """One connection: dialled, subscribed, watched, renewed.

    Args:
        dial: opens a connection.
        dial_limiter: delays dials; shared by all connections to the venue.
        what: the kind of its frames, for messages.
        data_deadline: seconds without a frame after which it is dialled again.
        max_age: seconds after which it is renewed.
        on_up: receives the subscriptions that a connection carries from now on.
        rng: source of the jitter of retries and renewals.
    """

    def __init__(
        self,
        dial: Callable[[], Awaitable[StreamConnection[Any]]],
        dial_limiter: DialLimiter,
        *,
        what: str,
        data_deadline: float,
        max_age: float,
        on_up: Callable[[Iterable[S]], None],
        rng: random.Random,
    ) -> None:
        self._subscriptions: dict[tuple[str, str], S] = {}
        self._connection: StreamConnection[Any] | None = None
        self._paused = False
        self._dial_once = dial
        self._dial_limiter = dial_limiter
        self._what = what
        self._data_deadline = data_deadline
        # Connections that were dialled together must not be renewed together.
        self._max_age = max_age * rng.uniform(0.97, 1.0)
        self._rng = rng
        self._time = asyncio.get_running_loop().time
        self._on_up = on_up
        self._opened = self._excused = 0.0
        self._dials = self._losses = 0
        self._last_loss = ""

    def __len__(self) -> int:
        """Return the number of its subscriptions."""
        return len(self._subscriptions)

    async def add(self, subscriptions: Sequence[S]) -> None:
        """Add subscriptions; a live connection subscribes to them at once."""
        self._subscriptions.update({entry.key: entry for entry in subscriptions})
        connection = self._connection
        if connection is None:
            return
        try:
            await connection.subscribe({entry.key: entry.on_frame for entry in subscriptions})
        except ExchangeError as error:
            # The redial subscribes to all of them.
            logger.warning("Subscribing failed (%s); dialling again", error)
            await connection.close()
        else:
            self._up(subscriptions)

    async def remove(self, keys: Sequence[tuple[str, str]]) -> None:
        """Remove subscriptions; those that it does not carry are ignored."""
        mine = [key for key in keys if self._subscriptions.pop(key, None) is not None]
        connection = self._connection
        if connection is None or not mine:
            return
        try:
            await connection.unsubscribe(mine)
        except ExchangeError as error:
            # The redial subscribes to what is left.
            logger.warning("Unsubscribing failed (%s); dialling again", error)
            await connection.close()

    def pause(self, paused: bool) -> None:
        """Pause or resume reading; while it is paused, silence is no reason to dial again."""
        self._paused = paused
        if self._connection is not None:
            self._connection.hold(paused)

    async def run(self) -> None:
        """Keep the subscriptions alive until cancelled."""
        old: StreamConnection[Any] | None = None
        backoff = Backoff(RETRY_FIRST, RETRY_LONGEST, rng=self._rng, least=0.3)
        try:
            while True:
                connection = await self._dial()
                if old is not None:
                    await old.close()
                    old = None
                self._connection = connection
                self._opened = self._excused = self._time()
                connection.hold(self._paused)
                self._up(list(self._subscriptions.values()))
                end, reason = await self._watch(connection)
                logger.info("Stream connection given up: %s", reason)
                self._losses += 1
                self._last_loss = reason
                if end is ConnectionEnd.RENEWAL:
                    # It keeps delivering until the new one does.
                    old = connection
                    continue
                self._down()
                await connection.close()
                if connection.frames:
                    backoff.reset()
                await backoff.wait()
        finally:
            current = self._connection
            self._down()
            for left in (old, current):
                if left is not None:
                    await left.close()

    def status(self) -> ConnectionStatus:
        """Return the present state."""
        now, connection = self._time(), self._connection
        up = connection is not None
        return ConnectionStatus(
            connected=up,
            subscriptions=len(self._subscriptions),
            age=now - self._opened if up else None,
            silence=now - self._silent_since(connection) if connection is not None else None,
            dials=self._dials,
            reconnects=max(0, self._dials - 1),
            last_loss=self._last_loss,
        )

    def _up(self, subscriptions: Sequence[S]) -> None:
        for subscription in subscriptions:
            subscription.connect()
        self._on_up(subscriptions)

    def _down(self) -> None:
        self._connection = None
        for subscription in self._subscriptions.values():
            subscription.disconnect()

    async def _dial(self) -> StreamConnection[Any]:
        """Dial and subscribe until both succeed."""
        backoff = Backoff(RETRY_FIRST, RETRY_LONGEST, rng=self._rng)
        while True:
            await self._dial_limiter.wait()
            self._dials += 1
            connection: StreamConnection[Any] | None = None
            try:
                connection = await self._dial_once()
                await connection.subscribe(
                    {entry.key: entry.on_frame for entry in self._subscriptions.values()}
                )
                return connection
            except ExchangeError as error:
                logger.warning("No stream from the venue: %s", error)
                if connection is not None:
                    await connection.close()
            except BaseException:
                if connection is not None:
                    await connection.close()
                raise
            await backoff.wait()

    async def _watch(self, connection: StreamConnection[Any]) -> tuple[ConnectionEnd, str]:
        """Wait until the connection has to be given up, and return how and why."""
        return await first_of(
            _ended(ConnectionEnd.DEAD, connection.ended()),
            _ended(ConnectionEnd.RENEWAL, connection.retiring()),
            self._timed_out(connection),
        )

    async def _timed_out(self, connection: StreamConnection[Any]) -> tuple[ConnectionEnd, str]:
        """Wait until the connection has been silent for too long, or is too old."""
        # A frame that came while this loop itself stood still is read in the last pause.
        pause = min(self._data_deadline / 20, self._max_age / 4)
        quiet = self._data_deadline - pause
        while True:
            now = self._time()
            if self._paused or not self._subscriptions:
                self._excused = now
            age = now - self._opened
            if age > self._max_age:
                return ConnectionEnd.RENEWAL, f"older than {self._max_age:.0f} s"
            left = min(quiet - (now - self._silent_since(connection)), self._max_age - age)
            if left > 0 and not self._paused and self._subscriptions:
                await asyncio.sleep(max(left, pause))
                continue
            frames = connection.frames
            await asyncio.sleep(pause)
            silent = connection.frames == frames and not self._paused and self._subscriptions
            if silent and self._time() - self._silent_since(connection) > quiet:
                return ConnectionEnd.DEAD, f"no {self._what} frame for {self._data_deadline:g} s"

    def _silent_since(self, connection: StreamConnection[Any]) -> float:
        """Return the time from which on silence counts."""
        return max(connection.heard, self._excused)


async def assign_subscriptions(
    fresh: Iterable[S],
    connections: Iterable[ReconnectingConnection[S]],
    most: int,
    make: Callable[[], ReconnectingConnection[S]],
) -> list[ReconnectingConnection[S]]:
    """Add subscriptions to the connections that have room, and return the further ones needed.

    Args:
        fresh: subscriptions that no connection carries yet.
        connections: the connections that run already.
        most: most subscriptions on one connection.
        make: makes a connection that is still to be run.
    """
    waiting = list(fresh)
    for connection in connections:
        room = most - len(connection)
        share, waiting = waiting[:room], waiting[room:]
        if share:
            await connection.add(share)
    made = []
    while waiting:
        connection = make()
        await connection.add(waiting[:most])
        waiting = waiting[most:]
        made.append(connection)
    return made


async def _ended(end: ConnectionEnd, reason: Awaitable[str]) -> tuple[ConnectionEnd, str]:
    return end, await reason
