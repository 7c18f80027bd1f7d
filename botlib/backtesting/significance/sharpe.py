"""Sharpe ratios: their confidence, given the length and the distribution of the returns.

Sharpe ratios in this module are per observation, not per year: the mean of the returns over their
standard deviation. Divide a yearly figure by the square root of the observations in a year first.

Sources:
    [PSR] D. H. Bailey, M. López de Prado, "The Sharpe Ratio Efficient Frontier",
    Journal of Risk 15(2), 2012, https://ssrn.com/abstract=1821643
    [DSR] D. H. Bailey, M. López de Prado, "The Deflated Sharpe Ratio: Correcting for Selection
    Bias, Backtest Overfitting and Non-Normality", Journal of Portfolio Management 40(5), 2014,
    https://ssrn.com/abstract=2460551

The tests compare them with the numerical examples of both papers.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from botlib.core.errors import InvalidInput
from botlib.core.received import refused

if TYPE_CHECKING:
    import pandas as pd

    Matrix = npt.NDArray[np.float64] | pd.DataFrame
    Vector = npt.NDArray[np.float64] | pd.Series

_NORMAL: Final = NormalDist()
_EULER_MASCHERONI: Final = float(np.euler_gamma)

NO_VARIANCE: Final = 1e-13
"""Fraction of the mean square below which a variance is the rounding error of a constant."""


def sharpe_ratio(returns: Vector) -> float:
    """Return mean over standard deviation (n - 1) of the returns, 0 if nothing was earned.

    Args:
        returns: one return per period, fractions.
    """
    return float(sharpe_of_columns(_vector(returns)[:, None])[0])


def probabilistic_sharpe_ratio(
    sharpe: float,
    *,
    observations: int,
    benchmark: float = 0.0,
    skewness: float = 0.0,
    kurtosis: float = 3.0,
) -> float:
    """Return the probability that the true Sharpe ratio is above a benchmark. Source: [PSR].

    Z[(SR - SR*) √(n - 1) / √(1 - γ₃ SR + (γ₄ - 1)/4 SR²)], Z the standard normal distribution.

    Args:
        sharpe: the Sharpe ratio measured.
        observations: how many returns it was measured on.
        skewness: γ₃ of the returns, 0 for a normal distribution.
        kurtosis: γ₄ of the returns, 3 for a normal distribution.

    Raises:
        InvalidInput: fewer than 2 observations, a value that is not finite, or moments that no
            distribution has.
    """
    _finite(sharpe=sharpe, benchmark=benchmark)
    if observations < 2:
        raise InvalidInput(f"A Sharpe ratio needs at least 2 observations, not {observations}.")
    deviation = math.sqrt(_dispersion(sharpe, skewness, kurtosis) / (observations - 1))
    return _NORMAL.cdf((sharpe - benchmark) / deviation)


def minimum_track_record_length(
    sharpe: float,
    *,
    benchmark: float = 0.0,
    confidence: float = 0.95,
    skewness: float = 0.0,
    kurtosis: float = 3.0,
) -> float:
    """Return the number of observations that prove a Sharpe ratio above a benchmark. Source: [PSR].

    1 + (1 - γ₃ SR + (γ₄ - 1)/4 SR²) (Z⁻¹[confidence] / (SR - SR*))²: the length at which
    `probabilistic_sharpe_ratio` reaches ``confidence``; infinite if SR is not above SR*.

    Raises:
        InvalidInput: the confidence is not between 0.5 and 1, or the moments are impossible.
    """
    _finite(sharpe=sharpe, benchmark=benchmark)
    if not 0.5 < confidence < 1:
        raise InvalidInput(f"confidence must lie between 0.5 and 1, not {confidence!r}.")
    if sharpe <= benchmark:
        return math.inf
    ratio = _NORMAL.inv_cdf(confidence) / (sharpe - benchmark)
    return 1 + _dispersion(sharpe, skewness, kurtosis) * ratio**2


def expected_maximum_sharpe(*, variance: float, trials: float) -> float:
    """Return the expected Sharpe ratio of the best of many trials without any edge.

    √V ((1 - γ) Z⁻¹[1 - 1/N] + γ Z⁻¹[1 - 1/(N e)]), γ the Euler-Mascheroni constant: exact for
    many trials, about 3 % too high for fewer than ten.
    Source: [DSR], with a mean Sharpe ratio of 0.

    Args:
        variance: V, the variance of the Sharpe ratios over the trials.
        trials: N, the number of independent trials; for a single one the result is 0.

    Raises:
        InvalidInput: fewer than one trial, or a negative variance.
    """
    _finite(variance=variance, trials=trials)
    if trials < 1 or variance < 0:
        raise InvalidInput(
            f"Cannot use {trials!r} tries of variance {variance!r}. "
            "Accepted: 1 try or more, a variance from 0 up."
        )
    if trials == 1:
        return 0.0
    first = -_NORMAL.inv_cdf(1 / trials)
    second = -_NORMAL.inv_cdf(1 / (trials * math.e))
    # Between one trial and two the formula is negative, but the best is no worse than a single one.
    level = (1 - _EULER_MASCHERONI) * first + _EULER_MASCHERONI * second
    return max(0.0, math.sqrt(variance) * level)


def deflated_sharpe_ratio(
    sharpe: float,
    *,
    observations: int,
    trials: float,
    variance: float,
    skewness: float = 0.0,
    kurtosis: float = 3.0,
) -> float:
    """Return the probability that the best of many trials has an edge at all. Source: [DSR].

    The probabilistic Sharpe ratio against `expected_maximum_sharpe`: above 0.95, luck in
    the choice is an unlikely explanation.

    Args:
        sharpe: the Sharpe ratio of the best trial.
        observations: how many returns it was measured on.
        trials: the number of independent trials, see `independent_trials`.
        variance: the variance of the Sharpe ratios over the trials.
        skewness: γ₃ of the returns of the best trial.
        kurtosis: γ₄ of the returns of the best trial, 3 for a normal distribution.
    """
    return probabilistic_sharpe_ratio(
        sharpe,
        observations=observations,
        benchmark=expected_maximum_sharpe(variance=variance, trials=trials),
        skewness=skewness,
        kurtosis=kurtosis,
    )


def moments(returns: Vector) -> tuple[float, float]:
    """Return skewness γ₃ and kurtosis γ₄ (normal: 0 and 3) of returns; those if they are constant.

    Moments about the mean over powers of the population deviation, as [PSR] has them.
    """
    values = _vector(returns)
    deviation = values - values.mean()
    variance = float(np.mean(deviation**2))
    if variance <= NO_VARIANCE * float(np.mean(values**2)):
        return 0.0, 3.0
    scaled = deviation / math.sqrt(variance)
    return float(np.mean(scaled**3)), float(np.mean(scaled**4))


def sharpe_of_columns(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the Sharpe ratio of every column of (T, N) returns."""
    ones = np.ones((1, 1))
    sizes = np.array([float(len(values))])
    sums = values.sum(axis=0, keepdims=True)
    squares = np.square(values).sum(axis=0, keepdims=True)
    sharpe: npt.NDArray[np.float64] = sharpe_of_sums(ones, sizes, sums, squares)[0]
    return sharpe


