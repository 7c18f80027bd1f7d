"""The runtime thread: live work goes on beside cells that sleep, compute or block."""

from botlib.core.blocking import Blocking
from botlib.runtime.current import HEADLESS, get_runtime
from botlib.runtime.stalls import Stall
from botlib.runtime.thread import Runtime, RuntimeStopReport

__all__ = ["HEADLESS", "Blocking", "Runtime", "RuntimeStopReport", "Stall", "get_runtime"]
