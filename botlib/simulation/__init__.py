"""Simulation: the bot and its exchange in one process, over connections in memory, in virtual time.

Everything above the transport is what runs for real: the engine with its tasks, ccxt, aiohttp on
both sides, the paper exchange. Underneath, `VirtualLoop` replaces the event loop: its time jumps to
the next timer, its connections are buffers, and threads are calls. So a day passes in seconds, and
the same seed gives the same day.

Nothing is patched. Durations are counted by the loop's timer everywhere, `SystemClock` asks the
loop for the calendar, and the jitter of retries comes from a seeded source. A strategy, task or
script that asks ``time`` or ``random`` itself gets the computer's own, and is no longer the same
each time. Computing takes no virtual time, and neither does the network: what is decided on a
closed candle is filled at the next open, and lag cannot be simulated.
"""

from botlib.simulation.event_log import EventLog
from botlib.simulation.loop import VirtualLoop
from botlib.simulation.result import SimulationResult
from botlib.simulation.run import simulate
from botlib.simulation.simulation import Simulation

__all__ = ["EventLog", "Simulation", "SimulationResult", "VirtualLoop", "simulate"]
