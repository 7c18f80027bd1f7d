"""Deflated Sharpe ratios and the probability of backtest overfitting, beside published figures."""

from __future__ import annotations

import math
from itertools import combinations
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botlib.backtesting.significance.overfitting import (
    deflated_sharpe_ratio,
    expected_maximum_sharpe,
    independent_trials,
    minimum_track_record_length,
    overfitting,
    probabilistic_sharpe_ratio,
    probability_of_backtest_overfitting,
    sharpe_ratio,
)
from botlib.backtesting.significance.sharpe import moments
from botlib.core.errors import InvalidInput

Floats = npt.NDArray[np.float64]

DAYS = 250
"""Observations a year in the papers' examples."""

DSR_EXAMPLE = {"observations": 1250, "variance": 0.5 / DAYS}
"""Bailey and López de Prado (2014): five years of days, variance of the yearly ratios 1/2."""

BEST = 2.5 / math.sqrt(DAYS)
"""The best of the trials in that example: 2.5 a year."""


def noise(periods: int, trials: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(0.0, 0.01, (periods, trials))


# The deflated Sharpe ratio paper's numerical example.


def test_the_luck_of_a_hundred_trials_is_as_published() -> None:
    assert expected_maximum_sharpe(variance=0.5 / DAYS, trials=100) == pytest.approx(
        0.1132, abs=5e-5
    )


@pytest.mark.parametrize(
    ("trials", "skewness", "kurtosis", "published"),
    [(100, -3.0, 10.0, 0.9004), (46, -3.0, 10.0, 0.9505), (88, 0.0, 3.0, 0.9505)],
)
def test_the_deflated_ratio_is_as_published(
    trials: int, skewness: float, kurtosis: float, published: float
) -> None:
    found = deflated_sharpe_ratio(
        BEST, trials=trials, skewness=skewness, kurtosis=kurtosis, **DSR_EXAMPLE
    )
    assert found == pytest.approx(published, abs=5e-5)


def test_the_published_examples_agree_with_another_implementation() -> None:
    """The figures pypbo (github.com/esvhd/pypbo) computes for the examples of both papers."""
    assert expected_maximum_sharpe(variance=1, trials=100) == pytest.approx(2.5306028932016846)
    deflated = deflated_sharpe_ratio(BEST, trials=100, skewness=-3, kurtosis=10, **DSR_EXAMPLE)
    assert deflated == pytest.approx(0.90039683444939034)
    probable = probabilistic_sharpe_ratio(
        1.585 / math.sqrt(12), observations=24, skewness=-2.448, kurtosis=10.164
    )
    assert probable == pytest.approx(0.91323430688486018)


# The examples of the paper on the probabilistic Sharpe ratio.


@pytest.mark.parametrize(
    ("skewness", "kurtosis", "published"), [(0.0, 3.0, 0.982), (-2.448, 10.164, 0.913)]
)
def test_the_probabilistic_ratio_is_as_published(
    skewness: float, kurtosis: float, published: float
) -> None:
    found = probabilistic_sharpe_ratio(0.458, observations=24, skewness=skewness, kurtosis=kurtosis)
    assert found == pytest.approx(published, abs=5e-4)


@pytest.mark.parametrize(
    ("per_year", "skewness", "kurtosis", "years"),
    [(250, 0.0, 3.0, 2.73), (52, 0.0, 3.0, 2.83), (12, 0.0, 3.0, 3.24), (12, -0.72, 5.78, 4.99)],
)
def test_the_track_record_length_is_as_published(
    per_year: int, skewness: float, kurtosis: float, years: float
) -> None:
    """A yearly ratio of 2 against a benchmark of 1, at 95 %."""
    found = minimum_track_record_length(
        2 / math.sqrt(per_year),
        benchmark=1 / math.sqrt(per_year),
        skewness=skewness,
        kurtosis=kurtosis,
    )
    assert found / per_year == pytest.approx(years, abs=6e-3)


# Properties of the Sharpe ratios.


@given(
    sharpe=st.floats(0.02, 0.8),
    below=st.floats(0.01, 0.5),
    confidence=st.floats(0.55, 0.999),
    skewness=st.floats(-2, 2),
    excess=st.floats(0, 8),
)
def test_the_track_record_is_where_the_probability_reaches_the_confidence(
    sharpe: float, below: float, confidence: float, skewness: float, excess: float
) -> None:
    shape = {"skewness": skewness, "kurtosis": 1 + skewness**2 + excess}
    benchmark = sharpe - below
    length = minimum_track_record_length(
        sharpe, benchmark=benchmark, confidence=confidence, **shape
    )
    enough, short = math.ceil(length), math.floor(length)
    if enough >= 2:
        reached = probabilistic_sharpe_ratio(
            sharpe, observations=enough, benchmark=benchmark, **shape
        )
        assert reached >= confidence - 1e-9
    if 2 <= short < length - 1e-6:
        missed = probabilistic_sharpe_ratio(
            sharpe, observations=short, benchmark=benchmark, **shape
        )
        assert missed <= confidence + 1e-9


def test_the_track_record_of_what_is_not_better_is_endless() -> None:
    assert math.isinf(minimum_track_record_length(0.1, benchmark=0.1))


@pytest.mark.parametrize("trials", [20, 100, 500])
def test_the_expected_maximum_is_that_of_a_simulation(trials: int) -> None:
    draws = np.random.default_rng(1).standard_normal((4_000, trials)).max(axis=1)
    found = expected_maximum_sharpe(variance=1.0, trials=trials)
    assert found == pytest.approx(float(draws.mean()), rel=0.03)


def test_one_trial_has_no_luck_in_choosing() -> None:
    assert expected_maximum_sharpe(variance=1.0, trials=1) == 0.0
    assert expected_maximum_sharpe(variance=0.0, trials=100) == 0.0
    assert 0.0 <= expected_maximum_sharpe(variance=1.0, trials=1.0000001) < 0.1
    assert 6 < expected_maximum_sharpe(variance=1.0, trials=1e18) < 10


def test_the_probability_has_the_level_it_claims() -> None:
    """Of many normal records without an edge, one in twenty passes 0.95."""
    records = noise(200, 4_000, seed=2)
    passed = 0
    for column in records.T:
        skewness, kurtosis = moments(column)
        found = probabilistic_sharpe_ratio(
            sharpe_ratio(column), observations=200, skewness=skewness, kurtosis=kurtosis
        )
        passed += found > 0.95
    assert passed / 4_000 == pytest.approx(0.05, abs=0.012)


def test_moments_are_those_of_the_whole_sample() -> None:
    # Of 0, 0, 0, 1: mean 1/4, variance 3/16, third moment 3/32, fourth 21/256.
    skewness, kurtosis = moments(np.array([0.0, 0.0, 0.0, 1.0]))
    assert skewness == pytest.approx((3 / 32) / (3 / 16) ** 1.5)
    assert kurtosis == pytest.approx((21 / 256) / (3 / 16) ** 2)
    assert moments(np.full(5, 0.1)) == (0.0, 3.0)


def test_a_sharpe_ratio_is_the_mean_over_the_sample_deviation() -> None:
    returns = np.array([0.01, -0.02, 0.03, 0.0])
    assert sharpe_ratio(returns) == pytest.approx(returns.mean() / returns.std(ddof=1))
    assert sharpe_ratio(pd.Series(returns)) == sharpe_ratio(returns)
    assert sharpe_ratio(np.zeros(4)) == 0.0
    assert sharpe_ratio(np.full(7, 0.1)) == math.inf


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: probabilistic_sharpe_ratio(0.1, observations=1), "2 observations"),
        (lambda: probabilistic_sharpe_ratio(math.nan, observations=9), "sharpe"),
        (lambda: probabilistic_sharpe_ratio(0.1, observations=9, kurtosis=0.0), "not the excess"),
        (lambda: probabilistic_sharpe_ratio(0.1, observations=9, skewness=-3.0), "skewness²"),
        (lambda: minimum_track_record_length(0.1, confidence=95), "between 0.5 and 1"),
        (lambda: expected_maximum_sharpe(variance=1.0, trials=0), "1 try or more"),
        (lambda: expected_maximum_sharpe(variance=-1.0, trials=9), "variance from 0"),
    ],
)
def test_impossible_figures_are_refused(call: object, word: str) -> None:
    assert callable(call)
    with pytest.raises(InvalidInput, match=word):
        call()


