"""The rules I1 to I5 and I7: functions from the bot's and the venue's records to violations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final

from botlib.core.clock import iso
from botlib.core.model import Fill, FillReceived, Side, SignalRaised
from botlib.core.symbol import split_symbol, symbol_id
from botlib.core.timeframe import MINUTE, timeframe_ms
from botlib.invariants.bot_record import BotRecord, Stream
from botlib.invariants.report import Violation
from botlib.invariants.settled import NOTHING, Settled, source_of
from botlib.invariants.venue_record import ZERO, VenueRecord, VenueTrade
from botlib.trading.risk import RiskLimits
from botlib.venues.symbols import unified_symbol

OURS: Final = "bl"
"""The prefix of the bot's client order ids."""

SLACK: Final = Decimal("0.02")
"""Fraction by which a fill may exceed the price at which its order was approved."""

Bars = Mapping[Stream, Mapping[int, tuple[float, ...]]]
"""The venue's candles: open, high, low, close and volume by open time (ms)."""


def one_order_per_decision(bot: BotRecord, venue: VenueRecord) -> Iterator[Violation]:
    """Yield violations of I1: an order of the bot is at the venue twice, or not in its journal."""
    counts = Counter(one.client_order_id for one in venue.orders)
    for name, count in {**counts, **venue.repeated}.items():
        if not name.startswith(OURS):
            continue
        if count > 1:
            yield Violation(
                invariant="I1", what=f"order {name}", bot="one intent", venue=f"{count} orders"
            )
        if name in counts and name not in bot.orders:
            yield Violation(
                invariant="I1", what=f"order {name}", bot="not in the journal", venue="an order"
            )


