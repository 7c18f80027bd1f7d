"""Accounts of a simulation: the amount, price and fee of every fill, to the last digit.

`PlainAccount` trades any fraction and pays fees in cash. `VenueAccount` trades as the venue and the
order path do: amounts in steps, prices in ticks, least amounts and costs, and the fee of a purchase
taken from the amount bought, so that a remainder too small to sell stays on the account.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import TYPE_CHECKING, Final, Protocol

from botlib.trading.positions import is_held
from botlib.trading.sizing import amount_for, sellable, tradable
from botlib.trading.stops import NO_TICK

if TYPE_CHECKING:
    from botlib.core.market import Market

EIGHT: Final = Decimal("0.00000001")
"""The venue books costs and fees to eight decimals, rounded down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedFill:
    """One simulated fill.

    Attributes:
        price: quote units per base unit, slippage included.
        amount: base units.
        fee: quote units.
        kept: base units bought net of the fee, 0 for a sale.
    """

    price: float
    amount: float
    fee: float
    kept: float


class SimulatedAccount(Protocol):
    """The account of a simulation. Prices passed to it are the market's, before slippage."""

    refused: int

    @property
    def tick(self) -> Decimal:
        """Price step to which stops and targets are rounded."""

    @property
    def held(self) -> float:
        """Base units on the account, dust included."""

    @property
    def least_value(self) -> float:
        """Quote value below which what is held cannot be sold."""

    def buy(self, signal_price: float, price: float) -> SimulatedFill | None:
        """Buy; return None if nothing can be bought or something that can be sold is held.

        Args:
            signal_price: close of the candle of the signal, which sizes the order.
            price: market price at which it is filled.
        """

    def sell(
        self, signal_price: float, price: float, *, resting: bool = False
    ) -> SimulatedFill | None:
        """Sell everything that can be sold; return None if that is nothing.

        Args:
            resting: whether a resting order is filled, which has no slippage.
        """


class PlainAccount:
    """An account without a market: any fraction can be traded, fees are paid in cash on top."""

    least_value: float = 0.0
    tick = NO_TICK

    def __init__(
        self, *, cash: float, order_cost: float | None, fee: float, slippage: float
    ) -> None:
        self.cash = cash
        self.held = 0.0
        self.refused = 0
        self._order_cost = order_cost
        self._fee = fee
        self._slippage = slippage

    def buy(self, signal_price: float, price: float) -> SimulatedFill | None:
        """Buy for ``order_cost`` at the signal's price, or for all cash if that is less."""
        if self.held > 0:
            return None
        price = price * (1 + self._slippage)
        amount = self.cash / (price * (1 + self._fee))
        if self._order_cost is not None:
            amount = min(amount, self._order_cost / signal_price)
        if amount <= 0:
            self.refused += 1
            return None
        fee = amount * price * self._fee
        self.cash = max(self.cash - amount * price - fee, 0.0)
        self.held = amount
        return SimulatedFill(price=price, amount=amount, fee=fee, kept=amount)

    def sell(
        self, signal_price: float, price: float, *, resting: bool = False
    ) -> SimulatedFill | None:
        """Sell everything."""
        if self.held <= 0:
            return None
        amount, self.held = self.held, 0.0
        price = price if resting else price * (1 - self._slippage)
        fee = amount * price * self._fee
        self.cash += amount * price - fee
        return SimulatedFill(price=price, amount=amount, fee=fee, kept=0.0)


class VenueAccount:
    """An account at a spot exchange, in decimals, with the exchange's filters."""

    def __init__(
        self,
        market: Market,
        *,
        cash: float,
        order_cost: float | None,
        fee: float,
        slippage: float,
    ) -> None:
        self._market = market
        self._cash = Decimal(str(cash))
        self._held = Decimal(0)
        self._order_cost = None if order_cost is None else Decimal(str(order_cost))
        self._fee = Decimal(str(fee))
        self._slippage = Decimal(str(slippage))
        self.refused = 0

    @property
    def tick(self) -> Decimal:
        """The market's price step."""
        return self._market.tick

    @property
    def held(self) -> float:
        """Base units on the account."""
        return float(self._held)

    @property
    def least_value(self) -> float:
        """Twice the venue's least cost: rounding down to a step takes less than the other half."""
        return float(self._market.min_cost) * 2

    def buy(self, signal_price: float, price: float) -> SimulatedFill | None:
        """Buy ``order_cost / signal_price`` in steps, unless something that can be sold is held."""
        signal, market = Decimal(str(signal_price)), self._market
        if is_held(self._held, signal, market):
            return None
        paid = self._fill_price(price, buy=True)
        if self._order_cost is None:  # a market order for the whole balance
            amount = amount_for(self._cash, paid, market)
        else:
            amount = amount_for(self._order_cost, signal, market)
        cost = amount * paid
        if not tradable(amount, signal, market) or cost.quantize(EIGHT, ROUND_UP) > self._cash:
            self.refused += 1
            return None
        fee = (amount * self._fee).quantize(EIGHT, ROUND_DOWN)
        self._cash -= cost.quantize(EIGHT, ROUND_DOWN)
        self._held += amount - fee
        return SimulatedFill(
            price=float(paid),
            amount=float(amount),
            fee=float(fee * paid),
            kept=float(amount - fee),
        )

    def sell(
        self, signal_price: float, price: float, *, resting: bool = False
    ) -> SimulatedFill | None:
        """Sell what is held, in steps; the remainder stays."""
        signal = Decimal(str(signal_price))
        amount = sellable(self._held, self._market)
        if not tradable(amount, signal, self._market):
            self.refused += 1
            return None
        paid = Decimal(str(price)) if resting else self._fill_price(price, buy=False)
        cost = (amount * paid).quantize(EIGHT, ROUND_DOWN)
        fee = (cost * self._fee).quantize(EIGHT, ROUND_DOWN)
        self._cash += cost - fee
        self._held -= amount
        return SimulatedFill(price=float(paid), amount=float(amount), fee=float(fee), kept=0.0)

    def _fill_price(self, price: float, *, buy: bool) -> Decimal:
        """Return the price of a market order: worse by the slippage, rounded to the worse tick."""
        exact, tick = Decimal(str(price)), self._market.tick
        if not self._slippage:
            return exact
        moved = exact * (1 + self._slippage if buy else 1 - self._slippage)
        if not tick:
            return moved
        return max(tick, (moved / tick).to_integral_value(ROUND_UP if buy else ROUND_DOWN) * tick)
