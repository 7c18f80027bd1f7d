"""Lockstep: the candle that a client waits for, and those closed since its acknowledgement."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from botlib.paper.protocol.closings import ClosedCandle

_REMEMBERED: Final = 10_000
"""Boundaries of which the closed candles are kept, for a client that repeats its request."""


class MarketLockstep:
    """The goal of the client that advances the market, and the candles closed on the way.

    Args:
        release: called when the market may run.
        kept: whether closed candles are kept; without lockstep they are not needed.
    """

    def __init__(self, release: Callable[[], None], *, kept: bool = True) -> None:
        self.boundaries = 0
        self._release = release
        self._kept = kept
        self._goal: frozenset[str] = frozenset()
        self._closings: deque[tuple[int, list[ClosedCandle]]] = deque(maxlen=_REMEMBERED)
        self._reached = asyncio.Event()
        self._advancing = asyncio.Lock()

    @property
    def running(self) -> bool:
        """Whether the market is running towards a goal."""
        return bool(self._goal)

    def boundary(self, time: int, closed: list[ClosedCandle], *, ended: bool) -> None:
        """Store the candles that closed at a boundary, and end the wait if one is of the goal."""
        self.boundaries += 1
        if closed and self._kept:
            self._closings.append((time, closed))
        if ended or not self._goal.isdisjoint(candle.stream for candle in closed):
            self._goal = frozenset()
            self._reached.set()

    async def advance(
        self,
        streams: Iterable[str],
        acknowledged: int,
        timeout: float,
        ended: Callable[[], bool],
    ) -> list[ClosedCandle]:
        """Run the market until a candle of ``streams`` closes, and return the closed candles.

        If some have closed after ``acknowledged`` already, they are returned at once, so that a
        client that lost an answer can repeat its request without losing a candle.

        Args:
            streams: names of kline streams.
            acknowledged: market time (ms) of the last answer that the client has received.
            timeout: seconds after which the answer comes without a closed candle.
            ended: returns whether the market has ended.
        """
        goal = frozenset(streams)
        async with self._advancing:
            closed = self._after(acknowledged, goal)
            if closed or ended():
                return closed
            self._goal = goal
            self._reached.clear()
            self._release()
            try:
                async with asyncio.timeout(timeout):
                    await self._reached.wait()
            except TimeoutError:
                pass
            finally:
                self._goal = frozenset()
            return self._after(acknowledged, goal)

    def _after(self, time: int, streams: frozenset[str]) -> list[ClosedCandle]:
        later = []
        for reached, closed in reversed(self._closings):
            if reached <= time:
                break
            later.append([candle for candle in closed if candle.stream in streams])
        return [candle for closed in reversed(later) for candle in closed]
