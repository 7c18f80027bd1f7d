"""Coroutines of tests in virtual time, on the loop of the simulation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from botlib.simulation.loop import VirtualLoop

START: Final = 1_717_200_000_000
"""2024-06-01 00:00:00 UTC, in ms: the start of the calendar, which `SystemClock` follows."""


def new_loop() -> VirtualLoop:
    """Return a new loop in virtual time."""
    return VirtualLoop(START)


def loop() -> VirtualLoop:
    """Return the running virtual loop."""
    running = asyncio.get_running_loop()
    assert isinstance(running, VirtualLoop)
    return running


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine function in virtual time."""

    async def body() -> None:
        await main()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(body())
