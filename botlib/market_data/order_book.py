"""`OrderBook`: the levels around the price of a symbol, as the venue showed them at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from botlib.core.clock import iso
from botlib.core.text.cards import Tone, Toned, card, figures
from botlib.core.text.formats import exact, number
from botlib.core.text.tables import html_table
from botlib.venues.base import BookLevel

if TYPE_CHECKING:
    import pandas as pd

SHOWN: Final = 10
"""Levels a side that a card shows."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OrderBook:
    """The best levels of an order book, the best price first.

    Attributes:
        symbol: in unified form.
        timestamp: market time of its newest change, ms.
        update_id: the venue's own number of that change.
        bids: levels at which others buy, the highest price first.
        asks: levels at which others sell, the lowest price first.
    """

    symbol: str
    timestamp: int
    update_id: int
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]

    @property
    def bid(self) -> BookLevel | None:
        """The highest price at which others buy; None if there is none."""
        return self.bids[0] if self.bids else None

    @property
    def ask(self) -> BookLevel | None:
        """The lowest price at which others sell; None if there is none."""
        return self.asks[0] if self.asks else None

    @property
    def mid(self) -> Decimal | None:
        """The middle between the best prices; None if a side is empty."""
        if self.bid is None or self.ask is None:
            return None
        return (self.bid.price + self.ask.price) / 2

    @property
    def spread(self) -> float | None:
        """The distance between the best prices, as a fraction of their middle."""
        if self.bid is None or self.ask is None or self.mid is None:
            return None
        return float((self.ask.price - self.bid.price) / self.mid)

    def frame(self) -> pd.DataFrame:
        """Return the levels as rows: ``side``, ``price`` and ``amount`` (float64)."""
        import pandas as pd

        sides = (("bid", self.bids), ("ask", self.asks))
        rows = [
            (side, float(price), float(amount))
            for side, levels in sides
            for price, amount in levels
        ]
        return pd.DataFrame(rows, columns=["side", "price", "amount"])

    def __repr__(self) -> str:
        parts = [self.symbol, f"{iso(self.timestamp)} UTC"]
        for name, level in (("bid", self.bid), ("ask", self.ask)):
            shown = "none" if level is None else f"{exact(level.price)} × {exact(level.amount)}"
            parts.append(f"{name} {shown}")
        return f"<OrderBook {' · '.join(parts)} · {len(self.bids)}+{len(self.asks)} levels>"

    def _repr_html_(self) -> str:
        rows = [
            (
                bid and bid.amount,
                bid and Toned(bid.price, Tone.GOOD),
                ask and Toned(ask.price, Tone.BAD),
                ask and ask.amount,
            )
            for bid, ask in zip_longest(self.bids[:SHOWN], self.asks[:SHOWN])
        ]
        spread = None if self.spread is None else f"{number(self.spread * 1e4)} bp"
        return card(
            self.symbol,
            figures([("mid", self.mid and exact(self.mid)), ("spread", spread)]),
            html_table(["amount", "bid", "ask", "amount"], rows) if rows else "",
            notes=f"market time {iso(self.timestamp)} UTC · "
            f"{len(self.bids)}+{len(self.asks)} levels",
        )
