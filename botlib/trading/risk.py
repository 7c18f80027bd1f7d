"""Risk: the limits of every order, and the halt that stops entries.

A halt stops entries only: cancellations, and exits that reduce a position, stay allowed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from botlib.core.errors import RiskRejected
from botlib.core.model import OrderIntent, Side

_MINUTE: Final = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskLimits:
    """The limits of risk; money in quote units."""

    max_order_cost: Decimal
    max_exposure: Decimal
    max_open_orders: int
    max_orders_per_minute: int
    max_daily_loss: Decimal


class RiskValidator:
    """Approves or refuses every order intent.

    An order that protects a position is never refused for a limit, and counts towards none: it only
    lowers what is at risk.
    """

    def __init__(self, limits: RiskLimits) -> None:
        self.limits = limits
        self.halted: str | None = None
        """The reason why entries are stopped, or None."""
        self.caution: Callable[[], str | None] = lambda: None
        """Returns why entries are held back for now, or None; unlike a halt, it ends by itself."""
        self.rejected = 0
        self._sent: deque[int] = deque()

    def halt(self, reason: str) -> bool:
        """Stop entries; return whether they were allowed before."""
        allowed = self.halted is None
        if allowed:
            self.halted = reason
        return allowed

    def resume(self) -> None:
        """Allow entries again, when a person decides so."""
        self.halted = None

    def check(
        self,
        intent: OrderIntent,
        *,
        price: Decimal,
        exposure: Decimal,
        unsettled: int,
        now: int,
    ) -> None:
        """Raise `RiskRejected` unless an order is within every limit.

        Args:
            price: expected price, quote units per base unit.
            exposure: value of everything held, in quote units, with orders of unknown outcome
                counted as filled.
            unsettled: number of orders whose final state is not known yet.
            now: time in ms, on the same clock in every call.
        """
        reason = self._refusal(intent, price, exposure, unsettled, now)
        if reason is not None:
            self.rejected += 1
            raise RiskRejected(f"{intent.side} {intent.amount} {intent.symbol} refused: {reason}")
        if not intent.protects:
            self._sent.append(now)

    def check_loss(self, day_profit: Decimal) -> str | None:
        """Return why trading must halt for the day, or None.

        Args:
            day_profit: profit of the day in quote units.
        """
        if day_profit <= -self.limits.max_daily_loss:
            return (
                f"the day's result {day_profit:.2f} is beyond max_daily_loss "
                f"{self.limits.max_daily_loss}"
            )
        return None

    def _refusal(
        self, intent: OrderIntent, price: Decimal, exposure: Decimal, unsettled: int, now: int
    ) -> str | None:
        limits = self.limits
        if intent.amount <= 0:
            return "the amount is not positive"
        if intent.protects:
            return None
        while self._sent and self._sent[0] <= now - _MINUTE:
            self._sent.popleft()
        if len(self._sent) >= limits.max_orders_per_minute:
            return f"max_orders_per_minute {limits.max_orders_per_minute} is reached"
        if intent.side is Side.SELL:
            return None
        cost = intent.amount * price
        if self.halted is not None:
            return f"entries are halted: {self.halted}"
        if (caution := self.caution()) is not None:
            return f"entries are held back: {caution}"
        if cost > limits.max_order_cost:
            return f"its cost {cost:.2f} is above max_order_cost {limits.max_order_cost}"
        if exposure + cost > limits.max_exposure:
            return (
                f"exposure {exposure:.2f} plus {cost:.2f} is above "
                f"max_exposure {limits.max_exposure}"
            )
        if unsettled >= limits.max_open_orders:
            return f"max_open_orders {limits.max_open_orders} is reached"
        return None
