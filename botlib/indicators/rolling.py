"""Moving windows over a column: pandas' compiled functions, called without its front end.

``Series.rolling(n).mean()`` takes ten times as long to get to its compiled loop as that takes for
the few hundred candles a strategy sees. The numbers are the same, bit for bit; arrays are float64.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Bounds = npt.NDArray[np.int64]


def mean(values: Array, length: int) -> Array:
    """Return the mean of the last ``length`` values at each place, NaN where one is missing."""
    result: Array = _compiled().roll_mean(_finite(values), *_bounds(len(values), length), length)
    return result


def extreme(values: Array, length: int, *, highest: bool) -> Array:
    """Return the highest or lowest of the last ``length`` values, NaN where one is missing."""
    roll = _compiled().roll_max if highest else _compiled().roll_min
    result: Array = roll(_finite(values), *_bounds(len(values), length), length)
    return result


def smooth(values: Array, alpha: float) -> Array:
    """Average exponentially from the first value that is not NaN: each new one weighs ``alpha``."""
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
    """Return what ``rolling`` and ``ewm`` call in the end; importing pandas takes its time."""
    return import_module("pandas._libs.window.aggregations")


def _finite(values: Array) -> Array:
    infinite = np.isinf(values)
    return np.where(infinite, np.nan, values) if infinite.any() else values


def _bounds(size: int, length: int) -> tuple[Bounds, Bounds]:
    end = np.arange(1, size + 1, dtype=np.int64)
    return np.maximum(end - length, 0), end
