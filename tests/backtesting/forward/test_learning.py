"""Strategies that learn: from training candles only, on an object of each window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from botlib.backtesting import WalkForwardResult, backtest, sweep, walk_forward
from botlib.core.errors import ConfigError, InvalidInput
from botlib.frames import Frames
from botlib.strategies import TrendCross
from tests.support.learners import Level, Memory
from tests.support.samples import market

HOURS = market(1_500, step=0.004)


def walked(strategy: Any = Level, data: Any = HOURS, **how: Any) -> WalkForwardResult:
    given: dict[str, Any] = {"train": 400, "test": 200, "workers": 0, "progress": False}
    return walk_forward(strategy, data, **(given | how))


@pytest.fixture(autouse=True)
def no_calls() -> None:
    Level.calls.clear()


def test_it_learns_on_the_training_side_only_and_keeps_it_per_window() -> None:
    found = walked(purge=12, share=[0.99, 1.0, 1.01])
    count = len(found.windows)
    assert count == len({id(window.strategy) for window in found.windows}) == 5
    per_window = len(Level.calls) // count
    assert per_window == 4, "three to choose, and the best again"
    for number, window in enumerate(found.windows):
        calls = Level.calls[per_window * number : per_window * (number + 1)]
        assert all(call[-1] <= window.train_until < window.test_from for call in calls)
        train = HOURS.loc[window.train_from : window.train_until]
        chosen = [call for call in calls if len(call) < len(train)]
        assert {len(call) for call in chosen} == {400 * 3 // 4 - 12}
        strategy = window.strategy
        assert isinstance(strategy, Level) and strategy.training is not None
        assert (strategy.training.first, strategy.training.last) == (
            train.index[0],
            train.index[-1],
        )
        share: Any = window.parameters["share"]
        assert strategy.level == pytest.approx(train["close"].mean() * share)


def test_what_comes_later_changes_no_model_of_before() -> None:
    changed = HOURS.copy()
    changed.iloc[800:] = market(1_500, seed=99, step=0.004).iloc[800:].to_numpy()
    before, after = walked(share=[0.99, 1.0]), walked(data=changed, share=[0.99, 1.0])
    for one, other in zip(before.windows[:3], after.windows[:3], strict=True):
        assert one.strategy.level == other.strategy.level  # type: ignore[attr-defined]
    assert before.windows[3].strategy.level != after.windows[3].strategy.level  # type: ignore[attr-defined]
    pd.testing.assert_series_equal(before.windows[1].result.equity, after.windows[1].result.equity)


def test_the_model_that_remembers_most_is_not_chosen() -> None:
    found = walked(Memory, fee=0.0, metric="total_return", remembers=[True, False])
    assert not all(window.parameters["remembers"] for window in found.windows)
    for window in found.windows:
        assert window.parameters["remembers"] == (window.in_sample == 0), (
            "it knows none of the rest"
        )
    train = Frames("", {"1h": HOURS.iloc[:400]})
    known = Memory(remembers=True).fitted(train)
    index = HOURS.index[:400]
    signals = known.signals(Frames("", {"1h": HOURS.iloc[:400]}))
    rose = HOURS["close"].shift(-1).iloc[:399] > HOURS["close"].iloc[:399]
    assert np.array_equal(signals.entry.loc[index[:399]], rose), "by heart, it would win in sample"


def test_a_backtest_wants_it_to_have_learned_from_earlier_candles() -> None:
    with pytest.raises(ConfigError, match=r"Level learns from candles .* has not yet"):
        backtest(Level(), HOURS)
    train = Frames("", {"1h": HOURS.iloc[:600]})
    learned = Level(share=1.01).fitted(train)
    assert learned.training is not None and learned.training.candles == 600
    with pytest.raises(InvalidInput, match="would trade candles it knows"):
        backtest(learned, HOURS)
    result = backtest(learned, HOURS, start=HOURS.index[600])
    assert len(result.roundtrips) and Level.training is None
    with pytest.raises(ConfigError, match="learns from frames of closed candles, not from a Data"):
        Level().fitted(HOURS)  # type: ignore[arg-type]


def test_a_sweep_of_it_is_refused_and_one_of_others_is_not() -> None:
    with pytest.raises(ConfigError, match="a sweep has no candles to learn from"):
        sweep(Level, HOURS, share=[1.0], workers=0, progress=False)
    assert not TrendCross().learns and Level().learns
    crossing = TrendCross(fast=4, slow=9)
    same = crossing.fitted(Frames("", {"1h": HOURS}))
    assert same.parameters == crossing.parameters and same is not crossing
