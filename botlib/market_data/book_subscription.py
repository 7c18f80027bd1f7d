"""`BookSubscription`: one order book of the stream, kept in step with the venue's numbering.

A book begins with a snapshot and goes on with numbered changes. A number that is missing, or sides
that cross, mean that the book is another one than the venue's: it is given up at once, and begun
anew from the next snapshot.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from heapq import nlargest, nsmallest
from typing import Final

from botlib.market_data.order_book import OrderBook
from botlib.venues.base import BookLevel, DepthSnapshot, DepthUpdate

SNAPSHOT: Final = 1_000
"""Levels a side of a snapshot."""

MOST_LEVELS: Final = 500
"""Levels a side that can be asked for: a snapshot has them for a while, also when prices move."""

WAITING: Final = 1_000
"""Changes kept while there is no snapshot yet; older ones are older than the next snapshot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookStatus:
    """What is known about one order book."""

    symbol: str
    ready: bool
    """Whether it is the venue's book, so far as its numbers tell."""
    why: str
    """Why it is not."""
    silence: float
    """Seconds since it was last known to be, by a change or an answer."""
    frames: int
    gaps: int
    """How often it was out of step."""
    snapshots: int
    failures: int
    """How often the venue could not be asked for a snapshot."""


class BookSide:
    """One side of a book.

    What lies beyond the last level of a snapshot is not known, but for what changed there: it is
    left out.
    """

    def __init__(self, levels: tuple[BookLevel, ...], *, up: bool) -> None:
        self._up = up
        self._amounts = dict(levels)
        self._edge = levels[-1].price if len(levels) >= SNAPSHOT else None

    def change(self, levels: tuple[BookLevel, ...]) -> None:
        """Take changes; an amount of 0 takes a level away."""
        for price, amount in levels:
            if self._edge is not None and (price > self._edge if self._up else price < self._edge):
                continue
            if amount:
                self._amounts[price] = amount
            else:
                self._amounts.pop(price, None)

    def best(self, count: int) -> tuple[BookLevel, ...]:
        """Return the best levels, the best first."""
        prices = (nsmallest if self._up else nlargest)(count, self._amounts)
        return tuple(BookLevel(price, self._amounts[price]) for price in prices)

    def price(self) -> Decimal | None:
        """Return the best price."""
        return (min if self._up else max)(self._amounts, default=None)

    def reaches(self, count: int) -> bool:
        """Tell whether the best ``count`` levels are known, or all there are."""
        return self._edge is None or len(self._amounts) >= count


class BookSubscription:
    """The order book of one symbol.

    Args:
        symbol: in unified form.
        on_gap: told when a new snapshot is needed.
        on_progress: called once per change.
    """

    def __init__(
        self,
        symbol: str,
        on_gap: Callable[[BookSubscription], None],
        on_progress: Callable[[], None],
    ) -> None:
        self.symbol = symbol
        self.connected = False
        self.complete = False
        self.repairing = False
        self.connections = 0
        """How many connections have carried it: an older snapshot does not belong to the last."""
        self.why = "no snapshot has come yet"
        self.update_id = -1
        self.timestamp = 0
        self.frames = self.gaps = self.snapshots = self.failures = 0
        self._bids, self._asks = BookSide((), up=False), BookSide((), up=True)
        self._waiting: deque[DepthUpdate] = deque(maxlen=WAITING)
        self._on_gap = on_gap
        self._on_progress = on_progress
        self._time = asyncio.get_running_loop().time
        self._known = self._settled = self._time()

    @property
    def key(self) -> tuple[str, str]:
        """Symbol, and what of it."""
        return self.symbol, "depth"

    @property
    def ready(self) -> bool:
        """Whether it is the venue's book, so far as its numbers tell."""
        return self.connected and self.complete

    @property
    def silence(self) -> float:
        """Seconds since it was last known to be the venue's."""
        return self._time() - self._known

    @property
    def lasted(self) -> float:
        """Seconds since it began with a snapshot."""
        return self._time() - self._settled

    def on_frame(self, update: DepthUpdate) -> None:
        """Take the changes of one frame."""
        self.frames += 1
        if not self.complete:
            self._waiting.append(update)
        elif update.last > self.update_id:
            self._take(update)

    def confirm(self) -> None:
        """Take note that the venue has no newer book."""
        self._known = self._time()

    def lose(self, why: str) -> None:
        """Give the book up: it is not, or no longer, the venue's."""
        if self.complete:
            self.gaps += 1
        self.complete, self.why = False, why
        self._on_gap(self)

    def settle(self, snapshot: DepthSnapshot, now: int) -> bool:
        """Begin anew from a snapshot; return whether the changes since lead on from it.

        Args:
            now: market time in ms.
        """
        self.snapshots += 1
        self._bids = BookSide(snapshot.bids, up=False)
        self._asks = BookSide(snapshot.asks, up=True)
        self.update_id, self.timestamp = snapshot.update_id, max(self.timestamp, now)
        while self._waiting:
            update = self._waiting[0]
            if update.first > self.update_id + 1:
                # The snapshot is a copy that lags behind, or more was lost since.
                self.why = self._missing(update)
                return False
            self._waiting.popleft()
            if update.last > self.update_id:
                self._apply(update)
        if self._crossed():
            self.why = "the venue's snapshot is crossed"
            return False
        self.complete = True
        self._known = self._settled = self._time()
        return True

    def book(self, levels: int) -> OrderBook | None:
        """Return the best levels a side, None where they are not known."""
        if not (self.ready and self._bids.reaches(levels) and self._asks.reaches(levels)):
            return None
        return OrderBook(
            symbol=self.symbol,
            timestamp=self.timestamp,
            update_id=self.update_id,
            bids=self._bids.best(levels),
            asks=self._asks.best(levels),
        )

    def status(self) -> BookStatus:
        """Return what is known now."""
        return BookStatus(
            symbol=self.symbol,
            ready=self.ready,
            why="" if self.ready else self.why if self.connected else "no connection carries it",
            silence=self.silence,
            frames=self.frames,
            gaps=self.gaps,
            snapshots=self.snapshots,
            failures=self.failures,
        )

    def _take(self, update: DepthUpdate) -> None:
        if update.first > self.update_id + 1:
            self._waiting.append(update)
            self.lose(self._missing(update))
            return
        self._apply(update)
        if self._crossed():
            self.lose(f"update {update.last} crossed it")
            return
        self._known = self._time()
        self._on_progress()

    def _apply(self, update: DepthUpdate) -> None:
        self._bids.change(update.bids)
        self._asks.change(update.asks)
        self.update_id, self.timestamp = update.last, update.event_time

    def _crossed(self) -> bool:
        bid, ask = self._bids.price(), self._asks.price()
        return bid is not None and ask is not None and bid >= ask

    def _missing(self, update: DepthUpdate) -> str:
        return f"updates {self.update_id + 1} to {update.first - 1} are missing"
