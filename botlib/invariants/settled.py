"""`Settled`: the sums of what was checked and cannot change, so that it can be forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from botlib.core.model import SignalRaised
from botlib.core.symbol import split_symbol
from botlib.core.timeframe import MINUTE
from botlib.invariants.venue_record import ZERO, VenueRecord
from botlib.venues.symbols import unified_symbol

SignalSource = tuple[str, str, str]
"""Strategy, symbol (unified) and timeframe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The sums of all finished orders up to one, of their trades, and of the signals.

    Records that are read after it contain only what is new, so that a check of a month needs no
    more memory than one of an hour.
    """

    last: int = 0
    """The highest order id of the venue that was checked."""
    unfinished: frozenset[int] = frozenset()
    """Ids up to ``last`` of orders that are not settled yet."""
    orders: int = 0
    trades: int = 0
    fills: int = 0
    """Trades of the bot's own orders, of which each has its fill."""
    held: Mapping[str, Decimal] = field(default_factory=dict)
    """Amount of each symbol (by the venue's id) that the bot's trades left, net of fees."""
    prices: Mapping[str, Decimal] = field(default_factory=dict)
    """Price of the bot's last trade of each symbol."""
    foreign: Mapping[str, Decimal] = field(default_factory=dict)
    """Change of the balance of each asset by trades that are not the bot's."""
    entries: tuple[int, ...] = ()
    """Times (ms) of the bot's buy orders in the minute before the end."""
    signals: Mapping[SignalSource, int] = field(default_factory=dict)
    """The candle of the newest signal (open time, ms)."""

    def covers(self, order_id: int) -> bool:
        """Return whether an order is settled."""
        return order_id <= self.last and order_id not in self.unfinished

    def with_venue(self, venue: VenueRecord, known: Mapping[str, object]) -> Settled:
        """Return these sums and those of the finished orders of a record without a violation.

        While an order that can still trade has traded in part, nothing is settled: the sums follow
        the order of the trades.

        Args:
            venue: read after this.
            known: client order ids of the bot's own orders.
        """
        unfinished = [one for one in venue.orders if not one.finished]
        if any(one.executed for one in unfinished):
            return self
        ours = venue.ours(known)
        held, prices, foreign = dict(self.held), dict(self.prices), dict(self.foreign)
        for trade in venue.trades:
            base, quote = split_symbol(unified_symbol(trade.symbol))
            if trade.order_id in ours:
                held[trade.symbol] = held.get(trade.symbol, ZERO) + trade.change(base)
                prices[trade.symbol] = trade.price
            else:
                for asset in {base, quote, trade.commission_asset}:
                    foreign[asset] = foreign.get(asset, ZERO) + trade.change(asset)
        times = [one.created for one in ours.values() if one.finished and one.side == "BUY"]
        return replace(
            self,
            last=max((self.last, *(one.order_id for one in venue.orders))),
            unfinished=frozenset(one.order_id for one in unfinished),
            orders=self.orders + len(venue.orders) - len(unfinished),
            trades=self.trades + len(venue.trades),
            fills=self.fills + sum(one.order_id in ours for one in venue.trades),
            held=held,
            prices=prices,
            foreign=foreign,
            entries=tuple(
                time for time in (*self.entries, *times) if time > venue.market_time - MINUTE
            ),
        )

    def with_signals(self, events: Iterable[SignalRaised]) -> Settled:
        """Return these sums, and the newest of some signals of each source."""
        newest = dict(self.signals)
        for event in events:
            source = source_of(event)
            newest[source] = max(newest.get(source, 0), event.signal.timestamp)
        return replace(self, signals=newest)


def source_of(event: SignalRaised) -> SignalSource:
    """Return what raised a signal."""
    signal = event.signal
    return signal.strategy, signal.symbol, signal.timeframe


NOTHING: Final = Settled()
