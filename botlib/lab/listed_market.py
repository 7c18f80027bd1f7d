"""`ListedMarket`: lots, ticks and fee of a symbol, and where they were read."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from botlib.core.market import Market
from botlib.core.text import formats
from botlib.core.text.cards import card, figures

if TYPE_CHECKING:
    from botlib.backtesting.costs import Costs


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedMarket:
    """How a symbol is traded, as research assumes it.

    Attributes:
        market: steps and least order, as backtests use them.
        fee: fraction of the value of each fill.
        source: where both come from, with the date.
        costs: what fills cost on it.
        exact: whether it charges exactly these costs, and they are no assumption.
        order_cost: quote units that an entry spends; None is the usual cost.
        shipped: whether they were written by hand, and not read from the venue.
    """

    market: Market
    fee: float
    source: str
    costs: Costs
    shipped: bool = False
    exact: bool = False
    order_cost: float | None = None

    @property
    def symbol(self) -> str:
        """The unified symbol."""
        return self.market.symbol

    @property
    def tick(self) -> Decimal:
        """Smallest price step."""
        return self.market.tick

    @property
    def step(self) -> Decimal:
        """Smallest amount step, in base units."""
        return self.market.step

    @property
    def min_amount(self) -> Decimal:
        """Least amount of an order, in base units."""
        return self.market.min_amount

    @property
    def min_cost(self) -> Decimal:
        """Least value of an order, in quote units."""
        return self.market.min_cost

    def __repr__(self) -> str:
        return (
            f"<{self.symbol} · tick {self.tick:f} · step {self.step:f} · "
            f"least {self.min_amount:f} {self.market.base} and {self.min_cost:f} "
            f"{self.market.quote} · fee {self.fee:.3%} · {self.source}>"
        )

    def _repr_html_(self) -> str:
        return card(
            self.symbol,
            figures(
                [
                    ("tick", formats.exact(self.tick)),
                    ("step", f"{formats.exact(self.step)} {self.market.base}"),
                    ("least amount", f"{formats.exact(self.min_amount)} {self.market.base}"),
                    ("least cost", f"{formats.exact(self.min_cost)} {self.market.quote}"),
                    ("fee", formats.percent(self.fee, 3)),
                ]
            ),
            notes=self.source,
        )
