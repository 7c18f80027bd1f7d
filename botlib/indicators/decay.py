"""How fast exponential averages forget the values they were seeded with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

_MARGIN: Final = 1e-4
"""Factor by which the first error is made smaller than the tolerance: averages of volatile hours
may be that much larger than those of the quiet ones they are carried into."""


def decay(alpha: float, tolerance: float, depth: int = 1) -> int:
    """Return after how many steps ``depth`` exponential averages in a row forgot their seeds.

    Args:
        alpha: weight of a new value in each average.
        tolerance: largest remaining error, as a fraction.
    """
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


def exponential(depth: int) -> Callable[..., int]:
    """Return the warm-up rule of ``depth`` exponential averages in a row, of weight 2/(n + 1)."""

    def rule(tolerance: float, length: int) -> int:
        return depth * (length - 1) + 1 + decay(2.0 / (length + 1), tolerance, depth)

    return rule


def wilder(before: int = 0) -> Callable[..., int]:
    """Return the warm-up rule of Wilder's average, of weight 1/n.

    Args:
        before: candles without a value before the first that is averaged.
    """

    def rule(tolerance: float, length: int) -> int:
        return before + length + decay(1.0 / length, tolerance)

    return rule


def window(extra: int = 0) -> Callable[..., int]:
    """Return the warm-up rule of a window of ``length`` candles and ``extra`` ones before it."""

    def rule(tolerance: float, length: int, **others: object) -> int:
        return length + extra

    return rule
