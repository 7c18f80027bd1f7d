"""An event loop whose time passes only while it waits, and a calendar that goes with it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import Any

START = 1_717_200_000_000
"""2024-06-01 00:00:00 UTC, in ms: where the simulated calendar begins."""


class _Selector(selectors.DefaultSelector):
    loop: SimulatedLoop

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if events or timeout is None or timeout <= 0:
            return events or super().select(None if timeout is None else 0)
        self.loop.seconds += timeout
        return events


class SimulatedLoop(asyncio.SelectorEventLoop):
    """A loop that never waits: it moves its time on to the next timer."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.seconds

    def block(self, seconds: float) -> None:
        """Let time pass as a blocking call would."""
        self.seconds += seconds


class SimulatedClock:
    """Calendar time that follows the time of the running simulated loop."""

    def __init__(self, start: int = START) -> None:
        self.start = start

    def now(self) -> int:
        passed = asyncio.get_running_loop().time() - 1_000.0
        return self.start + round(passed * 1_000)

    async def sleep_until(self, timestamp: int) -> None:
        while (left := (timestamp - self.now()) / 1_000) > 0:  # noqa: ASYNC110
            await asyncio.sleep(left)


def loop() -> SimulatedLoop:
    """Return the running simulated loop."""
    running = asyncio.get_running_loop()
    assert isinstance(running, SimulatedLoop)
    return running


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine function in simulated time."""

    async def body() -> None:
        await main()

    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(body())
