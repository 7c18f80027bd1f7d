"""The state of tasks as plain values that can be shown, compared and sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Final

from botlib.core.errors import UnknownTask, did_you_mean
from botlib.core.text import formats
from botlib.core.text.cards import Tone, card, lines
from botlib.core.text.masking import masked_values
from botlib.core.text.tables import html_table, text_table
from botlib.tasks.health import Health

_SHOWN: Final = 60
"""Rows of a table for people; the rest is counted."""

_LAST_ERROR: Final = "last error"


class TaskState(StrEnum):
    """The state of a task."""

    PENDING = "pending"
    """Registered, never started."""
    DISABLED = "disabled"
    """Registered, but not to be started."""
    WAITING = "waiting"
    """Started; the next run is scheduled."""
    RUNNING = "running"
    BACKOFF = "backoff"
    """Failed; runs again after a delay."""
    PAUSED = "paused"
    STOPPING = "stopping"
    """Cancelled; its clean-up runs."""
    STUCK = "stuck"
    """Cancelled or timed out, and still running."""
    STOPPED = "stopped"
    DONE = "done"
    """Ran to its end."""
    FAILED = "failed"
    """Ended for good by failures."""


ACTIVE: Final = frozenset(
    {TaskState.WAITING, TaskState.RUNNING, TaskState.BACKOFF, TaskState.PAUSED}
)
"""States of a task that was started and goes on by itself, or when resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStatus:
    """One task at one moment. Times are ms since the epoch, durations seconds."""

    name: str
    group: str | None
    state: TaskState
    priority: str
    schedule: str
    runs: int
    """Runs begun."""
    failures: int
    """Runs that raised or timed out."""
    failures_in_row: int
    restarts: int
    """Restarts after a failure, or by `restart_task`."""
    overruns: int
    """Ticks that passed while a run was still going on or the loop was blocked."""
    skipped: int
    """Ticks skipped because the loop lagged."""
    timeouts: int
    work: int
    """Work that the task counted with `beat`."""
    last_start: int | None
    last_duration: float | None
    last_error: str | None
    last_traceback: str | None
    next_run: int | None
    lateness_p50: float | None
    lateness_p99: float | None
    metadata: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopReport:
    """The result of stopping tasks."""

    stopped: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    """Tasks that outlived their cancellation."""
    seconds: float = 0.0

    def __str__(self) -> str:
        words = f"{_tasks(len(self.stopped))} stopped in {formats.duration(self.seconds)}"
        return f"{words}, still running: {', '.join(self.stuck)}" if self.stuck else words

    def _repr_html_(self) -> str:
        return card(
            f"{_tasks(len(self.stopped))} stopped",
            lines([f"still running: {name}" for name in self.stuck], Tone.BAD),
            lines([", ".join(self.stopped)] if self.stopped else []),
            notes=f"in {formats.duration(self.seconds)}",
            tone=Tone.BAD if self.stuck else Tone.GOOD,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerStatus:
    """All tasks of a manager at one moment; ``status["name"]`` is one of them."""

    running: bool
    health: Health
    lag: float
    """Lateness of the loop in seconds."""
    worst_lag: float
    tasks: tuple[TaskStatus, ...]

    def __getitem__(self, name: str) -> TaskStatus:
        for task in self.tasks:
            if task.name == name:
                return task
        names = [task.name for task in self.tasks]
        raise UnknownTask(
            f"No task is registered as {name!r}. Registered: {', '.join(names) or 'none'}."
            f"{did_you_mean(name, names)}"
        )

    @property
    def headline(self) -> str:
        """One line such as ``5 tasks, 5 running, healthy``."""
        active = sum(task.state in ACTIVE for task in self.tasks)
        return f"{_tasks(len(self.tasks))}, {active} running, {self.health}"

    def as_dict(self) -> dict[str, object]:
        """Return plain values, ready for JSON except the metadata, which is the user's own."""
        tasks = [
            {**asdict(replace(task, metadata={})), "metadata": task.metadata} for task in self.tasks
        ]
        values: dict[str, object] = masked_values(
            {**asdict(replace(self, tasks=())), "tasks": tasks}
        )
        return values

    def __str__(self) -> str:
        if not self.tasks:
            return self.headline
        return "\n".join([self.headline, text_table(*self._table()), *self._rest()])

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.headline}>"

    def _repr_html_(self) -> str:
        tone = Tone.GOOD if self.health.ok else Tone.BAD
        title, *more = self.headline.split(",", maxsplit=1)
        headers, rows = self._table()
        if headers[-1] == _LAST_ERROR:
            # Below the table, as they would be cut off at the end of its rows.
            headers, rows = headers[:-1], [row[:-1] for row in rows]
        errors = [
            f"{task.name}: {_short(task.last_error)}"
            for task in self.tasks[:_SHOWN]
            if task.last_error
        ]
        return card(
            title,
            html_table(headers, rows) if self.tasks else "",
            lines(self._rest()),
            lines(errors, Tone.BAD),
            notes=", ".join(more).strip(),
            tone=tone,
        )

    def _table(self) -> tuple[list[str], list[list[object]]]:
        # A column without a value for any task is omitted.
        optional = {
            name: any(getattr(task, name) for task in self.tasks)
            for name in ("failures", "restarts", "overruns", "skipped", "work", "last_error")
        }
        rows = [_row(task, optional) for task in self.tasks[:_SHOWN]]
        headers = list(rows[0]) if rows else ["task"]
        return headers, [list(row.values()) for row in rows]

    def _rest(self) -> list[str]:
        more = len(self.tasks) - _SHOWN
        return [f"… and {formats.count(more)} more"] if more > 0 else []


def _row(task: TaskStatus, optional: Mapping[str, bool]) -> dict[str, object]:
    row: dict[str, object] = {
        "task": task.name,
        "state": task.state,
        "priority": task.priority,
        "schedule": task.schedule,
        "runs": task.runs,
    }
    row |= {
        name: getattr(task, name)
        for name in ("failures", "restarts", "overruns", "skipped", "work")
        if optional[name]
    }
    row["took"] = _seconds(task.last_duration)
    row["late (median)"] = _seconds(task.lateness_p50)
    row["late (99 %)"] = _seconds(task.lateness_p99)
    row["next (wall time)"] = None if task.next_run is None else formats.clock(task.next_run)
    if optional["last_error"]:
        row[_LAST_ERROR] = _short(task.last_error or "")
    return row


def _tasks(count: int) -> str:
    return f"{formats.count(count)} {'task' if count == 1 else 'tasks'}"


def _short(error: str) -> str:
    return error if len(error) <= 80 else error[:79] + "…"


def _seconds(value: float | None) -> str | None:
    return None if value is None else formats.duration(value)
