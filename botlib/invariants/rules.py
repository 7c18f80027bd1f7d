"""I1 to I5 and I7 as functions: the kit's books and the venue's go in, violations come out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final

from botlib.core.clock import iso
from botlib.core.model import Fill, FillReceived, Side, SignalRaised
from botlib.core.symbol import split_symbol, symbol_id
from botlib.core.timeframe import timeframe_ms
from botlib.execution import STOP_PREFIX
from botlib.invariants.kit_record import KitRecord, Stream
from botlib.invariants.report import Violation
from botlib.invariants.venue_record import ZERO, VenueRecord, VenueTrade
from botlib.trading.risk import RiskLimits
from botlib.venues.symbols import unified_symbol

OURS: Final = "bl-"
"""What the client order ids of the kit begin with."""

MINUTE: Final = 60_000
SLACK: Final = Decimal("0.02")
"""Fraction by which a fill may cost more than the price its order was approved at."""

Bars = Mapping[Stream, Mapping[int, tuple[float, ...]]]
"""The venue's candles: open, high, low, close and volume by open time (ms)."""


def one_order_per_decision(kit: KitRecord, venue: VenueRecord) -> Iterator[Violation]:
    """I1: every id of ours stands at the venue once at most, and was written down first."""
    counts = Counter(one.client_order_id for one in venue.orders)
    for name, count in counts.items():
        if not name.startswith(OURS):
            continue
        if count > 1:
            yield Violation(
                invariant="I1", what=f"order {name}", kit="one intent", venue=f"{count} orders"
            )
        if name not in kit.orders:
            yield Violation(
                invariant="I1", what=f"order {name}", kit="never written down", venue="an order"
            )


def fills_are_trades(kit: KitRecord, venue: VenueRecord) -> Iterator[Violation]:
    """I2: the fills booked are our trades at the venue, value by value."""
    ours = venue.ours(kit.orders)
    trades = {(one.symbol, one.trade_id): one for one in venue.trades if one.order_id in ours}
    fills = {(symbol_id(fill.symbol), fill.trade_id): fill for fill in kit.fills}
    for key in sorted(trades.keys() | fills.keys()):
        trade, fill = trades.get(key), fills.get(key)
        if fill is None or trade is None or not _same(fill, trade):
            yield Violation(
                invariant="I2",
                what=f"trade {key[1]} of {key[0]}",
                kit="no fill" if fill is None else f"{fill.side} {fill.amount} at {fill.price}",
                venue="no trade" if trade is None else _told(trade),
            )


def _same(fill: Fill, trade: VenueTrade) -> bool:
    side = "BUY" if fill.side is Side.BUY else "SELL"
    return (side, fill.price, fill.amount, fill.fee, fill.fee_asset) == (
        trade.side,
        trade.price,
        trade.amount,
        trade.commission,
        trade.commission_asset,
    )


def _told(trade: VenueTrade) -> str:
    return f"{trade.side.lower()} {trade.amount} at {trade.price}"


def booked_once(events: Iterable[FillReceived]) -> Iterator[Violation]:
    """I2, of what was told on the bus: no trade twice."""
    counts = Counter((event.fill.symbol, event.fill.trade_id) for event in events)
    for (symbol, trade_id), count in counts.items():
        if count > 1:
            yield Violation(
                invariant="I2",
                what=f"trade {trade_id} of {symbol}",
                kit=f"told {count} times",
                venue="one trade",
            )


def held(kit: KitRecord, symbol: str) -> Decimal:
    """Return what the booked fills of a symbol add up to, net of fees in the base asset."""
    base, _ = split_symbol(symbol)
    total = ZERO
    for fill in kit.fills:
        if fill.symbol == symbol:
            total += fill.amount if fill.side is Side.BUY else -fill.amount
            total -= fill.fee if fill.fee_asset == base else ZERO
    return total


def positions_agree(
    kit: KitRecord, venue: VenueRecord, symbols: Sequence[str], baseline: Mapping[str, Decimal]
) -> Iterator[Violation]:
    """I3: what the fills add up to is what the venue holds beyond what is not ours.

    Args:
        baseline: by base asset, what the account would own had nobody ever traded.
    """
    ours = venue.ours(kit.orders)
    foreign = [trade for trade in venue.trades if trade.order_id not in ours]
    for symbol in symbols:
        base, _ = split_symbol(symbol)
        owned = venue.balance(base) - baseline.get(base, ZERO)
        owned -= sum((trade.change(base) for trade in foreign), ZERO)
        position = held(kit, symbol)
        if owned != position:
            yield Violation(
                invariant="I3",
                what=f"position in {symbol}",
                kit=f"{position} {base}",
                venue=f"{owned} {base}",
            )


