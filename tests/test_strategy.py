"""Strategies: parameters, the form of signals, the worked example."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from botlib.errors import ConfigError, UnknownTimeframe
from botlib.frames import Frames, candle_frame
from botlib.strategies import TrendCross
from botlib.strategy import Signals, Strategy


def data(closes: list[float]) -> Frames:
    stamps = np.arange(len(closes)) * 60_000
    frame = candle_frame(stamps, [[c, c, c, c, 1.0] for c in closes])
    return Frames("BTC/USDT", {"1m": frame})


def test_parameters_are_the_annotated_class_attributes() -> None:
    strategy = TrendCross(fast=3, slow=5)
    assert strategy.parameters == {"fast": 3, "slow": 5}
    assert repr(strategy) == "TrendCross(fast=3, slow=5)"
    assert TrendCross().parameters == {"fast": 10, "slow": 30}


def test_a_wrong_parameter_is_refused_with_a_hint() -> None:
    with pytest.raises(ConfigError, match=r"no parameter 'fats'.*Did you mean 'fast'"):
        TrendCross(fats=3)
    with pytest.raises(ConfigError, match="must be int, not 'x'"):
        TrendCross(fast="x")
    with pytest.raises(ConfigError, match="0 < fast < slow"):
        TrendCross(fast=30, slow=10)
    with pytest.raises(UnknownTimeframe):
        TrendCross(timeframes=("7m",))


def test_trend_cross_enters_on_the_cross_up_and_leaves_on_the_cross_down() -> None:
    closes = [10.0] * 8 + [11.0, 12.0, 13.0, 12.0, 9.0, 8.0, 7.0]
    signals = TrendCross(fast=2, slow=4).signals(data(closes))
    assert np.flatnonzero(signals.entry).tolist() == [8]
    assert np.flatnonzero(signals.exit).tolist() == [12]


def test_trend_cross_is_silent_while_it_warms_up() -> None:
    strategy = TrendCross(fast=2, slow=4)
    rising = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert not strategy.signals(data(rising[: strategy.warmup - 1])).entry.any()


def test_signals_of_another_form_are_refused() -> None:
    frame = data([1.0, 2.0]).frame
    good = pd.Series(False, index=frame.index)
    Signals(entry=good, exit=good).check(frame)
    with pytest.raises(ConfigError, match="not bool"):
        Signals(entry=good.astype(float), exit=good).check(frame)
    with pytest.raises(ConfigError, match="1 rows that are not those"):
        Signals(entry=good, exit=good.iloc[:1]).check(frame)


def test_a_strategy_without_signals_says_so() -> None:
    class Empty(Strategy):
        pass

    with pytest.raises(TypeError, match="Empty does not define signals"):
        Empty().signals(data([1.0]))