# The number of independent trials.


def test_correlated_trials_are_worth_fewer() -> None:
    assert independent_trials(noise(4_000, 50)) == pytest.approx(50, rel=0.02)
    one = noise(300, 1)
    assert independent_trials(np.repeat(one, 20, axis=1)) == pytest.approx(1.0)
    shared, own = noise(20_000, 1, seed=3), noise(20_000, 30, seed=4)
    # Half of the variance is common to all: a correlation of 1/2 between any two.
    assert independent_trials(shared + own) == pytest.approx(0.5 + 0.5 * 30, rel=0.05)


def test_trials_that_never_moved_are_one() -> None:
    moving = noise(4_000, 3)
    still = np.zeros((4_000, 40))
    assert independent_trials(np.hstack([moving, still])) == pytest.approx(4, rel=0.02)
    assert independent_trials(still) == 1.0
    assert independent_trials(moving[:, :1]) == 1.0


# Cross-validation.


def plain_splits(returns: Floats, blocks: int) -> tuple[list[float], list[float], list[float]]:
    """Return logits, and the best's Sharpe ratios in and out of sample, split by split."""
    parts = np.split(returns, np.linspace(0, len(returns), blocks + 1).astype(int)[1:-1])
    trials = returns.shape[1]
    logits, inside, outside = [], [], []
    for chosen in combinations(range(blocks), blocks // 2):
        seen = np.vstack([parts[k] for k in chosen])
        future = np.vstack([parts[k] for k in range(blocks) if k not in chosen])
        first = [sharpe_ratio(seen[:, k]) for k in range(trials)]
        then = [sharpe_ratio(future[:, k]) for k in range(trials)]
        best = [k for k in range(trials) if first[k] == max(first)]
        ranks = [
            sum(value < then[k] for value in then) + (then.count(then[k]) + 1) / 2 for k in best
        ]
        relative = sum(ranks) / len(ranks) / (trials + 1)
        logits.append(math.log(relative / (1 - relative)))
        inside.append(max(first))
        outside.append(sum(then[k] for k in best) / len(best))
    return logits, inside, outside


@settings(max_examples=40, deadline=None)
@given(
    periods=st.integers(16, 40),
    trials=st.integers(2, 6),
    blocks=st.sampled_from([2, 4, 6]),
    seed=st.integers(0, 1_000),
    coarse=st.booleans(),
)
def test_every_split_is_as_in_a_plain_loop(
    periods: int, trials: int, blocks: int, seed: int, coarse: bool
) -> None:
    returns = noise(periods, trials, seed)
    if coarse:  # Few distinct returns, many of them 0: ties, and trials that never trade.
        returns = np.round(returns * 60) / 60
        returns[:, 0] = returns[:, -1]
    found = probability_of_backtest_overfitting(returns, blocks)
    logits, inside, outside = plain_splits(returns, blocks)
    assert found.logits == pytest.approx(logits)
    assert found.in_sample == pytest.approx(inside)
    assert found.out_of_sample == pytest.approx(outside)
    worse = sum(x < -1e-12 for x in logits) + sum(abs(x) <= 1e-12 for x in logits) / 2
    assert found.probability == pytest.approx(worse / len(logits))


def r_normals(seed: int, count: int) -> Floats:
    """Return what ``set.seed(seed); rnorm(count)`` gives in R: its generators are documented."""
    words = [seed]
    for _ in range(50 + 625):
        words.append((69_069 * words[-1] + 1) % 2**32)
    twister = np.random.MT19937()
    key = np.array(words[-624:], dtype=np.uint32)
    twister.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": 624}}
    uniform = twister.random_raw(2 * count) * 2.3283064365386963e-10
    quantiles = ((2**27 * uniform[::2]).astype(np.int64) + uniform[1::2]) / 2**27
    return np.array([NormalDist().inv_cdf(quantile) for quantile in quantiles])


RISK_FREE = 0.03 / 252


@pytest.mark.parametrize(
    ("blocks", "published", "adjusted"), [(8, -0.003046, 0.97), (4, -0.005909, 0.88)]
)
def test_the_example_of_the_r_package_comes_out_as_published(
    blocks: int, published: float, adjusted: float
) -> None:
    """The vignette of pbo (CRAN): 100 trials whose returns sum up to the same, so that what is
    best in one half is worst in the other. Its `slope` is the intercept of the Sharpe ratios in
    sample of the best, over those out of sample."""
    returns = r_normals(765, 240_000).reshape(100, 2_400).T
    returns = returns / returns.std(axis=0, ddof=1) / math.sqrt(252)
    found = probability_of_backtest_overfitting(
        returns - returns.mean(axis=0) - RISK_FREE, blocks=blocks
    )
    assert found.probability == found.probability_of_loss == 1.0
    _, intercept = np.polyfit(found.out_of_sample, found.in_sample, 1)
    assert intercept == pytest.approx(published, abs=5e-7)
    splits = len(found.logits)
    explained = np.corrcoef(found.in_sample, found.out_of_sample)[0, 1] ** 2
    assert 1 - (1 - explained) * (splits - 1) / (splits - 2) == pytest.approx(adjusted, abs=5e-3)


def test_the_test_of_the_r_package_passes() -> None:
    """What the tests of pbo (CRAN) expect of 40 trials of noise in 4 blocks."""
    returns = r_normals(852, 8_000).reshape(200, 40)
    found = probability_of_backtest_overfitting(returns - RISK_FREE, blocks=4)
    assert found.probability == found.probability_of_loss == 0.5
    assert 0.19 < np.polyfit(found.out_of_sample, found.in_sample, 1)[1] < 0.20
    assert len(found.logits) == 6


def test_sixteen_blocks_give_all_splits() -> None:
    found = probability_of_backtest_overfitting(noise(160, 200))
    assert len(found.logits) == math.comb(16, 8) == 12_870
    assert found.trials == 200 and found.blocks == 16
    assert float(found) == found.probability


def test_choosing_among_noise_is_chance() -> None:
    """A single sample of noise may lie anywhere, so many are averaged."""
    found = [probability_of_backtest_overfitting(noise(240, 40, seed), 8) for seed in range(60)]
    assert np.mean([one.probability for one in found]) == pytest.approx(0.5, abs=0.06)
    # What was luck in one half is missing in the other: the better it was, the worse it gets.
    assert np.mean([one.degradation for one in found]) < -0.3


def test_a_true_edge_is_found_again() -> None:
    returns = noise(400, 50)
    returns[:, 17] += 0.01
    found = probability_of_backtest_overfitting(returns)
    assert found.probability < 0.01
    assert found.probability_of_loss < 0.01


def test_what_works_in_one_half_only_is_overfitted() -> None:
    """Each trial earns in its own block and loses in all others: the best is the worst next."""
    returns = noise(160, 16, seed=5) - 0.006
    for block in range(16):
        returns[block * 10 : block * 10 + 10, block] += 0.05
    found = probability_of_backtest_overfitting(returns)
    assert found.probability > 0.95
    assert found.probability_of_loss > 0.95


def test_equal_trials_are_exactly_chance() -> None:
    one = noise(320, 1)
    assert probability_of_backtest_overfitting(np.repeat(one, 7, axis=1)).probability == 0.5
    assert probability_of_backtest_overfitting(np.zeros((64, 5))).probability == 0.5


def test_the_order_and_the_scale_of_the_trials_do_not_matter() -> None:
    returns = noise(160, 12, seed=6)
    returns[:, 3] = returns[:, 8]
    expected = probability_of_backtest_overfitting(returns, 8)
    shuffled = np.random.default_rng(0).permutation(returns, axis=1) * 37.0
    found = probability_of_backtest_overfitting(shuffled, 8)
    assert found.logits == pytest.approx(expected.logits)


@pytest.mark.parametrize(
    ("returns", "blocks", "word"),
    [
        (np.zeros((64, 1)), 16, "at least 2 tries"),
        (np.zeros((31, 3)), 16, "too few for 16 blocks"),
        (np.zeros((64, 3)), 5, "even number"),
        (np.zeros((64, 3)), 22, "even number"),
        (np.zeros((64, 3)), True, "even number"),
        (np.zeros(64), 16, "table"),
        (np.where(np.eye(64, 3) == 1, np.nan, 0.0), 16, r"returns\[0, 0\] is nan"),
    ],
)
def test_returns_that_cannot_be_used_are_refused(returns: Floats, blocks: int, word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        probability_of_backtest_overfitting(returns, blocks)


# The report on a sweep.


def test_the_best_of_noise_is_doubted() -> None:
    report = overfitting(noise(480, 300))
    assert not report.ok
    assert report.trials == 300
    assert report.independent == pytest.approx(300, rel=0.05)
    assert report.sharpe == pytest.approx(report.expected_maximum, rel=0.35)
    assert "doubtful" in repr(report)
    assert "without edge" in report.verdict


def test_an_edge_is_believed_until_too_many_trials_were_made() -> None:
    returns = noise(480, 60)
    returns[:, 9] += 0.0026
    report = overfitting(returns)
    assert report.ok and report.best == "9"
    assert report.deflated > 0.95 > 0.05 > report.overfitting.probability
    many = overfitting(returns, trials=1e9)
    assert many.deflated < report.deflated
    assert many.track_record > report.track_record
    assert not many.ok


def test_the_report_agrees_with_the_functions_it_is_made_of() -> None:
    returns = noise(480, 20, seed=9)
    report = overfitting(returns)
    ratios = [sharpe_ratio(column) for column in returns.T]
    best = int(np.argmax(ratios))
    skewness, kurtosis = moments(returns[:, best])
    assert report.best == str(best)
    assert report.deflated == pytest.approx(
        deflated_sharpe_ratio(
            ratios[best],
            observations=480,
            trials=independent_trials(returns),
            variance=float(np.var(ratios, ddof=1)),
            skewness=skewness,
            kurtosis=kurtosis,
        )
    )


def test_the_report_names_parameters_and_escapes_them() -> None:
    columns = pd.MultiIndex.from_tuples([(5, "<b>"), (9, "<i>")], names=["fast", "kind"])
    returns = noise(64, 2)
    returns[:, 1] += 0.01
    report = overfitting(pd.DataFrame(returns, columns=columns))
    assert report.best == "fast=9, kind=<i>"
    assert "fast=9, kind=<i>" in str(report)
    page = report._repr_html_()
    assert "kind=&lt;i&gt;" in page and "<i>" not in page


def test_a_sweep_that_never_traded_is_doubted() -> None:
    report = overfitting(np.zeros((64, 9)))
    assert not report.ok
    assert report.independent == 1.0
    assert "never" in str(report)


def test_constant_gains_have_no_ratio_to_judge() -> None:
    with pytest.raises(InvalidInput, match="constant returns"):
        overfitting(np.full((64, 3), 0.01))
