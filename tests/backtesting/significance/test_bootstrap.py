"""The bootstrap of round trips, against a plain loop, against scipy, and in what it promises."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from botlib.backtesting import backtest, walk_forward
from botlib.backtesting.significance.bootstrap import BootstrapReport, bootstrap
from botlib.core.errors import InvalidInput
from tests.support.sweeps import Cross, candles

CASH, YEARS = 1_000.0, 0.5


@dataclass
class Trips:
    """Round trips with given profits, the last one still open."""

    profits: np.ndarray

    @property
    def roundtrips(self) -> pd.DataFrame:
        times = pd.date_range("2024-01-01", periods=len(self.profits), freq="h").to_series()
        times.iloc[-1] = pd.NaT
        return pd.DataFrame({"pnl": self.profits, "exit_time": times.to_numpy()})


PROFITS = np.random.default_rng(8).normal(2.0, 20.0, 61)
RETURNS = PROFITS[:-1] / (CASH + np.concatenate(([0.0], np.cumsum(PROFITS[:-1])[:-1])))


def booted(**how: float) -> BootstrapReport:
    given = {"cash": CASH, "years": YEARS, "samples": 20_000}
    return bootstrap(Trips(PROFITS), **(given | how))  # type: ignore[arg-type]


def plain(returns: np.ndarray) -> tuple[float, float, float]:
    """Return total return, deepest drawdown and yearly Sharpe ratio of one history."""
    equity, peak, deepest = 1.0, 1.0, 0.0
    for value in returns:
        equity *= 1 + value
        peak = max(peak, equity)
        deepest = min(deepest, equity / peak - 1)
    yearly = np.sqrt(len(returns) / YEARS)
    return equity - 1, deepest, returns.mean() / returns.std(ddof=1) * yearly


@pytest.mark.parametrize("block", [1, 7])
def test_every_interval_is_that_of_a_plain_loop_over_the_same_draws(block: int) -> None:
    report = booted(samples=500, seed=3, block=block, confidence=0.9)
    random = np.random.default_rng(3)
    starts = random.integers(0, 60, (500, -(-60 // block)))
    found = []
    for line in starts:
        rows = [(start + step) % 60 for start in line for step in range(block)][:60]
        found.append(plain(RETURNS[rows]))
    for place, name in enumerate(("total_return", "max_drawdown", "sharpe")):
        values = [one[place] for one in found]
        interval = report.intervals[name]
        assert interval.estimate == pytest.approx(plain(RETURNS)[place])
        expected = np.quantile(values, [0.05, 0.5, 0.95])
        assert [interval.low, interval.median, interval.high] == pytest.approx(expected)
    assert report.loss == np.mean([one[0] < 0 for one in found])


def test_the_intervals_agree_with_scipy() -> None:
    report = booted(seed=1)
    yearly = np.sqrt(60 / YEARS)
    for name, figure in (
        ("sharpe", lambda x, axis: x.mean(axis) / x.std(axis, ddof=1) * yearly),
        ("total_return", lambda x, axis: np.prod(1 + x, axis) - 1),
        (
            "max_drawdown",
            lambda x, axis: -np.max(
                1 - np.cumprod(1 + x, axis)
                / np.maximum(np.maximum.accumulate(np.cumprod(1 + x, axis), axis), 1),
                axis,
            ),
        ),
    ):  # fmt: skip
        theirs = stats.bootstrap(
            (RETURNS,), figure, n_resamples=20_000, method="percentile", rng=5, batch=2_000
        ).confidence_interval
        ours = report.intervals[name]
        width = theirs.high - theirs.low
        # Two draws of 20,000 have their quantiles within some percent of the width.
        assert ours.low == pytest.approx(theirs.low, abs=0.04 * width)
        assert ours.high == pytest.approx(theirs.high, abs=0.04 * width)


def test_the_same_seed_gives_the_same_report_and_another_one_does_not() -> None:
    assert booted(samples=200) == booted(samples=200)
    assert booted(samples=200) != booted(samples=200, seed=1)


def test_results_offer_it_with_their_own_cash_and_length() -> None:
    frame = candles(900)
    result = backtest(Cross(fast=3, slow=8), frame, order_cost=2_000.0)
    report = result.bootstrap(samples=300)
    closed = result.roundtrips[result.roundtrips["exit_time"].notna()]
    expected = closed["pnl"].sum() / result.cash
    assert report.intervals["total_return"].estimate == pytest.approx(expected)
    assert f"{len(closed)} round trips" in report.verdict
    assert "max_drawdown" in str(report) and "300 draws" in report._repr_html_()
    forward = walk_forward(
        Cross, frame, train=300, test=200, fast=[3], slow=[8], workers=0, progress=False
    )
    total = forward.bootstrap(samples=300).intervals["total_return"].estimate
    assert total == pytest.approx(forward.figures.total_return)


def test_what_cannot_be_drawn_from_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 2 finished round trips, not 1"):
        bootstrap(Trips(PROFITS[:2]), cash=CASH, years=YEARS)
    with pytest.raises(InvalidInput, match="confidence must be"):
        booted(confidence=95)
    with pytest.raises(InvalidInput, match="block must be a number of trips from 1 to 60"):
        booted(block=0)
    with pytest.raises(InvalidInput, match="samples must be"):
        booted(samples=10)
