"""Who runs next, and what carries the runs.

Tasks do not sleep. A task enters its next due time in one heap, under one timer, and gets a ticket;
when the time has come and the ticket is still the task's own, it runs. Taking a time back is
forgetting the ticket, which costs nothing.

Runs that are due together are carried out by one asyncio task, the carrier, one after the other.
As soon as a run waits for something, that carrier is the run's own, with its name and to its end,
and another carrier takes the rest: most runs of a busy schedule wait for nothing, and need no
asyncio task to be made for them.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
import logging
import math
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from botlib.core.clock import Clock
from botlib.tasks.config import TaskPriority
from botlib.tasks.run import Run

log = logging.getLogger(__name__)

BATCH: Final = 256
"""Runs carried out in one go before the loop gets its turn."""

BATCH_SECONDS: Final = 0.005
"""Time after which the loop gets its turn all the same."""

MEDIUM_FACTOR: Final = 4.0
"""MEDIUM tasks are skipped from so many times the lag on that LOW ones are."""


class Scheduled(Protocol):
    """A task as the timetable sees it."""

    level: int
    ticket: int
    limit_ticket: int

    @property
    def name(self) -> str: ...

    def begin(self, due: float, now: float) -> Run | None:
        """Begin the run that was due at ``due`` (loop time); None if there is nothing to await."""

    def settle(self, error: BaseException | None) -> None:
        """Take note of the end of a run."""

    def skip(self) -> None:
        """Let this tick pass without a run."""

    def limit_reached(self, now: float) -> None:
        """Notice that the time limit entered with `Timetable.limit` has come."""


Entry = tuple[float, int, Scheduled]
"""Due time on the loop, ticket, task."""


class Timetable:
    """The due times of the tasks of one loop.

    Args:
        lag: how late the loop runs, in seconds.
        shed_lag: lag in seconds from which LOW tasks are skipped.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        *,
        lag: Callable[[], float],
        shed_lag: float,
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._lag = lag
        self._shed_lag = shed_lag
        self._tickets = itertools.count(1)
        self._heap: list[Entry] = []
        self._starting: deque[Entry] = deque()
        self._ready: tuple[deque[Entry], ...] = tuple(deque() for _ in TaskPriority)
        self._shed_from = len(TaskPriority)
        self._timer: asyncio.Handle | None = None
        self._armed = math.inf
        self._carriers: set[asyncio.Task[None]] = set()
        self._turn = 0
        """Number of the carrier whose turn it is."""
        self._dates: list[tuple[int, int, Scheduled]] = []
        self._watched: float = math.inf
        self._watchers: set[asyncio.Task[None]] = set()

    async def begun(self) -> None:
        """Return when the runs entered with `now` have made their first steps."""
        while self._starting:  # noqa: ASYNC110 - a matter of one or two turns of the loop
            await asyncio.sleep(0)

    def now(self, task: Scheduled) -> int:
        """Enter a run for now, before all others and in this order; return its ticket."""
        ticket = next(self._tickets)
        # What is started together gets one time, and so falls due together ever after.
        now = self._starting[0][0] if self._starting else self._loop.time()
        self._starting.append((now, ticket, task))
        if now < self._armed:
            self._arm(now)
        return ticket

    def at(self, due: float, task: Scheduled) -> int:
        """Enter the next run of a task at a loop time; return its ticket."""
        ticket = next(self._tickets)
        heapq.heappush(self._heap, (due, ticket, task))
        if due < self._armed:
            self._arm(due)
        return ticket

    # Limits share the heap with the runs: a ticket says which of the two it is.
    limit = at

    def on(self, date: int, task: Scheduled) -> int:
        """Enter the next run of a task at a calendar time (ms); return its ticket."""
        ticket = next(self._tickets)
        heapq.heappush(self._dates, (date, ticket, task))
        if date < self._watched:
            self._watch(date)
        return ticket

    async def close(self) -> None:
        """Forget everything entered, and end the timers."""
        self._heap.clear()
        self._dates.clear()
        self._starting.clear()
        for queue in self._ready:
            queue.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._armed = math.inf
        self._watched = math.inf
        watchers = list(self._watchers)
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        await asyncio.sleep(0)  # a carrier just made finds nothing to do, and ends

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = when
        # The empty context: whatever runs from here belongs to no cell of a notebook.
        self._timer = self._loop.call_at(when, self._wake, context=contextvars.Context())

    def _wake(self) -> None:
        now = self._loop.time()
        lag = max(self._lag(), now - self._armed)
        self._shed_from = len(TaskPriority)
        if lag > self._shed_lag:
            severe = lag > self._shed_lag * MEDIUM_FACTOR
            self._shed_from = TaskPriority.MEDIUM if severe else TaskPriority.LOW
        self._serve()

    def _serve(self) -> None:
        """Have everything that is due carried out, then wait for the next due time."""
        self._timer = None
        self._armed = -math.inf  # entries made meanwhile need no timer of their own
        self._collect()
        if self._starting or any(self._ready):
            # The empty context: a run belongs to no cell of a notebook.
            self._turn += 1
            carrier = self._loop.create_task(
                self._carry(self._turn), name="botlib carrier", context=contextvars.Context()
            )
            self._carriers.add(carrier)
            carrier.add_done_callback(self._carriers.discard)
            self._timer = self._loop.call_soon(self._serve, context=contextvars.Context())
        elif self._heap:
            self._arm(self._heap[0][0])
        else:
            self._armed = math.inf

    def _collect(self) -> None:
        now = self._loop.time()
        heap = self._heap
        ready = self._ready
        while heap and heap[0][0] <= now:
            entry = heapq.heappop(heap)
            task = entry[2]
            if task.ticket == entry[1]:
                ready[task.level].append(entry)
            elif task.limit_ticket == entry[1]:
                task.limit_reached(now)

    async def _carry(self, turn: int) -> None:
        """Carry out what is ready, the most important first, until a run waits for something."""
        own = asyncio.current_task()
        assert own is not None
        time = self._loop.time
        now = time()
        until = now + BATCH_SECONDS
        for _ in range(BATCH):
            entry = self._next_ready()
            if entry is None:
                return
            due, _, task = entry
            run = task.begin(due, now)
            if run is None:
                continue
            own.set_name(task.name)
            error = await run.carried_by(own)
            task.settle(error)
            now = time()
            if error is not None and isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
                raise error
            if (
                self._turn != turn  # the run waited, and the rest went to another carrier
                or now > until
                or own.cancelling()
                # It set a context variable, which must not show in the runs of other tasks.
                or len(contextvars.copy_context()) > 1
            ):
                return

    def _next_ready(self) -> Entry | None:
        while self._starting:
            entry = self._starting.popleft()
            if entry[2].ticket == entry[1]:
                return entry
        for level, queue in enumerate(self._ready):
            while queue:
                entry = queue.popleft()
                if entry[2].ticket != entry[1]:
                    continue
                if level >= self._shed_from:
                    entry[2].skip()
                    continue
                return entry
        return None

    def _watch(self, date: int) -> None:
        for watcher in self._watchers:
            watcher.cancel()
        self._watched = date
        watcher = self._loop.create_task(
            self._follow(), name="botlib calendar", context=contextvars.Context()
        )
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)

    async def _follow(self) -> None:
        """Wait for the calendar times one after the other."""
        while self._dates:
            self._watched = self._dates[0][0]
            try:
                await self._clock.sleep_until(self._dates[0][0])
            except Exception:
                log.exception("The clock of the tasks failed; it is asked again in a second")
                await asyncio.sleep(1)
                continue
            self._take_dates()
        self._watched = math.inf

    def _take_dates(self) -> None:
        moment = self._clock.now()
        now = self._loop.time()
        # New dates up to this moment are taken in the same go, by the loop below.
        self._watched = -math.inf
        some = False
        while self._dates and self._dates[0][0] <= moment:
            date, ticket, task = heapq.heappop(self._dates)
            if task.ticket == ticket:
                self._ready[task.level].append((now - (moment - date) / 1_000, ticket, task))
                some = True
        if some and now < self._armed:
            self._arm(now)
