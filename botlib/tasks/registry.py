"""The tasks registered with a manager by name, and the order in which they start and stop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping

from botlib.core import dependencies
from botlib.core.errors import (
    NoTasksRegistered,
    TaskConfigError,
    TaskError,
    TaskStuck,
    UnknownTask,
    did_you_mean,
)
from botlib.tasks.config import TaskConfig, TaskPriority
from botlib.tasks.environment import current_task
from botlib.tasks.task import ManagedTask

Configs = Mapping[str, TaskConfig]
"""All registered tasks by name, in the order of their registration."""


class TaskRegistry:
    """The tasks by name, and replaced or removed ones that have not ended yet."""

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
        """Return the task of a name, or None."""
        return self._tasks.get(name)

    def find(self, name: str) -> ManagedTask:
        """Return the task of a name.

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
        """Check that a configuration can be registered beside the others.

        Raises:
            TaskConfigError: tasks would depend on each other in a circle.
        """
        if config.depends_on:
            refuse_circle({**self.configs(), config.name: config}, config.name)

    def put(self, task: ManagedTask) -> None:
        """Register a task under its name; an earlier holder of the name is replaced."""
        former = self._tasks.get(task.name)
        self._tasks[task.name] = task
        if former is not None:
            self._leave(former)

    def remove(self, name: str) -> ManagedTask:
        """Remove a task, and return it.

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
        """Return the names of the enabled tasks, in a group or in all.

        Raises:
            NoTasksRegistered: there are none.
        """
        names = [task.name for task in self if task.config.enabled and group in (None, task.group)]
        if not names:
            raise NoTasksRegistered(self._nothing_to_start(group))
        return names

    def refuse_empty(self) -> None:
        """Raise an error if no task is registered.

        Raises:
            NoTasksRegistered: there is none.
        """
        if not self._tasks:
            raise NoTasksRegistered(self._nothing_to_start(None))

    def former(self) -> list[ManagedTask]:
        """Return the replaced and removed tasks that still have a run going on."""
        leaving = list(self._leaving.values())
        return [task for tasks in leaving for task in tasks if not task.idle]

    def busy(self, name: str) -> list[ManagedTask]:
        """Return the present and former holders of a name that have a run going on."""
        former = [task for task in self._leaving.get(name, ()) if not task.idle]
        if former:
            self._leaving[name] = former
        else:
            self._leaving.pop(name, None)
        present = self._tasks.get(name)
        return former if present is None or present.idle else [*former, present]

    async def wait_free(self, name: str, seconds: float) -> None:
        """Wait until no present or former holder of a name has a run going on.

        Raises:
            TaskStuck: that takes longer than ``seconds``.
        """
        busy = self.busy(name)
        await join(busy, seconds)
        refuse_stuck(busy, seconds)

    def reset(self) -> None:
        """Mark every task as not running, after the loop is gone."""
        for task in [*self, *self.former()]:
            task.reset()
        self._leaving.clear()

    def raise_critical(self) -> None:
        """Raise the error that ended a CRITICAL task for good, if there is one."""
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


def refuse_circle(configs: Configs, name: str) -> None:
    """Raise an error if the registration of a task makes tasks depend on each other in a circle.

    Raises:
        TaskConfigError: it does.
    """
    circle = dependencies.find_circle(_graph(configs, configs))
    if circle is None:
        return
    if name in circle:  # named first, and again at the end
        start = circle.index(name)
        circle = [*circle[start:-1], *circle[:start], name]
    raise TaskConfigError(
        f"Tasks would depend on each other in a circle: {' ← '.join(circle)}. "
        "Take one of them out of depends_on."
    )


def start_order(configs: Configs, names: Iterable[str]) -> list[str]:
    """Return names and all they depend on in the order in which they start.

    A task comes after those it depends on; otherwise a higher priority comes first, and among
    equals the one registered first.

    Raises:
        TaskConfigError: a dependency is not registered.
    """
    wanted = dependencies.needed_by(
        {name: config.depends_on for name, config in configs.items()}, names
    )
    for name in configs:
        for needed in configs[name].depends_on if name in wanted else ():
            if needed not in configs:
                raise TaskConfigError(
                    f"Task {name!r} depends on {needed!r}, which is not registered. "
                    f"Registered: {', '.join(configs)}.{did_you_mean(needed, configs)}"
                )
    return _ordered(configs, wanted)


def stop_waves(configs: Configs, names: Iterable[str]) -> list[list[str]]:
    """Return names in waves, which are stopped one after the other.

    The waves reverse the start order: the tasks of one wave have the same priority, and none of
    them depends on another.
    """
    waves: list[list[str]] = []
    needed: set[str] = set()
    for name in reversed(_ordered(configs, set(names))):
        level = configs[name].level
        if not waves or name in needed or configs[waves[-1][0]].level != level:
            waves.append([])
            needed = set()
        waves[-1].append(name)
        needed.update(configs[name].depends_on)
    return waves


def dependents_of(configs: Configs, name: str) -> list[str]:
    """Return the registered tasks that depend on one, directly or through others."""
    return dependencies.dependents_of(
        {other: config.depends_on for other, config in configs.items()}, name
    )


async def stop_tasks(registry: TaskRegistry, names: Iterable[str], seconds: float) -> None:
    """Stop tasks wave by wave within ``seconds`` in total, except the caller's own."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    own = current_task()
    waves = stop_waves(registry.configs(), names)
    tasks: list[ManagedTask] = []
    for index, wave in enumerate(waves):
        some = [task for name in wave if (task := registry.get(name)) and task is not own]
        for task in some:
            task.halt()
        # A task that does not end must leave time for those after it.
        left = seconds - (loop.time() - begun)
        await join(some, left / (len(waves) - index))
        tasks += some
    await join(tasks, seconds - (loop.time() - begun))


async def join(tasks: Iterable[ManagedTask], timeout: float) -> None:
    """Wait at most ``timeout`` seconds for runs to end, except the caller's own."""
    own = current_task()
    ends = [task.join() for task in tasks if not task.idle and task is not own]
    if ends:
        await asyncio.wait(ends, timeout=max(0.0, timeout))


def stuck_names(tasks: Iterable[ManagedTask]) -> list[str]:
    """Return the names of the tasks that have a run going on, except the caller's own."""
    own = current_task()
    names = [task.name for task in tasks if not task.idle and task is not own]
    return list(dict.fromkeys(names))


def refuse_stuck(tasks: Iterable[ManagedTask], seconds: float) -> None:
    """Raise an error if a run did not end within ``seconds`` of its cancellation.

    Raises:
        TaskStuck: there is one.
    """
    names = stuck_names(tasks)
    if names:
        raise TaskStuck(
            f"Stuck: {', '.join(names)} outlived the cancellation by {seconds:g} s. Look for an "
            "'except' or a loop that swallows asyncio.CancelledError, or a plain function that "
            "does not return."
        )


def _graph(configs: Configs, names: Iterable[str]) -> dict[str, list[str]]:
    """Return names with those of their dependencies that are among them."""
    chosen = set(names)
    return {
        name: [needed for needed in configs[name].depends_on if needed in chosen]
        for name in configs
        if name in chosen
    }


def _ordered(configs: Configs, names: set[str]) -> list[str]:
    place = {name: index for index, name in enumerate(configs)}
    return dependencies.start_order(
        _graph(configs, names), lambda name: (configs[name].level, place[name])
    )
