"""Order sizes, and whether an amount counts as held."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botlib.core.market import Market
from botlib.trading.positions import is_held
from botlib.trading.sizing import amount_for, round_down, sellable, tradable

D = Decimal
MARKET = Market(
    symbol="BTC/USDT",
    id="BTCUSDT",
    base="BTC",
    quote="USDT",
    tick=D("0.01"),
    step=D("0.001"),
    min_amount=D("0.002"),
    min_cost=D(5),
)

amounts = st.decimals(0, 10_000, places=8)
prices = st.decimals("0.01", 100_000, places=2)


def test_amounts_are_rounded_down_to_the_step() -> None:
    assert round_down(D("1.23456"), D("0.00100000")) == D("1.234")
    assert round_down(D("0.0009"), D("0.001")) == 0
    assert round_down(D("7"), D(0)) == 7


@given(amounts, st.sampled_from([D("1E-8"), D("0.001"), D("0.5"), D(3)]))
def test_rounding_down_loses_less_than_a_step(amount: Decimal, step: Decimal) -> None:
    rounded = round_down(amount, step)
    assert rounded <= amount < rounded + step
    assert rounded % step == 0
    assert round_down(rounded, step) == rounded


@given(amounts, prices)
def test_an_amount_for_a_cost_never_costs_more(cost: Decimal, price: Decimal) -> None:
    amount = amount_for(cost, price, MARKET)
    assert amount * price <= cost
    assert (amount + MARKET.step) * price > cost


@pytest.mark.parametrize(
    ("amount", "price", "accepted"),
    [
        ("0.05", "100", True),
        ("0.049", "100", False),  # costs less than 5
        ("0.002", "10000", True),
        ("0.001", "10000", False),  # less than the least amount
        ("0", "10000", False),
        ("-1", "100", False),
    ],
)
def test_the_least_order_has_an_amount_and_a_cost(amount: str, price: str, accepted: bool) -> None:
    assert tradable(D(amount), D(price), MARKET) is accepted


@given(amounts, prices)
def test_what_is_held_is_what_an_order_could_sell(amount: Decimal, price: Decimal) -> None:
    assert is_held(amount, price, MARKET) == tradable(sellable(amount, MARKET), price, MARKET)


def test_dust_is_not_held() -> None:
    assert is_held(D("0.0509"), D(100), MARKET)
    assert not is_held(D("0.0499"), D(100), MARKET)  # 4.99, rounded to 0.049
    assert not is_held(D(0), D(100), MARKET)
