"""Lockstep: what a client waits for, and what closed since it last acknowledged."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from botlib.paper.protocol.closings import ClosedCandle

_REMEMBERED: Final = 10_000
"""Boundaries whose closings are kept for a client that asks again."""


class MarketLockstep:
    """The goal of the client that moves the market, and the closings reached so far.

    Args:
        release: called when the market may run.
        kept: whether closings are kept for a client that asks; nobody does without lockstep.
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
        """Whether the market is on its way to a goal."""
        return bool(self._goal)

    def boundary(self, time: int, closed: list[ClosedCandle], *, ended: bool) -> None:
        """Note what closed at a boundary; the goal is reached when a candle of it closed."""
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
        """Release the market until one of ``streams`` closes; return what closed in them since.

        What had closed after ``acknowledged`` already is returned at once, so that a client whose
        answer was lost can ask again without losing a candle.
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
