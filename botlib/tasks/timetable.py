"""The due times of tasks, and the asyncio tasks that carry out their runs.

Tasks do not sleep. A task enters its next due time in one heap, under one timer, and gets a ticket;
when the time has come and the ticket is still the task's current one, it runs. An entry is
cancelled by dropping its ticket, which costs nothing.

Runs that are due together are carried out by one asyncio task, the worker, one after the other. As
soon as a run waits for something, that worker belongs to the run, with its name and to its end, and
another worker takes over the rest. Most runs of a busy schedule wait for nothing, so no asyncio
task has to be created for each of them.
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
from botlib.tasks.run import TaskRun

log = logging.getLogger(__name__)

BATCH: Final = 256
"""Number of runs carried out before the loop gets its turn."""

BATCH_SECONDS: Final = 0.005
"""Seconds after which the loop gets its turn in any case."""

MEDIUM_FACTOR: Final = 4.0
"""Multiple of the lag that skips LOW tasks, from which on MEDIUM ones are skipped too."""


class Scheduled(Protocol):
    """What the timetable needs of a task."""

    level: int
    ticket: int
    limit_ticket: int

    @property
    def name(self) -> str: ...

    def begin(self, due: float, now: float) -> TaskRun | None:
        """Begin the run due at ``due`` (loop time); return None if there is nothing to await."""

    def finish(self, error: BaseException | None) -> None:
        """Process the end of a run."""

    def skip(self) -> None:
        """Skip this tick."""

    def limit_reached(self, now: float) -> None:
        """Process the time limit entered with `Timetable.add_limit`, which has come."""


Entry = tuple[float, int, Scheduled]
"""Due time on the loop, ticket, task."""


class Timetable:
    """The due times of the tasks of one loop.

    Args:
        lag: returns the lateness of the loop in seconds.
        shed_lag: lag in seconds from which on LOW tasks are skipped.
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
        self._workers: set[asyncio.Task[None]] = set()
        self._turn = 0
        """Number of the worker whose turn it is."""
        self._dates: list[tuple[int, int, Scheduled]] = []
        self._next_date: float = math.inf
        self._date_waiters: set[asyncio.Task[None]] = set()

    async def wait_begun(self) -> None:
        """Wait until the runs entered with `add_now` have made their first steps."""
        while self._starting:  # noqa: ASYNC110 - one or two turns of the loop
            await asyncio.sleep(0)

    def add_now(self, task: Scheduled) -> int:
        """Enter a run for now, before all others and in this order; return its ticket."""
        ticket = next(self._tickets)
        # Tasks started together get the same time, and so stay due together.
        now = self._starting[0][0] if self._starting else self._loop.time()
        self._starting.append((now, ticket, task))
        if now < self._armed:
            self._arm(now)
        return ticket

    def add(self, due: float, task: Scheduled) -> int:
        """Enter the next run of a task at a loop time; return its ticket."""
        ticket = next(self._tickets)
        heapq.heappush(self._heap, (due, ticket, task))
        if due < self._armed:
            self._arm(due)
        return ticket

    # Limits share the heap with the runs: the ticket tells which of the two an entry is.
    add_limit = add

    def add_date(self, date: int, task: Scheduled) -> int:
        """Enter the next run of a task at a calendar time (ms); return its ticket."""
        ticket = next(self._tickets)
        heapq.heappush(self._dates, (date, ticket, task))
        if date < self._next_date:
            self._wait_for_date(date)
        return ticket

    async def close(self) -> None:
        """Drop all entries, and stop the timers."""
        self._heap.clear()
        self._dates.clear()
        self._starting.clear()
        for queue in self._ready:
            queue.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._armed = math.inf
        self._next_date = math.inf
        waiters = list(self._date_waiters)
        for waiter in waiters:
            waiter.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
        await asyncio.sleep(0)  # a worker just created finds nothing to do, and ends

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = when
        # The empty context: what runs from here belongs to no cell of a notebook.
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
        """Start a worker for all that is due, then wait for the next due time."""
        self._timer = None
        self._armed = -math.inf  # entries made meanwhile need no timer
        self._collect()
        if self._starting or any(self._ready):
            # The empty context: a run belongs to no cell of a notebook.
            self._turn += 1
            worker = self._loop.create_task(
                self._work(self._turn), name="botlib worker", context=contextvars.Context()
            )
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
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

    async def _work(self, turn: int) -> None:
        """Carry out ready runs, the most important first, until one of them waits for something."""
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
            error = await run.run_in(own)
            task.finish(error)
            now = time()
            if error is not None and isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
                raise error
            if (
                self._turn != turn  # the run waited, and another worker took over
                or now > until
                or own.cancelling()
                # It set a context variable, which other tasks must not see.
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

    def _wait_for_date(self, date: int) -> None:
        for waiter in self._date_waiters:
            waiter.cancel()
        self._next_date = date
        waiter = self._loop.create_task(
            self._wait_for_dates(), name="botlib calendar", context=contextvars.Context()
        )
        self._date_waiters.add(waiter)
        waiter.add_done_callback(self._date_waiters.discard)

    async def _wait_for_dates(self) -> None:
        """Wait for the calendar dates one after the other."""
        while self._dates:
            self._next_date = self._dates[0][0]
            try:
                await self._clock.sleep_until(self._dates[0][0])
            except Exception:
                log.exception("The clock of the tasks failed; the next attempt is in a second")
                await asyncio.sleep(1)
                continue
            self._collect_dates()
        self._next_date = math.inf

    def _collect_dates(self) -> None:
        moment = self._clock.now()
        now = self._loop.time()
        # New dates up to this moment are collected by the loop below.
        self._next_date = -math.inf
        found = False
        while self._dates and self._dates[0][0] <= moment:
            date, ticket, task = heapq.heappop(self._dates)
            if task.ticket == ticket:
                self._ready[task.level].append((now - (moment - date) / 1_000, ticket, task))
                found = True
        if found and now < self._armed:
            self._arm(now)
