"""Accounts of a simulation: sizes, fees and refusals of a venue."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from tests.support.backtests import BTC, Scripted, backtest, flat, trip, wandering


def test_amounts_are_sized_and_fees_taken_as_the_venue_does() -> None:
    frame = flat(30_000.0, 30_000.0, 30_011.37, 31_000.0, 31_000.01, 31_000.0)
    result = backtest(
        Scripted(entries=(1,), exits=(3,)), frame, order_cost=1_000, market=BTC, fee=0.00113
    )
    only = trip(result)
    amount = Decimal("0.03332")  # 1000 / 30011.37 in steps of 0.00001
    fee = Decimal("0.00003765")  # 0.0000376516, taken from the coins, to eight decimals
    kept = amount - fee
    sold = Decimal("0.03328")  # what is kept, in whole steps
    assert only["amount"] == float(amount) and only["sold"] == float(sold)
    assert only["entry_fee"] == float(fee * Decimal("30011.37"))
    assert only["exit_fee"] == pytest.approx(float(sold) * 31_000.01 * 0.00113, abs=1e-8)
    cost = float(amount) * 30_011.37 * float(sold / kept)  # the dust keeps its own
    assert only["pnl"] == pytest.approx(float(sold) * 31_000.01 - only["exit_fee"] - cost)
    dust = float(kept - sold)
    cash = 10_000 - float(amount) * 30_011.37 + float(sold) * 31_000.01 - only["exit_fee"]
    assert result.equity.iloc[-1] == pytest.approx(cash + dust * 31_000, abs=1e-7)
    assert result.portfolio.assets().iloc[-1] == pytest.approx(dust, abs=1e-12)
    assert result.stats()["exposure"] == pytest.approx(2 / 6)  # dust is no position


def test_what_the_venue_would_refuse_is_refused() -> None:
    frame = flat(*[30_000.0] * 6)
    small = backtest(Scripted(entries=(1,)), frame, order_cost=4.9, market=BTC)
    assert len(small.roundtrips) == 0 and small.refused == 1
    poor = backtest(Scripted(entries=(1,)), frame, order_cost=1_000, cash=900, market=BTC)
    assert len(poor.roundtrips) == 0 and poor.refused == 1
    rich = backtest(Scripted(entries=(1,)), frame, cash=900, market=BTC)  # all cash
    assert trip(rich)["amount"] == 0.03


def test_slippage_lands_on_ticks() -> None:
    frame = flat(*[30_000.01] * 6)
    result = backtest(
        Scripted(entries=(1,), exits=(3,)), frame, order_cost=100, market=BTC, slippage=0.0001
    )
    assert trip(result)["entry_price"] == 30_003.02  # 30003.010001 up
    assert trip(result)["exit_price"] == 29_997.0  # 29997.009999 down


def test_a_position_that_became_too_small_to_sell_is_added_to() -> None:
    # 10 quote units fall to 4: no exit is possible, and the next entry adds to it.
    frame = flat(100.0, 100.0, 100.0, 40.0, 40.0, 40.0, 100.0, 100.0, 100.0)
    result = backtest(
        Scripted(entries=(0, 4), exits=(3, 6)), frame, order_cost=10, market=BTC, fee=0
    )
    only = trip(result)
    assert result.refused == 1 and len(result.roundtrips) == 1
    assert only["amount"] == pytest.approx(0.1 + 0.25)
    assert only["entry_price"] == pytest.approx((0.1 * 100 + 0.25 * 40) / 0.35)
    assert only["sold"] == 0.35 and only["pnl"] == pytest.approx(35 - 20)


@pytest.mark.parametrize("seed", range(5))
def test_the_venue_account_never_sells_what_it_does_not_have(seed: int) -> None:
    random = np.random.default_rng(seed)
    frame = wandering(2_000, seed, step=1e-2)
    strategy = Scripted(
        entries=tuple(random.choice(1_999, 300, replace=False).tolist()),
        exits=tuple(random.choice(1_999, 300, replace=False).tolist()),
        stop_loss=0.03,
        trailing_stop=0.03,
    )
    result = backtest(strategy, frame, market=BTC, order_cost=float(random.uniform(6, 50)))
    held = np.cumsum(np.where(result.fills.buy, result.fills.kept, -result.fills.amount))
    assert len(held) > 100 and held.min() > -1e-12
    np.testing.assert_allclose(result.portfolio.value(), result.equity, rtol=1e-12)
    trips = result.roundtrips
    unrealised = result.equity.iloc[-1] - 10_000 - trips["pnl"].sum()
    assert abs(unrealised) < 1.0  # the dust that is left
