"""The lag of an event loop.

A meter schedules a beat on its loop every 50 ms and measures how late each one comes. It shows
everything that keeps the loop from running: a blocking call, a computation, compiled code that
holds the GIL, a busy machine. All durations are in seconds.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import time
from array import array
from collections.abc import Callable
from typing import Final

from botlib.core.errors import InvalidInput

RING: Final = 1_200
"""Number of beats kept for the percentiles: a minute of beats every 50 ms."""


class LagMeter:
    """A meter of the lateness of one event loop.

    The values may be read from any thread, also while the loop is blocked: `current` then grows.

    Args:
        interval: seconds between two beats.
        clock: returns monotonic time in seconds; a loop in virtual time needs its own.
        late_after: seconds of lateness from which on a beat counts as late.
        on_late: called on the loop with the lateness of every late beat (seconds).

    Raises:
        InvalidInput: ``interval`` is not a positive number.
    """

    def __init__(
        self,
        interval: float = 0.05,
        *,
        clock: Callable[[], float] = time.monotonic,
        late_after: float = math.inf,
        on_late: Callable[[float], None] | None = None,
    ) -> None:
        if not (interval > 0 and math.isfinite(interval)):
            raise InvalidInput(
                f"The interval of a lag meter must be a positive number of seconds, got "
                f"{interval!r}. Use 0.05 unless the loop is far slower than that."
            )
        self.interval = interval
        self.worst = 0.0
        """Largest lateness since `start`."""
        self.beats = 0
        """Number of beats since `start`."""
        self._clock = clock
        self._late_after = late_after
        self._on_late = on_late
        self._ring = array("d", bytes(8 * RING))
        self._last = 0.0
        self._due = math.inf
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        # A beat belongs to no cell of a notebook, even if a cell started the meter.
        self._context = contextvars.Context()

    @property
    def running(self) -> bool:
        """Whether the meter was started and not stopped."""
        return self._timer is not None

    @property
    def current(self) -> float:
        """Lateness of the last beat, or of the next one if that is overdue by more."""
        return max(self._last, self.overdue)

    @property
    def overdue(self) -> float:
        """Seconds by which the next beat is overdue; negative before it is due."""
        return self._clock() - self._due

    def start(self) -> None:
        """Start to measure the running loop, from zero; a meter that runs already goes on.

        Raises:
            RuntimeError: no event loop runs in this thread.
        """
        loop = asyncio.get_running_loop()
        if self._timer is not None and self._loop is loop:
            return
        self.stop()
        self.beats = 0
        self.worst = 0.0
        self._loop = loop
        self._schedule()

    def stop(self) -> None:
        """Stop the measurement, on the loop's own thread; the values stay readable."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._due = math.inf
        self._last = 0.0

    def recent(self, seconds: float) -> float:
        """Return the largest lateness of the last ``seconds``, including a beat overdue now."""
        beats = min(self.beats, RING, math.ceil(seconds / self.interval))
        last = (self._ring[(self.beats - number) % RING] for number in range(1, beats + 1))
        return max(last, default=0.0) if self.overdue <= 0 else max(self.overdue, *last, 0.0)

    def percentile(self, q: float) -> float:
        """Return a percentile of the lateness of the last `RING` beats.

        Args:
            q: percentile from 0 to 100.

        Raises:
            InvalidInput: ``q`` is outside 0 to 100.
        """
        if not 0 <= q <= 100:
            raise InvalidInput(f"A percentile lies between 0 and 100, got {q!r}. The median is 50.")
        beats = sorted(self._ring[: min(self.beats, RING)])
        return beats[max(0, math.ceil(q / 100 * len(beats)) - 1)] if beats else 0.0

    def __repr__(self) -> str:
        if self.beats == 0:
            return "<LagMeter without a beat>"
        return (
            f"<LagMeter median {self.percentile(50) * 1e3:.1f} ms, "
            f"p99 {self.percentile(99) * 1e3:.1f} ms, worst {self.worst * 1e3:.1f} ms>"
        )

    def _schedule(self) -> None:
        assert self._loop is not None
        self._due = self._clock() + self.interval
        self._timer = self._loop.call_later(self.interval, self._beat, context=self._context)

    def _beat(self) -> None:
        late = max(0.0, self._clock() - self._due)
        self._ring[self.beats % RING] = late
        self._last = late
        self.beats += 1
        if late > self.worst:
            self.worst = late
        self._schedule()
        if late > self._late_after and self._on_late is not None:
            self._on_late(late)
