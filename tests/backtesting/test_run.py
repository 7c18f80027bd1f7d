"""Backtests: when a signal is acted on, what a fill costs, and refused arguments."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from botlib.core.errors import InvalidInput
from tests.support.backtests import Scripted, backtest, flat, trip


def test_a_signal_is_acted_on_at_the_next_open() -> None:
    result = backtest(Scripted(entries=(1,), exits=(3,)), flat(10, 11, 12, 13, 14, 15), fee=0)
    only = trip(result)
    assert (only["entry_price"], only["exit_price"]) == (12.0, 14.0)
    assert only["entry_time"] == pd.Timestamp("1970-01-01 00:02")
    assert only["exit_time"] == pd.Timestamp("1970-01-01 00:04")
    assert only["reason"] == "exit" and only["candles"] == 2
    assert result.equity.iloc[-1] == pytest.approx(10_000 * 14 / 12)


def test_fees_are_paid_per_side_and_slippage_worsens_every_price() -> None:
    result = backtest(
        Scripted(entries=(1,), exits=(3,)),
        flat(10, 11, 12, 13, 14, 15),
        fee=0.01,
        slippage=0.5,
        order_cost=1_100,
    )
    only = trip(result)
    assert only["entry_price"] == 18.0 and only["exit_price"] == 7.0
    assert only["amount"] == pytest.approx(1_100 / 12)  # sized by the close of the signal's candle
    assert only["entry_fee"] == pytest.approx(only["amount"] * 18 * 0.01)
    assert only["exit_fee"] == pytest.approx(only["amount"] * 7 * 0.01)
    assert only["pnl"] == pytest.approx(result.equity.iloc[-1] - 10_000)


def test_an_exit_wins_over_an_entry_and_a_second_entry_changes_nothing() -> None:
    prices = flat(10, 11, 12, 13, 14, 15, 16)
    result = backtest(Scripted(entries=(1, 2, 3), exits=(3,)), prices)
    assert len(result.roundtrips) == 1
    assert trip(result)["exit_price"] == 14.0


def test_a_signal_on_the_last_candle_is_not_acted_on() -> None:
    result = backtest(Scripted(entries=(3,)), flat(10, 11, 12, 13))
    assert len(result.roundtrips) == 0 and math.isnan(result.stats()["win_rate"])
    assert "0 round trips" in repr(result)


def test_a_position_still_open_is_valued_at_the_last_close() -> None:
    result = backtest(Scripted(entries=(0,)), flat(10, 10, 12), fee=0)
    assert trip(result)["reason"] == "open" and pd.isna(trip(result)["exit_time"])
    assert trip(result)["pnl"] == pytest.approx(2_000)
    assert result.stats()["open"] == 1 and result.stats()["round_trips"] == 0


def test_nothing_is_traded_while_it_warms_up_or_before_the_start() -> None:
    class Eager(Scripted):
        @property
        def warmup(self) -> int:
            return 4

    prices = flat(*range(10, 20))
    assert trip(backtest(Eager(entries=tuple(range(10))), prices))["entry_price"] == 14.0
    result = backtest(Scripted(entries=(0, 1, 5)), prices, start="1970-01-01 00:03")
    assert result.frame.index[0] == pd.Timestamp("1970-01-01 00:03")
    assert trip(result)["entry_price"] == 16.0
    # A signal of the candle before the start is acted on at the start.
    result = backtest(Scripted(entries=(2,)), prices, start="1970-01-01T02:03+02:00")
    assert trip(result)["entry_price"] == 13.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fee": -0.1}, "fee is a fraction"),
        ({"slippage": 1.0}, "slippage is a fraction"),
        ({"cash": 0.0}, "cash must be a positive number"),
        ({"order_cost": math.nan}, "order_cost must be a positive number"),
        ({"start": "soon"}, "Cannot read start='soon'"),
        ({"start": "2030-01-01"}, "leaves no candles to trade on"),
    ],
)
def test_impossible_numbers_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        backtest(Scripted(), flat(10, 11, 12), **changes)
