"""The configuration of a task: its function, its schedule and how it is supervised.

A notebook cell that runs again defines its functions anew: equal functions are other objects then.
`same_config` therefore compares functions by their code, defaults and captured values; the global
names they use may change, as those are looked up again at every call.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum
from types import CodeType, FunctionType, MethodType
from typing import Any

from botlib.core.errors import InvalidInput, TaskConfigError, did_you_mean
from botlib.core.retry import RestartPolicy
from botlib.core.timeframe import parse_duration
from botlib.tasks.schedule import Cron, EveryCandle, Forever, Interval, Once, Schedule


class TaskPriority(IntEnum):
    """The importance of a task; a smaller number is more important.

    Priority decides which task starts first, which runs first when several are due, which is
    skipped while the loop lags (LOW, then MEDIUM) and which stops last.
    """

    CRITICAL = 0
    HIGH = 1
    MEDIUM = 2
    LOW = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TaskConfig:
    """The description of a task.

    At most one of ``interval``, ``cron``, ``every_candle`` and ``forever`` is given; with none the
    task runs once. Durations are seconds or texts such as ``"30s"``.

    Args:
        name: the identity of the task.
        func: the function to run, without arguments; a plain function runs in a thread.
        interval: time between two ticks; the first one is at the start.
        cron: a cron expression in UTC.
        every_candle: a timeframe; the task is due at each close of such a candle.
        offset: time after that close.
        forever: the function runs until it is stopped, such as a stream.
        priority: a `TaskPriority` or its name.
        timeout: longest time of one run, which is then cancelled and counts as failed.
        heartbeat: longest time without work counted by `beat`, after which a task that runs
            ``forever`` is unhealthy.
        auto_restart: whether it runs again after a failure.
        max_restarts: restarts within ``restart_window``; one failure more and it stays failed.
        restart_window: time over which failures are counted.
        backoff: delay before the first restart, doubled with every further failure in a row.
        max_backoff: longest such delay.
        depends_on: names of tasks that start before this one and stop after it.
        enabled: a disabled task is registered and never started.
        metadata: any further values to show in the status.

    Raises:
        TaskConfigError: a value is not accepted, or two schedules are given.
        UnknownTimeframe: ``every_candle`` is no known timeframe.
    """

    name: str
    func: Callable[[], Any]
    interval: float | str | None = None
    cron: str | None = None
    every_candle: str | None = None
    offset: float | str = 0.0
    forever: bool = False
    priority: TaskPriority | str = TaskPriority.MEDIUM
    timeout: float | str | None = None
    heartbeat: float | str | None = None
    auto_restart: bool = True
    max_restarts: int = 5
    restart_window: float | str = 300.0
    backoff: float | str = 1.0
    max_backoff: float | str = 60.0
    depends_on: Sequence[str] = ()
    enabled: bool = True
    metadata: Mapping[str, object] = field(default_factory=dict)
    schedule: Schedule = field(init=False, repr=False)
    restart: RestartPolicy = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise TaskConfigError(
                f"A task needs a name, which is its identity; got {self.name!r}. "
                "Give a text such as name='order_sync'."
            )
        self._check_function()
        for name in ("interval", "timeout", "heartbeat"):
            self._set(name, self._duration(name, zero=False, optional=True))
        for name in ("offset", "backoff", "max_backoff"):
            self._set(name, self._duration(name))
        self._set("restart_window", self._duration("restart_window", zero=False))
        self._set("priority", self._read_priority())
        self._set("depends_on", self._read_dependencies())
        self._set("metadata", dict(self.metadata))
        self._set("schedule", self._read_schedule())
        self._set("restart", self._read_restart())

    @property
    def level(self) -> TaskPriority:
        """The priority as a `TaskPriority`."""
        assert isinstance(self.priority, TaskPriority)
        return self.priority

    @property
    def time_limit(self) -> float | None:
        """The timeout in seconds, or None if a run may take any time."""
        assert not isinstance(self.timeout, str)
        return self.timeout

    @property
    def silence_limit(self) -> float | None:
        """The longest time in seconds without a beat, or None if no beats are expected."""
        assert not isinstance(self.heartbeat, str)
        return self.heartbeat

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        func: Any = self.func
        while isinstance(func, functools.partial):
            func = func.func
        return inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(
            getattr(func, "__call__", None)  # noqa: B004 - an object with an async __call__
        )

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _refuse(self, text: str) -> TaskConfigError:
        return TaskConfigError(f"Task {self.name!r}: {text}")

    def _check_function(self) -> None:
        func = self.func
        if inspect.iscoroutine(func):
            func.close()
            raise self._refuse(
                f"func is a coroutine, which can run only once. Pass the function itself: "
                f"func={func.__name__}, not func={func.__name__}()."
            )
        if not callable(func):
            raise self._refuse(f"func must be a function without arguments, got {func!r}.")
        if inspect.isasyncgenfunction(func):
            raise self._refuse(
                f"func is an async generator, got {func!r}. "
                "Pass an async function that reads it with 'async for'."
            )
        try:
            signature = inspect.signature(func)
        except (TypeError, ValueError):  # some built-in functions have none
            return
        try:
            signature.bind()
        except TypeError as error:
            raise self._refuse(
                f"func is called without arguments, but {error}. "
                "Bind them with functools.partial(func, ...)."
            ) from None

    def _duration(self, name: str, *, zero: bool = True, optional: bool = False) -> float | None:
        value = getattr(self, name)
        if value is None and optional:
            return None
        try:
            seconds = parse_duration(value)
        except InvalidInput as error:
            raise self._refuse(f"{name}: {error}") from None
        if seconds == 0 and not zero:
            raise self._refuse(f"{name} must be more than 0 seconds, got {value!r}.")
        return seconds

    def _read_priority(self) -> TaskPriority:
        value = self.priority
        if isinstance(value, str):
            value = value.upper()
            if value in TaskPriority.__members__:
                return TaskPriority[value]
        elif isinstance(value, TaskPriority):
            return value
        names = list(TaskPriority.__members__)
        hint = did_you_mean(value, names) if isinstance(value, str) else ""
        raise self._refuse(
            f"unknown priority {self.priority!r}. Accepted: {', '.join(names)}.{hint}"
        )

    def _read_dependencies(self) -> tuple[str, ...]:
        value = self.depends_on
        names = (value,) if isinstance(value, str) else tuple(value)
        if not all(isinstance(name, str) for name in names):
            raise self._refuse(f"depends_on must hold names of tasks, got {value!r}.")
        if self.name in names:
            raise self._refuse("it depends on itself. Remove its own name from depends_on.")
        return names

    def _read_schedule(self) -> Schedule:
        given = [
            name
            for name in ("interval", "cron", "every_candle", "forever")
            if getattr(self, name) not in (None, False)
        ]
        if len(given) > 1:
            raise self._refuse(
                f"two schedules at once: {' and '.join(given)}. Keep one of interval, cron, "
                "every_candle and forever=True, or none to run once."
            )
        if self.offset and not self.every_candle:
            raise self._refuse("offset counts from the close of a candle: add every_candle='1m'.")
        if self.heartbeat is not None and not self.forever:
            raise self._refuse(
                "heartbeat watches a task that runs for ever; a run of this one is limited with "
                "timeout."
            )
        if self.forever and self.timeout is not None:
            raise self._refuse(
                "a task that runs for ever has no timeout. Use heartbeat, and count its work with "
                "botlib.tasks.beat()."
            )
        if self.cron is not None:
            return Cron(self.cron)
        if self.every_candle is not None:
            return EveryCandle(self.every_candle, round(float(self.offset) * 1_000))
        if self.interval is not None:
            return Interval(float(self.interval))
        return Forever() if self.forever else Once()

    def _read_restart(self) -> RestartPolicy:
        most = self.max_restarts
        if not isinstance(most, int) or isinstance(most, bool) or most < 0:
            raise self._refuse(f"max_restarts must be a whole number from 0 up, got {most!r}.")
        return RestartPolicy(
            enabled=self.auto_restart,
            max_restarts=most,
            window=float(self.restart_window),
            base=float(self.backoff),
            cap=float(self.max_backoff),
        )


def bare_decorator(func: object) -> TaskConfigError:
    """Return the error of a decorator that was written without its settings."""
    name = getattr(func, "__name__", "the function")
    return TaskConfigError(
        f"The decorator of {name} does not say when it runs. Write it with parentheses: "
        "@bot.task(interval='30s'), cron='0 * * * *', every_candle='1m', forever=True, or "
        "@bot.task() to run once."
    )


def same_config(one: TaskConfig, other: TaskConfig) -> bool:
    """Return whether two configurations describe the same task."""
    try:
        return all(
            _same(getattr(one, field.name), getattr(other, field.name))
            for field in fields(TaskConfig)
        )
    except RecursionError:  # values that contain each other
        return False


def _same(one: object, other: object) -> bool:
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, FunctionType) and isinstance(other, FunctionType):
        return _same_function(one, other)
    if isinstance(one, MethodType) and isinstance(other, MethodType):
        # Equal is not enough: a task bound to the old object must not go on for the new one.
        return one.__self__ is other.__self__ and _same(one.__func__, other.__func__)
    if isinstance(one, functools.partial) and isinstance(other, functools.partial):
        return _same((one.func, one.args, one.keywords), (other.func, other.args, other.keywords))
    if isinstance(one, CodeType) and isinstance(other, CodeType):
        return _same_code(one, other)
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    try:
        return bool(one == other)
    except Exception:
        # Values that cannot be compared, or not to a single bool (arrays), count as different.
        return False


def _same_function(one: FunctionType, other: FunctionType) -> bool:
    return (
        one.__qualname__ == other.__qualname__
        and one.__module__ == other.__module__
        and _same_code(one.__code__, other.__code__)
        and _same(one.__defaults__, other.__defaults__)
        and _same(one.__kwdefaults__, other.__kwdefaults__)
        and _same(_captured(one), _captured(other))
    )


def _same_code(one: CodeType, other: CodeType) -> bool:
    # Line numbers and file names differ between two runs of a cell, and do not matter.
    return (
        one.co_code == other.co_code
        and one.co_names == other.co_names
        and one.co_varnames == other.co_varnames
        and one.co_freevars == other.co_freevars
        and _same(one.co_consts, other.co_consts)
    )


def _captured(function: FunctionType) -> list[object]:
    values: list[object] = []
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:  # not assigned yet
            value = None
        # A function that captures itself would be compared without end.
        values.append(None if value is function else value)
    return values
