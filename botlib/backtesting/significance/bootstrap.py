"""The bootstrap of round trips: how far return, drawdown and Sharpe ratio depend on luck.

Round trips are drawn with replacement, as many as there were, in runs of ``block`` that followed
each other; every draw is another history that the same trips could have made. The intervals are
those of the percentile method.

Sources:
    B. Efron, R. J. Tibshirani, "An Introduction to the Bootstrap", Chapman & Hall 1993, chapter 13.
    D. N. Politis, J. P. Romano, "A circular block-resampling procedure for stationary data", in
    "Exploring the Limits of Bootstrap", Wiley 1992.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from botlib.backtesting.arguments import checked
from botlib.backtesting.metrics import Floats
from botlib.core.errors import InvalidInput
from botlib.core.text import formats
from botlib.core.text.cards import Tone, card
from botlib.core.text.tables import html_table, text_table

if TYPE_CHECKING:
    from botlib.backtesting.significance.bootstrapped import Traded

FEW: Final = 30
"""Round trips below which the intervals are told to be rough."""

_CHUNK: Final = 1 << 20
"""Numbers in each array of a chunk: 8 MB."""

_HEADERS: Final = ("figure", "of the run", "low", "median", "high")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidenceInterval:
    """A figure of the run, and the interval in which it lies with a confidence."""

    estimate: float
    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapReport:
    """Confidence intervals of the figures of the round trips of a run.

    Attributes:
        intervals: by name. ``total_return``: of the finished trips; ``max_drawdown``: from the end
            of a trip to that of a later one; ``sharpe``: of the returns of the trips, per year.
        loss: share of the draws that lost money.
        round_trips: finished ones of the run.
        samples: draws.
        confidence: of each interval, such as 0.95.
        seed: of the draws.
        block: trips in a row that were drawn together.
    """

    intervals: Mapping[str, ConfidenceInterval]
    loss: float
    round_trips: int
    samples: int
    confidence: float
    seed: int
    block: int

    @property
    def verdict(self) -> str:
        """The result in a sentence."""
        sharpe = self.intervals["sharpe"]
        words = (
            f"{formats.count(self.round_trips)} round trips: the Sharpe ratio is from "
            f"{formats.number(sharpe.low)} to {formats.number(sharpe.high)} at "
            f"{formats.percent(self.confidence, 0)}, and {formats.percent(self.loss, 1)} of the "
            "histories they could have made lost money."
        )
        return words + (" So few trips give rough intervals." if self.round_trips < FEW else "")

    def __repr__(self) -> str:
        sharpe = self.intervals["sharpe"]
        return (
            f"<BootstrapReport {self.round_trips} round trips · sharpe {sharpe.low:.2f} to "
            f"{sharpe.high:.2f} at {self.confidence:.0%} · loss {self.loss:.1%}>"
        )

    def __str__(self) -> str:
        return f"{self.verdict}\n{text_table(_HEADERS, self._rows())}"

    def _repr_html_(self) -> str:
        notes = f"{formats.count(self.samples)} draws, seed {self.seed}, blocks of {self.block}"
        tone = Tone.of(self.intervals["sharpe"].low)
        return card(self.verdict, html_table(_HEADERS, self._rows()), notes=notes, tone=tone)

    def _rows(self) -> list[tuple[str, ...]]:
        rows = []
        for name, one in self.intervals.items():
            values = (one.estimate, one.low, one.median, one.high)
            if name == "sharpe":
                rows.append((name, *(formats.number(value) for value in values)))
            else:
                rows.append((name, *(formats.percent(value) for value in values)))
        return rows


@checked
def bootstrap(
    result: Traded,
    *,
    cash: float,
    years: float,
    samples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
    block: int = 1,
) -> BootstrapReport:
    """Return confidence intervals of return, drawdown and Sharpe ratio, from the round trips.

    A trip is taken as the fraction of the equity before it that it won or lost, so that those of
    the run, in their order, give its return.

    Args:
        result: what made the round trips; one that is still open is left out.
        cash: quote units at the start.
        years: length of the run, for the Sharpe ratio per year.
        samples: draws.
        confidence: of the intervals.
        seed: the same seed gives the same draws.
        block: trips in a row to draw together; more than 1 keeps how they depend on each other.

    Raises:
        InvalidInput: fewer than two finished round trips, or an argument out of range.
    """
    trips = result.roundtrips
    profits = trips["pnl"][trips["exit_time"].notna()].to_numpy(dtype=np.float64)
    _check(len(profits), samples, confidence, block)
    before = cash + np.concatenate(([0.0], np.cumsum(profits)[:-1]))
    returns = profits / before
    yearly = math.sqrt(len(returns) / years)
    random = np.random.default_rng(seed)
    step = max(1, _CHUNK // len(returns))
    drawn = [
        _figures(returns[_rows(random, min(step, samples - first), len(returns), block)], yearly)
        for first in range(0, samples, step)
    ]
    tail = (1 - confidence) / 2
    intervals = {}
    for name, estimate in _figures(returns[None], yearly).items():
        values = np.concatenate([part[name] for part in drawn])
        values = values[np.isfinite(values)]
        low, median, high = (
            np.quantile(values, (tail, 0.5, 1 - tail)) if len(values) else [np.nan] * 3
        )
        intervals[name] = ConfidenceInterval(
            estimate=float(estimate[0]), low=float(low), median=float(median), high=float(high)
        )
    totals = np.concatenate([part["total_return"] for part in drawn])
    return BootstrapReport(
        intervals=intervals,
        loss=float((totals < 0).mean()),
        round_trips=len(profits),
        samples=samples,
        confidence=confidence,
        seed=seed,
        block=block,
    )


def _rows(random: np.random.Generator, draws: int, trips: int, block: int) -> Any:
    """Return (draws, trips) rows of trips, in circular blocks."""
    starts = random.integers(0, trips, (draws, -(-trips // block)))
    rows = (starts[:, :, None] + np.arange(block)) % trips
    return rows.reshape(draws, -1)[:, :trips]


def _figures(returns: Floats, yearly: float) -> dict[str, Floats]:
    """Return the figures of histories.

    Args:
        returns: (draws, trips) fractions of the equity before each trip.
        yearly: root of the trips in a year.
    """
    equity = np.cumprod(1 + returns, axis=1)
    peaks = np.maximum(np.maximum.accumulate(equity, axis=1), 1.0)
    deviation = returns.std(axis=1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        # The rounding error of equal returns is no deviation.
        flat = deviation <= 1e-12 * np.abs(returns).max(axis=1)
        sharpe = np.where(flat, np.nan, returns.mean(axis=1) / deviation * yearly)
    return {
        "total_return": equity[:, -1] - 1,
        "max_drawdown": (equity / peaks).min(axis=1) - 1,
        "sharpe": sharpe,
    }


def _check(trips: int, samples: int, confidence: float, block: int) -> None:
    if trips < 2:
        raise InvalidInput(
            f"A bootstrap needs at least 2 finished round trips, not {trips}. Run a longer one."
        )
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 100:
        raise InvalidInput(f"samples must be a whole number from 100 up, not {samples!r}.")
    if not 0.5 <= confidence < 1:
        raise InvalidInput(f"confidence must be from 0.5 to below 1, not {confidence!r}.")
    if isinstance(block, bool) or not isinstance(block, int) or not 1 <= block <= trips:
        raise InvalidInput(f"block must be a number of trips from 1 to {trips}, not {block!r}.")
