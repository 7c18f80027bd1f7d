"""Stops and targets: one price for a position, in a backtest and live."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from botlib.strategies import TrendCross
from botlib.trading.stops import StopLevels, StopRules, ceil_to_tick, floor_to_tick

D = Decimal
TICKS = [D(0), D("0.01"), D("0.5"), D("1E-8")]

floats = st.floats(0.01, 100_000, allow_nan=False)
fractions = st.none() | st.floats(0.001, 0.5)


def test_prices_are_rounded_to_the_tick() -> None:
    assert floor_to_tick(95.019, D("0.01")) == D("95.01")
    assert ceil_to_tick(95.011, D("0.01")) == D("95.02")
    assert floor_to_tick(95.01, D("0.01")) == ceil_to_tick(95.01, D("0.01")) == D("95.01")
    assert floor_to_tick(0.1 + 0.2, D(0)) == D("0.30000000000000004")


@given(floats, st.sampled_from(TICKS[1:]))
def test_rounding_a_price_moves_it_by_less_than_a_tick(price: float, tick: Decimal) -> None:
    below, above = floor_to_tick(price, tick), ceil_to_tick(price, tick)
    assert below <= D(str(price)) <= above
    assert above - below in (0, tick)


def test_the_rules_of_a_strategy_are_its_parameters() -> None:
    rules = StopRules.of(TrendCross(timeframes=("1m",), stop_loss=0.1, take_profit=0.2))
    assert rules == StopRules(stop_loss=0.1, take_profit=0.2)
    assert rules.stops and rules.limited
    assert not StopRules(take_profit=0.2).stops
    assert not StopRules().limited


def test_the_stop_is_the_higher_of_the_fixed_and_the_trailing_one() -> None:
    rules = StopRules(stop_loss=0.05, trailing_stop=0.1)
    assert rules.stop_price(100.0, None, D("0.01")) == 95
    assert rules.stop_price(100.0, 104.0, D("0.01")) == 95
    assert rules.stop_price(100.0, 120.55, D("0.01")) == D("108.49")
    assert StopRules().stop_price(100.0, 120.0, D("0.01")) == 0


@pytest.mark.parametrize(("high", "reached"), [(None, False), (124.99, False), (125.0, True)])
def test_a_target_is_reached_by_a_high(high: float | None, reached: bool) -> None:
    assert StopRules(take_profit=0.25).target_reached(100.0, high, D("0.01")) is reached


def test_without_a_rule_there_is_no_level() -> None:
    levels = StopLevels(StopRules(), D("0.01"))
    assert (levels.fixed(100.0), levels.target(100.0)) == (-np.inf, np.inf)
    assert levels.steps(100.0, np.array([110.0, 120.0])) == []
    assert StopRules().target_price(100.0, D("0.01")) is None


@given(
    floats,
    st.lists(floats, min_size=1, max_size=20),
    fractions,
    fractions,
    st.sampled_from(TICKS),
)
def test_the_stops_of_a_backtest_are_those_of_a_live_position(
    entry: float,
    highs: list[float],
    stop_loss: float | None,
    trailing_stop: float | None,
    tick: Decimal,
) -> None:
    """A column of levels has, candle by candle, the price that the live rule gives."""
    rules = StopRules(stop_loss=stop_loss, trailing_stop=trailing_stop)
    if not rules.stops:
        return
    steps = dict(StopLevels(rules, tick).steps(entry, np.array(highs)))
    level = -np.inf
    for row in range(len(highs)):
        level = steps.get(row, level)
        high = max(highs[:row]) if row else None
        assert level == float(rules.stop_price(entry, high, tick))


@given(floats, st.floats(0.001, 2), floats, st.sampled_from(TICKS))
def test_the_target_of_a_backtest_is_that_of_a_live_position(
    entry: float, take_profit: float, high: float, tick: Decimal
) -> None:
    rules = StopRules(take_profit=take_profit)
    reached = D(str(high)) >= D(str(StopLevels(rules, tick).target(entry)))
    assert rules.target_reached(entry, high, tick) == reached
