"""`StopControl`: the orderly stop of a run by a signal or a deadline.

A signal to the runner, or its deadline, first becomes one SIGTERM to the kernel: the runtime's hook
there stops the tasks and releases the waiting cell, the last cells run, and the notebook is saved.
Only a kernel that does not end within the grace is interrupted, and killed after that.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Final

KILL_AFTER: Final = 5.0
"""Seconds between the interrupt and the kill of a kernel that did not end in its grace."""

REPEATED_WITHIN: Final = 2.0
"""Signals within this many seconds count as one: terminals, make and systemd repeat them."""

DEADLINE: Final = "deadline"
"""Reason of a stop after the timeout."""

_ENDED: Final = "ended"


class StopControl:
    """The stop of one run; a separate thread waits for it while `watching` is entered.

    Args:
        grace: seconds that the kernel has to end after SIGTERM.
        timeout: seconds after which the run is stopped, or None.
        log: called with messages, also from the thread.
    """

    def __init__(self, *, grace: float, timeout: float | None, log: Callable[[str], None]) -> None:
        self.grace = grace
        self.timeout = timeout
        self.reason: str | None = None
        """Name of the signal that requested the stop, `DEADLINE`, or None."""
        self.escalated: str | None = None
        """The strongest signal that was sent to the kernel after its grace, or None."""
        self.kernel: Callable[[], subprocess.Popen[bytes] | None] = lambda: None
        """Returns the process of the kernel, None while there is none."""
        self._log = log
        # A signal handler may put into a SimpleQueue, but must not take a lock or print.
        self._inbox: SimpleQueue[str] = SimpleQueue()

    @property
    def stop_signal(self) -> str | None:
        """Name of the signal that requested the stop, or None."""
        return None if self.reason == DEADLINE else self.reason

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Catch SIGTERM and SIGINT and wait for the deadline, until the context is left.

        Signals can only be caught on the main thread; on other threads only the deadline counts.
        """
        watcher = threading.Thread(target=self._watch, name="botlib-run-stop", daemon=True)
        watcher.start()
        before = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                before[number] = signal.signal(number, self._caught)
        try:
            yield
        finally:
            for number, handler in before.items():
                # None means a handler that was not installed from Python.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            self._inbox.put(_ENDED)
            watcher.join()

    def _caught(self, number: int, frame: FrameType | None) -> None:
        self._inbox.put(signal.Signals(number).name)

    def _watch(self) -> None:
        try:
            reason = self._inbox.get(timeout=self.timeout)
        except Empty:
            reason = DEADLINE
        if reason == _ENDED:
            return
        self.reason = reason
        what = f"After {self.timeout:g} s" if reason == DEADLINE else f"Got {reason}"
        self._log(f"{what}: asking the notebook to stop, grace {self.grace:g} s.")
        self._send(signal.SIGTERM)
        for number, wait in ((signal.SIGINT, self.grace), (signal.SIGKILL, KILL_AFTER)):
            if self._ended_within(wait):
                return
            self.escalated = number.name
            self._log(f"The notebook has not ended: sending {number.name} to its kernel.")
            self._send(number)

    def _ended_within(self, seconds: float) -> bool:
        """Wait for the end of the run, or until a person repeats the signal."""
        start = time.monotonic()
        while (left := start + seconds - time.monotonic()) > 0:
            try:
                message = self._inbox.get(timeout=left)
            except Empty:
                return False
            if message == _ENDED:
                return True
            if time.monotonic() - start > REPEATED_WITHIN:
                return False
        return False

    def _send(self, number: signal.Signals) -> None:
        process = self.kernel()
        if process is None:
            return
        if number is signal.SIGKILL and _leads_group(process):
            os.killpg(process.pid, number)
        else:
            # Popen never signals a reused pid.
            process.send_signal(number)


def _leads_group(process: subprocess.Popen[bytes]) -> bool:
    """Return whether the process lives and leads a group, whose members can be killed too."""
    try:
        return process.poll() is None and os.getpgid(process.pid) == process.pid
    except ProcessLookupError:
        return False
