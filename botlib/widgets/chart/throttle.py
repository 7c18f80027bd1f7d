"""`Throttle`: limits how often a function is called."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Throttle:
    """A function that is called at once, or as soon as enough time has passed since the last call.

    Requests in between are joined into one call; the last request is always followed by a call.
    Delayed calls run on a thread that ends as soon as none is due.

    Args:
        seconds: the least time between two calls.
    """

    def __init__(self, call: Callable[[], None], seconds: float) -> None:
        self._call = call
        self._seconds = seconds
        self._lock = threading.Lock()
        self._last = float("-inf")
        self._due = False
        self._thread: threading.Thread | None = None

    def request(self) -> None:
        """Call the function now or later."""
        with self._lock:
            if self._thread is not None:
                self._due = True
                return
            now = time.monotonic()
            if now - self._last < self._seconds:
                self._due = True
                self._thread = threading.Thread(target=self._run, name="chart", daemon=True)
                self._thread.start()
                return
            self._last = now
        self._call()

    def _run(self) -> None:
        while True:
            time.sleep(max(0.0, self._last + self._seconds - time.monotonic()))
            with self._lock:
                if not self._due:
                    self._thread = None
                    return
                self._due = False
                self._last = time.monotonic()
            self._call()
