"""How tasks start: at once, or as soon as whatever held their name has ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from botlib.tasks.background import Errands
from botlib.tasks.environment import Environment
from botlib.tasks.host import Home
from botlib.tasks.ordering import start_order
from botlib.tasks.registry import Roster
from botlib.tasks.task import ManagedTask

log = logging.getLogger(__name__)


class Launcher:
    """Starts the tasks of a manager.

    Args:
        tasks: who is registered.
        home: the loop they start on.
        begin: called before a task starts by itself; raises where nothing may start.
        stopping: tells whether everything is being stopped.
    """

    def __init__(
        self,
        tasks: Roster,
        home: Home,
        *,
        begin: Callable[[], None],
        stopping: Callable[[], bool],
    ) -> None:
        self._tasks = tasks
        self._home = home
        self._begin = begin
        self._stopping = stopping
        self._errands = Errands()

    def launch(self, task: ManagedTask, env: Environment) -> bool:
        """Start a task if nothing holds its name; tell whether it was started."""
        if self._tasks.get(task.name) is not task or task.active or not task.config.enabled:
            return False
        if self._stopping() or self._tasks.busy(task.name):
            if not self._stopping():
                log.error("Task %r is not started: its last run has not ended", task.name)
            return False
        task.start(env)
        return True

    def send(self, task: ManagedTask) -> None:
        """Have a task started on the loop, if there is one, when its name is free."""
        loop = self._home.loop
        if loop is not None and self._home.env is not None:
            task.pending = True
            self._errands.send(loop, self._start_later(task, self._home.env))

    async def end(self) -> None:
        """Start nothing any more that was sent before."""
        await self._errands.end()

    def forget(self) -> None:
        """Take note that the loop is gone."""
        self._errands.forget()

    async def _start_later(self, task: ManagedTask, env: Environment) -> None:
        """Start a task, after those it depends on, once the former ones of its name are gone."""
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
