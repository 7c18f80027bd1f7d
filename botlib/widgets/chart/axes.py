"""The axes of a static picture: scales, ticks and labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, overload

import numpy as np
import numpy.typing as npt

from botlib.core.text import formats

if TYPE_CHECKING:
    from typing import Self

Floats = npt.NDArray[np.float64]

_TICKS: Final = (
    *(60 * n for n in (1, 2, 5, 10, 15, 30)),
    *(3_600 * n for n in (1, 2, 3, 4, 6, 8, 12)),
    *(86_400 * n for n in (1, 2, 4, 7, 14, 28, 91, 182, 364)),
)
_DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear scale: values from ``low`` to ``high``, drawn at y from ``bottom`` to ``top``."""

    low: float
    high: float
    top: float
    bottom: float

    @classmethod
    def over(cls, values: Floats, top: float, bottom: float, *, margin: float) -> Self:
        """Return a scale that shows all finite values, with a margin as a fraction."""
        known = values[np.isfinite(values)]
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
        if high <= low:
            spread = abs(high) * 0.01 or 1.0
            low, high = low - spread, high + spread
        room = (high - low) * margin
        # Bars start at the edge of the pane, without a margin.
        return cls(low - room if low else low, high + room if high else high, top, bottom)

    @overload
    def y(self, value: float) -> float: ...
    @overload
    def y(self, value: Floats) -> Floats: ...
    def y(self, value: Any) -> Any:
        """Return the y coordinate of a value, or of each."""
        return self.bottom - (value - self.low) * (self.bottom - self.top) / (self.high - self.low)


def nice_levels(low: float, high: float, most: int) -> list[float]:
    """Return about ``most`` round values between two."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [number * step for number in range(first, last + 1)]


def time_ticks(seconds: Floats, *, most: int) -> list[tuple[int, str, bool]]:
    """Return the labels of the time axis: row, text, and whether a new day starts there.

    Args:
        seconds: ascending UTC times of the rows.
        most: labels at most.
    """
    span = float(seconds[-1] - seconds[0])
    step = next((tick for tick in _TICKS if span / tick <= most), _TICKS[-1] * 2)
    numbers = np.floor_divide(seconds, step)
    rows = np.flatnonzero(np.diff(numbers, prepend=numbers[0]) > 0)
    ticks, day = [], math.floor(seconds[0] / _DAY)
    for row in rows.tolist():
        moment = np.datetime64(int(seconds[row]), "s")
        today = math.floor(seconds[row] / _DAY)
        strong = today != day
        day = today
        text = str(moment)
        ticks.append((row, text[5:10] if strong or step >= _DAY else text[11:16], strong))
    if ticks and step < _DAY and not any(strong for _, _, strong in ticks):
        row, label, _ = ticks[0]
        date = str(np.datetime64(int(seconds[row]), "s"))[5:10]
        ticks[0] = (row, f"{date} {label}", True)
    if not ticks:
        ticks = [(0, str(np.datetime64(int(seconds[0]), "s"))[5:16].replace("T", " "), True)]
    return ticks


def short_number(value: float) -> str:
    """Return a number in few characters: ``12.5K``, ``0.032``."""
    size = abs(value)
    length, unit = next(
        ((limit, unit) for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")) if size >= limit),
        (1.0, ""),
    )
    # Values below 10 000 are shown in full.
    if size < 1e4:
        length, unit = 1.0, ""
    return f"{formats.exact(float(f'{value / length:.4g}'))}{unit}" if size >= 1e-9 else "0"


def price_decimals(prices: npt.ArrayLike) -> int:
    """Return how many decimals prices are quoted with, at most 8."""
    values = np.asarray(prices, dtype=np.float64)
    values = values[np.isfinite(values)][-200:]
    if not len(values):
        return 2
    size = float(np.abs(values).max()) or 1.0
    # Digits beyond the eighth significant one are rounding noise, not a tick size.
    most = min(8, max(2, 7 - math.ceil(math.log10(size))))
    for decimals in range(most):
        if np.allclose(values, np.round(values, decimals), rtol=0, atol=10.0**-most / 10):
            return decimals
    return most
