"""Simulation: a bot and its exchange in one process and in virtual time.

Settings, strategies and a seed enter; a `SimulationResult` with the digest of every event leaves.
Everything above the transport is the real code: the engine with its tasks, ccxt, aiohttp on both
sides, the paper exchange. Below it, `VirtualLoop` replaces the event loop: its time jumps to the
next timer, its connections are buffers in memory, and threads are calls, so that a day takes
seconds and the same seed gives the same day.

Nothing is patched. Durations are counted by the loop's timer everywhere, `SystemClock` asks the
loop for the calendar, and the jitter of retries comes from a seeded source. A strategy, task or
script that calls ``time`` or ``random`` itself gets the computer's values, and its run is no longer
repeatable. Neither computing nor the network takes virtual time: an order decided on a closed
candle is filled at the next open, and lag cannot be simulated.
"""

import warnings
from typing import Any

from botlib.simulation.event_log import EventLog
from botlib.simulation.loop import VirtualLoop
from botlib.simulation.result import SimulationResult
from botlib.simulation.run import simulate
from botlib.simulation.simulation import Simulation

__all__ = ["EventLog", "Simulation", "SimulationResult", "VirtualLoop", "simulate"]


def __getattr__(name: str) -> Any:
    if name == "Outcome":
        warnings.warn(
            "botlib.simulation.Outcome is now called SimulationResult.",
            DeprecationWarning,
            stacklevel=2,
        )
        return SimulationResult
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
