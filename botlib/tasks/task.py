"""One supervised task, its state and its next run."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Generator

from botlib.core.errors import TaskError, TaskTimeout
from botlib.core.retry import RestartCounter
from botlib.core.text.masking import masked
from botlib.tasks.config import TaskConfig
from botlib.tasks.counters import TaskCounters
from botlib.tasks.environment import TaskEnvironment, current
from botlib.tasks.run import (
    CancelCause,
    EndWaiters,
    TaskRun,
    blocked_error,
    cancelled_error,
    never_begun_error,
    returned_error,
    timeout_error,
)
from botlib.tasks.schedule import Calendar, Forever, Interval, Once
from botlib.tasks.status import TaskState, TaskStatus

log = logging.getLogger(__name__)


class ManagedTask:
    """A supervised task, with one run at a time.

    Its methods are called on the loop of its manager; its properties and status may be read from
    any thread.
    """

    def __init__(self, config: TaskConfig, group: str | None = None) -> None:
        self.config = config
        self.group = group
        self.counters = TaskCounters()
        self.final_error: BaseException | None = None
        """The error that ended the task for good, None while it may still run."""
        self.level: int = config.level
        self.ticket = 0
        """The ticket of the next run in the timetable, 0 for none."""
        self.limit_ticket = 0
        self._limit_entered = 0.0
        self.pending = False
        """Whether it starts as soon as the former holder of its name has ended."""
        self._env: TaskEnvironment | None = None
        self._run: TaskRun | None = None
        self._is_async = config.is_async
        self._on_calendar = isinstance(config.schedule, Calendar)
        self._time_limit = config.time_limit
        # Empty except for the task itself: a run belongs to no cell of a notebook.
        self._context = contextvars.Context()
        self._context.run(current.set, self)
        self._counter = RestartCounter(config.restart)
        self._wanted = False
        self._paused = False
        self._done = False
        self._started_ever = False
        self._backing_off = False
        self._not_before = 0.0
        self._due = 0.0
        """The last tick used of the grid, loop time."""
        self._next = 0.0
        """The tick entered in the timetable, loop time."""
        self._date = 0
        """The last calendar tick used, ms."""
        self._next_date = 0
        self._overdue = False
        self._unscheduled = False
        """Whether the next run does not belong to the schedule."""
        self._clock_unset = False
        """Whether the clock had no time yet when the next date was entered."""
        self._waiters = EndWaiters()

    def __await__(self) -> Generator[None, None, ManagedTask]:
        """Return the task: ``await manager.add_task(...)`` is the same as without ``await``."""
        return self
        yield  # the method of an awaitable is a generator

    # State

    @property
    def name(self) -> str:
        """The identity of the task."""
        return self.config.name

    @property
    def idle(self) -> bool:
        """Whether no run is going on, not even a cancelled one."""
        return self._run is None

    @property
    def active(self) -> bool:
        """Whether it was started or is about to be, and goes on by itself or when resumed."""
        return self._wanted or self.pending

    @property
    def resting(self) -> bool:
        """Whether no run is going on or scheduled."""
        return self.idle and not self.active and not self.ticket

    @property
    def done(self) -> bool:
        """Whether it ran to its end."""
        return self._done

    @property
    def stopped(self) -> bool:
        """Whether it was started and then stopped by a call."""
        return self.state is TaskState.STOPPED

    @property
    def state(self) -> TaskState:
        """The state of the task."""
        run = self._run
        if run is not None:
            if run.stuck_since is not None:
                return TaskState.STUCK
            return TaskState.RUNNING if run.cause is None else TaskState.STOPPING
        if self.final_error is not None:
            return TaskState.FAILED
        if self._done:
            return TaskState.DONE
        if self.active:
            if self._paused:
                return TaskState.PAUSED
            return TaskState.BACKOFF if self._backing_off else TaskState.WAITING
        if not self.config.enabled:
            return TaskState.DISABLED
        return TaskState.STOPPED if self._started_ever else TaskState.PENDING

    def stuck_for(self) -> float | None:
        """Return the seconds since a stuck run should have ended, or None if none is stuck."""
        run = self._run
        return None if run is None or run.stuck_since is None else self._now() - run.stuck_since

    def silent_for(self) -> float | None:
        """Return the seconds since the last beat or the start, or None if it does not run."""
        if self._run is None or self.counters.started is None:
            return None
        return self._now() - max(self.counters.last_beat, self.counters.started)

    def status(self) -> TaskStatus:
        """Return the status of the task at this moment."""
        loop_now = self._now()
        wall = time.time_ns() // 1_000_000
        started = self.counters.started
        return TaskStatus(
            name=self.name,
            group=self.group,
            state=self.state,
            priority=self.config.level.name,
            schedule=str(self.config.schedule),
            last_start=None if started is None else wall - round((loop_now - started) * 1_000),
            next_run=self._next_run(wall, loop_now),
            metadata=self.config.metadata,
            **self.counters.shown(),
        )

    def __repr__(self) -> str:
        return masked(f"<ManagedTask {self.name!r} {self.config.schedule} {self.state}>")

    # Control

    def start(self, env: TaskEnvironment) -> None:
        """Start anew; no run may be going on."""
        assert self.idle and not self._wanted
        self._env = env
        self._wanted = True
        self.pending = False
        self.limit_ticket = 0  # the timetable may have been cleared
        self._started_ever = True
        self._paused = self._done = self._backing_off = False
        self.final_error = None
        self.counters.failures_in_row = 0
        self._not_before = 0.0
        self._counter.clear()
        self._begin()

    def halt(self, cause: CancelCause = CancelCause.STOP) -> None:
        """Cancel the next run, and a run going on."""
        if cause is CancelCause.STOP:
            self._wanted = self._paused = self.pending = False
        self.ticket = 0
        self._backing_off = self._unscheduled = False
        if self._run is not None:
            self._end_run(cause)
        else:
            self._waiters.resolve(never_begun_error(self.name))
            if self._env is not None:
                self._env.rested(self)

    def pause(self) -> None:
        """Suspend the schedule until `resume`.

        A run going on ends first; one of a ``forever`` task is cancelled.
        """
        self._paused = True
        self.ticket = 0
        if isinstance(self.config.schedule, Forever):
            self.halt(CancelCause.PAUSE)

    def resume(self) -> None:
        """Resume the schedule."""
        if not self._paused:
            return
        self._paused = False
        if self.idle and self._wanted:
            self._begin()

    def run_once(self, env: TaskEnvironment) -> asyncio.Future[BaseException | None]:
        """Run outside the schedule, while no run is going on; return a future as `join`."""
        self._env = env
        self._unscheduled = True
        self.limit_ticket = 0
        self.ticket = env.timetable.add_now(self)
        return self._waiters.add(env.loop)

    def join(self) -> asyncio.Future[BaseException | None]:
        """Return a future of the end of the current run; its result is the error or None."""
        waiters = EndWaiters() if self.idle else self._waiters
        future = waiters.add(asyncio.get_running_loop())
        if self.idle:
            waiters.resolve(None)
        return future

    def mark_stuck(self) -> None:
        """Mark a run that is still going on as stuck, after the time to end is over."""
        if self._run is not None and self._run.stuck_since is None and not self._wanted:
            self._run.set_stuck(self._now())

    def reset(self) -> None:
        """Mark the task as not running, after the loop is gone."""
        self._run = None
        self._wanted = self._paused = self._backing_off = self.pending = False
        self.ticket = self.limit_ticket = 0
        self._unscheduled = False
        self._waiters.clear()

    def count(self, n: int) -> None:
        """Count work done."""
        self.counters.work += n
        self.counters.last_beat = self._now()

    # Called by the timetable

    def begin(self, due: float, now: float) -> TaskRun | None:
        """Begin the run due at ``due`` (loop time); return None if there is nothing to await."""
        if self._on_calendar and not self._process_date(now):
            return None
        env = self._env
        assert env is not None
        counters = self.counters
        counters.runs += 1
        self.ticket = 0
        self._due = due
        self._backing_off = False
        config = self.config
        self._run = run = TaskRun(config.name, config.func, due, env.loop, counters, self.finish)
        if self._time_limit is not None:
            self._limit(run, now + self._time_limit)
        if self._is_async:
            counters.started = now
            counters.lateness.append(now - due)
            current.set(self)
            return run
        run.start_in_thread(self._context.copy(), env.threads)
        return None

    def skip(self) -> None:
        """Skip this tick."""
        self.counters.skipped += 1
        env = self._environment()
        schedule = self.config.schedule
        if isinstance(schedule, Calendar):
            self._enter_date(env.clock.now())
        elif isinstance(schedule, Interval):
            self._due = self._next
            self._enter_following(env.loop.time())
        else:
            self._enter(env.loop.time() + self.config.restart.base)

    def limit_reached(self, now: float) -> None:
        """Cancel a run at its timeout; mark it as stuck if it did not end in time after that."""
        self.limit_ticket = 0
        run = self._run
        if run is None or run.limit is None:
            return
        if now < run.limit:
            # The entry was made for an earlier run; the current one has more time.
            self._limit(run, run.limit)
        elif run.cause is None:
            self._time_out()
        elif run.stuck_since is None:
            run.set_stuck(self._now())

    # A run

    def _begin(self) -> None:
        env = self._environment()
        if self._on_calendar:
            self._enter_date(env.clock.now())
        else:
            self.ticket = env.timetable.add_now(self)

    def _end_run(self, cause: CancelCause) -> None:
        run = self._run
        assert run is not None
        env = self._environment()
        if run.cause is not None and run.stuck_since is None:
            run.cause = cause  # a second cancellation would interrupt its clean-up
            return
        if run.cancel(cause):
            self.finish(asyncio.CancelledError())
        elif run.in_thread and cause is CancelCause.TIMEOUT:
            # A thread cannot be cancelled, only waited for.
            run.set_stuck(self._now())
        elif run.stuck_since is None:
            self._limit(run, env.loop.time() + env.grace)

    def _time_out(self) -> None:
        self.counters.timeouts += 1
        run, limit = self._run, self._time_limit or 0.0
        in_thread = run is not None and run.in_thread
        self._record(timeout_error(self.name, limit, in_thread=in_thread))
        self._end_run(CancelCause.TIMEOUT)

    def _limit(self, run: TaskRun, when: float) -> None:
        run.limit = when
        if self.limit_ticket == 0 or when < self._limit_entered:
            self._limit_entered = when
            self.limit_ticket = self._environment().timetable.add_limit(when, self)

    # After a run

    def finish(self, error: BaseException | None) -> None:
        """Process the end of a run: what follows, and who waited for it."""
        run = self._run
        if run is None:  # reset, as its loop was gone
            return
        self._run = None
        if error is None and run.cause is None and self._overran():
            error = blocked_error(self.name, self._time_limit or 0.0, self.counters.duration or 0.0)
            self.counters.timeouts += 1
            self._record(error)
            self._recover(error)
        elif error is None and run.cause is None:
            error = self._succeeded()
        elif run.cause is CancelCause.TIMEOUT:
            error = TaskTimeout(self.counters.error)
            self._recover(error)
        elif run.cause is None:
            if error is None or isinstance(error, asyncio.CancelledError):
                error = cancelled_error(self.name, outside=run.cancelled_outside)
            self._record(error)
            if run.cancelled_outside:
                self._give_up(error)
            else:
                self._recover(error)
        else:
            if error is not None and not isinstance(error, asyncio.CancelledError):
                self._record(error)
            if run.cause is CancelCause.PAUSE and self._wanted and not self._paused:
                self._begin()  # resumed while the run was still being cancelled for the pause
        self._waiters.resolve(error)
        if not self._wanted:
            self._environment().rested(self)

    def _overran(self) -> bool:
        """Return whether the last run took longer than its limit, which came too late to end it."""
        limit, took = self._time_limit, self.counters.duration
        return self._is_async and limit is not None and took is not None and took > limit

    def _succeeded(self) -> TaskError | None:
        self.counters.failures_in_row = 0
        schedule = self.config.schedule
        if isinstance(schedule, Once):
            self._done = True
            self._wanted = False
        elif isinstance(schedule, Forever):
            error = returned_error(self.name)
            self._record(error)
            self._give_up(error)
            return error
        elif self._wanted and not self._paused:
            self._enter_following(self._now())
        return None

    def _record(self, error: BaseException) -> None:
        self.counters.record(error)
        self._environment().failed(self, error)

    def _recover(self, error: BaseException) -> None:
        """Schedule another run after a delay, if the restart policy grants it."""
        if not self._wanted:
            return
        env = self._environment()
        counters = self.counters
        now = env.loop.time()
        policy = self.config.restart
        schedule = self.config.schedule
        if isinstance(schedule, Forever) and (counters.duration or 0.0) > policy.window:
            counters.failures_in_row = 1  # it had worked for a long time
        granted = env.auto_recovery and isinstance(error, Exception) and self._counter.grants(now)
        if not granted:
            self._give_up(error)
            return
        counters.restarts += 1
        if self._paused:
            return
        self._backing_off = True
        self._not_before = now + policy.delay(counters.failures_in_row, env.random)
        if isinstance(schedule, Once | Forever):
            self._enter(self._not_before)
        else:
            self._enter_following(now)

    def _give_up(self, error: BaseException) -> None:
        self._wanted = False
        self.final_error = error
        log.error("%s task %r ended for good", self.config.level.name, self.name)

    # The next run

    def _enter(self, due: float) -> None:
        self._next = due
        self.ticket = self._environment().timetable.add(due, self)

    def _enter_following(self, now: float) -> None:
        """Enter the next tick; ticks of a grid that passed meanwhile are counted and dropped."""
        schedule = self.config.schedule
        if isinstance(schedule, Interval):
            due, missed = schedule.following(self._due, now, self._not_before)
            self.counters.overruns += missed
            self._enter(due)
        else:
            self._enter_date(self._date)

    def _enter_date(self, after: int) -> None:
        """Enter the first tick after ``after`` (ms); one that has passed is due at once."""
        schedule = self.config.schedule
        assert isinstance(schedule, Calendar)
        env = self._environment()
        moment = env.clock.now()
        # A market clock stands at 0 until the first event.
        self._clock_unset = moment <= 0
        self._date = after
        self._next_date = schedule.following(after)
        self._overdue = self._next_date <= moment
        self.ticket = env.timetable.add_date(self._next_date, self)

    def _process_date(self, now: float) -> bool:
        """Process the date that has come, and those passed since; return whether to run now."""
        if self._unscheduled:
            self._unscheduled = False
            return True
        schedule = self.config.schedule
        assert isinstance(schedule, Calendar)
        moment = self._environment().clock.now()
        if self._clock_unset:
            # The clock has had no time until now: nothing was due before.
            self._enter_date(moment)
            return False
        self._date, missed = schedule.latest(self._next_date, moment)
        self.counters.overruns += missed or self._overdue
        if now < self._not_before:
            self.counters.overruns += 1
            self._enter_date(self._date)
            return False
        return True

    # Helpers

    def _environment(self) -> TaskEnvironment:
        assert self._env is not None, "the task was never started"
        return self._env

    def _now(self) -> float:
        return time.monotonic() if self._env is None else self._env.loop.time()

    def _next_run(self, wall: int, loop_now: float) -> int | None:
        if not self.ticket:
            return None
        if isinstance(self.config.schedule, Calendar):
            return self._next_date
        return wall + round((self._next - loop_now) * 1_000)
