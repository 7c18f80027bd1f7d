"""Moving windows and averages over a column of float64.

The means and extremes call pandas' compiled functions directly: for the few hundred candles of a
strategy, ``Series.rolling(n).mean()`` spends ten times as long on the way to its compiled loop as
in it. The numbers are the same, bit for bit.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Bounds = npt.NDArray[np.int64]

_BLOCK: Final = 8192  # values at a time, so that the working set of `deviation` stays in the cache


def mean(values: Array, length: int) -> Array:
    """Return the mean of the last ``length`` values in each row, NaN if one is missing."""
    result: Array = _compiled().roll_mean(_finite(values), *_bounds(len(values), length), length)
    return result


def extreme(values: Array, length: int, *, highest: bool) -> Array:
    """Return the highest or lowest of the last ``length`` values, NaN if one is missing."""
    roll = _compiled().roll_max if highest else _compiled().roll_min
    result: Array = roll(_finite(values), *_bounds(len(values), length), length)
    return result


def smooth(values: Array, alpha: float) -> Array:
    """Return the exponential average from the first value that is not NaN.

    Args:
        alpha: weight of each new value.
    """
    whole = np.zeros(1, dtype=np.int64), np.full(1, len(values), dtype=np.int64)
    distance = (1.0 - alpha) / alpha
    if not len(values):
        return values
    result: Array = _compiled().ewm(
        _finite(values), *whole, 1, distance, False, False, None, normalize=True
    )
    return result


@cache
def _compiled() -> Any:
    """Return the module that ``rolling`` and ``ewm`` call; importing pandas is slow."""
    return import_module("pandas._libs.window.aggregations")


def _finite(values: Array) -> Array:
    infinite = np.isinf(values)
    return np.where(infinite, np.nan, values) if infinite.any() else values


def _bounds(size: int, length: int) -> tuple[Bounds, Bounds]:
    end = np.arange(1, size + 1, dtype=np.int64)
    return np.maximum(end - length, 0), end


def undefined(size: int) -> Array:
    """Return a column of NaN."""
    return np.full(size, np.nan)


def past(values: Array, length: int) -> Array:
    """Return the values of ``length`` candles ago, NaN before the first."""
    result = undefined(len(values))
    result[length:] = values[: max(len(values) - length, 0)]
    return result


def seeded(values: Array, length: int, alpha: float) -> Array:
    """Return `smooth`, seeded with the mean of the first ``length`` finite values."""
    finite = np.isfinite(values)
    first = int(finite.argmax()) if finite.any() else len(values)
    seed = first + length - 1
    if seed >= len(values):
        return undefined(len(values))
    column = values.copy()
    column[:seed] = np.nan
    column[seed] = values[first : seed + 1].mean()
    return smooth(column, alpha)


def deviation(values: Array, length: int, ddof: int) -> Array:
    """Return the standard deviation over a window, computed in two passes.

    A rolling sum of squares carries rounding errors of old spikes into quiet windows for ever.
    Measured from the first value of each window, so that a flat one gives exactly 0.
    """
    size = len(values) - length + 1
    result = undefined(len(values))
    for start in range(0, max(size, 0), _BLOCK):
        stop = min(start + _BLOCK, size)
        first = values[start:stop]
        mean = np.zeros(stop - start)
        for offset in range(1, length):
            mean += values[start + offset : stop + offset] - first
        mean /= length
        mean += first
        square = np.zeros(stop - start)
        for offset in range(length):
            difference = values[start + offset : stop + offset] - mean
            square += difference * difference
        result[start + length - 1 : stop + length - 1] = np.sqrt(square / (length - ddof))
    return result
