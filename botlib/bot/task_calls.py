"""`TaskCalls`: the methods of a bot that start and stop its tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botlib.runtime.cells import CellNames, current_cell
from botlib.tasks.config import bare_decorator

if TYPE_CHECKING:
    from botlib.engine import Orchestrator
    from botlib.tasks import BackgroundTaskManager


class TaskCalls:
    """What a bot can be asked about its tasks; the async methods run on the runtime thread."""

    engine: Orchestrator

    def __init__(self) -> None:
        super().__init__()
        self._task_cells = CellNames(self._remove_renamed)

    @property
    def tasks(self) -> BackgroundTaskManager:
        """The task manager; in a cell it is shown as a table of all tasks."""
        return self.engine.tasks

    def task(
        self, func: Callable[..., Any] | None = None, /, **settings: Any
    ) -> Callable[..., Any]:
        """Register the decorated function as a task and start it.

        The name, by default the function's, is the task's identity: the same cell again changes
        nothing, and a changed function replaces the task. A task that a cell registered, and does
        not when it is run again, is removed: it was renamed or deleted there.

        Args:
            settings: those of `TaskConfig`, as in ``@bot.task(interval=30, priority="HIGH")``.

        Raises:
            TaskConfigError: it was written without parentheses, or a setting is not accepted.
        """
        if func is not None:
            raise bare_decorator(func)
        register = self.engine.tasks.task(start_immediately=True, **settings)
        cell = current_cell()

        def registered(function: Callable[..., Any]) -> Callable[..., Any]:
            found: Callable[..., Any] = register(function)
            if cell is not None:
                name = settings.get("name")
                self._task_cells.add(cell, str(name or getattr(function, "__name__", "")))
            return found

        return registered

    async def start_task(self, name: str) -> str:
        """Start a task, after those it depends on; an active one is left alone.

        Raises:
            UnknownTask: there is none of that name.
            TaskError: it is disabled.
        """
        await self.engine.tasks.start_task(name)
        return f"{name} was started"

    async def stop_task(self, name: str) -> str:
        """Stop a task, after those that depend on it, and wait for its clean-up.

        Raises:
            UnknownTask: there is none of that name.
            TaskStuck: it outlived its cancellation.
        """
        await self.engine.tasks.stop_task(name)
        return f"{name} was stopped"

    async def restart_task(self, name: str) -> str:
        """Stop a task and start it again; those that depend on it go on.

        Raises:
            UnknownTask: there is none of that name.
            TaskStuck: it outlived its cancellation.
        """
        await self.engine.tasks.restart_task(name)
        return f"{name} was restarted"

    async def pause_task(self, name: str) -> str:
        """Pause a task until `resume_task`; a run going on ends first.

        Raises:
            UnknownTask: there is none of that name.
            TaskError: it is not active.
        """
        self.engine.tasks.pause(name)
        return f"{name} is paused"

    async def resume_task(self, name: str) -> str:
        """Resume a paused task.

        Raises:
            UnknownTask: there is none of that name.
        """
        self.engine.tasks.resume(name)
        return f"{name} goes on"

    async def run_task(self, name: str) -> str:
        """Run a task once, now, and wait for its end; its schedule goes on afterwards.

        Raises:
            UnknownTask: there is none of that name.
            TaskError: it runs for ever.
            BaseException: the error of the run.
        """
        await self.engine.tasks.run_now(name)
        return f"{name} has run"

    async def remove_task(self, name: str) -> str:
        """Stop a task and remove it.

        Raises:
            UnknownTask: there is none of that name.
            TaskError: others depend on it.
        """
        await self.engine.tasks.remove_task(name)
        return f"{name} was removed"

    def _remove_renamed(self, names: list[str]) -> None:
        """Remove tasks that their cell does not register any more; from any thread."""
        tasks = self.engine.tasks
        for name in names:
            if name in tasks:
                tasks.blocking.remove_task(name)
                self.engine.tell(
                    f"The task {name!r} was removed: its cell does not have it any more."
                )
