"""The threads in which plain functions run.

The threads are daemons, so that a function which never returns cannot hold up the end of the
process, as it would in the standard executor. A thread held by such a function is written off and
replaced: it takes nothing away from the other tasks.
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
"""A thread without work for so long ends."""


class Job:
    """One call of a plain function; ``finish(result, error)`` is called on the loop."""

    __slots__ = ("cancelled", "context", "finish", "func", "loop", "started", "written_off")

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
        self.written_off = False

    def run(self) -> None:
        result: object = None
        error: BaseException | None = None
        try:
            result = self.context.run(self.func)
        except BaseException as caught:
            # Whatever it is belongs to the task, and must not end a thread of the pool.
            error = caught
        with suppress(RuntimeError):  # the loop was closed in the meantime
            self.loop.call_soon_threadsafe(self.finish, result, error, context=self.context.copy())


class ThreadPool:
    """At most ``size`` daemon threads, made when needed.

    With a size of 0 a job runs at once, on the thread that submits it: a simulation, where time
    passes only between the steps of its loop, is the same each time.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0

    def submit(self, job: Job) -> None:
        """Run a job as soon as a thread is free."""
        if self.size == 0:
            job.started = True
            job.run()
            return
        with self._lock:
            spawn = self._idle <= self._jobs.qsize() and self._threads < self.size
            if spawn:
                self._threads += 1
            # Put under the lock: a thread about to end looks at the queue under it once more.
            self._jobs.put(job)
        if spawn:
            self._spawn()

    def cancel(self, job: Job) -> bool:
        """Take back a job that has not begun; tell whether that was in time."""
        with self._lock:
            job.cancelled = not job.started
            return job.cancelled

    def write_off(self, job: Job) -> None:
        """Give up on a job that does not end: its thread no longer counts, and ends after it."""
        with self._lock:
            if job.written_off:
                return
            job.written_off = True
            spawn = not self._jobs.empty()
            self._threads -= 0 if spawn else 1
        if spawn:
            self._spawn()

    def close(self) -> None:
        """Let the threads end as soon as they have nothing to do."""
        with self._lock:
            for _ in range(self._threads):
                self._jobs.put(None)

    def _spawn(self) -> None:
        threading.Thread(target=self._work, name="botlib-task", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            bored = False
            job: Job | None = None
            try:
                job = self._jobs.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                bored = True
            with self._lock:
                self._idle -= 1
                if bored and not self._jobs.empty():
                    continue
                if job is None:
                    self._threads -= 1
                    return
                if job.cancelled:
                    continue
                job.started = True
            job.run()
            with self._lock:
                if job.written_off:
                    return