def sharpe_of_sums(
    weights: npt.NDArray[np.float64],
    sizes: npt.NDArray[np.float64],
    sums: npt.NDArray[np.float64],
    squares: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return the Sharpe ratios of sets of blocks from sums over each block.

    Args:
        weights: (sets, blocks), 1 for a block that belongs to the set, 0 for another.
        sizes: (blocks,) periods in each block.
        sums: (blocks, N) sums of the returns in each block.
        squares: (blocks, N) sums of their squares.

    Returns:
        (sets, N): 0 if nothing was earned, infinite if the returns are constant.
    """
    count = (weights @ sizes)[:, None]
    mean = weights @ sums
    mean /= count
    square = weights @ squares
    square /= count
    variance = square - mean * mean
    flat = variance <= NO_VARIANCE * square
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = mean / np.sqrt(np.maximum(variance, 0.0) * (count / (count - 1)))
    if flat.any():
        ratio[flat] = np.where(mean[flat] == 0, 0.0, np.copysign(np.inf, mean[flat]))
    # The last digits depend on the order of summation, and would break ties between equal trials.
    rounded: npt.NDArray[np.float64] = np.round(ratio, 12)
    return rounded


def _vector(returns: Vector) -> npt.NDArray[np.float64]:
    values, _ = returns_matrix(np.asarray(returns, dtype=np.float64).reshape(-1, 1))
    return values[:, 0]


def returns_matrix(returns: Matrix) -> tuple[npt.NDArray[np.float64], list[object]]:
    """Return the checked (T, N) values and the names of the columns."""
    try:
        values = np.asarray(returns, dtype=np.float64)
    except (TypeError, ValueError):
        raise refused("returns", returns, "a table of numbers, one column per try") from None
    if values.ndim != 2 or values.shape[0] < 2 or values.shape[1] < 1:
        raise InvalidInput(
            f"returns must be a table of 2 periods or more by 1 try or more, not of the shape "
            f"{values.shape}."
        )
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise InvalidInput(
            f"returns[{row}, {column}] is {values[row, column]}. Give a finite return for every "
            "period, 0 where nothing was held."
        )
    columns = getattr(returns, "columns", None)
    return values, list(range(values.shape[1]) if columns is None else columns)


def _dispersion(sharpe: float, skewness: float, kurtosis: float) -> float:
    """Return 1 - γ₃ SR + (γ₄ - 1)/4 SR², which is positive for every distribution."""
    _finite(skewness=skewness, kurtosis=kurtosis)
    # Pearson's inequality; a distribution of two values reaches it, up to rounding.
    if kurtosis < (1 + skewness**2) * (1 - 1e-9):
        raise InvalidInput(
            f"No distribution has a kurtosis of {kurtosis!r} with a skewness of {skewness!r}: "
            "it is at least 1 + skewness². Give the kurtosis itself (3 for a normal one), not "
            "the excess."
        )
    return max(1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2, 1e-12)


def _finite(**values: float) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise InvalidInput(f"{name} must be a finite number, not {value!r}.")
