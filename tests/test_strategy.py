"""Strategies: parameters and the form of signals."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from botlib.core.errors import ConfigError, UnknownTimeframe
from botlib.frames import Frames, candle_frame
from botlib.strategies import TrendCross
from botlib.strategy import Signals, Strategy


def data(closes: list[float]) -> Frames:
    stamps = np.arange(len(closes)) * 60_000
    frame = candle_frame(stamps, [[c, c, c, c, 1.0] for c in closes])
    return Frames("BTC/USDT", {"1m": frame})


NO_STOPS = {"stop_loss": None, "take_profit": None, "trailing_stop": None}


def test_parameters_are_the_annotated_class_attributes() -> None:
    assert TrendCross(fast=3, slow=5).parameters == {"fast": 3, "slow": 5, **NO_STOPS}
    assert TrendCross().parameters == {"fast": 10, "slow": 30, **NO_STOPS}


class Weighted(Strategy):
    table: ClassVar = np.array([1.0, 2.0])
    weights: object = None


def test_an_array_can_be_a_parameter_or_an_attribute_of_the_class() -> None:
    assert list(Weighted().parameters) == ["weights", *NO_STOPS]
    assert repr(Weighted(weights=np.array([1.0, 2.0]))) == "Weighted(weights=array([1., 2.]))"
    assert repr(Weighted()) == "Weighted()"


def test_the_repr_shows_what_differs_from_the_default() -> None:
    assert repr(TrendCross()) == "TrendCross()"
    assert repr(TrendCross(fast=3, slow=30)) == "TrendCross(fast=3)"
    assert repr(TrendCross(stop_loss=0.02)) == "TrendCross(stop_loss=0.02)"


def test_a_wrong_parameter_is_refused_with_a_hint() -> None:
    with pytest.raises(ConfigError, match=r"no parameter 'fats'.*Did you mean 'fast'"):
        TrendCross(fats=3)
    with pytest.raises(ConfigError, match=r"Did you mean 'stop_loss'"):
        TrendCross(stoploss=0.02)
    with pytest.raises(ConfigError, match="must be int, not 'x'"):
        TrendCross(fast="x")
    with pytest.raises(ConfigError, match="must be int, not True"):
        TrendCross(fast=True)
    with pytest.raises(ConfigError, match="must be float or None, not '2%'"):
        TrendCross(stop_loss="2%")
    with pytest.raises(ConfigError, match="0 < fast < slow"):
        TrendCross(fast=30, slow=10)
    with pytest.raises(UnknownTimeframe):
        TrendCross(timeframes=("7m",))


@pytest.mark.parametrize(
    "stops",
    [{"stop_loss": 0}, {"stop_loss": 1}, {"trailing_stop": -0.1}, {"take_profit": 0.0}],
)
def test_a_stop_is_a_fraction(stops: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="above 0 and below 1"):
        TrendCross(**stops)


def test_a_target_may_be_more_than_twice_the_price() -> None:
    assert TrendCross(take_profit=1.5).take_profit == 1.5


def test_a_stop_that_is_wrong_in_the_class_is_refused_too() -> None:
    class Doomed(Strategy):
        stop_loss = 5.0

    with pytest.raises(ConfigError, match=r"Doomed\.stop_loss"):
        Doomed()


def test_numpy_numbers_are_accepted() -> None:
    strategy = TrendCross(fast=np.int64(3), stop_loss=np.float64(0.1))
    assert type(strategy.fast) is int and type(strategy.stop_loss) is float


def test_an_attribute_without_type_or_default_is_explained() -> None:
    class Sloppy(Strategy):
        fast = 10
        slow: int

    with pytest.raises(ConfigError, match=r"fast has no type.*fast: int = 10"):
        Sloppy(fast=3)
    with pytest.raises(ConfigError, match="slow has no default"):
        Sloppy(slow=3)


def test_the_trading_timeframe_is_the_shortest() -> None:
    assert TrendCross(timeframes="1h").timeframes == ("1h",)
    with pytest.raises(ConfigError, match=r"trades 1h.*must be higher, not 15m"):
        TrendCross(timeframes=("1h", "15m"))
    with pytest.raises(ConfigError, match="must be higher"):
        TrendCross(timeframes=("1h", "1h"))


def test_signals_of_another_form_are_refused() -> None:
    frame = data([1.0, 2.0]).frame
    good = pd.Series(False, index=frame.index)
    Signals(entry=good, exit=good).check(frame.index)
    with pytest.raises(ConfigError, match="not bool"):
        Signals(entry=good.astype(float), exit=good).check(frame.index)
    with pytest.raises(ConfigError, match=r"must be a pandas Series.*not ndarray"):
        Signals(entry=good.to_numpy(), exit=good).check(frame.index)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="1 rows that are not those"):
        Signals(entry=good, exit=good.iloc[:1]).check(frame.index)


def test_a_strategy_without_signals_is_a_clear_error() -> None:
    class Empty(Strategy):
        pass

    with pytest.raises(TypeError, match="Empty does not define signals"):
        Empty().signals(data([1.0]))
