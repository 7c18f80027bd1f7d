"""Results of sweeps: the frame, neighbours, period returns and pictures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from botlib.backtesting.sweeps import METRICS, SweepResult
from botlib.core.errors import InvalidInput
from tests.support.sweeps import Cross, sweep


@pytest.fixture(scope="module")
def result(frame: pd.DataFrame) -> SweepResult:
    return sweep(Cross, frame, fast=range(2, 8), slow=range(8, 14), workers=0, progress=False)


def test_the_frame_is_tidy_and_sorted(result: SweepResult) -> None:
    assert list(result.frame) == ["fast", "slow", *METRICS]
    assert result.frame["sharpe"].is_monotonic_decreasing
    top = result.frame.iloc[0]
    assert result.best_parameters == {"fast": top["fast"], "slow": top["slow"]}
    assert result.best_strategy.parameters["fast"] == top["fast"]
    assert repr(result).startswith("<SweepResult Cross · 36 of 36 combinations · best sharpe")


def test_the_best_come_with_the_metric_of_their_neighbours(result: SweepResult) -> None:
    best = result.best(3)
    near = result.neighbourhood()
    assert near["steps"].iloc[0] == 0 and set(near["steps"].iloc[1:]) == {1}
    assert best["neighbours"].iloc[0] == near["sharpe"].iloc[1:].median()
    assert len(result.neighbourhood({"fast": 4, "slow": 10}, reach=2)) == 25
    with pytest.raises(InvalidInput, match="not computed"):
        result.neighbourhood({"fast": 99, "slow": 10})


def test_period_returns_add_up_to_the_total(result: SweepResult) -> None:
    returns = result.period_returns()
    assert returns.shape == (480, 36) and returns.columns.names == ["fast", "slow"]
    total = np.expm1(returns.sum())
    np.testing.assert_allclose(total.to_numpy(), result.frame["total_return"], rtol=1e-9)
    blocks = result.period_returns(16, top=5)
    np.testing.assert_allclose(
        blocks.to_numpy(), returns.iloc[:, :5].to_numpy().reshape(16, 30, 5).sum(axis=1), atol=1e-12
    )
    with pytest.raises(InvalidInput, match="from 1 to 480"):
        result.period_returns(481)


def test_a_sweep_reports_the_overfitting_of_its_best(result: SweepResult) -> None:
    report = result.overfitting(blocks=8)
    assert report.trials == 36


@pytest.mark.parametrize("metric", ["total_return", "calmar", "win_rate"])
def test_overfitting_judges_the_combination_that_best_shows(
    metric: str, frame: pd.DataFrame
) -> None:
    chosen = sweep(
        Cross, frame, fast=range(2, 8), slow=range(8, 14), workers=0, progress=False, metric=metric
    )
    report = chosen.overfitting(blocks=8)
    shown = chosen.best(1).iloc[0]
    assert report.best == f"fast={shown['fast']:g}, slow={shown['slow']:g}"
    returns = chosen.period_returns()[tuple(chosen.best_parameters.values())]
    assert report.sharpe == pytest.approx(returns.mean() / returns.std())
    sharpes = chosen.period_returns().mean() / chosen.period_returns().std()
    assert report.sharpe < sharpes.max(), "another one has the best Sharpe ratio"
    assert report.metric == metric
    assert report.overfitting.metric == ("sharpe" if metric == "win_rate" else metric)


def test_a_best_with_few_round_trips_is_not_vouched_for(result: SweepResult) -> None:
    trips = int(result.best(1)["round_trips"].iloc[0])
    assert result.overfitting(blocks=8, least_round_trips=trips).enough
    report = result.overfitting(blocks=8, least_round_trips=trips + 1)
    assert not report.ok and f"made {trips} round trips" in report.verdict
    assert ("round trips", str(trips)) in {row[:2] for row in report._rows()}


def test_the_pictures(result: SweepResult) -> None:
    figure = result.heatmap()
    assert not figure.layout.xaxis.showgrid and not figure.layout.yaxis.showgrid
    assert figure.data[0].z.shape == (6, 6)
    assert result.heatmap("slow", "fast", metric="max_drawdown").layout.xaxis.title.text == "slow"
    assert "neighbours" in result._repr_html_() and "<script" not in result._repr_html_()
    with pytest.raises(InvalidInput, match="Did you mean 'slow'"):
        result.heatmap("slwo")
