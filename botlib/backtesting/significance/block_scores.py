"""The metrics of a sweep over any set of blocks of its periods, for cross-validation.

Returns are logarithmic. A set of blocks is taken as one stretch, its blocks in the order of time.
All scores are per period and grow with the metric of the same name: drawdowns are negative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from botlib.backtesting.metrics import Floats
from botlib.backtesting.significance.sharpe import sharpe_of_sums
from botlib.core.errors import InvalidInput, did_you_mean

LEAST_ROUND_TRIPS: Final = 30
"""Finished round trips below which a best combination is not vouched for: the usual least size of
a sample whose mean is taken for normal."""

SCORED: Final = ("sharpe", "total_return", "annual_return", "sortino", "calmar", "max_drawdown")
"""The metrics that period returns determine."""

Rows = npt.NDArray[np.int64]

Scorer = Callable[[Floats], Floats]
"""(sets, blocks) of 1 and 0 → (sets, N) scores."""


def block_scorer(metric: str, values: Floats, edges: Rows) -> Scorer:
    """Return a function that scores sets of blocks by a metric.

    Args:
        metric: one of `SCORED`.
        values: (T, N) log returns per period.
        edges: (blocks + 1,) rows at which the blocks begin, and T.

    Raises:
        InvalidInput: returns do not determine the metric.
    """
    if metric not in SCORED:
        raise InvalidInput(
            f"Period returns do not determine {metric!r}. Accepted: {', '.join(SCORED)}."
            f"{did_you_mean(metric, SCORED)}"
        )
    sizes = np.diff(edges).astype(float)
    sums = np.add.reduceat(values, edges[:-1], axis=0)
    if metric == "sharpe":
        squares = np.add.reduceat(values * values, edges[:-1], axis=0)
        return lambda sets: sharpe_of_sums(sets, sizes, sums, squares)

    def mean(sets: Floats) -> Floats:
        found: Floats = (sets @ sums) / (sets @ sizes)[:, None]
        return found

    if metric == "sortino":
        losses = np.add.reduceat(np.minimum(values, 0.0) ** 2, edges[:-1], axis=0)
        return lambda sets: _ratio(mean(sets), np.sqrt((sets @ losses) / (sets @ sizes)[:, None]))
    if metric in ("total_return", "annual_return"):
        return lambda sets: np.round(mean(sets), 15)
    depth = _depth_scorer(values, edges)
    if metric == "max_drawdown":
        return lambda sets: -depth(sets)
    return lambda sets: _ratio(mean(sets), depth(sets))


def _depth_scorer(values: Floats, edges: Rows) -> Scorer:
    """Return a function with the deepest fall of the log equity over sets of blocks, 0 or more."""
    blocks = [np.cumsum(part, axis=0) for part in np.split(values, edges[1:-1])]
    ends = [part[-1] for part in blocks]
    highs = [np.maximum(part.max(axis=0), 0.0) for part in blocks]
    lows = [part.min(axis=0) for part in blocks]
    falls = [
        (np.maximum(np.maximum.accumulate(part, axis=0), 0.0) - part).max(axis=0) for part in blocks
    ]

    def depth(sets: Floats) -> Floats:
        level = np.zeros((len(sets), values.shape[1]))
        peak, deepest = np.zeros_like(level), np.zeros_like(level)
        for place in range(len(blocks)):
            rows = sets[:, place] > 0
            here = level[rows]
            fall = np.maximum(falls[place], peak[rows] - here - lows[place])
            deepest[rows] = np.maximum(deepest[rows], fall)
            peak[rows] = np.maximum(peak[rows], here + highs[place])
            level[rows] = here + ends[place]
        found: Floats = np.round(deepest, 15)
        return found

    return depth


def _ratio(gain: Floats, risk: Floats) -> Floats:
    """Return a gain over a risk: 0 if nothing was earned, infinite without a risk."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = gain / risk
    ratio[gain == 0] = 0.0
    rounded: Floats = np.round(ratio, 12)
    return rounded
