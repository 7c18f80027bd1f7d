"""What counts as a position, wherever positions are shown."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from botlib.core.errors import UnknownSymbol
from botlib.trading.positions import is_held

if TYPE_CHECKING:
    from botlib.core.model import Position
    from botlib.views.engine import EngineReading


def price_of(position: Position, prices: Mapping[str, float]) -> Decimal:
    """Return the price at which a position is valued, its entry price if there is no other.

    Args:
        prices: the newest ones by symbol.
    """
    price = prices.get(position.symbol)
    return position.entry_price if price is None else Decimal(str(price))


def is_position(engine: EngineReading, position: Position, prices: Mapping[str, float]) -> bool:
    """Return whether the venue would take an order that sells it; what is less is dust."""
    try:
        market = engine.exchange.market(position.symbol)
    except UnknownSymbol:
        return not position.flat  # bought while the venue listed it
    return is_held(position.amount, price_of(position, prices), market)
