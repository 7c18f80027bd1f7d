"""The path of a candle: the prices inside it, in order, with the amounts that trade at each.

Every price has a fixed number of trades, called prints.
"""

from __future__ import annotations

import random
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

from botlib.paper.market.market import walk

if TYPE_CHECKING:
    from botlib.paper.market.feed import Bar

PRINTS: Final = 2
"""Public trades at each price of a candle's path."""

_LARGEST_EXACT: Final = 9e7
"""Largest volume of which a double holds eight decimals."""

_GRAINS: Final = (10_000, 1_000, 100, 10, 1)


class TapeStep(NamedTuple):
    """One price of a candle's path, and the amounts of its prints."""

    price: float
    prints: tuple[float, ...]

    @property
    def amount(self) -> float:
        """The amount traded at this price, base units."""
        return round(sum(self.prints), 8)


def path(bar: Bar, steps: int) -> list[TapeStep]:
    """Return the path of a candle: its first step is the open, its last one the close.

    The amounts add up to the candle's volume. If it has enough volume, every step has trades.
    """
    prices = walk(*bar[1:5], steps, bar.timestamp)
    amounts = _amounts(bar.volume, len(prices) * PRINTS, bar.timestamp)
    return [
        TapeStep(price, tuple(amounts[number * PRINTS : (number + 1) * PRINTS]))
        for number, price in enumerate(prices)
    ]


def _amounts(volume: float, count: int, key: int) -> list[float]:
    unit: int = 10**8 if volume < _LARGEST_EXACT else 100
    units = round(volume * unit)
    if units < count:
        # Not enough for the smallest amount at each step: only the first and the last trade.
        return [units // 2 / unit, *[0.0] * (count - 2), (units - units // 2) / unit]
    # Amounts are as round as the volume allows, as in a real market.
    grain: int = next(size for size in _GRAINS if size == 1 or units >= 4 * count * size)
    rng = random.Random(key + 1)
    marks = list(accumulate(0.5 + rng.random() for _ in range(count)))
    spare, done, amounts = units - count * grain, 0, []
    for mark in marks[:-1]:
        upto = int(spare * mark / marks[-1]) // grain * grain
        amounts.append((upto - done + grain) / unit)
        done = upto
    return [*amounts, (spare - done + grain) / unit]
