"""How many candles an indicator needs before where the history began no longer matters.

An average over a window forgets at once; an exponential one never does, only ever more. A value
is settled when it differs from the one over all history by at most a tolerance.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Final

import numpy as np

from botlib.errors import InvalidInput
from botlib.indicators import library
from botlib.indicators.core import Array
from botlib.indicators.vocabulary import Indicator, parse

_MARGIN: Final = 1e-4
"""How much smaller the first error is made than the tolerance asks: averages of a wild hour may be
that much larger than those of the quiet one they are carried into."""

_SIZES: Final = (1_500, 6_000)
_ANCHORED: Final = frozenset({"cpr", "vwap"})
"""Indicators that begin anew with each day or week: how many candles depends on the timeframe."""
_ANCHORED_SIZES: Final = (1_500, 6_000, 50_000)
_NEVER: Final = frozenset({"drawdown"})
"""What only seems to settle, while the made-up market makes new highs."""


def warmup(spec: str | Indicator, tolerance: float = 1e-9, *, timeframe: str = "1h") -> int:
    """Return how many candles make the newest value of an indicator independent of older ones.

    Derived from the formula where the kit computes the indicator itself. Otherwise measured on a
    made-up market from several starts, with half as much again for recursive ones: for those that
    flip between two states (``psar``, ``supertrend``) a bound that held, not a proof.

    Args:
        tolerance: largest difference to the value over all history, as a fraction of the largest
            magnitude of the column.
        timeframe: of the candles; it matters to indicators that begin anew each day (``vwap``).

    Raises:
        InvalidInput: the specification or tolerance is not accepted, or the indicator never
            settles, since it adds up everything from its first candle on.
    """
    indicator = parse(spec)
    if not 0 < tolerance < 1:
        raise InvalidInput(f"A tolerance lies between 0 and 1, such as 1e-9; not {tolerance!r}.")
    rule = _RULES.get(indicator.name)
    if rule is not None:
        return rule(tolerance, **indicator.parameters)
    anchored = indicator.name in _ANCHORED
    rows = _measured(indicator, float(tolerance), timeframe if anchored else "1h")
    if rows is None:
        raise InvalidInput(
            f"{indicator} never settles: its level depends on the candle it started with. "
            "Use its change over some candles, or the same start everywhere."
        )
    return rows


def _decay(alpha: float, tolerance: float, depth: int = 1) -> int:
    """Return after how many steps ``depth`` exponential averages in a row forgot their seeds."""
    if alpha >= 1.0:
        return 0
    steps = 0
    while True:
        # The response of d equal averages to their seeds: a decay times a polynomial in the steps.
        spread = sum((steps * alpha) ** power / math.factorial(power) for power in range(depth))
        needed = math.ceil(math.log(tolerance * _MARGIN / spread) / math.log1p(-alpha))
        if needed <= steps:
            return steps
        steps = needed


def _chain(depth: int) -> Callable[..., int]:
    def rule(tolerance: float, length: int) -> int:
        return depth * (length - 1) + 1 + _decay(2.0 / (length + 1), tolerance, depth)

    return rule


def _wilder(tolerance: float, length: int) -> int:
    return length + _decay(1.0 / length, tolerance)


def _macd(tolerance: float, fast: int, slow: int, signal: int) -> int:
    settled = _decay(2.0 / (slow + 1), tolerance) + _decay(2.0 / (signal + 1), tolerance)
    return slow + signal - 1 + settled


def _never(tolerance: float) -> int:
    raise InvalidInput(
        "obv never settles: it adds up volume from its first candle on. "
        "Use its change over some candles, or the same start everywhere."
    )


_RULES: Final[dict[str, Callable[..., int]]] = {
    "sma": lambda tolerance, length: length,
    "wma": lambda tolerance, length: length,
    "stdev": lambda tolerance, length, ddof: length,
    "bbands": lambda tolerance, length, std: length,
    "mom": lambda tolerance, length: length + 1,
    "roc": lambda tolerance, length: length + 1,
    "willr": lambda tolerance, length: length,
    "donchian": lambda tolerance, lower_length, upper_length: max(lower_length, upper_length),
    "stoch": lambda tolerance, k, d, smooth_k: k + smooth_k + d - 2,
    "true_range": lambda tolerance: 2,
    "ema": _chain(1),
    "dema": _chain(2),
    "tema": _chain(3),
    "rma": _wilder,
    "rsi": lambda tolerance, length: 1 + _wilder(tolerance, length),
    "atr": lambda tolerance, length: 1 + _wilder(tolerance, length),
    "natr": lambda tolerance, length: 1 + _wilder(tolerance, length),
    "macd": _macd,
    "obv": _never,
}


@functools.lru_cache(maxsize=1024)
def _measured(indicator: Indicator, tolerance: float, timeframe: str) -> int | None:
    if indicator.name in _NEVER:
        return None
    for size in _ANCHORED_SIZES if indicator.name in _ANCHORED else _SIZES:
        inputs, index = library.sample(indicator.definition.inputs, size, timeframe)

        def values(start: int, inputs=inputs, index=index) -> Array:  # type: ignore[no-untyped-def]
            part = tuple(one[start:] for one in inputs)
            found = library.compute(indicator, part, index[start:])
            return found.to_numpy().reshape(len(index) - start, -1)

        whole = values(0)
        known = np.isfinite(whole)
        scale = np.max(np.abs(whole), axis=0, where=known, initial=0.0)
        scale[scale == 0] = 1.0
        needed, exact = 0, True
        for start in np.linspace(size // 10, size // 2, 6, dtype=int).tolist():
            part, all_ = values(start), whole[start:]
            with np.errstate(invalid="ignore"):
                same = (np.abs(part - all_) <= tolerance * scale) | (part == all_)
            wrong = ~(same | (np.isnan(part) & np.isnan(all_))).all(axis=1)
            rows = int(np.flatnonzero(wrong)[-1]) + 2 if wrong.any() else 1
            if rows > 0.8 * (size - start):
                break
            # Wrong only while there is no value at all: it forgets at once.
            exact = exact and not (wrong & np.isfinite(part).any(axis=1)).any()
            needed = max(needed, rows)
        else:
            return needed if exact else math.ceil(1.5 * needed)
    return None
