"""The executor: signals become orders, and their fills are booked once.

An order is journaled before it is sent, and sent once. When its outcome is not known it stays
``UNKNOWN`` until the venue settles it, by an event or by a query; nothing is ever sent again
blindly. Fills arrive in three ways (the answer to the order, the user-data stream, and a query of
the venue's fills) and count once, by their trade id.

The venue reserves for a protective stop the amount it would sell. An exit therefore cancels the
stop first, and sells only when its end is known and every fill of it is booked.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from botlib.core.errors import ExchangeError, OrderRejected, OrderUnknown, RiskRejected
from botlib.core.model import (
    Fill,
    FillReceived,
    Order,
    OrderIntent,
    OrderStatus,
    OrderType,
    OrderUpdated,
    PositionChanged,
    Side,
    Signal,
    SignalAction,
)
from botlib.core.timeframe import timeframe_ms
from botlib.execution.order_record import ZERO, OrderRecord, resting
from botlib.trading.positions import is_held
from botlib.trading.sizing import amount_for, sellable, tradable

if TYPE_CHECKING:
    from botlib.core.bus import EventBus
    from botlib.core.clock import Clock
    from botlib.store.journal import OrderJournal
    from botlib.trading.positions import PositionManager
    from botlib.trading.risk import RiskValidator
    from botlib.venues.base import Exchange, OrderReport

logger = logging.getLogger(__name__)

SWEEP_INTERVAL: Final = 300_000
"""Longest time in ms between two queries of a symbol's fills, even if none can be missing."""


def intent_id(signal: Signal) -> str:
    """Return the client order id of a signal; the same decision always has the same id."""
    text = "|".join(
        (
            signal.strategy,
            signal.symbol,
            signal.timeframe,
            str(signal.timestamp),
            signal.action.value,
        )
    )
    return f"bl-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


