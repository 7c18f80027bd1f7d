"""`BookSubscription`: one order book of the stream, kept in step with the venue's numbering.

A book begins with a snapshot and goes on with numbered changes. If a number is missing or the sides
cross, the book differs from the venue's: it is given up at once, and begun anew from the next
snapshot.
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

MOST_LEVELS: Final = 500
"""Levels a side that can be requested: a snapshot has them for a while, also when prices move."""

CALM: Final = 10.0
"""Seconds a book has to be in step for the next snapshot to be fetched at once."""

WAITING: Final = 1_000
"""Changes kept while there is no snapshot yet; older ones are older than the next snapshot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookStatus:
    """The state of one order book."""

    symbol: str
    ready: bool
    """Whether it equals the venue's book, as far as its numbers tell."""
    why: str
    """Why it does not."""
    silence: float
    """Seconds since it was last known to be the venue's, by a change or an answer."""
    frames: int
    gaps: int
    """How often it was out of step."""
    snapshots: int
    failures: int
    """How often the venue could not be asked for a snapshot."""


class BookSide:
    """One side of an order book.

    Levels beyond the last one of a full snapshot are not known, except for those that changed
    since; they are left out.

    Args:
        levels: of a snapshot, the best price first.
        up: whether worse prices are higher, as those of asks are.
        depth: levels a side of a full snapshot.
    """

    def __init__(self, levels: tuple[BookLevel, ...], *, up: bool, depth: int) -> None:
        self._up = up
        self._amounts = dict(levels)
        self._edge = levels[-1].price if len(levels) >= depth else None

    def change(self, levels: tuple[BookLevel, ...]) -> None:
        """Apply changes; an amount of 0 removes a level."""
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
        """Return whether the best ``count`` levels are known, or all there are."""
        return self._edge is None or len(self._amounts) >= count


class BookSubscription:
    """The order book of one symbol.

    Args:
        symbol: in unified form.
        depth: levels a side of a full snapshot.
        on_gap: called when a new snapshot is needed.
        on_progress: called once per change.
    """

    def __init__(
        self,
        symbol: str,
        depth: int,
        on_gap: Callable[[BookSubscription], None],
        on_progress: Callable[[], None],
    ) -> None:
        self.symbol = symbol
        self._depth = depth
        self._connected = self._complete = self._resyncing = False
        self._connections = 0
        self._why = "no snapshot has come yet"
        self._update_id = -1
        self._timestamp = 0
        self._frames = self._gaps = self._snapshots = self._failures = 0
        self._bids, self._asks = self._side((), up=False), self._side((), up=True)
        self._waiting: deque[DepthUpdate] = deque(maxlen=WAITING)
        self._on_gap = on_gap
        self._on_progress = on_progress
        self._time = asyncio.get_running_loop().time
        self._known = self._settled = self._time()

    @property
    def key(self) -> tuple[str, str]:
        """Symbol, and the kind of its frames."""
        return self.symbol, "depth"

    @property
    def ready(self) -> bool:
        """Whether it equals the venue's book, as far as its numbers tell."""
        return self._connected and self._complete

    @property
    def needs_snapshot(self) -> bool:
        """Whether a connection carries it, but no snapshot leads on to its changes."""
        return self._connected and not self._complete

    @property
    def connections(self) -> int:
        """How many connections have carried it: an older snapshot does not belong to the last."""
        return self._connections

    @property
    def update_id(self) -> int:
        """The venue's number of its newest change, -1 before the first snapshot."""
        return self._update_id

    @property
    def silence(self) -> float:
        """Seconds since it was last known to be the venue's."""
        return self._time() - self._known

    @property
    def stable(self) -> bool:
        """Whether the next snapshot may be fetched at once: see `CALM`."""
        return self._time() - self._settled > CALM or not self._snapshots

    def on_frame(self, update: DepthUpdate) -> None:
        """Apply the changes of one frame, or keep them until a snapshot comes."""
        self._frames += 1
        if not self._complete:
            self._waiting.append(update)
        elif update.last > self._update_id:
            self._update(update)

    # Changes of state, by connections and snapshots

    def connect(self) -> None:
        """Record that a live connection carries it; the changes before it are lost."""
        self._connected, self._complete = True, False
        self._connections += 1

    def disconnect(self) -> None:
        """Record that no connection carries it."""
        self._connected = False

    def stop(self) -> None:
        """Record that the stream was stopped, with its connections and requests."""
        self._connected = self._complete = self._resyncing = False

    def start_resync(self) -> bool:
        """Record that snapshots are fetched; return False if they are fetched already."""
        started, self._resyncing = not self._resyncing, True
        return started

    def end_resync(self) -> None:
        """Record that no more snapshots are fetched, with or without success."""
        self._resyncing = False

    def fail(self, why: str) -> None:
        """Record that the venue could not be asked for a snapshot."""
        self._failures += 1
        self._why = why

    def confirm(self) -> None:
        """Record that the venue has no newer book."""
        self._known = self._time()

    def lose(self, why: str) -> None:
        """Give the book up: it is not, or no longer, the venue's."""
        if self._complete:
            self._gaps += 1
        self._complete, self._why = False, why
        self._on_gap(self)

    def settle(self, snapshot: DepthSnapshot, now: int) -> bool:
        """Begin anew from a snapshot; return whether the changes since lead on from it.

        Args:
            snapshot: of the venue.
            now: market time in ms.
        """
        self._snapshots += 1
        self._bids = self._side(snapshot.bids, up=False)
        self._asks = self._side(snapshot.asks, up=True)
        self._update_id, self._timestamp = snapshot.update_id, max(self._timestamp, now)
        while self._waiting:
            update = self._waiting[0]
            if update.first > self._update_id + 1:
                # The snapshot is a copy that lags behind, or more was lost since.
                self._why = self._missing(update)
                return False
            self._waiting.popleft()
            if update.last > self._update_id:
                self._apply(update)
        if self._crossed():
            self._why = "the venue's snapshot is crossed"
            return False
        self._complete = True
        self._known = self._settled = self._time()
        return True

    def book(self, levels: int) -> OrderBook | None:
        """Return the best levels a side, or None if they are not known."""
        if not (self.ready and self._bids.reaches(levels) and self._asks.reaches(levels)):
            return None
        return OrderBook(
            symbol=self.symbol,
            timestamp=self._timestamp,
            update_id=self._update_id,
            bids=self._bids.best(levels),
            asks=self._asks.best(levels),
        )

    def status(self) -> BookStatus:
        """Return the present state."""
        why = self._why if self._connected else "no connection carries it"
        return BookStatus(
            symbol=self.symbol,
            ready=self.ready,
            why="" if self.ready else why,
            silence=self.silence,
            frames=self._frames,
            gaps=self._gaps,
            snapshots=self._snapshots,
            failures=self._failures,
        )

    def _side(self, levels: tuple[BookLevel, ...], *, up: bool) -> BookSide:
        return BookSide(levels, up=up, depth=self._depth)

    def _update(self, update: DepthUpdate) -> None:
        if update.first > self._update_id + 1:
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
        self._update_id, self._timestamp = update.last, update.event_time

    def _crossed(self) -> bool:
        bid, ask = self._bids.price(), self._asks.price()
        return bid is not None and ask is not None and bid >= ask

    def _missing(self, update: DepthUpdate) -> str:
        return f"updates {self._update_id + 1} to {update.first - 1} are missing"
