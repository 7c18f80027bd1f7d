"""The threads in which plain functions run.

The threads are daemons, so that a function that never returns cannot delay the end of the process,
as it would in the standard executor. A thread occupied by such a function is abandoned and
replaced, so that the other tasks do not lack one.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

Finish = Callable[[object, BaseException | None], None]

_IDLE_SECONDS: Final = 30.0
"""Seconds without work after which a thread ends."""


class ThreadJob:
    """One call of a plain function; ``finish(result, error)`` is called on the loop."""

    __slots__ = ("abandoned", "cancelled", "context", "finish", "func", "loop", "started")

    def __init__(
        self,
        func: Callable[[], object],
        finish: Finish,
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context,
    ) -> None:
        self.func = func
        self.finish = finish
        self.loop = loop
        self.context = context
        self.started = False
        self.cancelled = False
        self.abandoned = False

    def run(self) -> None:
        """Call the function, and report its result or error to the loop."""
        result: object = None
        error: BaseException | None = None
        try:
            result = self.context.run(self.func)
        except BaseException as caught:
            # Any error belongs to the task, and must not end a thread of the pool.
            error = caught
        with suppress(RuntimeError):  # the loop was closed meanwhile
            self.loop.call_soon_threadsafe(self.finish, result, error, context=self.context.copy())


class ThreadPool:
    """A pool of at most ``size`` daemon threads, started when needed.

    With a size of 0 a job runs at once on the thread that submits it, so that a simulation, in
    which time passes only between the steps of its loop, is reproducible.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._jobs: queue.SimpleQueue[ThreadJob | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0

    def submit(self, job: ThreadJob) -> None:
        """Run a job as soon as a thread is free."""
        if self.size == 0:
            job.started = True
            job.run()
            return
        with self._lock:
            spawn = self._idle <= self._jobs.qsize() and self._threads < self.size
            if spawn:
                self._threads += 1
            # Under the lock, because a thread about to end checks the queue once more under it.
            self._jobs.put(job)
        if spawn:
            self._spawn()

    def cancel(self, job: ThreadJob) -> bool:
        """Cancel a job that has not begun; return whether that was in time."""
        with self._lock:
            job.cancelled = not job.started
            return job.cancelled

    def abandon(self, job: ThreadJob) -> None:
        """Abandon a job that does not end: its thread no longer counts, and ends with it."""
        with self._lock:
            if job.abandoned:
                return
            job.abandoned = True
            spawn = not self._jobs.empty()
            self._threads -= 0 if spawn else 1
        if spawn:
            self._spawn()

    def close(self) -> None:
        """Stop the threads as soon as they have nothing to do."""
        with self._lock:
            for _ in range(self._threads):
                self._jobs.put(None)

    def _spawn(self) -> None:
        threading.Thread(target=self._work, name="botlib-task", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            idle = False
            job: ThreadJob | None = None
            try:
                job = self._jobs.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                idle = True
            with self._lock:
                self._idle -= 1
                if idle and not self._jobs.empty():
                    continue
                if job is None:
                    self._threads -= 1
                    return
                if job.cancelled:
                    continue
                job.started = True
            job.run()
            with self._lock:
                if job.abandoned:
                    return
