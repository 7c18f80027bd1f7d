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

from botlib.indicators import rolling
from botlib.indicators.specification import Definition, Parameter

Array = npt.NDArray[np.float64]

EPSILON: Final = float(np.finfo(np.float64).eps)
_BLOCK: Final = 8192  # values at a time: what the passes of `_deviation` work on stays in the cache


@dataclass(frozen=True, slots=True)
class Core:
    """An indicator with its formula over whole columns."""

    definition: Definition
    batch: Callable[..., tuple[Array, ...]]


def _nan(size: int) -> Array:
    return np.full(size, np.nan)


def _smooth(values: Array, length: int, alpha: float) -> Array:
    """Average exponentially, seeded with the mean of the first ``length`` finite values."""
    finite = np.isfinite(values)
    first = int(finite.argmax()) if finite.any() else len(values)
    seed = first + length - 1
    if seed >= len(values):
        return _nan(len(values))
    seeded = values.copy()
    seeded[:seed] = np.nan
    seeded[seed] = values[first : seed + 1].mean()
    return rolling.smooth(seeded, alpha)


def _ema(values: Array, length: int) -> Array:
    return _smooth(values, length, 2.0 / (length + 1))


def _rma(values: Array, length: int) -> Array:
    return _smooth(values, length, 1.0 / length)


def _deviation(values: Array, length: int, ddof: int) -> Array:
    """Standard deviation over a window, in two passes: exact, and without memory of the past.

    A rolling sum of squares carries rounding errors of old spikes into quiet windows for ever.
    Measured from the first value of each window, so that a flat one gives exactly 0.
    """
    size = len(values) - length + 1
    result = _nan(len(values))
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


def _past(values: Array, length: int) -> Array:
    """The values of ``length`` candles ago."""
    result = _nan(len(values))
    result[length:] = values[: max(len(values) - length, 0)]
    return result


def _range(high: Array, low: Array) -> Array:
    """High less low; where they are equal, the smallest number that can be divided by."""
    difference = high - low
    return np.where(difference == 0, EPSILON, difference)


def sma(source: Array, length: int) -> tuple[Array, ...]:
    return (rolling.mean(source, length),)


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
    middle = rolling.mean(source, length)
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


def natr(high: Array, low: Array, close: Array, length: int) -> tuple[Array, ...]:
    return (100.0 / close * atr(high, low, close, length)[0],)


def wma(source: Array, length: int) -> tuple[Array, ...]:
    result = _nan(len(source))
    if len(source) >= length:
        weights = np.arange(length, 0, -1, dtype=np.float64)
        result[length - 1 :] = np.convolve(source, weights, "valid") / weights.sum()
    return (result,)


def dema(source: Array, length: int) -> tuple[Array, ...]:
    one = _ema(source, length)
    return (2.0 * one - _ema(one, length),)


def tema(source: Array, length: int) -> tuple[Array, ...]:
    one = _ema(source, length)
    two = _ema(one, length)
    return (3.0 * (one - two) + _ema(two, length),)


def mom(source: Array, length: int) -> tuple[Array, ...]:
    return (source - _past(source, length),)


def roc(source: Array, length: int) -> tuple[Array, ...]:
    before = _past(source, length)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (100.0 * (source - before) / before,)


def donchian(high: Array, low: Array, lower_length: int, upper_length: int) -> tuple[Array, ...]:
    lower, upper = (
        rolling.extreme(low, lower_length, highest=False),
        rolling.extreme(high, upper_length, highest=True),
    )
    return lower, 0.5 * (lower + upper), upper


def stoch(
    high: Array, low: Array, close: Array, k: int, d: int, smooth_k: int
) -> tuple[Array, ...]:
    lowest = rolling.extreme(low, k, highest=False)
    position = 100.0 * (close - lowest) / _range(rolling.extreme(high, k, highest=True), lowest)
    smooth = rolling.mean(position, smooth_k)
    return smooth, rolling.mean(smooth, d)


def willr(high: Array, low: Array, close: Array, length: int) -> tuple[Array, ...]:
    lowest = rolling.extreme(low, length, highest=False)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (
            100.0
            * ((close - lowest) / (rolling.extreme(high, length, highest=True) - lowest) - 1.0),
        )


def obv(close: Array, volume: Array) -> tuple[Array, ...]:
    sign = np.sign(np.diff(close, prepend=close[:1]))
    sign[:1] = 1.0
    return (np.cumsum(sign * volume),)


def _length(default: int, minimum: int = 1, name: str = "length") -> Parameter:
    return Parameter(name, int, default, minimum)


_HLC: Final = ("high", "low", "close")
_SOURCE: Final = ("source",)
_MACD: Final = (_length(12, name="fast"), _length(26, name="slow"), _length(9, name="signal"))
_BANDS: Final = ("lower", "middle", "upper", "width", "percent")
_STOCH: Final = (_length(14, name="k"), _length(3, name="d"), _length(3, name="smooth_k"))

_TABLE: Final = (
    (Definition("sma", _SOURCE, (_length(10),)), sma),
    (Definition("ema", _SOURCE, (_length(10),)), ema),
    (Definition("rma", _SOURCE, (_length(10),)), rma),
    (Definition("wma", _SOURCE, (_length(10),)), wma),
    (Definition("dema", _SOURCE, (_length(10),)), dema),
    (Definition("tema", _SOURCE, (_length(10),)), tema),
    (Definition("rsi", _SOURCE, (_length(14),)), rsi),
    (
        Definition("macd", _SOURCE, _MACD, ("macd", "signal", "histogram"), ("fast", "slow")),
        macd,
    ),
    (Definition("mom", _SOURCE, (_length(10),)), mom),
    (Definition("roc", _SOURCE, (_length(10),)), roc),
    (Definition("stdev", _SOURCE, (_length(30, 2), Parameter("ddof", int, 0, 0, 1))), stdev),
    (
        Definition("bbands", _SOURCE, (_length(5, 2), Parameter("std", float, 2.0, 0)), _BANDS),
        bbands,
    ),
    (Definition("true_range", _HLC, ()), true_range),
    (Definition("atr", _HLC, (_length(14),)), atr),
    (Definition("natr", _HLC, (_length(14),)), natr),
    (Definition("stoch", _HLC, _STOCH, ("k", "d")), stoch),
    (Definition("willr", _HLC, (_length(14),)), willr),
    (
        Definition(
            "donchian",
            ("high", "low"),
            (_length(20, name="lower_length"), _length(20, name="upper_length")),
            ("lower", "middle", "upper"),
        ),
        donchian,
    ),
    (Definition("obv", ("close", "volume"), ()), obv),
)

CORE: Final[dict[str, Core]] = {
    definition.name: Core(definition, batch) for definition, batch in _TABLE
}
"""Every indicator of this module, by name."""
