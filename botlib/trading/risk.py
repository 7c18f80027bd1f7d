"""Risk: the caps that every entry passes.

What lowers risk passes: exits, stops, targets and cancellations are never refused by a cap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from botlib.core.errors import RiskRejected
from botlib.core.model import OrderIntent, Position, Side
from botlib.trading.orders import TrackedOrder

_MINUTE: Final = 60_000
ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskLimits:
    """What may be risked; money in quote units, fractions of 1. None is no limit.

    Attributes:
        max_order_cost: of one entry.
        max_position: value of one symbol's position, the entry included.
        max_exposure: value of everything held and under way, the entry included.
        max_open_orders: entries whose outcome is not known or which rest.
        max_orders_per_minute: entries sent within a minute of market time.
        max_daily_loss: loss of a UTC day, fees included.
        max_drawdown: fraction that the equity may lie below its highest.
        symbols: the only symbols that may be entered.
        price_band: fraction by which an entry's price may differ from the newest one.
    """

    max_order_cost: Decimal
    max_exposure: Decimal
    max_open_orders: int
    max_orders_per_minute: int
    max_daily_loss: Decimal
    max_position: Decimal | None = None
    max_drawdown: Decimal | None = None
    symbols: tuple[str, ...] | None = None
    price_band: Decimal | None = None

    @property
    def usual_cost(self) -> Decimal:
        """What an entry costs if nothing else is said: half of the most, or less by other caps."""
        others = [cap for cap in (self.max_position, self.max_exposure) if cap is not None]
        return min(self.max_order_cost / 2, *others)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What is at risk when an entry is judged; money in quote units.

    Attributes:
        total: value of everything held, entries of unknown outcome counted as filled.
        by_symbol: the same of each symbol.
        open_orders: entries that have not ended.
        price: the newest price of the symbol, None if it is not known.
    """

    total: Decimal = ZERO
    by_symbol: Mapping[str, Decimal] = field(default_factory=dict)
    open_orders: int = 0
    price: Decimal | None = None


def exposure_of(
    held: Iterable[Position],
    orders: Iterable[TrackedOrder],
    owed: Callable[[TrackedOrder], Decimal],
    price_of: Callable[[str], Decimal | None],
    symbol: str | None = None,
) -> Exposure:
    """Return what is at risk.

    Args:
        held: positions; one whose price is not known is valued at its entry price.
        orders: orders that have not ended or are not booked whole; an unknown outcome counts as
            filled.
        owed: returns the base units of an order that are filled and not in ``held`` yet.
        price_of: returns the newest price of a symbol.
        symbol: the one that is to be entered.
    """
    by_symbol: dict[str, Decimal] = {}
    for position in held:
        price = price_of(position.symbol) or position.entry_price
        by_symbol[position.symbol] = position.amount * price
    count = 0
    for order in orders:
        if order.sells or not (more := order.remaining + owed(order)):
            continue
        count += 1
        name, intent = order.intent.symbol, order.intent
        price = intent.price or price_of(name) or ZERO
        by_symbol[name] = by_symbol.get(name, ZERO) + more * price
    return Exposure(
        total=sum(by_symbol.values(), ZERO),
        by_symbol=by_symbol,
        open_orders=count,
        price=None if symbol is None else price_of(symbol),
    )


class RiskValidator:
    """Approves or refuses order intents; it is asked for every order."""

    def __init__(self, limits: RiskLimits) -> None:
        self.limits = limits
        self.rejected = 0
        self._sent: deque[int] = deque()

    def check(self, intent: OrderIntent, *, price: Decimal, at_risk: Exposure, now: int) -> None:
        """Approve an order, or raise `RiskRejected`.

        Args:
            price: what a unit is expected to cost, quote units.
            at_risk: what is held and under way already.
            now: market time, ms.
        """
        if not intent.amount.is_finite() or intent.amount <= 0:
            self._refuse(intent, "amount", str(intent.amount), "a positive number")
        if intent.side is Side.SELL:
            return
        for rule, value, limit in self._broken(intent, price, at_risk, now):
            self._refuse(intent, rule, value, limit)
        self._sent.append(now)

    def _broken(
        self, intent: OrderIntent, price: Decimal, at_risk: Exposure, now: int
    ) -> Iterable[tuple[str, str, str]]:
        limits, cost = self.limits, intent.amount * price
        while self._sent and self._sent[0] <= now - _MINUTE:
            self._sent.popleft()
        if not cost.is_finite():
            yield "price", str(price), "a number"
            return
        if limits.symbols is not None and intent.symbol not in limits.symbols:
            yield "symbols", intent.symbol, ", ".join(limits.symbols)
        if len(self._sent) >= limits.max_orders_per_minute:
            yield "max_orders_per_minute", str(len(self._sent) + 1), str(self._per_minute)
        if cost > limits.max_order_cost:
            yield "max_order_cost", f"{cost:.2f}", str(limits.max_order_cost)
        position = at_risk.by_symbol.get(intent.symbol, ZERO) + cost
        if limits.max_position is not None and position > limits.max_position:
            yield "max_position", f"{position:.2f}", str(limits.max_position)
        if at_risk.total + cost > limits.max_exposure:
            yield "max_exposure", f"{at_risk.total + cost:.2f}", str(limits.max_exposure)
        if at_risk.open_orders >= limits.max_open_orders:
            yield "max_open_orders", str(at_risk.open_orders + 1), str(limits.max_open_orders)
        newest = at_risk.price
        if limits.price_band is not None and newest:
            away = abs(price - newest) / newest
            if away > limits.price_band:
                yield "price_band", f"{away:.4f}", str(limits.price_band)

    @property
    def _per_minute(self) -> int:
        return self.limits.max_orders_per_minute

    def _refuse(self, intent: OrderIntent, rule: str, value: str, limit: str) -> None:
        self.rejected += 1
        raise RiskRejected(
            f"{intent.side} {intent.amount} {intent.symbol} refused by {rule}: "
            f"{value}, the limit is {limit}",
            rule=rule,
            value=value,
            limit=limit,
        )

    def check_loss(self, day_profit: Decimal) -> str | None:
        """Return why trading must halt for the day, or None."""
        if day_profit <= -self.limits.max_daily_loss:
            return (
                f"the day's result {day_profit:.2f} is beyond max_daily_loss "
                f"{self.limits.max_daily_loss}"
            )
        return None

    def check_drawdown(self, equity: Decimal, highest: Decimal) -> str | None:
        """Return why trading must halt after a fall of the equity from its highest, or None."""
        limit = self.limits.max_drawdown
        if limit is None or highest <= 0 or equity >= highest * (1 - limit):
            return None
        return (
            f"the equity {equity:.2f} is {1 - equity / highest:.2%} below its highest "
            f"{highest:.2f}, beyond max_drawdown {limit}"
        )
