"""The task that code runs in, known through its context."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botlib.tasks.task import ManagedTask

current: contextvars.ContextVar[ManagedTask] = contextvars.ContextVar("botlib_task")


def current_task() -> ManagedTask | None:
    """Return the task this is called from, also through tasks and threads of its own."""
    return current.get(None)


def beat(n: int = 1) -> None:
    """Count work done by the task this is called from, in its coroutines or its thread.

    The count is shown in the status, and tells a stream that works from one that only runs.
    Outside a managed task nothing happens.
    """
    task = current.get(None)
    if task is not None:
        task.count(n)
