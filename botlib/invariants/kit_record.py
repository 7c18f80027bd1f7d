"""What the kit holds: its journal of orders and fills, and its candles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from botlib.core.model import Candle, Fill, Order
from botlib.core.timeframe import timeframe_ms
from botlib.store import CandleStorage, Database, OrderJournal
from botlib.store.holes import Hole

Stream = tuple[str, str]
"""Symbol (unified) and timeframe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A signal that led to an order: which strategy, on which candle (open time, ms), and what."""

    strategy: str
    symbol: str
    timestamp: int
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KitRecord:
    """The kit's own books at one moment."""

    orders: Mapping[str, Order] = field(default_factory=dict)
    """By client order id."""
    fills: tuple[Fill, ...] = ()
    decisions: tuple[Decision, ...] = ()
    candles: Mapping[Stream, Sequence[Candle]] = field(default_factory=dict)
    """Closed candles from ``since`` on."""
    holes: Mapping[Stream, Sequence[Hole]] = field(default_factory=dict)

    @classmethod
    def read(
        cls, path: Path, venue: str, streams: Sequence[Stream], since: Mapping[Stream, int]
    ) -> KitRecord:
        """Read a database beside whoever writes to it.

        Args:
            since: first open time (ms) to read of a stream; of one that is not named, all.

        Raises:
            StoreError: it cannot be read.
        """
        database = Database.open(path, venue, readonly=True)
        try:
            journal, storage = OrderJournal(database), CandleStorage(database)
            return cls(
                orders={order.client_order_id: order for order in journal.orders()},
                fills=tuple(journal.fills()),
                decisions=tuple(
                    Decision(strategy=strategy, symbol=symbol, timestamp=timestamp, action=reason)
                    for strategy, symbol, timestamp, reason in journal.decisions()
                ),
                candles={key: storage.candles(*key, since.get(key)) for key in streams},
                holes={key: storage.holes(*key) for key in streams},
            )
        finally:
            database.close()

    def span(self, stream: Stream) -> tuple[int, int] | None:
        """Return the first and the last open time of a stream's candles."""
        candles = self.candles.get(stream, ())
        return (candles[0].timestamp, candles[-1].timestamp) if candles else None

    def expected(self, stream: Stream) -> set[int]:
        """Return every open time between the first and the last candle that is not in a hole."""
        span = self.span(stream)
        if span is None:
            return set()
        length = timeframe_ms(stream[1])
        times = set(range(span[0], span[1] + 1, length))
        for hole in self.holes.get(stream, ()):
            times.difference_update(range(hole.start, hole.end + 1, length))
        return times
