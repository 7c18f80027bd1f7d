"""How tasks start: at once, or as soon as the earlier holder of their name has ended."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from botlib.tasks.environment import TaskEnvironment
from botlib.tasks.host import LoopHost
from botlib.tasks.registry import TaskRegistry, start_order
from botlib.tasks.task import ManagedTask

log = logging.getLogger(__name__)


class BackgroundCalls:
    """Asyncio tasks of the manager itself, which log their failures and end with it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> None:
        """Start a coroutine on the loop, in an empty context: it belongs to no notebook cell."""
        task = loop.create_task(work, name="botlib task start", context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def cancel(self) -> None:
        """Cancel all that still runs, and wait for it."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def clear(self) -> None:
        """Drop all that ran, after the loop is gone."""
        self._tasks.clear()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("A task could not be started: %s", error, exc_info=error)


class Launcher:
    """The part of a manager that starts its tasks.

    Args:
        tasks: the registered tasks.
        host: the loop they start on.
        begin: called before a task starts by itself; raises if nothing may start.
        stopping: returns whether everything is being stopped.
    """

    def __init__(
        self,
        tasks: TaskRegistry,
        host: LoopHost,
        *,
        begin: Callable[[], None],
        stopping: Callable[[], bool],
    ) -> None:
        self._tasks = tasks
        self._host = host
        self._begin = begin
        self._stopping = stopping
        self._calls = BackgroundCalls()

    def launch(self, task: ManagedTask, env: TaskEnvironment) -> bool:
        """Start a task if no run of its name is going on; return whether it was started."""
        if self._tasks.get(task.name) is not task or task.active or not task.config.enabled:
            return False
        if self._stopping() or self._tasks.busy(task.name):
            if not self._stopping():
                log.error("Task %r is not started: its last run has not ended", task.name)
            return False
        task.start(env)
        return True

    def launch_soon(self, task: ManagedTask) -> None:
        """Start a task on the loop, if there is one, as soon as its name is free."""
        loop = self._host.loop
        if loop is not None and self._host.env is not None:
            task.pending = True
            self._calls.start(loop, self._launch_later(task, self._host.env))

    async def cancel(self) -> None:
        """Cancel the starts that still wait."""
        await self._calls.cancel()

    def clear(self) -> None:
        """Drop the starts that waited, after the loop is gone."""
        self._calls.clear()

    async def _launch_later(self, task: ManagedTask, env: TaskEnvironment) -> None:
        """Start a task after those it depends on, when the earlier ones of its name have ended."""
        try:
            *needed, _ = start_order(self._tasks.configs(), [task.name])
            for name in needed:
                if not (each := self._tasks.find(name)).active and not each.done:
                    self._begin()
                    self.launch(each, env)
            while task.pending and (busy := self._tasks.busy(task.name)):
                await asyncio.wait([former.join() for former in busy])
            if task.pending:
                self._begin()
                task.pending = False
                self.launch(task, env)
        finally:
            task.pending = False
