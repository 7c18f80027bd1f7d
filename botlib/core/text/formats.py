"""Numbers, durations and times as every card, table and picture writes them.

`js/src/format.ts` has the same rules for pages: `tests/core/text/format_cases.json` checks both.
Thousands are separated by a thin space, a negative number has a minus sign, and a value that is not
known is a dash. Times are UTC; the label beside one says whether it is market time or wall time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from numbers import Integral, Real
from typing import Final, TypeGuard

from botlib.core.clock import iso

THIN: Final = "\u2009"
MINUS: Final = "\u2212"
NONE: Final = "–"

MOST_DECIMALS: Final = 12
SIGNIFICANT: Final = 7
"""Digits of a computed number that are shown, and at least two decimals."""

_EXACT: Final = 8
"""Decimals to which amounts and prices of a venue are exact."""

Number = float | Decimal
"""A whole number, a float or a decimal, of numpy too."""

_UNITS: Final = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))


def is_number(value: object) -> TypeGuard[Number]:
    """Return whether a value is a number; a truth value is none."""
    return isinstance(value, Real | Decimal) and not isinstance(value, bool)


def number(value: Number | None, decimals: int = 2, *, sign: bool = False) -> str:
    """Return a number such as ``12 345.60``.

    Args:
        sign: a positive one has a plus sign, as a gain has.
    """
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{abs(value):,.{decimals}f}".replace(",", THIN)
    if not any(digit in text for digit in "123456789"):
        return text
    return (MINUS if value < 0 else "+" if sign else "") + text


def count(value: int | None) -> str:
    """Return a whole number such as ``12 345``."""
    return number(value, 0)


def percent(fraction: Number | None, decimals: int = 2, *, sign: bool = False) -> str:
    """Return a fraction such as 0.0123 as ``1.23 %``."""
    if fraction is None or not math.isfinite(fraction):
        return NONE
    return f"{number(fraction * 100, decimals, sign=sign)}{THIN}%"


def exact(value: Number | None) -> str:
    """Return a number with the decimals it needs, such as ``0.0151`` or ``65 660.9``."""
    return number(value, decimals_of([value]))


def price(value: Number | None) -> str:
    """Return a price with the decimals it needs, and at least two: ``66 196.20``, ``0.0000123``."""
    return number(value, max(2, decimals_of([value])))


def rounded(value: Decimal) -> Decimal:
    """Return a computed number with the digits that are shown of it."""
    return round(value, _most_decimals(abs(float(value))))


def compact(value: Number | None) -> str:
    """Return a number in few characters, such as ``12.35K``."""
    if value is None or not math.isfinite(value):
        return NONE
    size = abs(float(value))
    for least, unit in _UNITS:
        if size >= least:
            return f"{number(float(value) / least, 2)}{unit}"
    # About four digits.
    return number(value, min(8, max(0, 4 - math.ceil(math.log10(size)))) if size else 2)


def column(values: Iterable[Number | None]) -> list[str]:
    """Return the numbers of one column, all with the same decimals."""
    known = list(values)
    decimals = decimals_of(known)
    return [number(value, decimals) for value in known]


def decimals_of(values: Iterable[Number | None]) -> int:
    """Return the decimals with which all values are shown: what they need, within their digits."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if all(isinstance(value, Integral) for value in known):
        return 0
    most = _most_decimals(max(abs(float(value)) for value in known))
    return max(_needed(value, most) for value in known)


def duration(seconds: float | None) -> str:
    """Return a measured duration, such as ``26 ms``, ``1.3 s`` or ``2 h 5 min``."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    if seconds < 0.9995:
        return "<1 ms" if 0 < seconds < 0.0005 else f"{round(seconds * 1_000)} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{round(seconds)} s"
    minutes = int(seconds // 60)
    if minutes < 120:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d"


def interval(seconds: float) -> str:
    """Return a duration that was set, with all its digits: ``30 s``, ``2.5 min``, ``12.5 ms``."""
    if 0 < seconds < 1:
        return f"{seconds * 1_000:.3g} ms"
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * length or seconds == length:
            return f"{seconds / length:.4g} {unit}"
    return f"{seconds:.4g} s"


def stamp(time: int | None) -> str:
    """Return day and time of day of a time (ms), such as ``2026-01-05 14:03:07``."""
    return NONE if time is None else iso(time)


def clock(time: int | None) -> str:
    """Return the time of day of a time (ms), such as ``14:03:07``."""
    return NONE if time is None else iso(time)[11:]


def _most_decimals(largest: float) -> int:
    if largest >= 1:
        return max(2, SIGNIFICANT - int(math.log10(largest)) - 1)
    zeros = 0 if largest == 0 else int(-math.log10(largest))
    return min(MOST_DECIMALS, SIGNIFICANT + zeros)


def _needed(value: Number, most: int) -> int:
    """Return how many decimals a value has."""
    if isinstance(value, Decimal):
        places = max(0, -int(value.normalize().as_tuple().exponent))
        if places <= max(most, _EXACT):
            return places
    _, _, fraction = f"{value:.{most}f}".partition(".")
    return len(fraction.rstrip("0"))
