"""The failures of a task that are not exceptions of its own."""

from __future__ import annotations

from botlib.core.errors import TaskError, TaskTimeout
from botlib.tasks.schedule import duration_text


def timed_out(name: str, limit: float) -> TaskTimeout:
    """A run took longer than ``limit`` seconds."""
    return TaskTimeout(
        f"A run of task {name!r} took longer than its timeout of {duration_text(limit)} and was "
        "cancelled. Find out what it waits for, or give it more time with timeout=."
    )


def returned(name: str) -> TaskError:
    """A task that was to run for ever came to an end."""
    return TaskError(
        f"Task {name!r} returned although it was to run for ever. Let it loop, or register it "
        "without forever=True."
    )


def cancelled(name: str, *, outside: bool) -> TaskError:
    """A run was cancelled, and not by its manager."""
    if outside:
        return TaskError(f"Task {name!r} was cancelled from outside its manager.")
    return TaskError(
        f"Task {name!r} ended because something it awaited had been cancelled. Catch "
        "asyncio.CancelledError where that may happen."
    )


def stopped_early(name: str) -> TaskError:
    """A run that somebody waits for did not come to begin."""
    return TaskError(f"Task {name!r} was stopped before its run began.")


def exited(name: str, error: SystemExit) -> TaskError:
    """A task called ``sys.exit``: let through, it would end the loop with every other task."""
    wrapped = TaskError(
        f"Task {name!r} called sys.exit({error.code!r}). A task ends by returning or by raising an "
        "ordinary exception; end the program where it waits for its tasks."
    )
    wrapped.__cause__ = error
    return wrapped
