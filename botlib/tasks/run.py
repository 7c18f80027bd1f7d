"""One run of a task: a coroutine on the loop, or a call in a thread."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from botlib.core.errors import TaskError, TaskTimeout
from botlib.core.text.formats import duration, interval
from botlib.tasks.counters import TaskCounters
from botlib.tasks.threads import ThreadJob, ThreadPool

log = logging.getLogger(__name__)


class CancelCause(Enum):
    """Why a run was cancelled by its manager."""

    STOP = auto()
    PAUSE = auto()
    TIMEOUT = auto()


class EndWaiters:
    """Futures of the end of a run; the result of each is the run's error or None."""

    def __init__(self) -> None:
        self._futures: list[asyncio.Future[BaseException | None]] = []

    def add(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[BaseException | None]:
        """Return another future of the end."""
        future: asyncio.Future[BaseException | None] = loop.create_future()
        self._futures.append(future)
        return future

    def resolve(self, error: BaseException | None) -> None:
        """Resolve all of them, and forget them."""
        waiting, self._futures = self._futures, []
        for future in waiting:
            if not future.done():
                future.set_result(error)

    def clear(self) -> None:
        """Forget all of them, after the loop is gone."""
        self._futures.clear()


class TaskRun:
    """One run, which reports its end once.

    Args:
        name: name of the task.
        func: the function to run.
        due: loop time at which it was due.
        counters: counters in which start, lateness and duration are stored.
        ended: called on the loop with the error or None; a run that was cancelled reports
            `asyncio.CancelledError`.
    """

    __slots__ = (
        "_counters",
        "_ended",
        "_func",
        "_job",
        "_loop",
        "_name",
        "_task",
        "_threads",
        "cause",
        "due",
        "limit",
        "stuck_since",
    )

    def __init__(
        self,
        name: str,
        func: Callable[[], Any],
        due: float,
        loop: asyncio.AbstractEventLoop,
        counters: TaskCounters,
        ended: Callable[[BaseException | None], None],
    ) -> None:
        self.due = due
        self.cause: CancelCause | None = None
        self.limit: float | None = None
        """Loop time at which it should have ended."""
        self.stuck_since: float | None = None
        self._name = name
        self._func = func
        self._loop = loop
        self._counters = counters
        self._ended = ended
        self._task: asyncio.Task[None] | None = None
        self._job: ThreadJob | None = None
        self._threads: ThreadPool | None = None

    @property
    def in_thread(self) -> bool:
        """Whether it occupies a thread, and so cannot be cancelled."""
        return self._job is not None

    @property
    def cancelled_outside(self) -> bool:
        """Whether the coroutine was cancelled by someone else than the manager."""
        return self.cause is None and self._task is not None and self._task.cancelling() > 0

    async def run_in(self, worker: asyncio.Task[None]) -> BaseException | None:
        """Run as a coroutine inside an asyncio task; return the error or None."""
        self._task = worker
        counters = self._counters
        try:
            await self._func()
        except GeneratorExit:
            raise  # the loop is gone
        except SystemExit as error:
            return exit_error(self._name, error)
        except BaseException as error:
            return error
        finally:
            counters.duration = self._loop.time() - (counters.started or 0.0)
        return None

    def start_in_thread(self, context: contextvars.Context, threads: ThreadPool) -> None:
        """Start in a thread."""
        self._threads = threads
        self._job = ThreadJob(self._thread_body, self._job_ended, self._loop, context)
        threads.submit(self._job)

    def cancel(self, cause: CancelCause) -> bool:
        """Cancel the run; return whether it had not begun and will not begin any more."""
        self.cause = cause
        if self._task is not None:
            self._task.cancel(f"{cause.name.lower()} of task {self._name!r}")
        elif self._job is not None and self._threads is not None:
            return self._threads.cancel(self._job)
        return False

    def set_stuck(self, now: float) -> None:
        """Store and log that it outlived its end; ``now`` is loop time in seconds."""
        self.stuck_since = now
        self.abandon_thread()
        log.error(
            "Task %r is stuck: it still runs after its %s, and is not started again before it ends",
            self._name,
            "timeout" if self.cause is CancelCause.TIMEOUT else "cancellation",
        )

    def abandon_thread(self) -> None:
        """Replace the thread it occupies, so that other tasks do not lack one."""
        if self._job is not None and self._threads is not None:
            self._threads.abandon(self._job)

    def _thread_body(self) -> object:
        self._note_start()
        try:
            return self._func()
        except SystemExit as error:
            raise exit_error(self._name, error) from error
        finally:
            self._note_end()

    async def _rest_of_body(self, awaitable: Any) -> None:
        try:
            await awaitable
        except SystemExit as error:
            raise exit_error(self._name, error) from error
        finally:
            self._note_end()

    def _note_start(self) -> None:
        counters = self._counters
        counters.started = now = self._loop.time()
        counters.lateness.append(now - self.due)

    def _note_end(self) -> None:
        counters = self._counters
        counters.duration = self._loop.time() - (counters.started or 0.0)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._ended(asyncio.CancelledError() if task.cancelled() else task.exception())

    def _job_ended(self, result: object, error: BaseException | None) -> None:
        if not inspect.isawaitable(result):
            self._ended(error)
        elif self.cause is not None:
            if inspect.iscoroutine(result):
                result.close()
            self._ended(asyncio.CancelledError())
        else:
            # A lambda around a coroutine function: the coroutine it returned is the rest.
            context = contextvars.copy_context()
            self._job = None
            self._task = task = self._loop.create_task(
                self._rest_of_body(result), name=self._name, context=context
            )
            task.add_done_callback(self._task_ended, context=context)


def timeout_error(name: str, limit: float, *, in_thread: bool = False) -> TaskTimeout:
    """Return the error of a run that took longer than ``limit`` seconds.

    Args:
        in_thread: whether it runs in a thread, which cannot be ended.
    """
    if in_thread:
        return TaskTimeout(
            f"A run of task {name!r} takes longer than its timeout of {interval(limit)}. A "
            "plain function cannot be ended, so it goes on, and no other run begins before it has "
            "ended. Make it an async def that awaits, or give it more time with timeout=."
        )
    return TaskTimeout(
        f"A run of task {name!r} took longer than its timeout of {interval(limit)} and was "
        "cancelled. Find out what it waits for, or give it more time with timeout=."
    )


def blocked_error(name: str, limit: float, took: float) -> TaskTimeout:
    """Return the error of a run that blocked the loop beyond its limit, all in seconds."""
    return TaskTimeout(
        f"A run of task {name!r} took {duration(took)}, longer than its timeout of "
        f"{interval(limit)}, and blocked the loop meanwhile, so that it could not be ended. "
        "Await what takes long, or make it a plain def, which runs in a thread."
    )


def returned_error(name: str) -> TaskError:
    """Return the error of a ``forever`` task that came to an end."""
    return TaskError(
        f"Task {name!r} returned although it was to run for ever. Let it loop, or register it "
        "without forever=True."
    )


def cancelled_error(name: str, *, outside: bool) -> TaskError:
    """Return the error of a run that was cancelled by something else than its manager.

    Args:
        outside: whether the run itself was cancelled, not something it awaited.
    """
    if outside:
        return TaskError(f"Task {name!r} was cancelled from outside its manager.")
    return TaskError(
        f"Task {name!r} ended because something it awaited had been cancelled. Catch "
        "asyncio.CancelledError where that may happen."
    )


def never_begun_error(name: str) -> TaskError:
    """Return the error for callers that wait for a run that was stopped before it began."""
    return TaskError(f"Task {name!r} was stopped before its run began.")


def exit_error(name: str, error: SystemExit) -> TaskError:
    """Return the error of a task that called ``sys.exit``, which would end the whole loop."""
    wrapped = TaskError(
        f"Task {name!r} called sys.exit({error.code!r}). A task ends by returning or by raising an "
        "ordinary exception; end the program where it waits for its tasks."
    )
    wrapped.__cause__ = error
    return wrapped
