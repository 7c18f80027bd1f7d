"""One supervised task and the states it goes through."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time

from botlib.core.errors import TaskError, TaskTimeout
from botlib.core.retry import RestartCounter
from botlib.tasks import faults
from botlib.tasks.config import TaskConfig
from botlib.tasks.counters import Figures
from botlib.tasks.current import current
from botlib.tasks.environment import Environment
from botlib.tasks.run import Cause, Run
from botlib.tasks.schedule import Calendar, Forever, Interval, Once
from botlib.tasks.status import TaskState, TaskStatus

log = logging.getLogger(__name__)


class ManagedTask:
    """A task under supervision, with one run at a time.

    Its methods are called on the loop of its manager; what it shows may be read from any thread.
    """

    def __init__(self, config: TaskConfig, group: str | None = None) -> None:
        self.config = config
        self.group = group
        self.figures = Figures()
        self.final_error: BaseException | None = None
        """What ended the task for good, None while it may still run."""
        self.level: int = config.level
        self.ticket = 0
        """The entry of the next run in the timetable, 0 for none."""
        self.limit_ticket = 0
        self._limit_entered = 0.0
        self.pending = False
        """Whether it is to be started as soon as the former holder of its name has ended."""
        self._env: Environment | None = None
        self._run: Run | None = None
        self._is_async = config.is_async
        self._by_date = isinstance(config.schedule, Calendar)
        self._time_limit = config.time_limit
        # Empty but for the task itself: a run belongs to no cell of a notebook.
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
        """The tick of the grid that was used last, loop time."""
        self._next = 0.0
        """The tick that is entered."""
        self._date = 0
        """The calendar tick that was used last, ms."""
        self._next_date = 0
        self._made_up = False
        self._extra = False
        """Whether the next run is none of the schedule's."""
        self._blind = False
        """Whether the clock told no time yet when the next date was entered."""
        self._waiting: list[asyncio.Future[BaseException | None]] = []

    # What it is

    @property
    def name(self) -> str:
        """The identity of the task."""
        return self.config.name

    @property
    def idle(self) -> bool:
        """Whether no run of it is going on, not even one that was cancelled."""
        return self._run is None

    @property
    def active(self) -> bool:
        """Whether it was started, or is about to be, and will go on by itself or when resumed."""
        return self._wanted or self.pending

    @property
    def resting(self) -> bool:
        """Whether nothing of it is going on or ahead."""
        return self.idle and not self.active and not self.ticket

    @property
    def done(self) -> bool:
        """Whether it ran to its end."""
        return self._done

    @property
    def stopped(self) -> bool:
        """Whether it was started and then stopped by hand."""
        return self.state is TaskState.STOPPED

    @property
    def state(self) -> TaskState:
        """Where the task is in its life."""
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
        """Return the seconds since a run should have ended, None where none is stuck."""
        run = self._run
        return None if run is None or run.stuck_since is None else self._now() - run.stuck_since

    def silent_for(self) -> float | None:
        """Return the seconds since the last beat or the start, None where it does not run."""
        if self._run is None or self.figures.started is None:
            return None
        return self._now() - max(self.figures.beaten, self.figures.started)

    def status(self) -> TaskStatus:
        """Return all about the task at this moment."""
        figures = self.figures
        p50, p99 = figures.percentiles()
        loop_now = self._now()
        wall = time.time_ns() // 1_000_000
        started = figures.started
        return TaskStatus(
            name=self.name,
            group=self.group,
            state=self.state,
            priority=self.config.level.name,
            schedule=str(self.config.schedule),
            runs=figures.runs,
            failures=figures.failures,
            failures_in_row=figures.failures_in_row,
            restarts=figures.restarts,
            overruns=figures.overruns,
            skipped=figures.skipped,
            timeouts=figures.timeouts,
            work=figures.work,
            last_start=None if started is None else wall - round((loop_now - started) * 1_000),
            last_duration=figures.duration,
            last_error=figures.error,
            last_traceback=figures.traceback,
            next_run=self._next_run(wall, loop_now),
            lateness_p50=p50,
            lateness_p99=p99,
            metadata=self.config.metadata,
        )

    def __repr__(self) -> str:
        return f"<ManagedTask {self.name!r} {self.config.schedule} {self.state}>"

    # What is done with it

    def start(self, env: Environment) -> None:
        """Start from the beginning; nothing of it may be running."""
        assert self.idle and not self._wanted
        self._env = env
        self._wanted = True
        self.pending = False
        self.limit_ticket = 0  # the timetable may have been cleared
        self._started_ever = True
        self._paused = self._done = self._backing_off = False
        self.final_error = None
        self.figures.failures_in_row = 0
        self._not_before = 0.0
        self._counter.clear()
        self._begin()

    def halt(self, cause: Cause = Cause.STOP) -> None:
        """Ask for the end: no further run, and a run going on is cancelled."""
        if cause is Cause.STOP:
            self._wanted = self._paused = self.pending = False
        self.ticket = 0
        self._backing_off = self._extra = False
        if self._run is not None:
            self._end_run(cause)
        else:
            self._tell(faults.stopped_early(self.name))
            if self._env is not None:
                self._env.rested(self)

    def pause(self) -> None:
        """Run no more until `resume`: a run going on ends first, one for ever is cancelled."""
        self._paused = True
        self.ticket = 0
        if isinstance(self.config.schedule, Forever):
            self.halt(Cause.PAUSE)

    def resume(self) -> None:
        """Take the schedule up again."""
        if not self._paused:
            return
        self._paused = False
        if self.idle and self._wanted:
            self._begin()

    def run_once(self, env: Environment) -> asyncio.Future[BaseException | None]:
        """Run outside the schedule, nothing of it may be running; return a future as `join`."""
        self._env = env
        self._extra = True
        self.limit_ticket = 0
        self.ticket = env.timetable.now(self)
        future: asyncio.Future[BaseException | None] = env.loop.create_future()
        self._waiting.append(future)
        return future

    def join(self) -> asyncio.Future[BaseException | None]:
        """Return a future of the end of the current run; its result is what the run raised."""
        future: asyncio.Future[BaseException | None]
        future = asyncio.get_running_loop().create_future()
        if self.idle:
            future.set_result(None)
        else:
            self._waiting.append(future)
        return future

    def outlived(self) -> None:
        """Take note that the time to end is over; a run going on is stuck."""
        if self._run is not None and self._run.stuck_since is None and not self._wanted:
            self._be_stuck(self._run)

    def forsake(self) -> None:
        """Take note that the loop is gone, and all runs with it."""
        self._run = None
        self._wanted = self._paused = self._backing_off = self.pending = False
        self.ticket = self.limit_ticket = 0
        self._extra = False
        self._waiting.clear()

    def count(self, n: int) -> None:
        """Add to the work done."""
        self.figures.work += n
        self.figures.beaten = self._now()

    # What the timetable calls

    def begin(self, due: float, now: float) -> Run | None:
        """Begin the run that was due at ``due`` (loop time); None if there is nothing to await."""
        if self._by_date and not self._take_date(now):
            return None
        env = self._env
        assert env is not None
        figures = self.figures
        figures.runs += 1
        self.ticket = 0
        self._due = due
        self._backing_off = False
        config = self.config
        self._run = run = Run(config.name, config.func, due, env.loop, figures, self.settle)
        if self._time_limit is not None:
            self._limit(run, now + self._time_limit)
        if self._is_async:
            figures.started = now
            figures.lateness.append(now - due)
            current.set(self)
            return run
        run.begin_in_thread(self._context.copy(), env.threads)
        return None

    def skip(self) -> None:
        """Let this tick pass without a run."""
        self.figures.skipped += 1
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
        """Cancel a run at its timeout; call it stuck when that did not end it in time."""
        self.limit_ticket = 0
        run = self._run
        if run is None or run.limit is None:
            return
        if now < run.limit:
            # The entry was made for an earlier run; the present one has more time.
            self._limit(run, run.limit)
        elif run.cause is None:
            self._time_out()
        elif run.stuck_since is None:
            self._be_stuck(run)

    # A run

    def _begin(self) -> None:
        env = self._environment()
        if self._by_date:
            self._enter_date(env.clock.now())
        else:
            self.ticket = env.timetable.now(self)

    def _end_run(self, cause: Cause) -> None:
        run = self._run
        assert run is not None
        env = self._environment()
        if run.cause is not None and run.stuck_since is None:
            run.cause = cause  # a second cancellation would break off its clean-up
            return
        if run.cancel(cause):
            self.settle(asyncio.CancelledError())
        elif run.in_thread and cause is Cause.TIMEOUT:
            # A thread cannot be cancelled, only waited for.
            self._be_stuck(run)
        elif run.stuck_since is None:
            self._limit(run, env.loop.time() + env.grace)

    def _time_out(self) -> None:
        self.figures.timeouts += 1
        self._record(faults.timed_out(self.name, self._time_limit or 0.0))
        self._end_run(Cause.TIMEOUT)

    def _be_stuck(self, run: Run) -> None:
        run.stuck_since = self._now()
        run.write_off()
        log.error(
            "Task %r is stuck: it still runs after its %s, and is not started again before it ends",
            self.name,
            "timeout" if run.cause is Cause.TIMEOUT else "cancellation",
        )

    def _limit(self, run: Run, when: float) -> None:
        run.limit = when
        if self.limit_ticket == 0 or when < self._limit_entered:
            self._limit_entered = when
            self.limit_ticket = self._environment().timetable.limit(when, self)

    # After a run

    def settle(self, error: BaseException | None) -> None:
        run = self._run
        if run is None:  # forsaken with its loop
            return
        self._run = None
        if error is None and run.cause is None:
            error = self._succeeded()
        elif run.cause is Cause.TIMEOUT:
            error = TaskTimeout(self.figures.error)
            self._recover(error)
        elif run.cause is None:
            if error is None or isinstance(error, asyncio.CancelledError):
                error = faults.cancelled(self.name, outside=run.cancelled_outside)
            self._record(error)
            if run.cancelled_outside:
                self._give_up(error)
            else:
                self._recover(error)
        else:
            if error is not None and not isinstance(error, asyncio.CancelledError):
                self._record(error)
            if run.cause is Cause.PAUSE and self._wanted and not self._paused:
                self._begin()  # resumed while the pause was still being carried out
        if self._waiting:
            self._tell(error)
        if not self._wanted:
            self._environment().rested(self)

    def _tell(self, error: BaseException | None) -> None:
        """Answer those who wait for the end of the run."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(error)

    def _succeeded(self) -> TaskError | None:
        self.figures.failures_in_row = 0
        schedule = self.config.schedule
        if isinstance(schedule, Once):
            self._done = True
            self._wanted = False
        elif isinstance(schedule, Forever):
            error = faults.returned(self.name)
            self._record(error)
            self._give_up(error)
            return error
        elif self._wanted and not self._paused:
            self._enter_following(self._now())
        return None

    def _record(self, error: BaseException) -> None:
        self.figures.record(error)
        self._environment().failed(self, error)

    def _recover(self, error: BaseException) -> None:
        """Run again after a while, if that is granted."""
        if not self._wanted:
            return
        env = self._environment()
        figures = self.figures
        now = env.loop.time()
        policy = self.config.restart
        schedule = self.config.schedule
        if isinstance(schedule, Forever) and (figures.duration or 0.0) > policy.window:
            figures.failures_in_row = 1  # it had worked for long
        granted = env.auto_recovery and isinstance(error, Exception) and self._counter.grants(now)
        if not granted:
            self._give_up(error)
            return
        figures.restarts += 1
        if self._paused:
            return
        self._backing_off = True
        self._not_before = now + policy.delay(figures.failures_in_row, env.random)
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
        self.ticket = self._environment().timetable.at(due, self)

    def _enter_following(self, now: float) -> None:
        """Enter the next tick; those of a grid that passed meanwhile are counted and dropped."""
        schedule = self.config.schedule
        if isinstance(schedule, Interval):
            due, missed = schedule.following(self._due, now, self._not_before)
            self.figures.overruns += missed
            self._enter(due)
        else:
            self._enter_date(self._date)

    def _enter_date(self, after: int) -> None:
        """Enter the first tick after ``after`` (ms); one that has passed is made up at once."""
        schedule = self.config.schedule
        assert isinstance(schedule, Calendar)
        env, moment = self._environment(), self._environment().clock.now()
        # A market clock stands at 0 until the first event.
        self._blind = moment <= 0
        self._date = after
        self._next_date = schedule.following(after)
        self._made_up = self._next_date <= moment
        self.ticket = env.timetable.on(self._next_date, self)

    def _take_date(self, now: float) -> bool:
        """Use up the date that has come, and those passed since; tell whether to run for it."""
        if self._extra:
            self._extra = False
            return True
        schedule = self.config.schedule
        assert isinstance(schedule, Calendar)
        moment = self._environment().clock.now()
        if self._blind:
            # The clock has only now begun to tell the time: nothing was due before.
            self._enter_date(moment)
            return False
        self._date, missed = schedule.latest(self._next_date, moment)
        self.figures.overruns += missed or self._made_up
        if now < self._not_before:
            self.figures.overruns += 1
            self._enter_date(self._date)
            return False
        return True

    # Helpers

    def _environment(self) -> Environment:
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