def fills_are_trades(
    bot: BotRecord, venue: VenueRecord, settled: Settled = NOTHING
) -> Iterator[Violation]:
    """Yield violations of I2: a fill differs from the venue's trade, or one of them is missing."""
    if bot.earlier_fills != settled.fills:
        yield Violation(
            invariant="I2",
            what="trades of finished orders",
            bot=f"{bot.earlier_fills} fills",
            venue=f"{settled.fills} trades",
        )
    ours = venue.ours(bot.orders)
    trades = {(one.symbol, one.trade_id): one for one in venue.trades if one.order_id in ours}
    fills = {(symbol_id(fill.symbol), fill.trade_id): fill for fill in bot.fills}
    for key in sorted(trades.keys() | fills.keys()):
        trade, fill = trades.get(key), fills.get(key)
        if fill is None or trade is None or not _same(fill, trade):
            yield Violation(
                invariant="I2",
                what=f"trade {key[1]} of {key[0]}",
                bot="no fill" if fill is None else f"{fill.side} {fill.amount} at {fill.price}",
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


def booked_once(events: Iterable[FillReceived], settled: Settled = NOTHING) -> Iterator[Violation]:
    """Yield violations of I2 on the bus: a fill was published more than once."""
    counts: Counter[tuple[str, int]] = Counter()
    for event in events:
        fill = event.fill
        # Each fill of a settled order was published before.
        counts[fill.symbol, fill.trade_id] += 2 if settled.covers(int(fill.venue_order_id)) else 1
    for (symbol, trade_id), count in counts.items():
        if count > 1:
            yield Violation(
                invariant="I2",
                what=f"trade {trade_id} of {symbol}",
                bot=f"published {count} times",
                venue="one trade",
            )


def held(bot: BotRecord, symbol: str, settled: Settled = NOTHING) -> Decimal:
    """Return the sum of the booked fills of a symbol, net of fees, in the base asset."""
    base, _ = split_symbol(symbol)
    total = settled.held.get(symbol_id(symbol), ZERO)
    for fill in bot.fills:
        if fill.symbol == symbol:
            total += fill.amount if fill.side is Side.BUY else -fill.amount
            total -= fill.fee if fill.fee_asset == base else ZERO
    return total


def positions_agree(
    bot: BotRecord,
    venue: VenueRecord,
    symbols: Sequence[str],
    baseline: Mapping[str, Decimal],
    settled: Settled = NOTHING,
) -> Iterator[Violation]:
    """Yield violations of I3: a position differs from the venue's balance.

    The balance counts without the baseline and without trades of orders that are not the bot's.

    Args:
        bot: the record of the bot.
        venue: the record of the venue.
        symbols: whose positions are compared.
        baseline: amount of each base asset that the account would have without any trade.
        settled: what the records leave out.
    """
    ours = venue.ours(bot.orders)
    foreign = [trade for trade in venue.trades if trade.order_id not in ours]
    for symbol in symbols:
        base, _ = split_symbol(symbol)
        owned = venue.balance(base) - baseline.get(base, ZERO) - settled.foreign.get(base, ZERO)
        owned -= sum((trade.change(base) for trade in foreign), ZERO)
        position = held(bot, symbol, settled)
        if owned != position:
            yield Violation(
                invariant="I3",
                what=f"position in {symbol}",
                bot=f"{position} {base}",
                venue=f"{owned} {base}",
            )


def candles_are_the_venues(bot: BotRecord, bars: Bars) -> Iterator[Violation]:
    """Yield violations of I4: a candle is missing or differs, or a hole is none at the venue."""
    for stream, candles in bot.candles.items():
        name = " ".join(stream)
        stored = {candle.timestamp: candle for candle in candles}
        for time in sorted(bot.expected(stream) - stored.keys()):
            yield Violation(
                invariant="I4",
                what=f"candle of {name} at {iso(time)}",
                bot="neither stored nor a hole",
                venue="a candle" if time in bars.get(stream, {}) else "none",
            )
        for time, candle in stored.items():
            mine = (candle.open, candle.high, candle.low, candle.close, candle.volume)
            theirs = bars.get(stream, {}).get(time)
            if theirs is None or tuple(theirs) != mine:
                yield Violation(
                    invariant="I4",
                    what=f"candle of {name} at {iso(time)}",
                    bot=str(mine),
                    venue="no candle" if theirs is None else str(tuple(theirs)),
                )
        for hole in bot.holes.get(stream, ()):
            for time in range(hole.start, hole.end + 1, timeframe_ms(stream[1])):
                if time in bars.get(stream, {}):
                    yield Violation(
                        invariant="I4",
                        what=f"candle of {name} at {iso(time)}",
                        bot="a hole",
                        venue="a candle",
                    )


def one_signal_per_candle(
    bot: BotRecord, events: Iterable[SignalRaised], market_time: int, settled: Settled = NOTHING
) -> Iterator[Violation]:
    """Yield violations of I5: two signals or decisions on one candle, or one before its close."""
    seen: Counter[tuple[str, str, str, int]] = Counter()
    for event in events:
        signal = event.signal
        # Candles are decided on in their order: at or before a settled signal there was one.
        again = signal.timestamp <= settled.signals.get(source_of(event), -1)
        seen[signal.strategy, signal.symbol, signal.timeframe, signal.timestamp] += 1 + again
        closed = signal.timestamp + timeframe_ms(signal.timeframe)
        if closed > market_time:
            yield Violation(
                invariant="I5",
                what=f"signal of {signal.strategy} on {signal.symbol} {signal.timeframe}",
                bot=f"decided on the candle of {iso(signal.timestamp)}",
                venue=f"it closes at {iso(closed)}, market time is {iso(market_time)}",
            )
    for (strategy, symbol, timeframe, timestamp), count in seen.items():
        if count > 1:
            yield Violation(
                invariant="I5",
                what=f"signals of {strategy} on {symbol} {timeframe}",
                bot=f"{count} on the candle of {iso(timestamp)}",
                venue="one candle",
            )
    decided = Counter((one.strategy, one.symbol, one.timestamp) for one in bot.decisions)
    for (strategy, symbol, timestamp), count in decided.items():
        if count > 1:
            yield Violation(
                invariant="I5",
                what=f"orders of {strategy} on {symbol}",
                bot=f"{count} decided on the candle of {iso(timestamp)}",
                venue="one candle",
            )


def caps_hold(
    bot: BotRecord, venue: VenueRecord, limits: RiskLimits, settled: Settled = NOTHING
) -> Iterator[Violation]:
    """Yield violations of I7: the cost of an entry, the orders a minute, or the exposure."""
    ours = venue.ours(bot.orders)
    for order in ours.values():
        if order.side == "BUY" and order.cost > limits.max_order_cost * (1 + SLACK):
            yield _above("max_order_cost", limits.max_order_cost, f"{order.cost:.2f}", order)
    counted = [one for one in ours.values() if one.side == "BUY"]
    times = sorted((*settled.entries, *(one.created for one in counted)))
    for first, time in zip(times, times[limits.max_orders_per_minute :], strict=False):
        if time - first < MINUTE:
            yield Violation(
                invariant="I7",
                what="max_orders_per_minute",
                bot=str(limits.max_orders_per_minute),
                venue=f"more in the minute from {iso(first)}",
            )
            break
    amounts, prices = dict(settled.held), dict(settled.prices)
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
    return Violation(invariant="I7", what=f"{cap} at order {number}", bot=str(limit), venue=found)
