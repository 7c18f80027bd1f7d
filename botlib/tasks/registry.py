"""The tasks registered with a manager, by their names."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from botlib.core.errors import NoTasksRegistered, TaskError, TaskStuck, UnknownTask, did_you_mean
from botlib.tasks.config import TaskConfig, TaskPriority
from botlib.tasks.current import current_task
from botlib.tasks.ordering import dependents_of, refuse_circle, stop_waves
from botlib.tasks.task import ManagedTask


class Roster:
    """Who holds which name, and who held it and has not ended yet."""

    def __init__(self) -> None:
        self._tasks: dict[str, ManagedTask] = {}
        self._leaving: dict[str, list[ManagedTask]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, name: object) -> bool:
        return name in self._tasks

    def __iter__(self) -> Iterator[ManagedTask]:
        # A copy, as the status is read from any thread.
        return iter(list(self._tasks.values()))

    def get(self, name: str) -> ManagedTask | None:
        """Return the task of that name, None where there is none."""
        return self._tasks.get(name)

    def find(self, name: str) -> ManagedTask:
        """Return the task of that name.

        Raises:
            UnknownTask: there is none.
        """
        try:
            return self._tasks[name]
        except KeyError:
            raise UnknownTask(
                f"No task is registered as {name!r}. Registered: "
                f"{', '.join(self._tasks) or 'none'}.{did_you_mean(name, self._tasks)}"
            ) from None

    def configs(self) -> dict[str, TaskConfig]:
        """Return the configurations in the order of their registration."""
        return {task.name: task.config for task in self}

    def check(self, config: TaskConfig) -> None:
        """Refuse a configuration that cannot be registered beside the others.

        Raises:
            TaskConfigError: tasks would depend on each other in a circle.
        """
        if config.depends_on:
            refuse_circle({**self.configs(), config.name: config}, config.name)

    def put(self, task: ManagedTask) -> None:
        """Give a task its name; the former holder leaves."""
        former = self._tasks.get(task.name)
        self._tasks[task.name] = task
        if former is not None:
            self._leave(former)

    def remove(self, name: str) -> ManagedTask:
        """Take a task out, and return it.

        Raises:
            UnknownTask: there is none of that name.
            TaskError: others depend on it.
        """
        task = self.find(name)
        dependents = dependents_of(self.configs(), name)
        if dependents:
            raise TaskError(
                f"Task {name!r} cannot be removed: {', '.join(dependents)} depend on it. "
                "Remove these first."
            )
        del self._tasks[name]
        self._leave(task)
        return task

    def enabled(self, group: str | None) -> list[str]:
        """Return the names of the tasks that may be started, in a group or in all.

        Raises:
            NoTasksRegistered: there are none.
        """
        names = [task.name for task in self if task.config.enabled and group in (None, task.group)]
        if not names:
            raise NoTasksRegistered(self._nothing_to_start(group))
        return names

    def refuse_empty(self) -> None:
        """Raise where no task is registered.

        Raises:
            NoTasksRegistered: none is.
        """
        if not self._tasks:
            raise NoTasksRegistered(self._nothing_to_start(None))

    def former(self) -> list[ManagedTask]:
        """Return the tasks that lost their name and have a run going on."""
        leaving = list(self._leaving.values())
        return [task for tasks in leaving for task in tasks if not task.idle]

    def busy(self, name: str) -> list[ManagedTask]:
        """Return the holders of a name, present and former, that have a run going on."""
        former = [task for task in self._leaving.get(name, ()) if not task.idle]
        if former:
            self._leaving[name] = former
        else:
            self._leaving.pop(name, None)
        present = self._tasks.get(name)
        return former if present is None or present.idle else [*former, present]

    async def free(self, name: str, seconds: float) -> None:
        """Wait until nothing that holds or held a name has a run going on.

        Raises:
            TaskStuck: that takes longer than ``seconds``.
        """
        busy = self.busy(name)
        await join(busy, seconds)
        refuse_stuck(busy, seconds)

    def forsake(self) -> None:
        """Take note that the loop is gone, and all runs with it."""
        for task in [*self, *self.former()]:
            task.forsake()
        self._leaving.clear()

    def raise_critical(self) -> None:
        """Raise what ended a CRITICAL task for good, if anything did."""
        for task in self:
            if task.final_error is not None and task.config.level is TaskPriority.CRITICAL:
                raise task.final_error

    def _leave(self, task: ManagedTask) -> None:
        if not task.idle:
            self._leaving.setdefault(task.name, []).append(task)

    def _nothing_to_start(self, group: str | None) -> str:
        how = (
            "Register one with manager.add_task(TaskConfig(name='watch', func=watch, "
            "interval='30s')) or with @manager.task(interval='30s'), then start."
        )
        if not self._tasks:
            return f"No task is registered, so there is nothing to run. {how}"
        if group is None:
            return f"All {len(self)} registered tasks are disabled. Enable one. {how}"
        groups = sorted({task.group for task in self if task.group})
        return (
            f"No enabled task is registered in group {group!r}. Groups: "
            f"{', '.join(groups) or 'none'}. {how}"
        )


async def stop_tasks(roster: Roster, names: Iterable[str], seconds: float) -> None:
    """Stop tasks wave by wave within ``seconds`` in total, all but the caller's own."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    own = current_task()
    waves = stop_waves(roster.configs(), names)
    tasks: list[ManagedTask] = []
    for index, wave in enumerate(waves):
        some = [task for name in wave if (task := roster.get(name)) and task is not own]
        for task in some:
            task.halt()
        # A task that does not end must not cost those after it their time.
        left = seconds - (loop.time() - begun)
        await join(some, left / (len(waves) - index))
        tasks += some
    await join(tasks, seconds - (loop.time() - begun))


async def join(tasks: Iterable[ManagedTask], timeout: float) -> None:
    """Wait at most ``timeout`` seconds for the ends of runs, but not for the caller's own."""
    own = current_task()
    ends = [task.join() for task in tasks if not task.idle and task is not own]
    if ends:
        await asyncio.wait(ends, timeout=max(0.0, timeout))


def stuck_names(tasks: Iterable[ManagedTask]) -> list[str]:
    """Return the names of the tasks that have a run going on which is not the caller's own."""
    own = current_task()
    names = [task.name for task in tasks if not task.idle and task is not own]
    return list(dict.fromkeys(names))


def refuse_stuck(tasks: Iterable[ManagedTask], seconds: float) -> None:
    """Raise where a run outlived its cancellation by ``seconds``.

    Raises:
        TaskStuck: one did.
    """
    names = stuck_names(tasks)
    if names:
        raise TaskStuck(
            f"Stuck: {', '.join(names)} outlived the cancellation by {seconds:g} s. Look for an "
            "'except' or a loop that swallows asyncio.CancelledError, or a plain function that "
            "does not return."
        )
