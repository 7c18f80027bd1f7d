"""Combinatorial purged cross-validation: counts of the book, purge, embargo, paths, learning."""

from __future__ import annotations

from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from botlib.backtesting import CrossValidationResult, cross_validate
from botlib.backtesting.forward.cross_validation import training_frames
from botlib.core.errors import ConfigError, InvalidInput
from botlib.frames import Frames
from botlib.store.experiment_book import ExperimentBook
from tests.support.backtests import ALL_IN, backtest
from tests.support.learners import Level
from tests.support.samples import market
from tests.support.sweeps import Cross, candles

FRAME = candles(1_440)
HOURS = market(900, step=0.004)


def crossed(strategy: Any = Cross, data: Any = FRAME, **how: Any) -> CrossValidationResult:
    given: dict[str, Any] = {"workers": 0, "progress": False}
    if strategy is Cross:
        given |= {"fast": [2, 3, 5], "slow": [8, 13]}
    return cross_validate(strategy, data, **(ALL_IN | given | how))


@pytest.fixture(scope="module")
def result() -> CrossValidationResult:
    return crossed(purge=10, embargo=15)


@pytest.mark.parametrize(("groups", "tests"), [(6, 2), (5, 3), (4, 1)])
def test_there_are_as_many_splits_and_paths_as_the_book_counts(groups: int, tests: int) -> None:
    found = crossed(groups=groups, tests=tests, fast=[3], slow=[8])
    splits = comb(groups, tests)
    assert [split.tests for split in found.splits] == list(combinations(range(groups), tests))
    # phi[N, k] = k / N * C(N, k): for 6 groups of which 2 are tested, 15 splits and 5 paths.
    assert found.paths.shape == (1_440, tests * splits // groups)
    if (groups, tests) == (6, 2):
        assert (splits, len(found.path_figures)) == (15, 5)


def test_no_training_candle_is_within_purge_or_embargo_of_a_test(
    result: CrossValidationResult,
) -> None:
    for split in result.splits:
        tested = np.zeros(1_440, dtype=bool)
        for group in split.tests:
            tested[240 * group : 240 * (group + 1)] = True
        for row in range(1_440):
            near = tested[max(row - 25, 0) : row + 11]  # 10 purged before; 10 and 15 after a test
            assert split.train[row] == (not near.any()), (split.tests, row)


def test_each_split_has_the_best_parameters_of_its_training_rows(
    result: CrossValidationResult,
) -> None:
    chosen = set()
    for split in result.splits[::3]:
        scores = {}
        for fast in (2, 3, 5):
            for slow in (8, 13):
                equity = backtest(Cross(fast=fast, slow=slow), FRAME).equity.to_numpy()
                # Periods of three candles: a sweep keeps 480 of them.
                logs = np.diff(np.log(equity[2::3] / 10_000), prepend=0.0)
                whole = split.train.reshape(480, 3).all(axis=1)
                scores[fast, slow] = logs[whole].mean() / logs[whole].std(ddof=1)
        best = max(scores, key=lambda key: scores[key])
        assert tuple(split.parameters.values()) == best
        assert split.in_sample == pytest.approx(scores[best])
        chosen.add(best)
    assert len(chosen) > 1, "the splits of this market disagree"


def test_a_path_is_made_of_one_test_of_every_group(result: CrossValidationResult) -> None:
    for number in (1, 5):
        equity = 10_000.0
        for group in range(6):
            split = [one for one in result.splits if group in one.tests][number - 1]
            strategy = Cross(**split.parameters)
            first = FRAME.index[240 * group]
            part = FRAME.iloc[max(240 * group - strategy.warmup, 0) : 240 * (group + 1)]
            alone = backtest(strategy, part, start=first)
            trips = alone.roundtrips
            # The test ends without a position: at the open of its last candle at the latest.
            done = trips[trips["exit_time"] < part.index[-1]]
            value = 10_000.0 + done["pnl"].sum()
            held = trips.iloc[len(done) :]
            if len(held) and held["entry_time"].iloc[0] < part.index[-1]:
                price = part["open"].iloc[-1]
                bought = held["amount"].iloc[0]
                spent = bought * held["entry_price"].iloc[0] * 1.001
                value += bought * price * 0.999 - spent
            equity *= value / 10_000.0
            end = result.paths[number].iloc[240 * (group + 1) - 1]
            assert end == pytest.approx(equity), (number, group)


def test_a_strategy_that_learns_sees_training_candles_only() -> None:
    Level.calls.clear()
    found = crossed(Level, HOURS, groups=5, tests=2, purge=6, embargo=12)
    assert len(Level.calls) == len(found.splits) == 10
    for split, call in zip(found.splits, Level.calls, strict=True):
        assert call.equals(HOURS.index[split.train])
        assert split.strategy.level == pytest.approx(HOURS["close"][split.train].mean())  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="2 combinations could only be ranked on candles it has"):
        crossed(Level, HOURS, share=[1.0, 1.1])


def test_a_candle_of_a_higher_timeframe_trains_only_if_it_touches_no_other_row() -> None:
    hours = HOURS.iloc[:24]
    rows = hours.groupby(hours.index.floor("4h"))
    four = rows.agg({"open": "first", "high": "max", "low": "min", "close": "last"})
    four["volume"] = rows["volume"].sum()
    train = np.ones(24, dtype=bool)
    train[9:13] = False
    kept = training_frames(Frames("", {"1h": hours, "4h": four}), train)
    assert list(kept["4h"].index.hour) == [0, 4, 16, 20]
    assert len(kept.frame) == 20


def test_it_is_shown_and_written_into_the_book(
    result: CrossValidationResult, tmp_path: Path
) -> None:
    assert "15 splits of 6 groups, 5 paths out of sample" in result.verdict
    assert "drawdown" in str(result) and "<table" in result._repr_html_()
    assert len(result.plot().data) == 5
    assert list(result.frame["tests"].iloc[:2]) == [(1, 2), (1, 3)]
    lost = (result.paths.iloc[-1] < 10_000).mean()
    assert result.probability_of_loss == lost
    crossed(fast=[3], slow=[8, 13], book=tmp_path)
    (run,) = ExperimentBook(tmp_path).runs()
    assert (run.kind, run.trials) == ("cross_validation", 2)


@pytest.mark.parametrize(
    ("how", "word"),
    [
        ({"groups": 1}, "groups must be from 2 to 16"),
        ({"tests": 6}, "tests must be from 1 to 5"),
        ({"embargo": 1_440, "purge": 1_440}, "no candle is left to train on"),
        ({"metric": "win_rate"}, "cannot be taken over a part"),
        ({"data": FRAME.iloc[:20]}, "too few"),
    ],
)
def test_impossible_validations_are_refused(how: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        crossed(**how)


def test_the_candles_of_a_test_have_no_say_in_its_split() -> None:
    changed = FRAME.copy()
    changed.iloc[480:720, :4] *= 1 + 0.02 * np.sin(np.arange(240) / 7)[:, None]
    before = crossed(tests=1, purge=60, embargo=60)
    after = crossed(data=changed, tests=1, purge=60, embargo=60)
    assert before.splits[2].tests == (2,)
    assert before.splits[2].parameters == after.splits[2].parameters
    assert before.splits[2].in_sample == pytest.approx(after.splits[2].in_sample)
    assert before.splits[0].in_sample != pytest.approx(after.splits[0].in_sample)
