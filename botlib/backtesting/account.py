"""Accounts of a simulation: the amount, price and fee of every fill, to the last digit.

`PlainAccount` trades any fraction and pays fees in cash. `VenueAccount` trades as the venue and the
order path do: amounts in steps, prices in ticks, least amounts and costs, and the fee of a purchase
taken from the amount bought, so that a remainder too small to sell stays on the account. A fee that
is paid in another asset is booked as its value in cash. No fill takes more of a candle than the
costs allow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import TYPE_CHECKING, Final, Protocol

from botlib.backtesting.costs import CandleLiquidity
from botlib.trading.positions import is_held
from botlib.trading.sizing import amount_for, round_down, sellable, tradable
from botlib.trading.stops import NO_TICK

if TYPE_CHECKING:
    from botlib.backtesting.costs import Costs
    from botlib.core.market import Market

EIGHT: Final = Decimal("0.00000001")
"""The venue books costs and fees to eight decimals, rounded down."""

_NO_CANDLE: Final = CandleLiquidity(0.0, math.inf)
_FINE: Final = Decimal("1e-12")


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
    """The account of a simulation. Prices passed to it are the market's, before slippage.

    Attributes:
        refused: entries and exits that could not be sent.
        cut: fills that were smaller than wanted, since a candle had too little volume.
        owing: whether the last sale left something for want of volume.
    """

    refused: int
    cut: int
    owing: bool

    @property
    def tick(self) -> Decimal:
        """Price step to which stops and targets are rounded."""

    @property
    def held(self) -> float:
        """Base units on the account, dust included."""

    @property
    def least_value(self) -> float:
        """Quote value below which what is held cannot be sold."""

    def wanted(self, signal_price: float) -> Decimal:
        """Return the base units of an entry at the price of its signal, before any limit."""

    def buy(
        self, signal_price: float, price: float, candle: CandleLiquidity = _NO_CANDLE
    ) -> SimulatedFill | None:
        """Buy; return None if nothing can be bought or something that can be sold is held.

        Args:
            signal_price: close of the candle of the signal, which sizes the order.
            price: market price at which it is filled.
            candle: what the candle offers in which it is filled.
        """

    def sell(
        self,
        signal_price: float,
        price: float,
        candle: CandleLiquidity = _NO_CANDLE,
        *,
        resting: bool = False,
    ) -> SimulatedFill | None:
        """Sell everything that can be sold; return None if that is nothing.

        Args:
            candle: what the candle offers in which it is filled.
            resting: whether a resting order is filled, which has no slippage.
        """


class PlainAccount:
    """An account without a market: any fraction can be traded, fees are paid in cash on top."""

    least_value: float = 0.0
    tick = NO_TICK

    def __init__(self, *, cash: float, order_cost: float | None, costs: Costs) -> None:
        self.cash = cash
        self.held = 0.0
        self.refused = self.cut = 0
        self.owing = False
        self._order_cost = order_cost
        self._costs = costs

    def wanted(self, signal_price: float) -> Decimal:
        """Return the amount of an entry, to twelve decimals."""
        cost = self.cash if self._order_cost is None else self._order_cost
        return round_down(Decimal(str(cost)) / Decimal(str(signal_price)), _FINE)

    def buy(
        self, signal_price: float, price: float, candle: CandleLiquidity = _NO_CANDLE
    ) -> SimulatedFill | None:
        """Buy for ``order_cost`` at the signal's price, or for all cash if that is less."""
        if self.held > 0:
            return None
        rate = self._costs.taker
        wanted = self.cash / (price * (1 + rate))
        if self._order_cost is not None:
            wanted = min(wanted, self._order_cost / signal_price)
        price = price * (1 + self._costs.worse_by(wanted, candle))
        amount = self.cash / (price * (1 + rate))
        if self._order_cost is not None:
            amount = min(amount, self._order_cost / signal_price)
        if amount > (room := self._costs.room(candle.volume)):
            amount, self.cut = room, self.cut + 1
        if amount <= 0:
            self.refused += 1
            return None
        fee = amount * price * rate
        self.cash = max(self.cash - amount * price - fee, 0.0)
        self.held = amount
        return SimulatedFill(price=price, amount=amount, fee=fee, kept=amount)

    def sell(
        self,
        signal_price: float,
        price: float,
        candle: CandleLiquidity = _NO_CANDLE,
        *,
        resting: bool = False,
    ) -> SimulatedFill | None:
        """Sell everything, or as much as the candle takes."""
        self.owing = False
        if self.held <= 0:
            return None
        amount = self.held
        if amount > (room := self._costs.room(candle.volume)):
            amount, self.owing, self.cut = room, True, self.cut + 1
        if amount <= 0:
            return None
        self.held -= amount
        price = price if resting else price * (1 - self._costs.worse_by(amount, candle))
        fee = amount * price * self._costs.fee(resting=resting)
        self.cash += amount * price - fee
        return SimulatedFill(price=price, amount=amount, fee=fee, kept=0.0)


