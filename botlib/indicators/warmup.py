"""The warm-up of an indicator: how many candles make its value independent of older ones.

An average over a window forgets a candle at once, an exponential one only gradually. A value is
settled when it differs from the value over all history by at most a tolerance.
"""

from __future__ import annotations

import functools
import math
from typing import Final

import numpy as np
import numpy.typing as npt

from botlib.core.arguments import NUMBER, TIMEFRAME, checked_arguments
from botlib.core.errors import InvalidInput
from botlib.core.timeframe import timeframe_ms
from botlib.indicators import pandas_ta
from botlib.indicators.record import Array, Indicator
from botlib.indicators.sample import sample
from botlib.indicators.specification import parse

_SIZES: Final = (1_500, 6_000)
"""Candles of the synthetic market, tried one after another."""

_ANCHORED_SIZES: Final = (1_500, 6_000, 50_000)
"""The same for indicators that start anew each day or week."""

_FADES: Final = 1.5
"""Factor on the measured warm-up of an average that forgets gradually."""

_FLIPS: Final = 4.0
"""The same for an indicator with two states, which agree suddenly, after a random time."""


@checked_arguments({"tolerance": NUMBER, "timeframe": TIMEFRAME})
def warmup(spec: str | Indicator, tolerance: float = 1e-9, *, timeframe: str = "1h") -> int:
    """Return how many candles make the newest value of an indicator independent of older ones.

    It is derived from the formula of an indicator that botlib computes itself. For others it is
    measured on a synthetic market from several starts, and multiplied by 1.5 for recursive ones
    and by 4 for those that flip between two states (``psar``, ``supertrend``): a bound that held in
    every trial, not a proof.

    Args:
        tolerance: largest difference to the value over all history, as a fraction of the largest
            magnitude of the column.
        timeframe: of the candles; it matters for indicators that start anew each day (``vwap``).

    Raises:
        InvalidInput: the specification or tolerance is not accepted, or the indicator never
            settles, since it adds up everything from its first candle on.
    """
    indicator = parse(spec)
    if not 0 < tolerance < 1:
        raise InvalidInput(f"tolerance lies between 0 and 1, such as 1e-9; it is {tolerance!r}.")
    timeframe_ms(timeframe)
    record = indicator.record
    if record.warmup is not None:
        return record.warmup(tolerance, **indicator.parameters)
    rows = _measured(indicator, float(tolerance), timeframe if record.anchored else "1h")
    if rows is None:
        raise InvalidInput(
            f"{indicator} never settles: its level depends on the candle it started with. "
            "Use its change over some candles, or the same start everywhere."
        )
    return rows


@functools.lru_cache(maxsize=1024)
def _measured(indicator: Indicator, tolerance: float, timeframe: str) -> int | None:
    if not indicator.record.settles:
        return None
    for size in _ANCHORED_SIZES if indicator.record.anchored else _SIZES:
        trial = _Trial(indicator, tolerance, size, timeframe)
        rows = trial.from_starts()
        if rows is not None and rows <= size:
            rows = trial.at_ends(rows)
        if rows is not None:
            return rows
    return None


class _Trial:
    """An indicator over all of a synthetic market, compared with parts of it."""

    def __init__(self, indicator: Indicator, tolerance: float, size: int, timeframe: str) -> None:
        self._indicator = indicator
        self._size = size
        self._inputs, self._index = sample(indicator.record.inputs, size, timeframe)
        self._whole = self._values(0, size)
        known = np.isfinite(self._whole)
        scale = np.max(np.abs(self._whole), axis=0, where=known, initial=0.0)
        self._allowed = tolerance * np.where(scale == 0, 1.0, scale)

    def from_starts(self) -> int | None:
        """Return after how many candles the values from later starts equal those from the first.

        None if they do not within the market.
        """
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
            return needed.pop()  # it differed only before its first value: it forgets at once
        fades = 0 < errors < 1e3 or self._indicator.record.anchored
        return math.ceil((_FADES if fades else _FLIPS) * max(needed))

    def _last_error(self, part: Array, whole: Array) -> float:
        """Return the last error before it settled, in units of the tolerance; 0 without a value."""
        known = np.isfinite(part) & np.isfinite(whole)
        if not known.any():
            return 0.0
        return float((np.where(known, np.abs(part - whole), 0.0)[-1] / self._allowed).max())

    def at_ends(self, rows: int) -> int | None:
        """Return how many candles give the right newest value, at least ``rows``.

        An indicator may give no value for too few candles. None if all of them are too few.
        """
        first = max(self._size // 2, rows)
        for end in np.linspace(first, self._size, 12, dtype=int).tolist():
            while self._wrong(self._values(end - rows, end)[-1:], self._whole[end - 1 : end])[0]:
                rows = rows + 1 + rows // 10
                if rows > end:
                    return None
        return rows

    def _values(self, start: int, end: int) -> Array:
        part = tuple(one[start:end] for one in self._inputs)
        return pandas_ta.compute(self._indicator, part, self._index[start:end])

    def _wrong(self, part: Array, whole: Array) -> npt.NDArray[np.bool_]:
        with np.errstate(invalid="ignore"):
            same = (np.abs(part - whole) <= self._allowed) | (part == whole)
        wrong: npt.NDArray[np.bool_] = ~(same | (np.isnan(part) & np.isnan(whole))).all(axis=1)
        return wrong
