"""Strategies found by their names, and what an active one needs."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from botlib.core.errors import ConfigError, InvalidInput
from botlib.engine.strategies.active import ActiveStrategy, load_strategy
from botlib.frames import Frames
from botlib.strategies import TrendCross
from botlib.strategy import Signals, Strategy


def test_strategies_are_found_by_name() -> None:
    strategy = load_strategy("TrendCross", "5m", {"fast": 3})
    assert strategy.timeframes == ("5m",) and strategy.parameters["fast"] == 3
    assert isinstance(
        load_strategy("botlib.strategies.trend_cross:TrendCross", "1m", {}), TrendCross
    )
    with pytest.raises(ConfigError, match="Did you mean 'TrendCross'"):
        load_strategy("TrendCros", "1m", {})
    with pytest.raises(ConfigError, match="Cannot import 'no_such_module'"):
        load_strategy("no_such_module:X", "1m", {})
    with pytest.raises(ConfigError, match="no parameter 'fats'"):
        load_strategy("TrendCross", "1m", {"fats": 3})


def test_a_timeframe_of_the_configuration_takes_the_place_of_the_first_of_the_class() -> None:
    assert load_strategy("TrendCross", None, {}).timeframes == ("1m",)
    assert load_strategy("TrendPullback", None, {}).timeframes == ("15m", "4h")
    assert load_strategy("TrendPullback", "1h", {}).timeframes == ("1h", "4h")


def test_a_module_with_an_error_is_refused_with_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    (tmp_path / "half_written.py").write_text("import botlib as bl\n\nx = y\n")
    with pytest.raises(ConfigError, match="'half_written:X': NameError: name 'y' is not defined"):
        load_strategy("half_written:X", None, {})
    with pytest.raises(ConfigError, match=f"in the working directory, {tmp_path}"):
        load_strategy("never_written:X", None, {})


def test_a_strategy_needs_a_timeframe() -> None:
    with pytest.raises(ConfigError, match="has no timeframe"):
        ActiveStrategy(name="x", strategy=TrendCross(), symbol="BTC/USDT", order_cost=Decimal(1))


@pytest.mark.parametrize("cost", ["NaN", "Infinity", "-Infinity", "-5", "0"])
def test_an_order_cost_that_is_no_number_above_0_is_refused(cost: str) -> None:
    with pytest.raises(InvalidInput, match="above 0"):
        ActiveStrategy(
            name="w",
            strategy=TrendCross(timeframes=("1m",)),
            symbol="BTC/USDT",
            order_cost=Decimal(cost),
        )


class Weighted(Strategy):
    timeframes = ("1m",)
    weights: object = None

    def signals(self, data: Frames) -> Signals:
        never = data.frame["close"] < 0
        return Signals(entry=never, exit=never)


def test_a_strategy_with_an_array_is_the_same_as_one_with_an_equal_array() -> None:
    def active(*weights: float, order_cost: int = 100) -> ActiveStrategy:
        return ActiveStrategy(
            name="x",
            strategy=Weighted(weights=np.array(weights)),
            symbol="BTC/USDT",
            order_cost=Decimal(order_cost),
        )

    assert active(1.0, 2.0).same_as(active(1.0, 2.0))
    assert not active(1.0, 2.0).same_as(active(1.0, 3.0))
    assert not active(1.0, 2.0).same_as(active(1.0))
    assert not active(1.0, 2.0).same_as(active(1.0, 2.0, order_cost=50))
