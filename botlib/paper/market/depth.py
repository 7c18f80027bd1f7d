"""The depth of a market: the spread, and the synthetic orders around the price."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Final

from botlib.paper.market.market import SymbolListing

_MASK: Final = 2**64 - 1
_REFRESHED: Final = 8
"""Seconds after which the amount of a level changes; each level changes at another time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """The synthetic orders around the price, the same for the same seed.

    Attributes:
        spread: distance between the best prices, a fraction of the price.
        levels: price levels per side; there are no orders beyond them.
        size: average amount of a level, in quote units.
        latency: ms between an order's arrival and its matching.
        seed: seed of the amounts.
    """

    spread: Decimal = Decimal("0.0002")
    levels: int = 50
    size: Decimal = Decimal(5_000)
    latency: int = 0
    seed: int = 0

    def best(
        self, listing: SymbolListing, price: Decimal, *, falling: bool
    ) -> tuple[Decimal, Decimal]:
        """Return the best bid and the best ask after a trade of the market.

        Args:
            listing: the symbol.
            price: price of the trade.
            falling: whether its taker sold, so that it is the bid; otherwise it is the ask.
        """
        half = max(listing.tick, _ticks(price * self.spread / 2, listing.tick, ROUND_UP))
        if falling:
            return price, price + 2 * half
        return max(listing.tick, price - 2 * half), price

    def side(
        self, listing: SymbolListing, price: Decimal, best: Decimal, up: bool
    ) -> Iterator[Decimal]:
        """Yield the prices of one side: the best one first, the others on a grid of round prices.

        Args:
            listing: the symbol.
            price: the last price, which sets the distance of the grid.
            best: the first price.
            up: whether the side is the asks.
        """
        gap = _round_gap(price * self.spread / 2, listing.tick)
        yield best
        level = best // gap * gap
        if up or level == best:
            level += gap if up else -gap
        for _ in range(self.levels - 1):
            if level <= 0:
                return
            yield level
            level += gap if up else -gap

    def amount(self, listing: SymbolListing, level: Decimal, time: int) -> Decimal:
        """Return the amount of a level in base units at a market time (ms)."""
        number = int(level / listing.tick)
        noise = _mix(self.seed, number, (time // 1_000 + number) // _REFRESHED)
        wanted = self.size / level * (50 + noise % 101) / 100
        return max(listing.step, _ticks(wanted, listing.step, ROUND_DOWN))


def _ticks(value: Decimal, tick: Decimal, rounding: str) -> Decimal:
    return (value / tick).to_integral_value(rounding) * tick


def _round_gap(wanted: Decimal, tick: Decimal) -> Decimal:
    """Return 1, 2 or 5 times a power of ten ticks, so that the grid stays while prices move."""
    gap = tick
    while True:
        for factor in (2, 5, 10):
            if gap * factor > wanted:
                return gap if factor == 2 else gap * (2 if factor == 5 else 5)
        gap *= 10


def _mix(*values: int) -> int:
    mixed = 0x9E3779B97F4A7C15
    for value in values:
        mixed = ((mixed ^ value) * 0xBF58476D1CE4E5B9) & _MASK
        mixed ^= mixed >> 29
    return mixed >> 8
