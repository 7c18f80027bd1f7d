"""Simulation: the bot and its exchange in one process, over connections in memory, in virtual time.

Everything above the transport is what runs for real: the engine with its tasks, ccxt, aiohttp on
both sides, the paper exchange. Underneath, `VirtualLoop` replaces the event loop: its time jumps to
the next timer, its connections are buffers, and threads are calls. So a day passes in seconds, and
the same seed gives the same day.
"""

from botlib.simulation.eventlog import EventLog
from botlib.simulation.loop import VirtualLoop
from botlib.simulation.run import Outcome, Simulation, simulate

__all__ = ["EventLog", "Outcome", "Simulation", "VirtualLoop", "simulate"]