class VenueAccount:
    """An account at a spot exchange, in decimals, with the exchange's filters."""

    def __init__(
        self, market: Market, *, cash: float, order_cost: float | None, costs: Costs
    ) -> None:
        self._market = market
        self._cash = Decimal(str(cash))
        self._held = Decimal(0)
        self._order_cost = None if order_cost is None else Decimal(str(order_cost))
        self._costs = costs
        self._maker, self._taker = Decimal(str(costs.maker)), Decimal(str(costs.taker))
        self.refused = self.cut = 0
        self.owing = False

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

    def wanted(self, signal_price: float) -> Decimal:
        """Return the amount of an entry in the market's steps."""
        cost = self._cash if self._order_cost is None else self._order_cost
        return amount_for(cost, Decimal(str(signal_price)), self._market)

    def buy(
        self, signal_price: float, price: float, candle: CandleLiquidity = _NO_CANDLE
    ) -> SimulatedFill | None:
        """Buy ``order_cost / signal_price`` in steps, unless something that can be sold is held."""
        signal, market = Decimal(str(signal_price)), self._market
        if is_held(self._held, signal, market):
            return None
        paid = self._fill_price(price, self.wanted(signal_price), candle, buy=True)
        if self._order_cost is None:  # a market order for the whole balance
            amount = amount_for(self._spendable, paid, market)
        else:
            amount = amount_for(self._order_cost, signal, market)
        amount = self._within(amount, candle)
        cost = amount * paid
        apart = self._apart(cost, self._taker)
        left = self._cash - cost.quantize(EIGHT, ROUND_UP) - apart
        if not tradable(amount, signal, market) or left < 0:
            self.refused += 1
            return None
        fee = Decimal(0) if apart else (amount * self._taker).quantize(EIGHT, ROUND_DOWN)
        self._cash -= cost.quantize(EIGHT, ROUND_DOWN) + apart
        self._held += amount - fee
        return SimulatedFill(
            price=float(paid),
            amount=float(amount),
            fee=float(apart or fee * paid),
            kept=float(amount - fee),
        )

    def sell(
        self,
        signal_price: float,
        price: float,
        candle: CandleLiquidity = _NO_CANDLE,
        *,
        resting: bool = False,
    ) -> SimulatedFill | None:
        """Sell what is held, in steps, or as much as the candle takes; the remainder stays."""
        signal, self.owing = Decimal(str(signal_price)), False
        wanted = sellable(self._held, self._market)
        if not tradable(wanted, signal, self._market):
            self.refused += 1
            return None
        amount = self._within(wanted, candle)
        self.owing = amount < wanted
        if not tradable(amount, signal, self._market):
            return None
        paid = Decimal(str(price))
        if not resting:
            paid = self._fill_price(price, amount, candle, buy=False)
        cost = (amount * paid).quantize(EIGHT, ROUND_DOWN)
        fee = (cost * (self._maker if resting else self._taker)).quantize(EIGHT, ROUND_DOWN)
        self._cash += cost - fee
        self._held -= amount
        return SimulatedFill(price=float(paid), amount=float(amount), fee=float(fee), kept=0.0)

    @property
    def _spendable(self) -> Decimal:
        """The cash that an entry of all cash may spend: a fee that is paid apart stays."""
        return self._cash / (1 + self._taker) if self._costs.paid_in else self._cash

    def _apart(self, cost: Decimal, rate: Decimal) -> Decimal:
        """Return the value of a fee that is paid in another asset, 0 if it is taken from a fill."""
        if self._costs.paid_in is None:
            return Decimal(0)
        return (cost * rate).quantize(EIGHT, ROUND_DOWN)

    def _within(self, amount: Decimal, candle: CandleLiquidity) -> Decimal:
        """Return the part of an amount that a candle can fill."""
        room = self._costs.room(candle.volume)
        if float(amount) <= room:
            return amount
        self.cut += 1
        return round_down(Decimal(str(room)), self._market.step)

    def _fill_price(
        self, price: float, amount: Decimal, candle: CandleLiquidity, *, buy: bool
    ) -> Decimal:
        """Return the price of a market order: worse by the slippage, rounded to the worse tick."""
        exact, tick = Decimal(str(price)), self._market.tick
        worse = Decimal(str(self._costs.worse_by(float(amount), candle)))
        if not worse:
            return exact
        moved = exact * (1 + worse if buy else 1 - worse)
        if not tick:
            return moved
        return max(tick, (moved / tick).to_integral_value(ROUND_UP if buy else ROUND_DOWN) * tick)
