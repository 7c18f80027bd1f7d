"""Overfitting: the probability that the best of many trials is luck.

Sharpe ratios in this module are per period, as in `botlib.backtesting.significance.sharpe`.

Sources:
    [DSR] see `botlib.backtesting.significance.sharpe`.
    [PBO] D. H. Bailey, J. M. Borwein, M. López de Prado, Q. J. Zhu, "The Probability of Backtest
    Overfitting", Journal of Computational Finance 20(4), 2017, https://ssrn.com/abstract=2326253

[PBO] allows any measure of performance: `block_scores` has those that period returns determine.

The data of the examples in [PBO] are not published. The tests repeat the vignette and the test of
the R package pbo (CRAN, after [PBO]).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from botlib.backtesting.arguments import ARGUMENTS
from botlib.backtesting.significance.block_scores import (
    LEAST_ROUND_TRIPS,
    SCORED,
    block_scorer,
)
from botlib.backtesting.significance.sharpe import (
    NO_VARIANCE,
    deflated_sharpe_ratio,
    expected_maximum_sharpe,
    minimum_track_record_length,
    moments,
    probabilistic_sharpe_ratio,
    returns_matrix,
    sharpe_of_columns,
    sharpe_ratio,
)
from botlib.core.arguments import TEXT, checked_arguments
from botlib.core.errors import InvalidInput
from botlib.core.text import formats
from botlib.core.text.cards import card
from botlib.core.text.tables import html_table, text_table

if TYPE_CHECKING:
    from botlib.backtesting.significance.sharpe import Matrix
    from botlib.store.experiment_book import EarlierTrials

__all__ = [
    "BacktestOverfitting",
    "OverfittingReport",
    "deflated_sharpe_ratio",
    "expected_maximum_sharpe",
    "independent_trials",
    "minimum_track_record_length",
    "overfitting",
    "probabilistic_sharpe_ratio",
    "probability_of_backtest_overfitting",
    "sharpe_ratio",
]

# 2²⁰ numbers in each array of a chunk: 8 MB.
_CHUNK: Final = 1 << 20


def independent_trials(returns: Matrix) -> float:
    """Return the number of independent trials that N correlated ones are worth: ρ + (1 - ρ) N.

    ρ is the average correlation between two of them, taken as 0 if it is negative. Trials with
    constant returns count as one. Source: [DSR], its appendix on the number of independent trials.

    Args:
        returns: (T, N) returns per period, one column per trial.
    """
    values, _ = returns_matrix(returns)
    deviation = values - values.mean(axis=0)
    norms = np.linalg.norm(deviation, axis=0)
    moving = norms > math.sqrt(NO_VARIANCE) * np.linalg.norm(values, axis=0)
    still = int((~moving).any())
    count = int(moving.sum())
    if count < 2:
        return float(max(count + still, 1))
    # The sum of all correlations is the squared length of the sum of the unit vectors.
    summed = (deviation[:, moving] / norms[moving]).sum(axis=1)
    correlation = (float(summed @ summed) - count) / (count * (count - 1))
    correlation = min(max(correlation, 0.0), 1.0)
    return correlation + (1 - correlation) * count + still


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestOverfitting:
    """The results out of sample of the best in sample, over every split into two halves."""

    probability: float
    """The probability of backtest overfitting: how often the best in sample was worse out of
    sample than half of the trials. Chance gives 0.5; near 0 the choice has predictive value."""
    probability_of_loss: float
    """How often the best in sample lost money out of sample."""
    degradation: float
    """Slope of the out-of-sample metric of the best over its in-sample one; with a
    real edge it is not below 0. NaN if the metric in sample was always the same."""
    logits: npt.NDArray[np.float64]
    """Per split: ln(ω / (1 - ω)), ω the relative rank out of sample of the best in sample."""
    in_sample: npt.NDArray[np.float64]
    """Per split: the metric in sample of the best, per period."""
    out_of_sample: npt.NDArray[np.float64]
    """Per split: the metric out of sample of the same, per period."""
    trials: int
    blocks: int
    metric: str = "sharpe"
    """The figure by which the best in sample was chosen."""

    def __float__(self) -> float:
        return self.probability

    def __repr__(self) -> str:
        return (
            f"BacktestOverfitting(probability={self.probability:.3f}, "
            f"probability_of_loss={self.probability_of_loss:.3f}, trials={self.trials}, "
            f"splits={len(self.logits)})"
        )


def probability_of_backtest_overfitting(
    returns: Matrix, blocks: int = 16, *, metric: str = "sharpe"
) -> BacktestOverfitting:
    """Return the overfitting of a choice, by the method of [PBO].

    The method is combinatorially symmetric cross-validation. The periods are cut into ``blocks``
    blocks; every half of them is the sample once, and the other half is out of sample. Per split
    the trial with the best metric in sample is ranked among all of them out of sample. If
    several are best in sample, their ranks are averaged; a rank in the very middle counts half, so
    that equal trials give exactly 0.5. The relative rank is the rank over N + 1, so that no logit
    is infinite.

    Args:
        returns: (T, N) returns per period, one column per trial of the same sweep.
        blocks: an even number; 16 give 12,870 splits. Blocks differ by one row if T is no
            multiple of it.
        metric: by which trials are ranked, one of `SCORED`.

    Raises:
        InvalidInput: an unknown metric, fewer than two trials, fewer than two periods a block, an
            odd number of blocks or more than 20, or a return that is not finite.
    """
    values, _ = returns_matrix(returns)
    rows, trials = values.shape
    if trials < 2:
        raise InvalidInput("Overfitting by choice needs at least 2 tries to choose from, not 1.")
    if isinstance(blocks, bool) or blocks not in range(2, 21, 2):
        raise InvalidInput(f"blocks must be an even number from 2 to 20, not {blocks!r}.")
    if rows < 2 * blocks:
        raise InvalidInput(
            f"{rows} periods are too few for {blocks} blocks of at least 2. "
            "Give returns of shorter periods, or fewer blocks."
        )
    edges = np.linspace(0, rows, blocks + 1).astype(int)
    score = block_scorer(metric, values, edges)
    sums = np.add.reduceat(values, edges[:-1], axis=0)

    chosen = np.array(list(combinations(range(blocks), blocks // 2)))
    inside = np.zeros((len(chosen), blocks))
    np.put_along_axis(inside, chosen, 1.0, axis=1)
    found = np.empty((4, len(chosen)))
    step = max(1, _CHUNK // trials)
    # In the order of `combinations`, the complement of split k is split k from the end: what is out
    # of sample for the one is in sample for the other. No return is touched again, only sums.
    for first in range(0, len(chosen) // 2, step):
        splits = np.arange(first, min(first + step, len(chosen) // 2))
        here, there = inside[splits], 1 - inside[splits]
        seen, future = score(here), score(there)
        found[:, splits] = _best_out_of_sample(seen, future, there, sums)
        found[:, -1 - splits] = _best_out_of_sample(future, seen, here, sums)
    rank, in_sample, out_of_sample, gained = found
    relative = rank / (trials + 1)
    return BacktestOverfitting(
        probability=float(np.mean(relative < 0.5) + np.mean(relative == 0.5) / 2),
        probability_of_loss=float(np.mean(gained < 0)),
        degradation=_slope(in_sample, out_of_sample),
        logits=np.log(relative / (1 - relative)),
        in_sample=in_sample,
        out_of_sample=out_of_sample,
        trials=trials,
        blocks=blocks,
        metric=metric,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OverfittingReport:
    """How likely the best of a sweep is luck. Sharpe ratios are per period."""

    best: str
    """Name of the column of the best trial."""
    sharpe: float
    expected_maximum: float
    """Expected Sharpe ratio of the best of as many trials without any edge."""
    deflated: float
    """Probability that the best has an edge at all, given the number of trials."""
    track_record: float
    """Periods needed to prove the edge of the best at 95 %, given the number of trials."""
    periods: int
    trials: int
    independent: float
    """Number of independent trials that the trials are worth."""
    overfitting: BacktestOverfitting
    earlier: int | None = None
    """Combinations that earlier runs tried, also counted; None without an experiment book."""
    round_trips: int | None = None
    """Finished round trips of the best; None if they are not known."""
    least_round_trips: int = LEAST_ROUND_TRIPS
    metric: str = "sharpe"
    """The figure by which the best was chosen."""

    @property
    def ok(self) -> bool:
        """Whether luck in choosing is an unlikely explanation.

        That is a deflated Sharpe ratio above 0.95, overfitting below 0.5, and enough round trips.
        """
        return self.enough and self.deflated > 0.95 and self.overfitting.probability < 0.5

    @property
    def enough(self) -> bool:
        """Whether the best has enough round trips to be judged by."""
        return self.round_trips is None or self.round_trips >= self.least_round_trips

    @property
    def verdict(self) -> str:
        """The result in a sentence."""
        if not self.enough:
            return (
                f"The best made {self.round_trips} round trips, fewer than the "
                f"{self.least_round_trips} it takes to judge it."
            )
        if self.ok:
            return "Luck in choosing is an unlikely explanation of the best."
        if self.deflated <= 0.95:
            return "The best is not clearly better than the luckiest of as many tries without edge."
        return "The best in one half of the time was seldom good in the other half."

    def __repr__(self) -> str:
        return (
            f"OverfittingReport({'ok' if self.ok else 'doubtful'}: "
            f"deflated Sharpe {self.deflated:.3f}, "
            f"overfitting {self.overfitting.probability:.3f}, "
            f"{self.trials} tries worth {self.independent:.1f})"
        )

    def __str__(self) -> str:
        return f"{self.verdict}\n{text_table(('measure', 'value', 'meaning'), self._rows())}"

    def _repr_html_(self) -> str:
        headers = ("measure", "value", "meaning")
        return card(self.verdict, html_table(headers, self._rows(), wrapped=headers[2:]))

    def _rows(self) -> list[tuple[str, str, str]]:
        chance = self.overfitting
        needed = "never" if math.isinf(self.track_record) else formats.number(self.track_record, 0)
        return [
            ("best", self.best, f"of {formats.count(self.trials)} tries, by {self.metric}"),
            *self._trip_row(),
            self._earlier_row(),
            (
                "independent tries",
                formats.number(self.independent, 1),
                "what they are worth, by their correlation",
            ),
            (
                "Sharpe ratio",
                formats.number(self.sharpe, 4),
                f"per period, {formats.count(self.periods)} periods",
            ),
            (
                "expected by luck",
                formats.number(self.expected_maximum, 4),
                "best of as many tries without edge",
            ),
            ("deflated Sharpe ratio", f"{self.deflated:.3f}", "probability of an edge; > 0.95"),
            ("periods to prove it", needed, "at 95 %, against the luck in choosing"),
            (
                "overfitting",
                f"{chance.probability:.3f}",
                f"best in sample, by {chance.metric}, below the median out of sample; "
                "0.5 is chance",
            ),
            (
                "loss out of sample",
                f"{chance.probability_of_loss:.3f}",
                f"of the best in sample, {formats.count(len(chance.logits))} splits",
            ),
        ]

    def _trip_row(self) -> list[tuple[str, str, str]]:
        if self.round_trips is None:
            return []
        meaning = f"of the best, at least {formats.count(self.least_round_trips)} to judge it"
        return [("round trips", formats.count(self.round_trips), meaning)]

    def _earlier_row(self) -> tuple[str, str, str]:
        if self.earlier is None:
            return ("earlier tries", "not known", "without an experiment book")
        meaning = "of this strategy on these candles, in the experiment book"
        return ("earlier tries", formats.count(self.earlier), meaning)


@checked_arguments({**ARGUMENTS, "metric": TEXT})
def overfitting(
    returns: Matrix,
    *,
    blocks: int = 16,
    trials: float | None = None,
    best: int | None = None,
    metric: str = "sharpe",
    earlier: EarlierTrials | None = None,
    round_trips: int | None = None,
    least_round_trips: int = LEAST_ROUND_TRIPS,
) -> OverfittingReport:
    """Return a report on the best of a sweep: deflated Sharpe ratio and overfitting.

    Args:
        returns: (T, N) returns per period, one column per trial; give all trials, not the best few.
        trials: independent trials, if more were made than ``returns`` has; by default estimated by
            `independent_trials`.
        best: column of the trial that is judged; None is the one with the highest Sharpe ratio.
        metric: the figure it was chosen by. Overfitting by choice is measured with it; with the
            Sharpe ratio if returns do not determine it, as a win rate.
        earlier: trials besides those of ``returns``, with Sharpe ratios per period. They count as
            trials, and their ratios in the variance.
        round_trips: finished ones of the best, None if not known.
        least_round_trips: with fewer, the report is not ok.

    Raises:
        InvalidInput: see `probability_of_backtest_overfitting`.
    """
    values, names = returns_matrix(returns)
    scored = metric if metric in SCORED else "sharpe"
    fate = probability_of_backtest_overfitting(values, blocks, metric=scored)
    ratios = sharpe_of_columns(values)
    finite = ratios[np.isfinite(ratios)]
    if best is None:
        best = int(np.argmax(np.where(np.isfinite(ratios), ratios, -np.inf)))
    sharpe = float(ratios[best])
    if not math.isfinite(sharpe):
        raise InvalidInput("The best try has constant returns: there is no Sharpe ratio to judge.")
    skewness, kurtosis = moments(values[:, best])
    independent = independent_trials(values) if trials is None else trials
    if earlier is not None:
        independent += earlier.independent
        finite = np.concatenate((finite, earlier.sharpes))
    variance = float(finite.var(ddof=1)) if len(finite) > 1 else 0.0
    level = expected_maximum_sharpe(variance=variance, trials=independent)
    return OverfittingReport(
        best=_label(returns, names[best]),
        sharpe=sharpe,
        expected_maximum=level,
        deflated=deflated_sharpe_ratio(
            sharpe,
            observations=len(values),
            trials=independent,
            variance=variance,
            skewness=skewness,
            kurtosis=kurtosis,
        ),
        track_record=minimum_track_record_length(
            sharpe, benchmark=level, skewness=skewness, kurtosis=kurtosis
        ),
        periods=len(values),
        trials=values.shape[1],
        independent=independent,
        overfitting=fate,
        earlier=None if earlier is None else earlier.count,
        round_trips=round_trips,
        least_round_trips=least_round_trips,
        metric=metric,
    )


def _best_out_of_sample(
    seen: npt.NDArray[np.float64],
    future: npt.NDArray[np.float64],
    later: npt.NDArray[np.float64],
    sums: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return per split: rank out of sample of the best, its metric in and out, its gain out.

    Args:
        seen: (splits, trials) the metric in sample.
        future: the same out of sample. The worst has rank 1.
        later: (splits, blocks) 1 for a block out of sample.
        sums: (blocks, trials) sums of the returns in each block.
    """
    lines = np.arange(len(seen))
    best = seen.argmax(axis=1)
    top = seen[lines, best]
    then, gained = future[lines, best], (later * sums.T[best]).sum(axis=1)
    rank = _midrank(future, then[:, None])
    tied = np.flatnonzero((seen == top[:, None]).sum(axis=1) > 1)
    for line in tied:
        values = future[line, seen[line] == top[line]]
        ordered = np.sort(future[line])
        below = np.searchsorted(ordered, values, side="left")
        until = np.searchsorted(ordered, values, side="right")
        rank[line] = np.mean((below + until + 1) / 2)
        then[line] = np.mean(values)
        gained[line] = np.mean(later[line] @ sums[:, seen[line] == top[line]])
    return np.stack([rank, top, then, gained])


def _label(returns: Matrix, column: object) -> str:
    """Return the name of a column; with several levels, as ``fast=10, slow=30``."""
    levels = getattr(getattr(returns, "columns", None), "names", None)
    if levels and isinstance(column, tuple) and all(levels):
        return ", ".join(f"{name}={value}" for name, value in zip(levels, column, strict=True))
    return str(column)


def _midrank(
    values: npt.NDArray[np.float64], point: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    below = (values < point).sum(axis=1)
    equal = (values == point).sum(axis=1)
    ranks: npt.NDArray[np.float64] = below + (equal + 1) / 2
    return ranks


def _slope(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    usable = np.isfinite(x) & np.isfinite(y)
    x, y = x[usable], y[usable]
    if not len(x) or np.ptp(x) == 0:
        return math.nan
    deviation = x - x.mean()
    return float(deviation @ (y - y.mean()) / (deviation @ deviation))
