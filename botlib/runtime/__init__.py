"""The runtime thread: one event loop per kernel, on which all live work runs.

Coroutines enter from the cells of a notebook, and their results leave to them as plain return
values, while cells may sleep, compute or block. Hooks into the kernel and the process stop the work
at shutdown, SIGTERM and exit, and a watch names the function that keeps the loop from running.
"""

from botlib.core.blocking import Blocking
from botlib.runtime.current import (
    HEADLESS,
    LEFT_OVER,
    NEVER_WORKED,
    get_runtime,
    report_left_over,
    report_never_worked,
)
from botlib.runtime.stalls import Stall
from botlib.runtime.thread import Runtime, RuntimeStopReport

__all__ = [
    "HEADLESS",
    "LEFT_OVER",
    "NEVER_WORKED",
    "Blocking",
    "Runtime",
    "RuntimeStopReport",
    "Stall",
    "get_runtime",
    "report_left_over",
    "report_never_worked",
]
