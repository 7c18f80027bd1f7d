"""The indicators the kit computes itself: over whole columns here, candle by candle in `streams`.

Formulas, seeds and defaults are those of pandas-ta-classic (and of TA-Lib, where the two agree), so
both give the same numbers. Arrays are float64, one value per candle, NaN until there are enough.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from botlib.indicators.vocabulary import Definition, Parameter

Array = npt.NDArray[np.float64]

_EPSILON: Final = float(np.finfo(np.float64).eps)
_BLOCK: Final = 8192  # values at a time: what the passes of `_deviation` work on stays in the cache


@dataclass(frozen=True, slots=True)
class Core:
    """An indicator with its formula over whole columns."""

    definition: Definition
    batch: Callable[..., tuple[Array, ...]]


def _nan(size: int) -> Array:
    return np.full(size, np.nan)


def _mean(values: Array, length: int) -> Array:
    import pandas as pd

    result: Array = pd.Series(values).rolling(length).mean().to_numpy()
    return result


def _smooth(values: Array, length: int, alpha: float) -> Array:
    """Average exponentially, seeded with the mean of the first ``length`` finite values."""
    import pandas as pd

    finite = np.isfinite(values)
    first = int(finite.argmax()) if finite.any() else len(values)
    seed = first + length - 1
    if seed >= len(values):
        return _nan(len(values))
    seeded = values.copy()
    seeded[:seed] = np.nan
    seeded[seed] = values[first : seed + 1].mean()
    result: Array = pd.Series(seeded).ewm(alpha=alpha, adjust=False).mean().to_numpy()
    return result


def _ema(values: Array, length: int) -> Array:
    return _smooth(values, length, 2.0 / (length + 1))


def _rma(values: Array, length: int) -> Array:
    return _smooth(values, length, 1.0 / length)


def _deviation(values: Array, length: int, ddof: int) -> Array:
    """Standard deviation over a window, in two passes: exact, and without memory of the past.

    A rolling sum of squares carries rounding errors of old spikes into quiet windows for ever.
    """
    size = len(values) - length + 1
    result = _nan(len(values))
    for start in range(0, max(size, 0), _BLOCK):
        stop = min(start + _BLOCK, size)
        mean = np.zeros(stop - start)
        for offset in range(length):
            mean += values[start + offset : stop + offset]
        mean /= length
        square = np.zeros(stop - start)
        for offset in range(length):
            difference = values[start + offset : stop + offset] - mean
            square += difference * difference
        result[start + length - 1 : stop + length - 1] = np.sqrt(square / (length - ddof))
    return result


def _range(high: Array, low: Array) -> Array:
    """High less low; where they are equal, the smallest number that can be divided by."""
    difference = high - low
    return np.where(difference == 0, _EPSILON, difference)


def sma(source: Array, length: int) -> tuple[Array, ...]:
    return (_mean(source, length),)


def ema(source: Array, length: int) -> tuple[Array, ...]:
    return (_ema(source, length),)


def rma(source: Array, length: int) -> tuple[Array, ...]:
    return (_rma(source, length),)


def rsi(source: Array, length: int) -> tuple[Array, ...]:
    change = _nan(len(source))
    change[1:] = np.diff(source)
    up = _rma(np.where(change < 0, 0.0, change), length)
    down = _rma(np.where(change > 0, 0.0, change), length)
    with np.errstate(invalid="ignore"):
        return (100.0 * up / (up + np.abs(down)),)


def macd(source: Array, fast: int, slow: int, signal: int) -> tuple[Array, ...]:
    line = _ema(source, fast) - _ema(source, slow)
    smooth = _ema(line, signal)
    return line, smooth, line - smooth


def stdev(source: Array, length: int, ddof: int) -> tuple[Array, ...]:
    return (_deviation(source, length, ddof),)


def bbands(source: Array, length: int, std: float) -> tuple[Array, ...]:
    middle = _mean(source, length)
    deviation = std * _deviation(source, length, 0)
    lower, upper = middle - deviation, middle + deviation
    width = _range(upper, lower)
    return lower, middle, upper, 100.0 * width / middle, _range(source, lower) / width


def true_range(high: Array, low: Array, close: Array) -> tuple[Array, ...]:
    result = _nan(len(close))
    before = close[:-1]
    result[1:] = np.maximum(
        _range(high[1:], low[1:]), np.maximum(np.abs(high[1:] - before), np.abs(before - low[1:]))
    )
    return (result,)


def atr(high: Array, low: Array, close: Array, length: int) -> tuple[Array, ...]:
    return (_rma(true_range(high, low, close)[0], length),)


_LENGTH: Final = Parameter("length", int, 10, 1)


def _length(default: int, minimum: int = 1) -> Parameter:
    return Parameter("length", int, default, minimum)


_HLC: Final = ("high", "low", "close")
_SOURCE: Final = ("source",)

CORE: Final[dict[str, Core]] = {
    definition.name: Core(definition, batch)
    for definition, batch in (
        (Definition("sma", _SOURCE, (_length(10),)), sma),
        (Definition("ema", _SOURCE, (_length(10),)), ema),
        (Definition("rma", _SOURCE, (_length(10),)), rma),
        (Definition("rsi", _SOURCE, (_length(14),)), rsi),
        (
            Definition(
                "macd",
                _SOURCE,
                (
                    Parameter("fast", int, 12, 1),
                    Parameter("slow", int, 26, 2),
                    Parameter("signal", int, 9, 1),
                ),
                ("macd", "signal", "histogram"),
                ascending=("fast", "slow"),
            ),
            macd,
        ),
        (Definition("stdev", _SOURCE, (_length(30, 2), Parameter("ddof", int, 0, 0))), stdev),
        (
            Definition(
                "bbands",
                _SOURCE,
                (_length(5, 2), Parameter("std", float, 2.0, 0.0)),
                ("lower", "middle", "upper", "width", "percent"),
            ),
            bbands,
        ),
        (Definition("true_range", _HLC, ()), true_range),
        (Definition("atr", _HLC, (_length(14),)), atr),
    )
}
"""Every indicator of this module, by name."""
