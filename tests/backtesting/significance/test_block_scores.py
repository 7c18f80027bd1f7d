"""Overfitting by the metric of a sweep, against a plain loop over every split."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest

from botlib.backtesting.significance.block_scores import SCORED
from botlib.backtesting.significance.overfitting import probability_of_backtest_overfitting
from botlib.core.errors import InvalidInput

RETURNS = np.random.default_rng(4).normal(0.001, 0.02, (46, 7))
RETURNS[:, 3] = 0.0


def plain(metric: str, returns: np.ndarray) -> float:
    """Return a metric of one column of log returns."""
    mean = returns.mean()
    equity = np.concatenate(([0.0], np.cumsum(returns)))
    fall = max(float(equity[: place + 1].max() - equity[place]) for place in range(len(equity)))
    losses = np.sqrt((np.minimum(returns, 0) ** 2).mean())
    with np.errstate(divide="ignore", invalid="ignore"):
        value = {
            "sharpe": mean / returns.std(ddof=1),
            "total_return": mean,
            "annual_return": mean,
            "sortino": mean / losses,
            "calmar": mean / fall if fall else np.nan,
            "max_drawdown": -fall,
        }[metric]
    return 0.0 if np.isnan(value) else float(value)


@pytest.mark.parametrize("metric", SCORED)
def test_the_choice_of_every_half_is_by_the_metric(metric: str) -> None:
    found = probability_of_backtest_overfitting(RETURNS, 4, metric=metric)
    edges = np.linspace(0, len(RETURNS), 5).astype(int)
    parts = [RETURNS[first:last] for first, last in pairwise(edges)]
    logits, best_in, losses = [], [], []
    for inside in combinations(range(4), 2):
        seen = np.concatenate([parts[place] for place in inside])
        later = np.concatenate([parts[place] for place in range(4) if place not in inside])
        scores = [plain(metric, column) for column in seen.T]
        future = [plain(metric, column) for column in later.T]
        best = int(np.argmax(scores))
        rank = sum(one < future[best] for one in future) + 1
        logits.append(np.log(rank / 8 / (1 - rank / 8)))
        best_in.append(scores[best])
        losses.append(later[:, best].sum() < 0)
    np.testing.assert_allclose(found.logits, logits)
    np.testing.assert_allclose(found.in_sample, best_in, atol=1e-12)
    assert found.probability_of_loss == np.mean(losses)
    assert found.metric == metric


def test_a_metric_that_returns_do_not_determine_is_refused() -> None:
    with pytest.raises(InvalidInput, match="do not determine 'win_rate'"):
        probability_of_backtest_overfitting(RETURNS, 4, metric="win_rate")
