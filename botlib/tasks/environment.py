"""What all tasks of a manager share on their loop."""

from __future__ import annotations

import asyncio
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
class Environment:
    """The surroundings of a task while its manager is bound to a loop."""

    loop: asyncio.AbstractEventLoop
    clock: Clock
    timetable: Timetable
    threads: ThreadPool
    random: random.Random
    auto_recovery: bool
    grace: float
    """Seconds a cancelled run may take to end before it is stuck."""
    failed: Callable[[ManagedTask, BaseException], None]
    """Called after every failure."""
    rested: Callable[[ManagedTask], None]
    """Called when a run has ended and no other will follow by itself."""
