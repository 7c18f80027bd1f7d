"""How late an event loop runs.

A meter asks its loop for a beat every 50 ms and measures how late each one comes. Everything that
keeps the loop from running shows: a blocking call, a computation, compiled code that holds the GIL,
a busy machine. All durations are in seconds.
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
"""Beats remembered for the percentiles: a minute of beats every 50 ms."""


class LagMeter:
    """The lateness of one event loop.

    The figures may be read from any thread, also while the loop is blocked: `current` then grows.

    Args:
        interval: seconds between two beats.
        clock: a monotonic clock in seconds; tests of a simulated loop give their own.
        late_after: seconds from which a beat counts as late.
        on_late: called on the loop with the lateness of every late beat, in seconds.

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
        """The latest beat since `start`."""
        self.beats = 0
        """How many beats have come since `start`."""
        self._clock = clock
        self._late_after = late_after
        self._on_late = on_late
        self._ring = array("d", bytes(8 * RING))
        self._last = 0.0
        self._due = math.inf
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        # A beat belongs to no cell of a notebook, whoever started the meter.
        self._context = contextvars.Context()

    @property
    def running(self) -> bool:
        """Whether beats are being asked for."""
        return self._timer is not None

    @property
    def current(self) -> float:
        """How late the last beat came, or by how much the next one is overdue if that is more."""
        return max(self._last, self.overdue)

    @property
    def overdue(self) -> float:
        """By how much the next beat is overdue, negative while there is time left."""
        return self._clock() - self._due

    def start(self) -> None:
        """Begin to measure the running loop, from zero; a meter that runs already goes on.

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
        self._ask()

    def stop(self) -> None:
        """End the measurement on the loop's own thread; the figures stay readable."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._due = math.inf
        self._last = 0.0

    def recent(self, seconds: float) -> float:
        """Return the lateness of the latest beat of the last ``seconds``, or of the one due."""
        beats = min(self.beats, RING, math.ceil(seconds / self.interval))
        last = (self._ring[(self.beats - number) % RING] for number in range(1, beats + 1))
        return max(last, default=0.0) if self.overdue <= 0 else max(self.overdue, *last, 0.0)

    def percentile(self, q: float) -> float:
        """Return the lateness that ``q`` per cent (0 to 100) of the last `RING` beats stay under.

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

    def _ask(self) -> None:
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
        self._ask()
        if late > self._late_after and self._on_late is not None:
            self._on_late(late)
