"""The record of a bot, read from its database: orders, fills, decisions and candles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from botlib.core.model import Candle, Fill, Order
from botlib.core.timeframe import timeframe_ms
from botlib.invariants.settled import NOTHING, Settled
from botlib.store import CandleStorage, Database, OrderJournal
from botlib.store.holes import Hole
from botlib.store.journal_excerpt import JournalExcerpt

Stream = tuple[str, str]
"""Symbol (unified) and timeframe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A signal that led to an order: the strategy, the candle (open time, ms) and the action."""

    strategy: str
    symbol: str
    timestamp: int
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BotRecord:
    """The contents of a bot's database at one moment, or what is new since an earlier one."""

    orders: Mapping[str, Order] = field(default_factory=dict)
    """By client order id."""
    fills: tuple[Fill, ...] = ()
    earlier_fills: int = 0
    """Number of the fills that are left out, of orders that are settled."""
    decisions: tuple[Decision, ...] = ()
    candles: Mapping[Stream, Sequence[Candle]] = field(default_factory=dict)
    """Closed candles from ``since`` on."""
    holes: Mapping[Stream, Sequence[Hole]] = field(default_factory=dict)
    spans: Mapping[Stream, tuple[int, int]] = field(default_factory=dict)
    """First and last open time (ms) that the candles have to cover; by default, that they cover."""

    @classmethod
    def read(
        cls, path: Path, venue: str, streams: Sequence[Stream], since: Mapping[Stream, int]
    ) -> BotRecord:
        """Read a database while another process may write to it.

        Args:
            path: of the database.
            venue: the market it is stamped with.
            streams: the candles to read.
            since: first open time (ms) to read of a stream; streams not in it are read whole.

        Raises:
            StoreError: the database cannot be read.
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

    @classmethod
    def read_orders(
        cls, path: Path, venue: str, names: Iterable[str], settled: Settled = NOTHING
    ) -> BotRecord:
        """Read some orders, the fills that are not settled, and decisions made more than once.

        Args:
            path: of the database, to which another process may write.
            venue: the market it is stamped with.
            names: client order ids of the orders.
            settled: the fills to leave out.

        Raises:
            StoreError: the database cannot be read.
        """
        database = Database.open(path, venue, readonly=True)
        try:
            excerpt = JournalExcerpt(database, settled.last, settled.unfinished)
            return cls(
                orders={order.client_order_id: order for order in excerpt.orders(names)},
                fills=tuple(excerpt.fills()),
                earlier_fills=excerpt.earlier_fills(),
                decisions=tuple(
                    Decision(strategy=strategy, symbol=symbol, timestamp=timestamp, action=reason)
                    for strategy, symbol, timestamp, reason in excerpt.repeated_decisions()
                ),
            )
        finally:
            database.close()

    def span(self, stream: Stream) -> tuple[int, int] | None:
        """Return the first and the last open time (ms) of a stream's candles, or None."""
        if stream in self.spans:
            return self.spans[stream]
        candles = self.candles.get(stream, ())
        return (candles[0].timestamp, candles[-1].timestamp) if candles else None

    def expected(self, stream: Stream) -> set[int]:
        """Return the open times (ms) from the first to the last candle, without the holes."""
        span = self.span(stream)
        if span is None:
            return set()
        length = timeframe_ms(stream[1])
        times = set(range(span[0], span[1] + 1, length))
        for hole in self.holes.get(stream, ()):
            times.difference_update(range(hole.start, hole.end + 1, length))
        return times
