"""One run of a task: a coroutine on the loop, or a call in a thread."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from botlib.tasks.counters import Figures
from botlib.tasks.faults import exited
from botlib.tasks.threads import Job, ThreadPool


class Cause(Enum):
    """Why a run was asked to end."""

    STOP = auto()
    PAUSE = auto()
    TIMEOUT = auto()


class Run:
    """One run, which reports its end once.

    Args:
        name: of the task.
        func: what is run.
        due: when it was due, loop time.
        figures: where start, lateness and duration are noted.
        ended: called on the loop as ``ended(error)``; a run that was cancelled reports
            `asyncio.CancelledError`.
    """

    __slots__ = (
        "_ended",
        "_figures",
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
        figures: Figures,
        ended: Callable[[BaseException | None], None],
    ) -> None:
        self.due = due
        self.cause: Cause | None = None
        self.limit: float | None = None
        """Loop time at which it should have ended."""
        self.stuck_since: float | None = None
        self._name = name
        self._func = func
        self._loop = loop
        self._figures = figures
        self._ended = ended
        self._task: asyncio.Task[None] | None = None
        self._job: Job | None = None
        self._threads: ThreadPool | None = None

    @property
    def in_thread(self) -> bool:
        """Whether it holds a thread, and so cannot be cancelled."""
        return self._job is not None

    @property
    def cancelled_outside(self) -> bool:
        """Whether somebody else asked the coroutine to end."""
        return self.cause is None and self._task is not None and self._task.cancelling() > 0

    async def carried_by(self, carrier: asyncio.Task[None]) -> BaseException | None:
        """Run as a coroutine within an asyncio task; return what was raised."""
        self._task = carrier
        figures = self._figures
        try:
            await self._func()
        except GeneratorExit:
            raise  # the loop is gone
        except SystemExit as error:
            return exited(self._name, error)
        except BaseException as error:
            return error
        finally:
            figures.duration = self._loop.time() - (figures.started or 0.0)
        return None

    def begin_in_thread(self, context: contextvars.Context, threads: ThreadPool) -> None:
        """Run in a thread."""
        self._threads = threads
        self._job = Job(self._thread_body, self._job_ended, self._loop, context)
        threads.submit(self._job)

    def cancel(self, cause: Cause) -> bool:
        """Ask for the end; tell whether it was still in time to prevent the run altogether."""
        self.cause = cause
        if self._task is not None:
            self._task.cancel(f"{cause.name.lower()} of task {self._name!r}")
        elif self._job is not None and self._threads is not None:
            return self._threads.cancel(self._job)
        return False

    def write_off(self) -> None:
        """Give the thread up for lost, so that the other tasks are not short of one."""
        if self._job is not None and self._threads is not None:
            self._threads.write_off(self._job)

    def _thread_body(self) -> object:
        self._note_start()
        try:
            return self._func()
        except SystemExit as error:
            raise exited(self._name, error) from error
        finally:
            self._note_end()

    async def _rest_of_body(self, awaitable: Any) -> None:
        try:
            await awaitable
        except SystemExit as error:
            raise exited(self._name, error) from error
        finally:
            self._note_end()

    def _note_start(self) -> None:
        figures = self._figures
        figures.started = now = self._loop.time()
        figures.lateness.append(now - self.due)

    def _note_end(self) -> None:
        figures = self._figures
        figures.duration = self._loop.time() - (figures.started or 0.0)

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
            # A lambda around a coroutine function: what it returned is the rest of the run.
            context = contextvars.copy_context()
            self._job = None
            self._task = task = self._loop.create_task(
                self._rest_of_body(result), name=self._name, context=context
            )
            task.add_done_callback(self._task_ended, context=context)
