"""How the market's time passes against the computer's."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Final

from botlib.paper.market.market import MIN_STEPS

STEP: Final = 2_000
"""Usual market time between two prices, in ms, as in Binance's kline streams."""

_WALL_STEP: Final = 0.05
"""Shortest wall time between two prices, in seconds, where the market follows a speed."""


@dataclass(frozen=True, slots=True)
class MarketPace:
    """The speed of a market, and whether it waits for its client.

    ``speed`` is in market seconds per second, None for as fast as the clients keep up. ``step`` is
    the shortest market time between two prices, in ms.
    """

    speed: float | None
    lockstep: bool = False
    step: int = STEP

    @property
    def waits_through_halts(self) -> bool:
        """Whether a halt lasts as long as it did; a faster market jumps over it."""
        return self.speed is not None and self.speed <= 1 and not self.lockstep

    def steps(self, length: int) -> int:
        """Return how many prices a base candle of ``length`` ms is walked in."""
        if self.lockstep or self.speed is None:
            return MIN_STEPS
        wall = length / 1_000 / self.speed
        most = max(MIN_STEPS, min(length // self.step, math.floor(wall / _WALL_STEP + 1e-9)))
        # Every step lasts the same whole number of ms.
        return next(count for count in range(most, 0, -1) if length % count == 0)


class MarketTimer:
    """Keeps market time in step with the loop's timer.

    Args:
        pace: the speed.
        longest: the longest step in ms; what is longer is a jump, and takes no time.
    """

    def __init__(self, pace: MarketPace, longest: int) -> None:
        self._speed = pace.speed
        self._longest = longest
        self._anchor: tuple[float, int] | None = None

    def reset(self) -> None:
        """Start counting anew, after the market was held."""
        self._anchor = None

    async def wait(self, now: int, target: int) -> None:
        """Return when market time, which is ``now``, shall become ``target`` (ms)."""
        if self._speed is None:
            return
        time = asyncio.get_running_loop().time()
        if target - now > self._longest:
            self._anchor = (time, target)
        elif self._anchor is None:
            self._anchor = (time, now)
        wall, market = self._anchor or (time, now)
        due = wall + (target - market) / 1_000 / self._speed
        if due > time:
            await asyncio.sleep(due - time)
