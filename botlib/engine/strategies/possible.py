"""`check_possible`: refuses a strategy of which no entry could ever be sent."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from botlib.core.errors import InvalidInput
from botlib.trading.books import Protection
from botlib.trading.protecting import unprotectable
from botlib.trading.sizing import amount_for, tradable

if TYPE_CHECKING:
    from botlib.core.market import Market
    from botlib.engine.strategies.active import ActiveStrategy
    from botlib.trading.risk import RiskLimits


def check_possible(
    active: ActiveStrategy, limits: RiskLimits, market: Market, price: Decimal | None
) -> None:
    """Check that an entry of a strategy can pass the caps and the rules of its market.

    Args:
        price: the newest one, quote units; None leaves out what depends on it.

    Raises:
        InvalidInput: every entry would be refused.
    """
    found = _above_cap(active, limits) or _too_small(active, market, price)
    if found is not None:
        raise InvalidInput(f"The strategy {active.name!r} could never enter: {found}")


def _above_cap(active: ActiveStrategy, limits: RiskLimits) -> str | None:
    if limits.symbols is not None and active.symbol not in limits.symbols:
        return (
            f"risk.symbols allows {', '.join(limits.symbols)}, not {active.symbol}. "
            "Add the symbol there."
        )
    cost = active.order_cost or Decimal(0)
    for cap in ("max_order_cost", "max_position", "max_exposure"):
        limit = getattr(limits, cap)
        if limit is not None and cost > limit:
            return (
                f"order_cost {cost:f} is above risk.{cap} {limit:f}. Pass an "
                f"order_cost of {limit:f} or less, or raise the cap: "
                f"bl.connect(risk={{'{cap}': {cost:f}}})."
            )
    return None


def _too_small(active: ActiveStrategy, market: Market, price: Decimal | None) -> str | None:
    if not price or active.order_cost is None:
        return None
    amount = amount_for(active.order_cost, price, market)
    if not tradable(amount, price, market):
        return (
            f"order_cost {active.order_cost:f} buys {amount:f} {market.base} at {price:f}, below "
            f"the venue's least order ({market.min_amount:f} {market.base}, "
            f"{market.min_cost:f} {market.quote}). Pass a higher order_cost."
        )
    flaw = unprotectable(amount, price, Protection(rules=active.rules), market)
    return None if flaw is None else f"{flaw}."