class OrderExecutor(OrderRecord):
    """Turns signals into orders, keeps the journal, and books fills.

    Args:
        system_clock: wall time, for the journal and for the age of unknown orders.
        market_clock: market time, for the rate limit, so that a replay behaves as live.
        price_of: returns the newest price of a symbol, or None before the first.
    """

    def __init__(
        self,
        *,
        exchange: Exchange,
        journal: OrderJournal,
        positions: PositionManager,
        risk: RiskValidator,
        bus: EventBus,
        system_clock: Clock,
        market_clock: Clock,
        price_of: Callable[[str], float | None],
    ) -> None:
        super().__init__(journal)
        self._exchange = exchange
        self._positions = positions
        self._risk = risk
        self._bus = bus
        self._system_clock = system_clock
        self._market_clock = market_clock
        self._price_of = price_of
        self._swept: dict[str, int] = {}
        """Wall time in ms of the last query of a symbol's fills."""
        self._locks: dict[str, asyncio.Lock] = {}
        self._leaving: dict[str, tuple[Signal, Decimal]] = {}
        self.sent = 0
        self.fills = 0
        self.refused: dict[str, str] = {}
        """The reason why the newest signal of a strategy led to no order, by strategy."""

    def lock(self, symbol: str) -> asyncio.Lock:
        """Return the lock that guards sending and cancelling orders of a symbol."""
        return self._locks.setdefault(symbol, asyncio.Lock())

    def exposure(self) -> Decimal:
        """Return the value of positions and of what unsettled orders may buy, in quote units."""
        held = self._positions.exposure(self._prices())
        pending = sum(
            (
                (order.amount - order.filled) * self._reference_price(order)
                for order in self.unsettled
                if order.side is Side.BUY
            ),
            ZERO,
        )
        return held + pending

    async def recover(self, symbols: Iterable[str]) -> None:
        """Rebuild positions and orders from the journal, then synchronise with the venue."""
        orders, fills = self._journal.orders(), self._journal.fills()
        self._positions.load(fills)
        self._load(orders, fills)
        await self.sync(symbols)

    async def sync(self, symbols: Iterable[str], *, thorough: bool = True) -> None:
        """Settle unsettled orders and query the venue for fills that were not reported.

        Symbols without an order of ours are left out: their fills are not ours.

        Args:
            thorough: query every symbol; otherwise those with an order that is not final or not
                completely booked, and each of them every `SWEEP_INTERVAL`.

        Raises:
            ExchangeError: the venue did not answer; unsettled orders stay so.
        """
        for order in list(self._unsettled.values()):
            await self._settle(order)
        for symbol in symbols:
            if symbol in self._symbols and (thorough or self._sweep_due(symbol)):
                await self._sweep(symbol)
        for signal, order_cost in list(self._leaving.values()):
            await self.execute(signal, order_cost)

    async def execute(self, signal: Signal, order_cost: Decimal) -> Order | None:
        """Size, check, journal and send the order of a signal.

        Args:
            order_cost: quote units an entry may spend.

        Returns:
            The order as last reported, or None if the signal needs none or was refused.
        """
        async with self.lock(signal.symbol):
            return await self._execute(signal, order_cost)

    async def _execute(self, signal: Signal, order_cost: Decimal) -> Order | None:
        client_order_id = intent_id(signal)
        if self.order(client_order_id) is not None:
            self._leaving.pop(signal.symbol, None)
            self._refuse(signal, "this decision has been acted on already")
            return None
        if self.under_way(signal.symbol):
            self._refuse(signal, "an order of this symbol is not settled yet")
            return None
        if not await self._clear_stops(signal):
            if signal.action is SignalAction.EXIT:
                self._leaving[signal.symbol] = (signal, order_cost)
            self._refuse(signal, "what became of the position's stop is not known yet")
            return None
        self._leaving.pop(signal.symbol, None)
        intent = self._intent(signal, order_cost, client_order_id)
        if intent is None:
            return None
        price = Decimal(str(signal.price))
        try:
            self._risk.check(
                intent,
                price=price,
                exposure=self.exposure(),
                unsettled=len(self.unsettled),
                now=self._market_clock.now(),
            )
        except RiskRejected as error:
            self._refuse(signal, str(error))
            return None
        return await self.send(intent)

    async def cancel(self, order: Order) -> bool:
        """Cancel an order; return whether its end is known and all its fills are booked."""
        try:
            report = await self._exchange.cancel_order(order.symbol, order.client_order_id)
        except (OrderRejected, OrderUnknown) as error:
            # The order may have ended by itself, or the cancellation may have arrived.
            logger.info("cancellation of %s: %s", order.client_order_id, error)
        else:
            self._take(self._now(order), report)
        return await self.settled(order)

    async def settled(self, order: Order) -> bool:
        """Query an order; return whether it has ended with all its fills booked.

        Raises:
            ExchangeError: the venue did not answer.
        """
        name = order.client_order_id
        if not self._now(order).status.final:
            await self._settle(self._now(order))
        if self.booked(name)[0] < self._now(order).filled:
            await self._sweep(order.symbol)
        known = self._now(order)
        return known.status.final and self.booked(name)[0] >= known.filled

    def on_execution(self, report: OrderReport) -> None:
        """Apply a report of the user-data stream about one of our orders."""
        order = self.order(report.client_order_id)
        if order is None:
            logger.info("execution of an order that is not ours: %s", report.client_order_id)
            return
        self._take(order, report)

    async def _clear_stops(self, signal: Signal) -> bool:
        """Cancel the stops before an exit, or book their fills before an entry; return success."""
        try:
            for order in self.stops(signal.symbol):
                if signal.action is SignalAction.EXIT:
                    if not await self.cancel(order):
                        return False
                elif not await self.settled(order) and not resting(self._now(order)):
                    return False
        except ExchangeError as error:
            logger.warning("the stop of %s cannot be queried: %s", signal.symbol, error)
            return False
        return True

    def _intent(
        self, signal: Signal, order_cost: Decimal, client_order_id: str
    ) -> OrderIntent | None:
        market = self._exchange.market(signal.symbol)
        held = self._positions.get(signal.symbol).amount
        price = Decimal(str(signal.price))
        if signal.action is SignalAction.ENTRY:
            if is_held(held, price, market):
                self._refuse(signal, f"{held} {market.base} are held already")
                return None
            closed = signal.timestamp + timeframe_ms(signal.timeframe)
            if self._protected.get(signal.symbol, -1) >= closed:
                # The stop sold at the open that followed the candle of the signal.
                self._refuse(signal, "the position was held when the candle closed")
                return None
            side, amount = Side.BUY, amount_for(order_cost, price, market)
        else:
            side, amount = Side.SELL, sellable(held, market)
            if not held:
                return None  # An exit without a position is no event.
        if not tradable(amount, price, market):
            self._refuse(
                signal,
                f"{amount} {market.base} is below the venue's least order "
                f"({market.min_amount} {market.base}, {market.min_cost} {market.quote})",
            )
            return None
        return OrderIntent(
            client_order_id=client_order_id,
            strategy=signal.strategy,
            symbol=signal.symbol,
            side=side,
            type=OrderType.MARKET,
            amount=amount,
            signal_timestamp=signal.timestamp,
            reason=signal.action.value,
        )

    async def send(self, intent: OrderIntent) -> Order:
        """Journal an approved intent, send it once, and return the resulting order."""
        now, market_time = self._system_clock.now(), self._market_clock.now() or None
        self._journal.record_intent(intent, now, market_time)
        order = Order(
            client_order_id=intent.client_order_id,
            venue_order_id=None,
            strategy=intent.strategy,
            symbol=intent.symbol,
            side=intent.side,
            type=intent.type,
            amount=intent.amount,
            price=intent.price,
            stop_price=intent.stop_price,
            market_time=market_time,
            # From here on the venue may have the order, whatever happens to this process.
            status=OrderStatus.UNKNOWN,
            filled=ZERO,
            cost=ZERO,
            created=now,
            updated=now,
        )
        self._remember(order)
        self.sent += 1
        try:
            report = await self._exchange.place_order(intent)
        except OrderRejected as error:
            return self._update(order, status=OrderStatus.REJECTED, message=str(error))
        except OrderUnknown as error:
            logger.warning("outcome of order %s unknown: %s", order.client_order_id, error)
            return self._update(self._now(order), message=str(error))
        # The user-data stream may have reported the order before the answer arrived.
        return self._take(self._now(order), report)

    async def _settle(self, order: Order) -> None:
        report = await self._exchange.fetch_order(order.symbol, order.client_order_id)
        if report is not None:
            self._take(self._now(order), report)
        elif self._system_clock.now() - order.created > self._exchange.capabilities.absence_fence:
            # Queried twice, since a lagging replica may have answered the first query.
            if await self._exchange.fetch_order(order.symbol, order.client_order_id) is None:
                self._update(order, status=OrderStatus.REJECTED, message="never reached the venue")

    def _sweep_due(self, symbol: str) -> bool:
        """Return whether the venue may know a fill of ours that is not booked."""
        if self._system_clock.now() - self._swept.get(symbol, 0) >= SWEEP_INTERVAL:
            return True
        return self._may_miss_fills(symbol)

    async def _sweep(self, symbol: str) -> None:
        self._swept[symbol] = self._system_clock.now()
        key = f"sweep:{symbol}"
        start = int(self._journal.get_state(key) or 0)
        fills = await self._exchange.fetch_fills(symbol, start)
        ours = self._ours(symbol, {fill.venue_order_id for fill in fills})
        for fill in fills:  # other fills of the account are not ours
            if fill.venue_order_id in ours:
                self._book(replace(fill, client_order_id=ours[fill.venue_order_id]))
        # The fills of an unsettled order may not be recognised yet: they are queried again.
        if fills and not any(order.symbol == symbol for order in self.unsettled):
            self._journal.set_state(key, fills[-1].trade_id + 1)

    def _now(self, order: Order) -> Order:
        """Return the newest version of an order."""
        return self.order(order.client_order_id) or order

    def _take(self, order: Order, report: OrderReport) -> Order:
        for fill in report.fills:
            self._book(replace(fill, client_order_id=order.client_order_id))
        if order.status.final or report.filled < order.filled:
            return order  # The report is older than what is known.
        if (report.status, report.filled) == (order.status, order.filled):
            return order
        return self._update(
            order,
            status=report.status,
            venue_order_id=report.venue_order_id,
            filled=report.filled,
            cost=report.cost,
        )

    def _update(self, order: Order, **changes: object) -> Order:
        updated = replace(order, updated=self._system_clock.now(), **changes)  # type: ignore[arg-type]
        self._journal.save_order(updated)
        if order.client_order_id not in self._orders:
            self._recall(order.client_order_id)
        self._remember(updated)
        self._bus.publish(OrderUpdated(order=updated))
        return updated

    def _book(self, fill: Fill) -> None:
        if not self._journal.save_fill(fill):
            return
        position = self._positions.apply(fill)
        if position is None:
            return
        self.fills += 1
        self._add_fill(fill)
        self._bus.publish(FillReceived(fill=fill))
        self._bus.publish(PositionChanged(position=position))

    def _refuse(self, signal: Signal, reason: str) -> None:
        self.refused[signal.strategy] = reason
        logger.info(
            "%s %s of %s refused: %s", signal.symbol, signal.action, signal.strategy, reason
        )

    def _prices(self) -> dict[str, float]:
        prices = {
            position.symbol: self._price_of(position.symbol) for position in self._positions.all()
        }
        return {symbol: price for symbol, price in prices.items() if price is not None}

    def _reference_price(self, order: Order) -> Decimal:
        if order.price is not None:
            return order.price
        return Decimal(str(self._price_of(order.symbol) or 0))
