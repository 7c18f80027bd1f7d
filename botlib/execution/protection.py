"""Protective stops: while a position is held, a stop that sells it rests at the venue.

A position is protected from the fill of its entry, whether this program runs or not. Only this
module moves and replaces stops; an exit cancels them first (see `OrderExecutor`). A position
without a stop for longer than `GRACE` halts entries until a person resumes them.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from botlib.core.errors import ExchangeError, RiskRejected
from botlib.core.model import Halted, Order, OrderIntent, OrderStatus, OrderType, Side
from botlib.execution.executor import OrderExecutor
from botlib.execution.order_record import STOP_PREFIX
from botlib.trading.positions import is_held
from botlib.trading.sizing import sellable, tradable

if TYPE_CHECKING:
    from botlib.core.bus import EventBus
    from botlib.core.clock import Clock
    from botlib.core.market import Market
    from botlib.trading.positions import PositionManager
    from botlib.trading.risk import RiskValidator
    from botlib.trading.stops import StopRules
    from botlib.venues.base import Exchange

logger = logging.getLogger(__name__)

GRACE: Final = 10_000
"""Longest time in ms that a position may be without a stop before entries are halted."""

RETRY: Final = 10_000
"""Least time in ms between a stop that the venue refused and the next attempt."""


class Protector:
    """Keeps a stop at the venue for every position of a strategy with stop rules.

    Args:
        system_clock: wall time, which measures how long a position is unprotected.
    """

    def __init__(
        self,
        *,
        orders: OrderExecutor,
        exchange: Exchange,
        positions: PositionManager,
        risk: RiskValidator,
        bus: EventBus,
        system_clock: Clock,
        market_clock: Clock,
    ) -> None:
        self._orders = orders
        self._exchange = exchange
        self._positions = positions
        self._risk = risk
        self._bus = bus
        self._clock = system_clock
        self._market_clock = market_clock
        self._bare: dict[str, int] = {}
        self._refused: dict[str, tuple[str, int]] = {}
        """The entry whose stop the venue refused last, and the time in ms, by symbol."""
        self.rules: dict[str, StopRules] = {}
        """The rules of every strategy, by its name."""

    @property
    def asked(self) -> bool:
        """Whether any strategy limits its positions."""
        return any(rules.limited for rules in self.rules.values())

    async def attend_all(self, symbols: Iterable[str]) -> None:
        """Check every position, and place or replace the stops that are due."""
        for symbol in symbols:
            held = self.asked and not self._positions.get(symbol).flat
            if held or self._orders.stops(symbol):
                await self.attend(symbol)

    async def attend(self, symbol: str, high: float | None = None) -> None:
        """Check the position of a symbol, and place, replace or cancel its stop if that is due.

        A venue that does not answer is logged; the next call tries again.

        Args:
            high: highest high of the candles that closed since the entry, which moves a trailing
                stop and decides whether profit is taken; None does neither.
        """
        covered = False
        try:
            async with self._orders.lock(symbol):
                covered = await self._attend(symbol, high)
        except ExchangeError as error:
            logger.warning("the stop of %s could not be checked: %s", symbol, error)
        finally:
            self._watch(symbol, covered)

    def entry(self, symbol: str) -> Order | None:
        """Return the newest filled purchase of a symbol, to which the position belongs."""
        return self._orders.entry(symbol)

    async def _attend(self, symbol: str, high: float | None) -> bool:
        """Do what is due; return whether the position has the stop it needs, or needs none."""
        for stop in self._orders.stops(symbol):
            if stop.status is not OrderStatus.OPEN and not await self._known(stop):
                return False
        market = self._exchange.market(symbol)
        entry = self.entry(symbol)
        rules = self.rules.get(entry.strategy) if entry is not None else None
        if entry is None or rules is None:
            # No strategy of this run limits the position; the stop of an earlier run stays.
            return True
        bought, cost = self._orders.booked(entry.client_order_id)
        price = cost / bought
        paid = float(price)  # float64, as in a backtest: the same position has the same stop
        stops = self._orders.stops(symbol)
        if not is_held(self._positions.get(symbol).amount, price, market):
            for stop in stops:  # the position was sold elsewhere
                await self._orders.cancel(stop)
            return True
        if self._orders.under_way(symbol):
            return False
        if (
            rules.target_reached(paid, high, market.tick)
            and self._orders.order(_name(entry, "take_profit")) is None
        ):
            return await self._leave(entry, stops, market, "take_profit")
        if not rules.stops:
            return True
        level = rules.stop_price(paid, high, market.tick)
        earlier = self._orders.stops_since(entry)
        level = max([level, *(stop.stop_price or level for stop in earlier)])
        return await self._cover(entry, stops, market, level, number=len(earlier))

    async def _known(self, stop: Order) -> bool:
        await self._orders.settled(stop)
        known = self._orders.order(stop.client_order_id)
        return known is not None and (known.status is OrderStatus.OPEN or known.status.final)

    async def _cover(
        self, entry: Order, stops: list[Order], market: Market, level: Decimal, *, number: int
    ) -> bool:
        """Place or replace the stop of a position, so that one rests at ``level`` for all of it.

        Returns:
            Whether that stop rests, or nothing is left to protect.
        """
        symbol = entry.symbol
        amount = sellable(self._positions.get(symbol).amount, market)
        if len(stops) == 1 and (stops[0].amount, stops[0].stop_price) == (amount, level):
            return True
        for stop in stops:
            if not await self._orders.cancel(stop):
                return False
        amount = sellable(self._positions.get(symbol).amount, market)
        if not tradable(amount, level, market):
            return True  # The stop was filled meanwhile, or what is left cannot be sold.
        refused, since = self._refused.get(symbol, ("", 0))
        if refused == entry.client_order_id and self._clock.now() - since < RETRY:
            return False
        order = await self._send(
            OrderIntent(
                client_order_id=_name(entry, f"stop {number}"),
                strategy=entry.strategy,
                symbol=symbol,
                side=Side.SELL,
                type=OrderType.STOP_LOSS,
                amount=amount,
                stop_price=level,
                reason="stop",
                protects=True,
            ),
            price=level,
        )
        if order is None:
            return False
        if order.status is OrderStatus.REJECTED:
            logger.warning("the venue refused the stop of %s: %s", symbol, order.message)
            self._refused[symbol] = (entry.client_order_id, self._clock.now())
            return await self._leave(entry, [], market, "stop_loss")
        self._refused.pop(symbol, None)
        return order.status is not OrderStatus.UNKNOWN

    async def _leave(self, entry: Order, stops: list[Order], market: Market, reason: str) -> bool:
        """Sell at the market instead of a stop, once per position; halt entries if that fails."""
        symbol, name = entry.symbol, _name(entry, reason)
        for stop in stops:
            if not await self._orders.cancel(stop):
                return False
        amount = sellable(self._positions.get(symbol).amount, market)
        if not amount:
            return True  # The stop was filled meanwhile.
        if self._orders.order(name) is not None:
            self._halt(f"{amount} {symbol} can neither be protected by a stop nor be sold")
            return False
        order = await self._send(
            OrderIntent(
                client_order_id=name,
                strategy=entry.strategy,
                symbol=symbol,
                side=Side.SELL,
                type=OrderType.MARKET,
                amount=amount,
                reason=reason,
                protects=True,
            ),
            price=entry.average or Decimal(0),
        )
        if order is None:
            return False
        if order.status in (OrderStatus.REJECTED, OrderStatus.EXPIRED):
            self._halt(
                f"{symbol} has no stop and could not be sold: {order.message or order.status}"
            )
            return False
        return order.status is OrderStatus.FILLED

    async def _send(self, intent: OrderIntent, *, price: Decimal) -> Order | None:
        try:
            self._risk.check(
                intent,
                price=price,
                exposure=self._orders.exposure(),
                unsettled=len(self._orders.unsettled),
                now=self._market_clock.now(),
            )
        except RiskRejected as error:
            self._halt(f"{intent.symbol} cannot be protected: {error}")
            return None
        return await self._orders.send(intent)

    def _watch(self, symbol: str, covered: bool) -> None:
        if covered:
            self._bare.pop(symbol, None)
            return
        since = self._bare.setdefault(symbol, self._clock.now())
        if self._clock.now() - since > GRACE:
            self._halt(f"the position in {symbol} has had no stop for over {GRACE // 1_000} s")

    def _halt(self, reason: str) -> None:
        if self._risk.halt(reason):
            logger.error("entries halted: %s", reason)
            self._bus.publish(Halted(reason=reason))


def _name(entry: Order, what: str) -> str:
    text = f"{entry.client_order_id}|{what}"
    return f"{STOP_PREFIX}{hashlib.sha256(text.encode()).hexdigest()[:24]}"
