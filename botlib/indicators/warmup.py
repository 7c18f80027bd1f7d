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
import numpy.typing as npt

from botlib.core.errors import InvalidInput
from botlib.indicators import library
from botlib.indicators.formulas import Array
from botlib.indicators.specification import Indicator, parse

_MARGIN: Final = 1e-4
"""How much smaller the first error is made than the tolerance asks: averages of a wild hour may be
that much larger than those of the quiet one they are carried into."""

_SIZES: Final = (1_500, 6_000)
_FADES: Final = 1.5
"""Factor on what was measured for an average that forgets by and by."""
_FLIPS: Final = 4.0
"""The same for states that agree from one candle to the next, after a time left to chance."""

_ANCHORED: Final = frozenset({"cpr", "vwap"})
"""Indicators that begin anew with each day or week: how many candles depends on the timeframe."""
_ANCHORED_SIZES: Final = (1_500, 6_000, 50_000)
_NEVER: Final = frozenset({"drawdown"})
"""What only seems to settle, while the made-up market makes new highs."""


def warmup(spec: str | Indicator, tolerance: float = 1e-9, *, timeframe: str = "1h") -> int:
    """Return how many candles make the newest value of an indicator independent of older ones.

    Derived from the formula where the kit computes the indicator itself. Otherwise measured on a
    made-up market from several starts, and taken half as large again for recursive ones. For those
    that flip between two states (``psar``, ``supertrend``) it is taken four times: a bound that
    held in every trial, not a proof.

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
        trial = _Trial(indicator, tolerance, size, timeframe)
        rows = trial.from_starts()
        if rows is not None and rows <= size:
            rows = trial.at_ends(rows)
        if rows is not None:
            return rows
    return None


class _Trial:
    """An indicator over a made-up market, whole and in parts."""

    def __init__(self, indicator: Indicator, tolerance: float, size: int, timeframe: str) -> None:
        self._indicator = indicator
        self._size = size
        self._inputs, self._index = library.sample(indicator.definition.inputs, size, timeframe)
        self._whole = self._values(0, size)
        known = np.isfinite(self._whole)
        scale = np.max(np.abs(self._whole), axis=0, where=known, initial=0.0)
        self._allowed = tolerance * np.where(scale == 0, 1.0, scale)

    def from_starts(self) -> int | None:
        """Return after how many candles the values from several starts stay those of the whole."""
        needed: set[int] = set()
        errors = 0.0
        for start in np.linspace(self._size // 10, self._size // 2, 6, dtype=int).tolist():
            part, whole = self._values(start, self._size), self._whole[start:]
            wrong = self._wrong(part, whole)
            rows = int(np.flatnonzero(wrong)[-1]) + 2 if wrong.any() else 1
            if rows > 0.8 * (self._size - start):
                return None
            needed.add(rows)
            errors = max(errors, self._last_error(part[wrong], whole[wrong]))
        if len(needed) == 1 and errors == 0:
            return needed.pop()  # wrong only while it had no value yet: it forgets at once
        fades = 0 < errors < 1e3 or self._indicator.name in _ANCHORED
        return math.ceil((_FADES if fades else _FLIPS) * max(needed))

    def _last_error(self, part: Array, whole: Array) -> float:
        """Return the last error before it settled, in units of the tolerance; 0 for no value."""
        known = np.isfinite(part) & np.isfinite(whole)
        if not known.any():
            return 0.0
        return float((np.where(known, np.abs(part - whole), 0.0)[-1] / self._allowed).max())

    def at_ends(self, rows: int) -> int | None:
        """Return how many candles give the right newest value: an indicator may refuse too few."""
        first = max(self._size // 2, rows)
        for end in np.linspace(first, self._size, 12, dtype=int).tolist():
            while self._wrong(self._values(end - rows, end)[-1:], self._whole[end - 1 : end])[0]:
                rows = rows + 1 + rows // 10
                if rows > end:
                    return None
        return rows

    def _values(self, start: int, end: int) -> Array:
        part = tuple(one[start:end] for one in self._inputs)
        found = library.compute(self._indicator, part, self._index[start:end])
        return found.to_numpy().reshape(end - start, -1)

    def _wrong(self, part: Array, whole: Array) -> npt.NDArray[np.bool_]:
        with np.errstate(invalid="ignore"):
            same = (np.abs(part - whole) <= self._allowed) | (part == whole)
        wrong: npt.NDArray[np.bool_] = ~(same | (np.isnan(part) & np.isnan(whole))).all(axis=1)
        return wrong
