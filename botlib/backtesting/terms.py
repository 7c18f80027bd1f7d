"""The terms of trade: what a fill costs, how much an entry buys, and what may be risked."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Self

from botlib.backtesting.account import PlainAccount, VenueAccount
from botlib.backtesting.costs import Costs, RangeSlippage, VolumeSlippage
from botlib.backtesting.metrics import Floats
from botlib.core.errors import InvalidInput
from botlib.core.received import short
from botlib.trading.sizing import USUAL_ORDER_COST

if TYPE_CHECKING:
    from botlib.core.market import Market
    from botlib.trading.risk import RiskLimits

ALL: Final = "all"
"""The order cost of an entry that spends all cash, so that profits are traded again."""

OrderCost = float | Literal["all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The terms of a backtest, a sweep or a walk forward.

    Args:
        costs: what fills cost.
        cash: quote units at the start.
        order_cost: quote units an entry may spend, `ALL` for all cash.
        market: the market whose steps, ticks and least order apply; None trades any fraction.
        limits: what may be risked; None is no limit.

    Raises:
        InvalidInput: an amount is not above 0.
    """

    costs: Costs = field(default_factory=Costs)
    cash: float = 10_000.0
    order_cost: OrderCost = float(USUAL_ORDER_COST)
    market: Market | None = None
    limits: RiskLimits | None = None

    def __post_init__(self) -> None:
        _check_amount("cash", self.cash)
        if self.order_cost != ALL:
            _check_amount("order_cost", self.order_cost, ", or 'all' for all cash")

    @classmethod
    def of(
        cls,
        *,
        costs: Costs | None,
        fee: float | None,
        slippage: float | RangeSlippage | VolumeSlippage | None,
        cash: float,
        order_cost: OrderCost | None,
        market: Market | None,
        limits: RiskLimits | None,
    ) -> Self:
        """Return the terms of the arguments that `backtest`, `sweep` and `walk_forward` share.

        Args:
            costs: None is the default of `Costs`.
            fee: in place of the fees of ``costs``; None keeps them.
            slippage: in place of the spread and the slippage of ``costs``; None keeps them.
            order_cost: None is what `botlib.bot.Bot.trade` spends: half of the ``max_order_cost``
                of the limits, 1,000 without any.

        Raises:
            InvalidInput: one of them is not accepted.
        """
        if costs is not None and not isinstance(costs, Costs):
            raise InvalidInput(f"costs is a bl.Costs(...), not {short(costs)}.")
        if order_cost is None:
            order_cost = float(USUAL_ORDER_COST if limits is None else limits.usual_cost)
        return cls(
            costs=(costs or Costs()).changed(fee=fee, slippage=slippage),
            cash=cash,
            order_cost=order_cost,
            market=market,
            limits=limits,
        )

    @property
    def vectorised(self) -> bool:
        """Whether the kernel knows all of these terms, but for a limit by volume."""
        return self.market is None and self.limits is None and not self.costs.by_amount

    def account(self) -> PlainAccount | VenueAccount:
        """Return a new account that trades on these terms."""
        order_cost = None if self.order_cost == ALL else float(self.order_cost)
        if self.market is None:
            return PlainAccount(cash=self.cash, order_cost=order_cost, costs=self.costs)
        return VenueAccount(self.market, cash=self.cash, order_cost=order_cost, costs=self.costs)

    def sizes(self, decided: Floats) -> Floats | float:
        """Return the amount of an entry on each candle, in base units; infinity is all cash.

        Args:
            decided: close of the candle on which an entry was decided, one per candle.
        """
        return math.inf if self.order_cost == ALL else float(self.order_cost) / decided


def _check_amount(name: str, amount: object, more: str = "") -> None:
    number = isinstance(amount, (int, float)) and not isinstance(amount, bool)
    if not number or not 0 < float(amount) < math.inf:  # type: ignore[arg-type]
        raise InvalidInput(
            f"{name} must be a positive number of quote units{more}, not {short(amount)}."
        )
