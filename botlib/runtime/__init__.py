"""The runtime thread: live work goes on beside cells that sleep, compute or block."""

from botlib.runtime.blocking import Blocking
from botlib.runtime.current import HEADLESS, get_runtime
from botlib.runtime.stalls import Stall
from botlib.runtime.thread import Runtime, StopReport

__all__ = ["HEADLESS", "Blocking", "Runtime", "Stall", "StopReport", "get_runtime"]
