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
