"""The manager of background tasks: the object that users create and control."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any, TypeVar

from botlib.core.blocking import Blocking
from botlib.core.clock import Clock, SystemClock
from botlib.core.errors import TaskError
from botlib.core.lag import LagMeter
from botlib.core.timeframe import parse_duration
from botlib.tasks.config import TaskConfig, bare_decorator, same_config
from botlib.tasks.environment import TaskEnvironment, current_task
from botlib.tasks.health import Health, HealthMonitor, assess
from botlib.tasks.host import LoopHost
from botlib.tasks.launcher import Launcher
from botlib.tasks.registry import (
    TaskRegistry,
    dependents_of,
    join,
    refuse_stuck,
    start_order,
    stop_tasks,
    stuck_names,
)
from botlib.tasks.status import ManagerStatus, StopReport
from botlib.tasks.task import ManagedTask
from botlib.tasks.threads import ThreadPool
from botlib.tasks.timetable import Timetable

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[[], Any])


class BackgroundTaskManager:
    """A manager that runs named tasks side by side and restarts those that fail.

    The manager belongs to the loop on which it is first started. `add_task`, `pause`, `resume`,
    `status` and `health` may be called from any thread; the async methods are awaited on that
    loop, or called through `blocking`.

    Args:
        enable_health_monitoring: check the health at intervals, and log when it changes.
        health_check_interval: time between two checks.
        enable_auto_recovery: restart tasks that fail, within the limits of their settings.
        clock: source of calendar time; the computer's by default.
        lag: the lag meter of the loop the manager will live on; by default it creates its own.
        on_failure: called on the loop with the name and the error after each failure.
        shed_lag: lag of the loop from which on LOW tasks are skipped; MEDIUM from four times that.
        unhealthy_lag: lag from which on the manager is unhealthy.
        stop_timeout: time a cancelled task may take to clean up before it counts as stuck.
        max_threads: threads for tasks that are plain functions; 0 runs them on the loop itself.
        rng: source of the jitter of restarts.
    """

    def __init__(
        self,
        *,
        enable_health_monitoring: bool = True,
        health_check_interval: float | str = 5.0,
        enable_auto_recovery: bool = True,
        clock: Clock | None = None,
        lag: LagMeter | None = None,
        on_failure: Callable[[str, BaseException], object] | None = None,
        shed_lag: float | str = 0.25,
        unhealthy_lag: float | str = 1.0,
        stop_timeout: float | str = 5.0,
        max_threads: int = 8,
        rng: random.Random | None = None,
    ) -> None:
        self.enable_health_monitoring = enable_health_monitoring
        self.health_check_interval = parse_duration(health_check_interval)
        self.enable_auto_recovery = enable_auto_recovery
        self.clock: Clock = clock or SystemClock()
        self.on_failure = on_failure
        self.shed_lag = parse_duration(shed_lag)
        self.unhealthy_lag = parse_duration(unhealthy_lag)
        self.stop_timeout = parse_duration(stop_timeout)
        self._max_threads = max_threads
        self._random = rng or random.Random()
        self._tasks = TaskRegistry()
        self._host = LoopHost(self._new_environment, self._loop_gone, lag)
        self.blocking = Blocking(self, self._host.run_blocking, missing=_not_async)
        """The async methods as plain calls, such as ``manager.blocking.start_all()``."""
        self._launcher = Launcher(
            self._tasks,
            self._host,
            begin=self._begin_running,
            stopping=lambda: self._stopping > 0,
        )
        self._watchers: set[asyncio.Future[None]] = set()
        self._monitor = HealthMonitor(self.health_check_interval, self.health)
        self._running = False
        self._ever_started = False
        self._stopping = 0

    # Registration

    def add_task(
        self, config: TaskConfig, group: str | None = None, start_immediately: bool = False
    ) -> ManagedTask:
        """Register a task under its name.

        The same task again changes nothing. A task that differs replaces the old one: a run of that
        one is cancelled and its clean-up awaited before the new one starts, and the new one starts
        by itself if the old one was active.

        Returns:
            The task; it may be awaited, which returns it too.

        Raises:
            TaskConfigError: tasks would depend on each other in a circle.
            TaskError: ``start_immediately`` without a loop to start on.
        """
        if not isinstance(config, TaskConfig):
            raise TypeError(f"add_task() takes a TaskConfig, got {config!r}")
        self._tasks.check(config)
        if start_immediately and self._host.loop is None:
            self._host.bind(f"start_immediately of task {config.name!r}")
        return self._host.call(lambda: self._register(config, group, start_immediately))

    def task(
        self,
        func: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        group: str | None = None,
        start_immediately: bool = False,
        **settings: Any,
    ) -> Callable[[F], F]:
        """Register the decorated function as a task.

        Args:
            func: nothing; a bare ``@manager.task`` is told what it lacks.
            name: the name of the task; by default that of the function.
            group: the group of the task.
            start_immediately: whether it is started at once.
            settings: those of `TaskConfig`, such as ``interval="30s"``.

        Raises:
            TaskConfigError: it was written without parentheses, or a setting is not accepted.
        """
        if func is not None:
            raise bare_decorator(func)

        def register(func: F) -> F:
            label = name if name is not None else str(getattr(func, "__name__", ""))
            config = TaskConfig(name=label, func=func, **settings)
            self.add_task(config, group, start_immediately)
            return func

        return register

    async def remove_task(self, name: str) -> None:
        """Stop a task and remove it.

        Raises:
            UnknownTask: there is none of that name.
            TaskError: others depend on it.
            TaskStuck: it outlived its cancellation; it is removed nevertheless.
        """
        self._host.check("remove_task()")
        task = self._tasks.remove(name)
        task.halt()
        await join([task], self.stop_timeout)
        refuse_stuck([task], self.stop_timeout)

    # Control

    async def start_all(self, group: str | None = None) -> tuple[str, ...]:
        """Start all enabled tasks (of a group, and what they depend on); return those started.

        Active tasks are left alone, and so are those that ran to their end, unless everything was
        stopped in between.

        Raises:
            NoTasksRegistered: there is nothing to start.
            TaskConfigError: a task depends on one that is not registered.
        """
        env = self._host.bind("start_all()")
        enabled = self._tasks.enabled(group)
        again = not self._running
        self._begin_running()
        started: list[str] = []
        for name in start_order(self._tasks.configs(), enabled):
            task = self._tasks.get(name)
            if task is None or task.active or (task.done and not again):
                continue
            if self._launcher.launch(task, env):
                started.append(name)
        await env.timetable.wait_begun()
        log.info("Started %d tasks", len(started))
        return tuple(started)

    async def start_task(self, name: str) -> None:
        """Start a task, after those it depends on; an active one is left alone.

        Raises:
            UnknownTask: there is none of that name.
            TaskError: it is disabled.
            TaskStuck: its last run has not ended yet.
        """
        env = self._host.bind("start_task()")
        if not self._tasks.find(name).config.enabled:
            raise TaskError(
                f"Task {name!r} is disabled. Register it again with enabled=True to start it."
            )
        self._begin_running()
        for each in start_order(self._tasks.configs(), [name]):
            task = self._tasks.find(each)
            if task.active or (each != name and (task.done or not task.config.enabled)):
                continue
            await self._tasks.wait_free(each, self.stop_timeout)
            self._launcher.launch(task, env)
        await env.timetable.wait_begun()

    async def stop_task(self, name: str) -> None:
        """Stop a task, after those that depend on it, and wait for its clean-up.

        If one of them makes this call, that one is cancelled last and not awaited.

        Raises:
            UnknownTask: there is none of that name.
            TaskStuck: it outlived its cancellation.
        """
        self._host.check("stop_task()")
        configs = self._tasks.configs()
        self._tasks.find(name)
        names = [
            name,
            *(each for each in dependents_of(configs, name) if self._tasks.find(each).active),
        ]
        tasks = [self._tasks.find(each) for each in names]
        own = current_task()
        await stop_tasks(self._tasks, names, self.stop_timeout * len(names))
        refuse_stuck(tasks, self.stop_timeout)
        if own is not None and own in tasks:
            own.halt()  # last, as it cancels the caller

    async def restart_task(self, name: str) -> None:
        """Stop a task, wait for its clean-up and start it again; those that depend on it go on.

        Raises:
            UnknownTask: there is none of that name.
            TaskStuck: it outlived its cancellation, and was not started again.
            TaskError: a task makes this call for itself.
        """
        self._host.check("restart_task()")
        task = self._tasks.find(name)
        if task is current_task():
            raise TaskError(
                f"Task {name!r} cannot restart itself and wait for it. Raise an exception to be "
                "restarted."
            )
        task.halt()
        await join([task], self.stop_timeout)
        refuse_stuck([task], self.stop_timeout)
        if self._tasks.get(name) is task and not task.active:
            task.counters.restarts += 1
            await self.start_task(name)

    async def run_now(self, name: str) -> None:
        """Run a task once, now, and wait for its end; a run going on is awaited instead.

        Its schedule goes on afterwards; the grid of an interval starts anew at this run.

        Raises:
            UnknownTask: there is none of that name.
            TaskError: it runs for ever, or makes this call for itself.
            BaseException: the error of the run.
        """
        env = self._host.bind("run_now()")
        task = self._tasks.find(name)
        if task.config.forever or task is current_task():
            raise TaskError(f"Task {name!r} cannot be waited for: it runs for ever, or is waiting.")
        if task.idle:
            await self._tasks.wait_free(name, self.stop_timeout)
            self._begin_running()
            error = await task.run_once(env)
        else:
            error = await task.join()
        if error is not None:
            raise error

    async def stop_all(self, deadline: float | str = 10.0) -> StopReport:
        """Stop all tasks, in the reverse of their start order.

        If a task makes this call, that task is cancelled last and not awaited.

        Args:
            deadline: longest time for all of them together.
        """
        loop = self._host.check("stop_all()")
        if self._host.env is None:
            return StopReport()
        limit = parse_duration(deadline)
        begun = loop.time()
        own = current_task()
        self._stopping += 1
        try:
            await self._launcher.cancel()
            former = self._tasks.former()
            for task in former:
                task.halt()
            going = [task.name for task in self._tasks if not task.resting]
            everyone = [*self._tasks, *former]
            await stop_tasks(self._tasks, going, limit)
            await join(former, limit - (loop.time() - begun))
            await self._close(self._host.env)
        finally:
            self._stopping -= 1
        stuck = stuck_names(everyone)
        for task in everyone:
            task.mark_stuck()
        if own is not None and own in everyone:
            own.halt()
        stopped = tuple(name for name in going if name not in stuck)
        return StopReport(stopped=stopped, stuck=tuple(stuck), seconds=loop.time() - begun)

    def pause(self, name: str) -> None:
        """Pause a task until `resume`.

        A run going on ends first; one of a ``forever`` task is cancelled.

        Raises:
            UnknownTask: there is none of that name.
            TaskError: it is not active.
        """
        task = self._tasks.find(name)
        if not task.active:
            raise TaskError(f"Task {name!r} is {task.state} and cannot be paused. Start it first.")
        self._host.call(task.pause)

    def resume(self, name: str) -> None:
        """Resume a paused task; one that is not paused goes on as it is.

        Raises:
            UnknownTask: there is none of that name.
        """
        self._host.call(self._tasks.find(name).resume)

    async def wait(self, timeout: float | str | None = None) -> bool:
        """Wait until no task will run any more; return whether that came before the timeout.

        Raises:
            NoTasksRegistered: there is nothing to wait for.
            TaskError: nothing was started.
            BaseException: the error that ended a CRITICAL task for good.
        """
        loop = self._host.check("wait()")
        self._tasks.refuse_empty()
        if not self._ever_started:
            raise TaskError("There is nothing to wait for: call start_all() first.")
        until = None if timeout is None else loop.time() + parse_duration(timeout)
        while True:
            self._tasks.raise_critical()
            if all(task.resting for task in self._tasks):
                return True
            left = None if until is None else until - loop.time()
            if left is not None and left <= 0:
                return False
            watcher = loop.create_future()
            self._watchers.add(watcher)
            try:
                await asyncio.wait([watcher], timeout=left)
            finally:
                self._watchers.discard(watcher)

    # Status

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop the manager is bound to, None before the first start."""
        return self._host.loop

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped since."""
        return self._running and self._host.loop is not None

    def __contains__(self, name: object) -> bool:
        return name in self._tasks

    def status(self) -> ManagerStatus:
        """Return the status of all tasks."""
        return ManagerStatus(
            running=self.running,
            health=self.health(),
            lag=self._host.lag.current,
            worst_lag=self._host.lag.worst,
            tasks=tuple(task.status() for task in self._tasks),
        )

    def health(self) -> Health:
        """Return the health of the manager, computed from the work of its tasks."""
        return assess(
            [*self._tasks, *self._tasks.former()],
            running=self.running,
            lag=self._host.lag.current,
            lag_limit=self.unhealthy_lag,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status().headline}>"

    def __str__(self) -> str:
        return str(self.status())

    def _repr_html_(self) -> str:
        return self.status()._repr_html_()

    # On the loop

    def _loop_gone(self) -> None:
        self._tasks.reset()
        self._launcher.clear()
        self._running = False

    def _new_environment(self, loop: asyncio.AbstractEventLoop) -> TaskEnvironment:
        return TaskEnvironment(
            loop=loop,
            clock=self.clock,
            timetable=Timetable(
                loop, self.clock, lag=lambda: self._host.lag.current, shed_lag=self.shed_lag
            ),
            threads=ThreadPool(self._max_threads),
            random=self._random,
            auto_recovery=self.enable_auto_recovery,
            grace=self.stop_timeout,
            failed=self._failed,
            rested=self._rested,
        )

    def _begin_running(self) -> None:
        if self._stopping:
            raise TaskError(
                "The task manager is being stopped. Start again when stop_all() is done."
            )
        if self._running:
            return
        self._running = self._ever_started = True
        self._host.start_meter()
        if self.enable_health_monitoring:
            self._monitor.start(asyncio.get_running_loop())

    async def _close(self, env: TaskEnvironment) -> None:
        self._running = False
        self._monitor.stop()
        self._host.stop_meter()
        await env.timetable.close()
        env.threads.close()
        self._wake_watchers()

    def _register(self, config: TaskConfig, group: str | None, start: bool) -> ManagedTask:
        old = self._tasks.get(config.name)
        if old is not None and old.group == group and same_config(old.config, config):
            if start and not old.active:
                self._launcher.launch_soon(old)
            return old
        task = ManagedTask(config, group)
        self._tasks.put(task)
        if old is not None:
            start = start or old.active
            old.halt()
            log.info("Task %r was replaced", config.name)
        if start and config.enabled:
            self._launcher.launch_soon(task)
        return task

    # Reported by the tasks

    def _failed(self, task: ManagedTask, error: BaseException) -> None:
        # Without logging set up the line appears in a notebook; the status has the traceback.
        trace = error if log.hasHandlers() else None
        log.warning("Task %r failed: %s", task.name, task.counters.error, exc_info=trace)
        if self.on_failure is not None:
            try:
                self.on_failure(task.name, error)
            except Exception:
                log.exception("on_failure raised for task %r", task.name)

    def _rested(self, task: ManagedTask) -> None:
        self._wake_watchers()

    def _wake_watchers(self) -> None:
        for watcher in self._watchers:
            if not watcher.done():
                watcher.set_result(None)


def _not_async(name: str) -> str:
    return f"{name!r} is no async method of the task manager. Call manager.{name} itself."
