"""Whether the tasks do their work, computed from that work."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from botlib.tasks.config import TaskConfig, TaskPriority
from botlib.tasks.counters import Figures

FAILING_RUNS: Final = 3
"""Failures in a row from which a task that still runs again counts as failing."""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether all is well, and what is not.

    The troubles of LOW tasks are warnings: they leave ``ok`` as it is.
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


class Patient(Protocol):
    """What is asked of a task to judge it."""

    @property
    def config(self) -> TaskConfig: ...

    @property
    def name(self) -> str: ...

    @property
    def active(self) -> bool: ...

    @property
    def stopped(self) -> bool: ...

    @property
    def figures(self) -> Figures: ...

    @property
    def final_error(self) -> BaseException | None: ...

    def stuck_for(self) -> float | None: ...

    def silent_for(self) -> float | None: ...


def troubles(task: Patient) -> list[str]:
    """Say what is wrong with a task."""
    found: list[str] = []
    if (stuck := task.stuck_for()) is not None:
        found.append(f"is stuck: still running {stuck:.1f} s after it should have ended")
    if task.final_error is not None:
        found.append(f"failed for good: {task.figures.error}")
    elif task.active and task.figures.failures_in_row >= FAILING_RUNS:
        found.append(f"failed {task.figures.failures_in_row} times in a row: {task.figures.error}")
    elif task.stopped and task.config.level is TaskPriority.CRITICAL:
        found.append("was stopped")
    limit = task.config.silence_limit
    silent = task.silent_for()
    if limit is not None and silent is not None and silent > limit:
        found.append(f"did no work for {silent:.1f} s (heartbeat {limit:g} s)")
    return [f"{task.config.level.name} task {task.name!r} {one}" for one in found]


def assess(tasks: Iterable[Patient], *, running: bool, lag: float, lag_limit: float) -> Health:
    """Judge a manager by its tasks and by how late its loop runs (``lag``, seconds)."""
    reasons: list[str] = []
    warnings: list[str] = []
    registered = 0
    for task in tasks:
        registered += 1
        where = warnings if task.config.level is TaskPriority.LOW else reasons
        where.extend(troubles(task))
    if not registered:
        reasons.append("no task is registered")
    elif not running:
        reasons.append("the task manager is not running")
    elif lag > lag_limit:
        reasons.append(f"the event loop lags {lag:.2f} s (limit {lag_limit:g} s)")
    return Health(not reasons, reasons, warnings)
