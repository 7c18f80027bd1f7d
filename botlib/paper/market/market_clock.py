"""The speed of market time against the computer's clock."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from botlib.paper.market.market import MIN_STEPS

STEP: Final = 2_000
"""Usual market time between two prices in ms, as in Binance's kline streams."""

_WALL_STEP: Final = 0.05
"""Shortest wall time between two prices in seconds, if the market follows a speed."""


@dataclass(frozen=True, slots=True)
class MarketPace:
    """The speed of a market, and whether it waits for its client.

    Attributes:
        speed: market seconds per second, None for as fast as the clients read.
        lockstep: whether the market stops at every candle until the client lets it go on.
        step: shortest market time between two prices, ms.
    """

    speed: float | None
    lockstep: bool = False
    step: int = STEP

    @property
    def waits_through_halts(self) -> bool:
        """Whether a gap in the candles takes its full time; a faster market jumps over it."""
        return self.speed is not None and self.speed <= 1 and not self.lockstep

    def steps(self, length: int) -> int:
        """Return the number of prices inside a base candle of ``length`` ms."""
        if self.lockstep or self.speed is None:
            return MIN_STEPS
        wall = length / 1_000 / self.speed
        most = max(MIN_STEPS, min(length // self.step, math.floor(wall / _WALL_STEP + 1e-9)))
        # Every step takes the same whole number of ms.
        return next(count for count in range(most, 0, -1) if length % count == 0)


class MarketTimer:
    """A timer that keeps market time in step with the loop's clock.

    Args:
        pace: the speed.
        longest: longest step in ms; a longer one is a jump, and takes no time.
        wall: returns the wall time (ms), if market time is the wall time.
    """

    def __init__(
        self, pace: MarketPace, longest: int, wall: Callable[[], int] | None = None
    ) -> None:
        self._wall = wall
        self._speed = pace.speed
        self._longest = longest
        self._anchor: tuple[float, int] | None = None

    def reset(self) -> None:
        """Start to count again, after the market was held."""
        self._anchor = None

    async def wait(self, now: int, target: int) -> None:
        """Wait until market time may go from ``now`` to ``target`` (ms)."""
        if self._speed is None:
            return
        time = asyncio.get_running_loop().time()
        if target - now > self._longest:
            self._anchor = (time, target)
        elif self._anchor is None:
            # Market time that is the wall time is not late by the part of a step that has passed.
            wall_time = now if self._wall is None else self._wall()
            late = not now <= wall_time <= now + self._longest
            self._anchor = (time, now if late else wall_time)
        wall, market = self._anchor or (time, now)
        due = wall + (target - market) / 1_000 / self._speed
        if due > time:
            await asyncio.sleep(due - time)
