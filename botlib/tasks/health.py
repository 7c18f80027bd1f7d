"""The health of a task manager, computed from the work of its tasks."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from botlib.core.text.cards import Tone, card, lines
from botlib.tasks.config import TaskConfig, TaskPriority
from botlib.tasks.counters import TaskCounters

log = logging.getLogger(__name__)

FAILING_RUNS: Final = 3
"""Failures in a row from which on a task that is restarted counts as failing."""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether all is well, and if not, why.

    Problems of LOW tasks are warnings, which do not change ``ok``.
    """

    ok: bool
    reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        if self.ok:
            warned = len(self.warnings)
            return f"healthy ({'; '.join(self.warnings)})" if warned else "healthy"
        return f"unhealthy: {'; '.join(self.reasons)}"

    def _repr_html_(self) -> str:
        tone = Tone.BAD if not self.ok else Tone.WARN if self.warnings else Tone.GOOD
        words = "healthy with warnings" if self.ok and self.warnings else "healthy"
        return card(
            words if self.ok else "unhealthy",
            lines(self.reasons, Tone.BAD),
            lines(self.warnings, Tone.WARN),
            notes="tasks",
            tone=tone,
        )


class HealthSource(Protocol):
    """What is read from a task to judge its health."""

    @property
    def config(self) -> TaskConfig: ...

    @property
    def name(self) -> str: ...

    @property
    def active(self) -> bool: ...

    @property
    def stopped(self) -> bool: ...

    @property
    def counters(self) -> TaskCounters: ...

    @property
    def final_error(self) -> BaseException | None: ...

    def stuck_for(self) -> float | None: ...

    def silent_for(self) -> float | None: ...


class HealthMonitor:
    """A timer that checks the health at intervals and logs when it changes.

    Args:
        interval: seconds between two checks.
        health: returns the current health.
    """

    def __init__(self, interval: float, health: Callable[[], Health]) -> None:
        self._interval = interval
        self._health = health
        self._was_ok = True
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the checks."""
        self.stop()
        self._was_ok = True
        self._schedule(loop)

    def stop(self) -> None:
        """Stop the checks."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        context = contextvars.Context()
        self._timer = loop.call_later(self._interval, self._check, loop, context=context)

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        health = self._health()
        if health.ok != self._was_ok:
            log.log(logging.INFO if health.ok else logging.WARNING, "The tasks are %s", health)
        self._was_ok = health.ok
        self._schedule(loop)


def problems(task: HealthSource) -> list[str]:
    """Return what is wrong with a task, one text per problem."""
    found: list[str] = []
    if (stuck := task.stuck_for()) is not None:
        found.append(f"is stuck: still running {stuck:.1f} s after it should have ended")
    if task.final_error is not None:
        found.append(f"failed for good: {task.counters.error}")
    elif task.active and task.counters.failures_in_row >= FAILING_RUNS:
        counters = task.counters
        found.append(f"failed {counters.failures_in_row} times in a row: {counters.error}")
    elif task.stopped and task.config.level is TaskPriority.CRITICAL:
        found.append("was stopped")
    limit = task.config.silence_limit
    silent = task.silent_for()
    if limit is not None and silent is not None and silent > limit:
        found.append(f"did no work for {silent:.1f} s (heartbeat {limit:g} s)")
    return [f"{task.config.level.name} task {task.name!r} {one}" for one in found]


def assess(tasks: Iterable[HealthSource], *, running: bool, lag: float, lag_limit: float) -> Health:
    """Return the health of a manager.

    Args:
        tasks: its tasks, including replaced ones that still run.
        running: whether the manager was started.
        lag: lateness of its loop in seconds.
        lag_limit: lateness from which on the manager is unhealthy.
    """
    reasons: list[str] = []
    warnings: list[str] = []
    registered = 0
    for task in tasks:
        registered += 1
        where = warnings if task.config.level is TaskPriority.LOW else reasons
        where.extend(problems(task))
    if not registered:
        reasons.append("no task is registered")
    elif not running:
        reasons.append("the task manager is not running")
    elif lag > lag_limit:
        reasons.append(f"the event loop lags {lag:.2f} s (limit {lag_limit:g} s)")
    return Health(not reasons, reasons, warnings)
