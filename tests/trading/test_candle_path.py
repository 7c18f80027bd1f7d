"""The path inside a candle: the rule, and the prices of the paper exchange."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from botlib.paper.market.market import walk
from botlib.trading.candle_path import high_first, path_draws, stop_first

INF = float("inf")
prices = st.integers(1, 40).map(float)


def test_the_nearer_extreme_comes_first() -> None:
    assert high_first(100.0, 101.0, 98.0, path_draws(0))
    assert not high_first(100.0, 103.0, 98.0, path_draws(0))


def test_the_open_time_decides_a_tie_and_always_alike() -> None:
    chosen = [high_first(100.0, 101.0, 99.0, path_draws(key)) for key in range(40)]
    assert 10 < sum(chosen) < 30
    assert chosen == [high_first(100.0, 101.0, 99.0, path_draws(key)) for key in range(40)]


def test_the_open_itself_comes_before_the_extremes() -> None:
    assert stop_first(90.0, 101.0, 50.0, 0, stop=95.0, target=100.0)
    assert not stop_first(105.0, 200.0, 95.0, 0, stop=95.0, target=100.0)


def test_one_that_is_not_there_never_comes_first() -> None:
    assert stop_first(100.0, 101.0, 90.0, 0, stop=95.0, target=INF)
    assert not stop_first(100.0, 101.0, 90.0, 0, stop=-INF, target=101.0)


@settings(max_examples=500)
@given(st.lists(prices, min_size=4, max_size=4), prices, prices, st.integers(0, 2**44))
@example([20.0, 30.0, 10.0, 20.0], 15.0, 25.0, 0)
def test_the_paper_exchange_reaches_the_same_price_first(
    four: list[float], one: float, other: float, timestamp: int
) -> None:
    opened, high, low = four[0], max(four), min(four)
    stop, target = min(one, other), max(one, other) + 0.5
    path = walk(opened, high, low, four[3], 9, timestamp)
    reached = [price for price in path if price <= stop or price >= target]
    if reached:
        found = stop_first(opened, high, low, timestamp, stop=stop, target=target)
        assert found == (reached[0] <= stop)
