"""The typed, bounded event bus between the layers of the kit.

`EventBus.publish` never waits: each subscriber has its own queue. If a subscriber falls behind, the
type of the event decides what happens. `CandleUpdated` is conflated: the newest state of a candle
replaces an older one still in the queue. No other event may be lost, so a full queue ends that
subscription with `BusOverflow`, and its task fails visibly.

A bus belongs to one loop: publish and read on that loop's thread.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Generic, Self, TypeVar

from botlib.core.errors import BusOverflow
from botlib.core.model import CandleUpdated, Event

E = TypeVar("E", bound=Event)

DEFAULT_MAXSIZE = 10_000


class BusSubscription(Generic[E]):
    """The queued events of one subscriber, read with ``async for`` or `get`."""

    def __init__(self, bus: EventBus, types: tuple[type[E], ...], name: str, maxsize: int) -> None:
        self.name = name
        self.types = types
        self.maxsize = maxsize
        self.conflated = 0
        """Number of `CandleUpdated` events replaced by a newer one before they were read."""
        self._bus = bus
        self._queue: deque[E | tuple[str, str]] = deque()
        self._newest: dict[tuple[str, str], E] = {}
        self._reader: asyncio.Future[None] | None = None
        self._overflow: BusOverflow | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def closed(self) -> bool:
        """Whether no event will arrive any more."""
        return self._closed

    async def get(self) -> E:
        """Wait for the next event and return it.

        Raises:
            BusOverflow: the subscriber fell more than ``maxsize`` events behind.
            StopAsyncIteration: the subscription is closed and its queue is empty.
        """
        while not self._queue:
            if self._overflow is not None:
                raise self._overflow
            if self._closed:
                raise StopAsyncIteration
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._pop()

    def get_nowait(self) -> E | None:
        """Return the next event, or None if the queue is empty."""
        return self._pop() if self._queue else None

    def close(self) -> None:
        """Unsubscribe; events already queued can still be read."""
        self._closed = True
        self._bus._remove(self)
        self._wake()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        return await self.get()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _pop(self) -> E:
        item = self._queue.popleft()
        return self._newest.pop(item) if isinstance(item, tuple) else item

    def _put(self, event: E) -> None:
        if isinstance(event, CandleUpdated):
            key = (event.candle.symbol, event.candle.timeframe)
            if key in self._newest:
                self.conflated += 1
                self._newest[key] = event
                return
            self._newest[key] = event
            self._queue.append(key)
        elif len(self._queue) >= self.maxsize:
            self._overflow = BusOverflow(
                f"Subscriber {self.name!r} fell {self.maxsize} events behind and was cut off at "
                f"{type(event).__name__}. Read faster, or subscribe with a larger maxsize."
            )
            self.close()
            return
        else:
            self._queue.append(event)
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


class EventBus:
    """A bus that delivers events to their subscribers in the order of publication."""

    def __init__(self) -> None:
        self._subscriptions: dict[type[Event], list[BusSubscription[Event]]] = {}
        self._wanted: dict[type[Event], asyncio.Event] = {}
        self.published: dict[str, int] = {}
        """Number of events published, by type name."""

    def subscribe(
        self, *types: type[E], name: str, maxsize: int = DEFAULT_MAXSIZE
    ) -> BusSubscription[E]:
        """Subscribe to event types.

        Args:
            types: event types, at least one.
            name: name of the subscriber in the message of an overflow.
            maxsize: number of events that may wait in the queue.
        """
        if not types:
            raise TypeError("subscribe() needs at least one event type, such as CandleClosed")
        subscription = BusSubscription(self, types, name, maxsize)
        for kind in types:
            self._subscriptions.setdefault(kind, []).append(subscription)  # type: ignore[arg-type]
            if kind in self._wanted:
                self._wanted.pop(kind).set()
        return subscription

    def wants(self, kind: type[Event]) -> bool:
        """Return whether a type has a subscriber, so that costly events can be skipped."""
        return bool(self._subscriptions.get(kind))

    async def wanted(self, kind: type[Event]) -> None:
        """Wait until a type has a subscriber; return at once if it has one."""
        while not self.wants(kind):
            await self._wanted.setdefault(kind, asyncio.Event()).wait()

    def backlog(self) -> int:
        """Return the number of events that wait for the slowest subscriber."""
        return max(map(len, self._all()), default=0)

    def publish(self, event: Event) -> None:
        """Queue an event for every subscriber of its type."""
        kind = type(event)
        self.published[kind.__name__] = self.published.get(kind.__name__, 0) + 1
        for subscription in tuple(self._subscriptions.get(kind, ())):
            subscription._put(event)

    def _all(self) -> set[BusSubscription[Event]]:
        return {entry for entries in self._subscriptions.values() for entry in entries}

    def _remove(self, subscription: BusSubscription[E]) -> None:
        for kind in subscription.types:
            waiting = self._subscriptions.get(kind, [])
            if subscription in waiting:
                waiting.remove(subscription)  # type: ignore[arg-type]
