"""What is measured and counted of a task."""

from __future__ import annotations

import traceback
from collections import deque
from typing import Final

from botlib.core.errors import TaskError

LATENESS_KEPT: Final = 128
"""Runs whose lateness is remembered for the percentiles."""


class Figures:
    """The figures of one task; durations and times are seconds of its loop's timer."""

    __slots__ = (
        "beaten",
        "duration",
        "error",
        "failures",
        "failures_in_row",
        "lateness",
        "overruns",
        "restarts",
        "runs",
        "skipped",
        "started",
        "timeouts",
        "traceback",
        "work",
    )

    def __init__(self) -> None:
        self.runs = 0
        self.failures = 0
        self.failures_in_row = 0
        self.restarts = 0
        self.overruns = 0
        self.skipped = 0
        self.timeouts = 0
        self.work = 0
        self.beaten = 0.0
        """When work was last counted."""
        self.started: float | None = None
        self.duration: float | None = None
        self.error: str | None = None
        self.traceback: str | None = None
        self.lateness: deque[float] = deque(maxlen=LATENESS_KEPT)

    def record(self, error: BaseException) -> None:
        """Count a failure, and keep its text rather than its frames."""
        self.failures += 1
        self.failures_in_row += 1
        text = str(error)
        self.error = text if isinstance(error, TaskError) else f"{type(error).__name__}: {text}"
        self.traceback = "".join(traceback.format_exception(error))

    def percentiles(self) -> tuple[float | None, float | None]:
        """Return the median and the 99th percentile of the lateness of the last runs."""
        late = sorted(self.lateness)
        if not late:
            return None, None
        return late[(len(late) - 1) // 2], late[-(-99 * len(late) // 100) - 1]
