"""Cautions: reasons that hold entries back for as long as they last, and pass by themselves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from botlib.engine.health import late_loop

if TYPE_CHECKING:
    from botlib.engine.parts import BaseParts
    from botlib.tasks import ManagerStatus

MIRROR_WATCH: Final = "mirror_watch"
"""Name of the task that looks at a mirror."""

SAFETY_TASKS: Final = (
    *("order_sync", "position_monitoring", "risk_checks", "execution_reports"),
    MIRROR_WATCH,
)
"""Tasks without which nobody knows what the venue holds; the desks are safety tasks as well."""

DESK: Final = "desk "
"""Begins the names of the tasks of the desks."""

CHECK_INTERVAL: Final = 1.0
"""Seconds between two looks at the safety tasks."""


class Cautions:
    """Returns why nothing may be entered at present, None if it may: a late loop, a failing task.

    A safety task is restarted for ever; while its last run has failed, entries are held back.
    """

    def __init__(self, base: BaseParts) -> None:
        self._base = base
        # Health asks too, and that from any thread.
        self._time = asyncio.get_running_loop().time
        self._checked = -CHECK_INTERVAL
        self._failing: str | None = None

    def __call__(self) -> str | None:
        """Return the first reason."""
        now = self._time()
        if now - self._checked >= CHECK_INTERVAL:
            self._checked = now
            self._failing = failing_safety_task(self._base.tasks.status())
        return late_loop(self._base) or self._failing


def failing_safety_task(status: ManagerStatus) -> str | None:
    """Return which safety task fails and why, None if none does."""
    for task in status.tasks:
        safety = task.name in SAFETY_TASKS or task.name.startswith(DESK)
        if safety and task.failures_in_row:
            return f"the task {task.name} fails: {task.last_error}"
    return None
