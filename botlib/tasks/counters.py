"""What is measured and counted of a task."""

from __future__ import annotations

import traceback
from collections import deque
from typing import Any, Final

from botlib.core.errors import TaskError
from botlib.core.text.masking import masked

LATENESS_KEPT: Final = 128
"""Number of runs whose lateness is kept for the percentiles."""


class TaskCounters:
    """The counters of one task; durations and times are seconds of its loop's timer."""

    __slots__ = (
        "duration",
        "error",
        "failures",
        "failures_in_row",
        "last_beat",
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
        self.last_beat = 0.0
        """When work was last counted."""
        self.started: float | None = None
        self.duration: float | None = None
        self.error: str | None = None
        self.traceback: str | None = None
        self.lateness: deque[float] = deque(maxlen=LATENESS_KEPT)

    def record(self, error: BaseException) -> None:
        """Count a failure and store its text; the error itself would keep its frames alive."""
        self.failures += 1
        self.failures_in_row += 1
        text = masked(str(error))
        self.error = text if isinstance(error, TaskError) else f"{type(error).__name__}: {text}"
        self.traceback = masked("".join(traceback.format_exception(error)))

    def percentiles(self) -> tuple[float | None, float | None]:
        """Return the median and the 99th percentile of the lateness of recent runs, in seconds."""
        late = sorted(self.lateness)
        if not late:
            return None, None
        return late[(len(late) - 1) // 2], late[-(-99 * len(late) // 100) - 1]

    def shown(self) -> dict[str, Any]:
        """Return the counters under the names that `TaskStatus` gives them."""
        p50, p99 = self.percentiles()
        return {
            "runs": self.runs,
            "failures": self.failures,
            "failures_in_row": self.failures_in_row,
            "restarts": self.restarts,
            "overruns": self.overruns,
            "skipped": self.skipped,
            "timeouts": self.timeouts,
            "work": self.work,
            "last_duration": self.duration,
            "last_error": self.error,
            "last_traceback": self.traceback,
            "lateness_p50": p50,
            "lateness_p99": p99,
        }
