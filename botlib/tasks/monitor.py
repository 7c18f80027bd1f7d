"""A regular look at the health of a manager."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable

from botlib.tasks.health import Health

log = logging.getLogger(__name__)


class HealthMonitor:
    """Ask for the health every ``interval`` seconds, and log when it changes."""

    def __init__(self, interval: float, health: Callable[[], Health]) -> None:
        self._interval = interval
        self._health = health
        self._was_ok = True
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to look."""
        self.stop()
        self._was_ok = True
        self._wait(loop)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        context = contextvars.Context()
        self._timer = loop.call_later(self._interval, self._look, loop, context=context)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        health = self._health()
        if health.ok != self._was_ok:
            log.log(logging.INFO if health.ok else logging.WARNING, "The tasks are %s", health)
        self._was_ok = health.ok
        self._wait(loop)
