"""The terms of trade: what a fill costs, and how much an entry buys."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botlib.backtesting.account import PlainAccount, VenueAccount
from botlib.backtesting.metrics import Floats
from botlib.core.errors import InvalidInput

if TYPE_CHECKING:
    from botlib.core.market import Market


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The terms of a backtest, a sweep or a walk forward.

    Args:
        fee: fraction of the value of each fill.
        slippage: fraction by which market orders fill worse than the market's price.
        cash: quote units at the start.
        order_cost: quote units an entry may spend; None spends all cash.
        market: the market whose steps, ticks and least order apply; None trades any fraction.

    Raises:
        InvalidInput: fee or slippage is no fraction, or an amount is not above 0.
    """

    fee: float = 0.001
    slippage: float = 0.0
    cash: float = 10_000.0
    order_cost: float | None = None
    market: Market | None = None

    def __post_init__(self) -> None:
        for name in ("fee", "slippage"):
            if not 0 <= (share := getattr(self, name)) < 1:
                raise InvalidInput(f"{name} is a fraction from 0 to below 1, not {share!r}.")
        for name in ("cash", "order_cost"):
            amount = getattr(self, name)
            if amount is not None and not 0 < amount < math.inf:
                raise InvalidInput(
                    f"{name} must be a positive number of quote units, not {amount!r}."
                )

    def account(self) -> PlainAccount | VenueAccount:
        """Return a new account that trades on these terms."""
        if self.market is None:
            return PlainAccount(
                cash=self.cash, order_cost=self.order_cost, fee=self.fee, slippage=self.slippage
            )
        return VenueAccount(
            self.market,
            cash=self.cash,
            order_cost=self.order_cost,
            fee=self.fee,
            slippage=self.slippage,
        )

    def sizes(self, decided: Floats) -> Floats | float:
        """Return the amount of an entry on each candle, in base units; infinity is all cash.

        Args:
            decided: close of the candle on which an entry was decided, one per candle.
        """
        return math.inf if self.order_cost is None else self.order_cost / decided
