"""The market of a symbol: its steps and least order, as its venue lists them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """A symbol as the venue trades it. ``min_cost`` is in quote units; 0 means no such limit."""

    symbol: str
    id: str
    base: str
    quote: str
    tick: Decimal
    """Smallest price step."""
    step: Decimal
    """Smallest amount step, in base units."""
    min_amount: Decimal
    min_cost: Decimal
    active: bool = True
    """Whether the venue trades it now."""
    order_types: frozenset[str] = frozenset({"LIMIT", "MARKET", "STOP_LOSS"})
    """The venue's names of the order types that may be sent for it."""
    sell_band: tuple[Decimal, Decimal] = (Decimal(0), Decimal(0))
    """Lowest and highest price of a sale as multiples of the present price; 0 is no limit."""
    replaces: bool = False
    """Whether an order may be cancelled and another sent in one request."""
    lists: bool = False
    """Whether two orders may be sent as a list in which the one cancels the other."""
