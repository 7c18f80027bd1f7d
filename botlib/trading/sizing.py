"""Order sizes: what an entry buys, what an exit can sell, and the least order of a market."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from botlib.core.market import Market

USUAL_ORDER_COST: Final = Decimal(1_000)
"""Quote units an entry costs if neither a call nor limits say it: half of the default limit."""


def round_down(amount: Decimal, step: Decimal) -> Decimal:
    """Return the largest multiple of ``step`` that is not above ``amount``; a step of 0 is none.

    Args:
        amount: base units, 0 or more.
    """
    return amount // step * step if step else amount


def amount_for(cost: Decimal, price: Decimal, market: Market) -> Decimal:
    """Return what a cost buys at a price.

    Args:
        cost: quote units to spend, before fees.
        price: quote units per base unit.

    Returns:
        Base units, a multiple of the market's step.
    """
    return round_down(cost / price, market.step)


def sellable(amount: Decimal, market: Market) -> Decimal:
    """Return the part of an amount (base units) that is a multiple of the market's step."""
    return round_down(amount, market.step)


def tradable(amount: Decimal, price: Decimal, market: Market) -> bool:
    """Return whether an order of ``amount`` at about ``price`` reaches the market's least order."""
    return amount > 0 and amount >= market.min_amount and amount * price >= market.min_cost