def candles_are_the_venues(kit: KitRecord, bars: Bars) -> Iterator[Violation]:
    """I4: contiguous, equal to the venue's own, and no hole where the venue has a candle."""
    for stream, candles in kit.candles.items():
        name = " ".join(stream)
        stored = {candle.timestamp: candle for candle in candles}
        for time in sorted(kit.expected(stream) - stored.keys()):
            yield Violation(
                invariant="I4",
                what=f"candle of {name} at {iso(time)}",
                kit="neither stored nor a hole",
                venue="a candle" if time in bars.get(stream, {}) else "none",
            )
        for time, candle in stored.items():
            mine = (candle.open, candle.high, candle.low, candle.close, candle.volume)
            theirs = bars.get(stream, {}).get(time)
            if theirs is None or tuple(theirs) != mine:
                yield Violation(
                    invariant="I4",
                    what=f"candle of {name} at {iso(time)}",
                    kit=str(mine),
                    venue="no candle" if theirs is None else str(tuple(theirs)),
                )
        for hole in kit.holes.get(stream, ()):
            for time in range(hole.start, hole.end + 1, timeframe_ms(stream[1])):
                if time in bars.get(stream, {}):
                    yield Violation(
                        invariant="I4",
                        what=f"candle of {name} at {iso(time)}",
                        kit="a hole",
                        venue="a candle",
                    )


def one_signal_per_candle(
    kit: KitRecord, events: Iterable[SignalRaised], market_time: int
) -> Iterator[Violation]:
    """I5: by what was told on the bus, and by the decisions that led to orders."""
    seen: Counter[tuple[str, str, str, int]] = Counter()
    for event in events:
        signal = event.signal
        seen[signal.strategy, signal.symbol, signal.timeframe, signal.timestamp] += 1
        closed = signal.timestamp + timeframe_ms(signal.timeframe)
        if closed > market_time:
            yield Violation(
                invariant="I5",
                what=f"signal of {signal.strategy} on {signal.symbol} {signal.timeframe}",
                kit=f"decided on the candle of {iso(signal.timestamp)}",
                venue=f"it closes at {iso(closed)}, market time is {iso(market_time)}",
            )
    for (strategy, symbol, timeframe, timestamp), count in seen.items():
        if count > 1:
            yield Violation(
                invariant="I5",
                what=f"signals of {strategy} on {symbol} {timeframe}",
                kit=f"{count} on the candle of {iso(timestamp)}",
                venue="one candle",
            )
    decided = Counter((one.strategy, one.symbol, one.timestamp) for one in kit.decisions)
    for (strategy, symbol, timestamp), count in decided.items():
        if count > 1:
            yield Violation(
                invariant="I5",
                what=f"orders of {strategy} on {symbol}",
                kit=f"{count} decided on the candle of {iso(timestamp)}",
                venue="one candle",
            )


def caps_hold(kit: KitRecord, venue: VenueRecord, limits: RiskLimits) -> Iterator[Violation]:
    """I7: cost of an entry, orders a minute, and exposure after every purchase."""
    ours = venue.ours(kit.orders)
    for order in ours.values():
        if order.side == "BUY" and order.cost > limits.max_order_cost * (1 + SLACK):
            yield _above("max_order_cost", limits.max_order_cost, f"{order.cost:.2f}", order)
    counted = [one for one in ours.values() if not one.client_order_id.startswith(STOP_PREFIX)]
    times = sorted(one.created for one in counted)
    for first, time in zip(times, times[limits.max_orders_per_minute :], strict=False):
        if time - first < MINUTE:
            yield Violation(
                invariant="I7",
                what="max_orders_per_minute",
                kit=str(limits.max_orders_per_minute),
                venue=f"more in the minute from {iso(first)}",
            )
            break
    amounts: dict[str, Decimal] = {}
    prices: dict[str, Decimal] = {}
    for trade in venue.trades:
        if trade.order_id not in ours:
            continue
        base, _ = split_symbol(unified_symbol(trade.symbol))
        amounts[trade.symbol] = amounts.get(trade.symbol, ZERO) + trade.change(base)
        prices[trade.symbol] = trade.price
        exposure = sum((amount * prices[symbol] for symbol, amount in amounts.items()), ZERO)
        if trade.side == "BUY" and exposure > limits.max_exposure * (1 + SLACK):
            yield _above("max_exposure", limits.max_exposure, f"{exposure:.2f}", trade)


def _above(cap: str, limit: Decimal, found: str, where: object) -> Violation:
    number = getattr(where, "order_id", "?")
    return Violation(invariant="I7", what=f"{cap} at order {number}", kit=str(limit), venue=found)
