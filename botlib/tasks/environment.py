"""What the tasks of a manager share on their loop, and the task that code runs in."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botlib.core.clock import Clock
from botlib.tasks.threads import ThreadPool
from botlib.tasks.timetable import Timetable

if TYPE_CHECKING:
    from botlib.tasks.task import ManagedTask


@dataclass(slots=True, kw_only=True)
class TaskEnvironment:
    """The shared parts of all tasks while their manager is bound to a loop."""

    loop: asyncio.AbstractEventLoop
    clock: Clock
    timetable: Timetable
    threads: ThreadPool
    random: random.Random
    auto_recovery: bool
    grace: float
    """Seconds a cancelled run may take to end before it counts as stuck."""
    failed: Callable[[ManagedTask, BaseException], None]
    """Called after every failure."""
    rested: Callable[[ManagedTask], None]
    """Called when a run has ended and no other will follow by itself."""


current: contextvars.ContextVar[ManagedTask] = contextvars.ContextVar("botlib_task")


def current_task() -> ManagedTask | None:
    """Return the task that the caller runs in, also through its own asyncio tasks and threads."""
    return current.get(None)


def beat(n: int = 1) -> None:
    """Count work done by the task that the caller runs in, in its coroutines or its thread.

    The count is shown in the status, and distinguishes a stream that works from one that only
    runs. Outside a managed task nothing happens.
    """
    task = current.get(None)
    if task is not None:
        task.count(n)
