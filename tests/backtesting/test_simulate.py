"""Simulated fills: stops inside candles, and kernels beside the account that states their rules."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botlib.backtesting.costs import Costs
from botlib.backtesting.kernel import load_kernel
from botlib.backtesting.simulate import Fills, FillSimulator, SimulatedCandles
from botlib.backtesting.terms import ALL, Terms
from botlib.core.market import Market
from botlib.paper.market.market import walk
from botlib.strategies import TrendCross
from botlib.trading.stops import StopRules
from tests.support.backtests import BTC, MINUTE, Scripted, backtest, candles, trip, wandering

prices = st.floats(0.5, 500).map(lambda price: round(price, 2))
decided_candles = st.tuples(prices, prices, st.sampled_from(["entry", "exit", ""]))
"""Open, close, and what is due at the open."""


@pytest.mark.filterwarnings("ignore::DeprecationWarning:vectorbt")
@pytest.mark.parametrize("engine", ["rust", "numba"])
@settings(max_examples=60, deadline=None)
@given(
    st.lists(decided_candles, min_size=2, max_size=25),
    st.sampled_from([0.0, 0.001, 0.01]),
    st.sampled_from([0.0, 0.002]),
    st.sampled_from([None, 50.0, 1_000.0, 20_000.0]),
)
def test_a_kernel_has_the_sizes_prices_and_fees_of_the_plain_account(
    engine: str,
    rows: list[tuple[float, float, str]],
    fee: float,
    slippage: float,
    order_cost: float | None,
) -> None:
    costs = Costs.none(fee=fee).changed(slippage=slippage)
    terms = Terms(costs=costs, order_cost=order_cost or ALL)
    opens, closes = (np.array([row[place] for row in rows], dtype=float) for place in (0, 1))
    entries, exits = (np.array([row[2] == what for row in rows]) for what in ("entry", "exit"))
    before = float(opens[0])
    fills = _plain_fills(opens, closes, entries, exits, before, terms)
    orders = load_kernel(engine).orders(
        entries,
        exits,
        opens,
        closes,
        size=terms.sizes(np.concatenate(([before], closes[:-1]))),
        fee=fee,
        slippage=slippage,
        cash=terms.cash,
    )
    assert orders["idx"].tolist() == fills.row.tolist()
    assert (orders["side"] == 0).tolist() == fills.buy.tolist()
    for column, expected in (("price", fills.price), ("size", fills.amount), ("fees", fills.fee)):
        assert orders[column] == pytest.approx(expected, rel=1e-9)


def _plain_fills(
    opens: np.ndarray,
    closes: np.ndarray,
    entries: np.ndarray,
    exits: np.ndarray,
    before: float,
    terms: Terms,
) -> Fills:
    high, low = np.maximum(opens, closes), np.minimum(opens, closes)
    return FillSimulator(
        SimulatedCandles(
            opens, high, low, closes, np.ones(len(opens)), np.arange(len(opens)) * MINUTE
        ),
        entries,
        exits,
        account=terms.account(),
        stops=StopRules(),
        before=before,
    ).run()


HELD = (100.0, 101.0, 99.0, 100.0)


@pytest.mark.parametrize(
    ("stops", "candle", "price", "reason"),
    [
        ({"stop_loss": 0.05}, (100, 100, 94, 99), 95.0, "stop_loss"),
        ({"stop_loss": 0.05}, (100, 100, 95, 99), 95.0, "stop_loss"),
        ({"stop_loss": 0.05}, (93, 97, 92, 96), 93.0, "stop_loss"),  # opens below it
        ({"take_profit": 0.05}, (100, 106, 99, 104), 105.0, "take_profit"),
        (
            {"take_profit": 0.05},
            (107, 108, 106, 107),
            105.0,
            "take_profit",
        ),  # it rests
        ({"stop_loss": 0.05, "take_profit": 0.05}, (100, 107, 94, 100), 95.0, "stop_loss"),
        ({"stop_loss": 0.05, "take_profit": 0.05}, (100, 106, 93, 100), 105.0, "take_profit"),
        ({"trailing_stop": 0.05}, (100, 100, 95.9, 99), 101 * 0.95, "trailing_stop"),
        # The peak of a candle that has not closed does not count.
        ({"trailing_stop": 0.05}, (100, 110, 96, 100), None, "open"),
        ({"trailing_stop": 0.05, "stop_loss": 0.02}, (100, 100, 95, 99), 98.0, "stop_loss"),
    ],
)
@pytest.mark.parametrize("market", [None, BTC])
def test_stops_act_inside_the_candle(
    stops: dict[str, float],
    candle: tuple[float, float, float, float],
    price: float | None,
    reason: str,
    market: Market | None,
) -> None:
    frame = candles(HELD, HELD, candle, candle)
    result = backtest(
        Scripted(entries=(0,), **stops), frame.iloc[:3], fee=0, market=market, order_cost=1_000
    )
    only = trip(result)
    assert only["reason"] == reason
    if price is not None:
        assert only["exit_price"] == pytest.approx(price, abs=0.01 if market else 1e-9)
        assert only["exit_time"] == frame.index[2]


def test_a_stop_applies_in_the_candle_of_the_entry() -> None:
    frame = candles(HELD, (100.0, 100.0, 90.0, 95.0), HELD)
    only = trip(backtest(Scripted(entries=(0,), stop_loss=0.05), frame, fee=0))
    assert only["exit_price"] == 95.0 and only["candles"] == 0


def test_an_exit_comes_before_a_stop_inside_its_candle() -> None:
    frame = candles(HELD, HELD, (100.0, 100.0, 50.0, 60.0))
    only = trip(backtest(Scripted(entries=(0,), exits=(1,), stop_loss=0.05), frame, fee=0))
    assert (only["exit_price"], only["reason"]) == (100.0, "exit")


def test_a_stop_is_sold_at_the_market_with_slippage_and_a_target_is_not() -> None:
    frame = candles(HELD, HELD, (100.0, 100.0, 50.0, 60.0))
    only = trip(backtest(Scripted(entries=(0,), stop_loss=0.05), frame, slippage=0.01))
    assert only["exit_price"] == pytest.approx(101 * 0.95 * 0.99)
    frame = candles(HELD, HELD, (100.0, 150.0, 99.0, 120.0))
    only = trip(backtest(Scripted(entries=(0,), take_profit=0.05), frame, slippage=0.1))
    assert only["exit_price"] == pytest.approx(110 * 1.05)


def test_a_stop_above_the_market_sells_at_once_at_the_price_of_the_market() -> None:
    only = trip(backtest(Scripted(entries=(0,), stop_loss=0.05), candles(HELD, HELD), slippage=0.1))
    assert (only["entry_price"], only["candles"]) == (pytest.approx(110), 0)
    assert only["exit_price"] == pytest.approx(100 * 0.9)


def test_it_enters_again_after_a_stop() -> None:
    frame = candles(HELD, HELD, (100.0, 100.0, 90.0, 95.0), HELD, HELD)
    result = backtest(Scripted(entries=(0, 2), stop_loss=0.05), frame)
    assert result.roundtrips["candles"].tolist() == [1, 2]
    assert result.roundtrips["reason"].tolist() == ["stop_loss", "open"]


def reference(
    frame: pd.DataFrame, entries: set[int], exits: set[int], **stops: float
) -> list[tuple[int, float, int, float, str]]:
    """The same rules as a plain loop over candles and the prices of the paper exchange in them."""
    trips, held = [], None
    rows = frame[["open", "high", "low", "close"]].to_numpy()
    for row, (opened, high, low, close) in enumerate(rows.tolist()):
        entry, leave = row - 1 in entries and row - 1 not in exits, row - 1 in exits
        if held is None and entry:
            held = (row, opened)
            fixed = opened * (1 - stops["stop_loss"]) if "stop_loss" in stops else -math.inf
            target = opened * (1 + stops["take_profit"]) if "take_profit" in stops else math.inf
            peak = opened
        elif held is None:
            continue
        level = fixed
        if "trailing_stop" in stops:
            level = max(level, peak * (1 - stops["trailing_stop"]))
        out: tuple[float, str] | None = None
        if opened <= level:
            out = opened, "stop"
        elif opened >= target:
            out = target, "take_profit"
        elif leave:
            out = opened, "exit"
        elif low <= level or high >= target:
            prices = walk(opened, high, low, close, 5, row * MINUTE)
            sold = next(one for one in prices if one <= level or one >= target)
            out = (level, "stop") if sold <= level else (target, "take_profit")
        if out is not None:
            trips.append((*held, row, *out))
            held = None
        peak = max(peak, high)
    return trips


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(90, 110).map(float), min_size=8, max_size=60),
    st.floats(0.01, 0.06),
    st.floats(0.01, 0.06),
    st.none() | st.floats(0.01, 0.06),
    st.sampled_from([None, 3, 7]),
)
def test_candles_that_reach_stop_and_target_agree_with_a_plain_loop(
    prices: list[float], stop: float, target: float, trailing: float | None, leave: int | None
) -> None:
    # Whole prices make many candles whose ends are equally far from the open.
    rows = [prices[at : at + 4] for at in range(0, len(prices) - 3, 4)]
    frame = candles(*((row[0], max(row), min(row), row[3]) for row in rows))
    stops = {"stop_loss": stop, "take_profit": target}
    if trailing is not None:
        stops["trailing_stop"] = trailing
    exits = {leave} if leave is not None else set()
    entries = set(range(len(frame) - 1))
    strategy = Scripted(entries=tuple(entries), exits=tuple(exits), **stops)
    got = backtest(strategy, frame, fee=0).roundtrips.query("reason != 'open'")
    wanted = reference(frame, entries, exits, **stops)
    assert [
        (frame.index.get_loc(one["entry_time"]), frame.index.get_loc(one["exit_time"]))
        for one in got.to_dict("records")
    ] == [(entry, left) for entry, _, left, _, _ in wanted]
    assert got["exit_price"].tolist() == pytest.approx([price for *_, price, _ in wanted])


@pytest.mark.parametrize("width", [1.0, 8.0])  # the wide ones hold for hundreds of candles
@pytest.mark.parametrize("seed", range(10))
def test_stops_agree_with_a_plain_loop(seed: int, width: float) -> None:
    random = np.random.default_rng(seed)
    rows = int(1_500 * width)
    frame = wandering(rows, seed, gap=1e-3)
    entries = set(random.choice(rows - 1, 60, replace=False).tolist())
    exits = set(random.choice(rows - 1, 20, replace=False).tolist())
    every = {"stop_loss": 0.01, "take_profit": 0.012, "trailing_stop": 0.008}
    every = {name: value * width for name, value in every.items()}
    stops = {name: value for name, value in every.items() if random.random() < 0.7}
    strategy = Scripted(entries=tuple(entries), exits=tuple(exits), **stops)
    got = backtest(strategy, frame, fee=0).roundtrips.query("reason != 'open'")
    wanted = reference(frame, entries, exits, **stops)
    assert len(got) == len(wanted) > 10
    for one, (entry, paid, leave, price, reason) in zip(
        got.to_dict("records"), wanted, strict=True
    ):
        assert one["entry_time"] == frame.index[entry] and one["exit_time"] == frame.index[leave]
        assert one["entry_price"] == paid
        assert one["exit_price"] == pytest.approx(price, rel=1e-12)
        assert reason in one["reason"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:vectorbt")
def test_a_stop_that_is_never_reached_changes_nothing() -> None:
    frame = wandering(3_000)
    plain = backtest(TrendCross(timeframes=("1m",)), frame)
    stopped = backtest(TrendCross(timeframes=("1m",), stop_loss=0.99), frame)
    assert len(plain.roundtrips) > 20
    pd.testing.assert_frame_equal(plain.roundtrips, stopped.roundtrips, rtol=1e-9)
    np.testing.assert_allclose(plain.equity, stopped.equity, rtol=1e-9)
