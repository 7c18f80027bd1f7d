"""Stops and targets: the prices at which a position is left.

Levels are computed in float64 and then rounded to the market's tick, so that a backtest, which
works on whole columns, and a live run arrive at the same price for the same position.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from typing import Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Price = TypeVar("Price", float, Floats)

NO_TICK: Final = Decimal(0)
"""The tick of a market whose prices are not rounded."""


class StopParameters(Protocol):
    """Anything that carries the three fractions, such as a strategy."""

    stop_loss: float | None
    take_profit: float | None
    trailing_stop: float | None


def level_below(price: Price, fraction: float) -> Price:
    """Return the level that lies a fraction below a price, or below each of a column of prices."""
    return price * (1 - fraction)


def level_above(price: float, fraction: float) -> float:
    """Return the level that lies a fraction above a price."""
    return price * (1 + fraction)


def floor_to_tick(price: float | Decimal, tick: Decimal) -> Decimal:
    """Return the largest multiple of ``tick`` that is not above ``price``; a tick of 0 is none."""
    exact = Decimal(str(price))
    if not tick:
        return exact
    return (exact / tick).to_integral_value(ROUND_FLOOR) * tick


def ceil_to_tick(price: float | Decimal, tick: Decimal) -> Decimal:
    """Return the smallest multiple of ``tick`` that is not below ``price``; a tick of 0 is none."""
    return -floor_to_tick(-price, tick)


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRules:
    """The fractions of the entry price that limit a position, or None for each that does not."""

    stop_loss: float | None = None
    take_profit: float | None = None
    trailing_stop: float | None = None

    @classmethod
    def of(cls, strategy: StopParameters) -> StopRules:
        """Return the rules of a strategy."""
        return cls(
            stop_loss=strategy.stop_loss,
            take_profit=strategy.take_profit,
            trailing_stop=strategy.trailing_stop,
        )

    @property
    def limited(self) -> bool:
        """Whether a position is limited at all."""
        return self.stops or self.take_profit is not None

    @property
    def stops(self) -> bool:
        """Whether a position needs a stop."""
        return self.stop_loss is not None or self.trailing_stop is not None

    def fixed_stop(self, entry: float, tick: Decimal) -> Decimal | None:
        """Return the price of the stop loss, rounded down; None without one."""
        if self.stop_loss is None:
            return None
        return floor_to_tick(level_below(entry, self.stop_loss), tick)

    def trailing_level(self, peak: float, tick: Decimal) -> Decimal | None:
        """Return the price of the trailing stop below a peak, rounded down; None without one."""
        if self.trailing_stop is None:
            return None
        return floor_to_tick(level_below(peak, self.trailing_stop), tick)

    def stop_price(self, entry: float, high: float | None, tick: Decimal) -> Decimal:
        """Return the price of the stop of a position, 0 without one.

        Args:
            entry: price of the entry, without fees.
            high: highest high of the candles that closed since the entry, None before the first.
        """
        levels = (
            self.fixed_stop(entry, tick),
            self.trailing_level(max(entry, high or entry), tick),
        )
        return max((level for level in levels if level is not None), default=Decimal(0))

    def target_price(self, entry: float, tick: Decimal) -> Decimal | None:
        """Return the price at which profit is taken, rounded up; None if it is not taken."""
        if self.take_profit is None:
            return None
        return ceil_to_tick(level_above(entry, self.take_profit), tick)

    def target_reached(self, entry: float, high: float | None, tick: Decimal) -> bool:
        """Return whether a high, that of a closed candle, reaches the target."""
        target = self.target_price(entry, tick)
        return target is not None and high is not None and Decimal(str(high)) >= target


class StopLevels:
    """The stops and targets of a market as floats, for the columns of a backtest.

    Args:
        tick: price step of the market, `NO_TICK` for prices that are not rounded.
    """

    def __init__(self, rules: StopRules, tick: Decimal = NO_TICK) -> None:
        self.rules = rules
        self._tick = tick

    def fixed(self, entry: float) -> float:
        """Return the stop loss of an entry at a price, minus infinity without one."""
        if self.rules.stop_loss is None:
            return -np.inf
        level = level_below(entry, self.rules.stop_loss)
        return float(floor_to_tick(level, self._tick)) if self._tick else level

    def target(self, entry: float) -> float:
        """Return the target of an entry at a price, infinity without one."""
        if self.rules.take_profit is None:
            return np.inf
        level = level_above(entry, self.rules.take_profit)
        return float(ceil_to_tick(level, self._tick)) if self._tick else level

    def trail(self, fixed: float, peaks: Floats) -> Floats:
        """Return the trailing stop of every candle, never below the fixed stop.

        Args:
            fixed: the stop loss of the entry, minus infinity without one.
            peaks: highest price from the entry to the close of the candle before, one per candle.
        """
        trails = level_below(peaks, self.rules.trailing_stop or 0.0)
        if self._tick:
            # Few prices differ in a long stretch of candles, and rounding in decimals is slow.
            distinct, inverse = np.unique(trails, return_inverse=True)
            rounded = [float(floor_to_tick(float(level), self._tick)) for level in distinct]
            trails = np.array(rounded, dtype=np.float64)[inverse]
        levels: Floats = np.maximum(fixed, trails)
        return levels

    def steps(self, entry: float, highs: Floats) -> list[tuple[int, float]]:
        """Return every stop of a position with the candle from which it applied; [] without one.

        Args:
            highs: highs of the candles the position was held in, that of the entry first.
        """
        fixed = self.fixed(entry)
        if self.rules.trailing_stop is None:
            return [(0, fixed)] if self.rules.stop_loss is not None else []
        levels = self.trail(fixed, np.maximum.accumulate(np.concatenate(([entry], highs[:-1]))))
        moved = np.flatnonzero(np.diff(levels, prepend=np.nan))
        return [(row, float(levels[row])) for row in moved.tolist()]
