"""Accounts of a simulation: what an entry buys and an exit sells, to the last digit.

`PlainAccount` trades any fraction and pays fees in cash. `VenueAccount` trades as the exchange and
the order path do: amounts in lot steps, prices in ticks, least amounts and costs, the fee of a
purchase taken from what was bought, so that a remainder too small to sell stays behind.
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
    """One simulated fill. ``fee`` is in quote units; ``kept`` is what a purchase leaves in hand."""

    price: float
    amount: float
    fee: float
    kept: float


class SimulatedAccount(Protocol):
    """What a simulation asks of an account. Prices are those of the market, before slippage."""

    refused: int

    @property
    def tick(self) -> Decimal:
        """Price step to which stops and targets are rounded."""

    @property
    def held(self) -> float:
        """Base units in hand, the unsellable remainder included."""

    @property
    def least_value(self) -> float:
        """Quote value below which what is held cannot be sold."""

    def buy(self, signal_price: float, price: float) -> SimulatedFill | None:
        """Buy, or return None where nothing can be bought or something sellable is held."""

    def sell(
        self, signal_price: float, price: float, *, resting: bool = False
    ) -> SimulatedFill | None:
        """Sell what is held, or return None where it cannot be sold. ``resting``: no slippage."""


class PlainAccount:
    """Any fraction can be traded; fees are paid in cash on top."""

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
        """Buy for ``order_cost`` at the signal's price, or for what cash there is."""
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
    """The account at a spot exchange, in decimals, with the exchange's filters."""

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
        """Base units in hand."""
        return float(self._held)

    @property
    def least_value(self) -> float:
        """The venue's least cost, with room for what rounding down to a lot takes away."""
        return float(self._market.min_cost) * 2

    def buy(self, signal_price: float, price: float) -> SimulatedFill | None:
        """Buy ``order_cost / signal_price`` in lots, unless something sellable is held."""
        signal, market = Decimal(str(signal_price)), self._market
        if is_held(self._held, signal, market):
            return None
        taken = self._taking(price, buy=True)
        if self._order_cost is None:  # as a market order for the whole balance
            amount = amount_for(self._cash, taken, market)
        else:
            amount = amount_for(self._order_cost, signal, market)
        cost = amount * taken
        if not tradable(amount, signal, market) or cost.quantize(EIGHT, ROUND_UP) > self._cash:
            self.refused += 1
            return None
        fee = (amount * self._fee).quantize(EIGHT, ROUND_DOWN)
        self._cash -= cost.quantize(EIGHT, ROUND_DOWN)
        self._held += amount - fee
        return SimulatedFill(
            price=float(taken),
            amount=float(amount),
            fee=float(fee * taken),
            kept=float(amount - fee),
        )

    def sell(
        self, signal_price: float, price: float, *, resting: bool = False
    ) -> SimulatedFill | None:
        """Sell what is held, in lots; the remainder stays."""
        signal = Decimal(str(signal_price))
        amount = sellable(self._held, self._market)
        if not tradable(amount, signal, self._market):
            self.refused += 1
            return None
        taken = Decimal(str(price)) if resting else self._taking(price, buy=False)
        cost = (amount * taken).quantize(EIGHT, ROUND_DOWN)
        fee = (cost * self._fee).quantize(EIGHT, ROUND_DOWN)
        self._cash += cost - fee
        self._held -= amount
        return SimulatedFill(price=float(taken), amount=float(amount), fee=float(fee), kept=0.0)

    def _taking(self, price: float, *, buy: bool) -> Decimal:
        """Return the price a market order gets: slippage against it, to the next tick."""
        exact, tick = Decimal(str(price)), self._market.tick
        if not self._slippage:
            return exact
        moved = exact * (1 + self._slippage if buy else 1 - self._slippage)
        if not tick:
            return moved
        return max(tick, (moved / tick).to_integral_value(ROUND_UP if buy else ROUND_DOWN) * tick)
