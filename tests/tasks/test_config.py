"""Task configurations: accepted and refused values, and their comparison."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from botlib.core.errors import TaskConfigError, UnknownTimeframe
from botlib.tasks import TaskConfig, TaskPriority
from botlib.tasks.config import same_config


async def work() -> None:
    """Do nothing."""


def config(name: str = "a", **settings: Any) -> TaskConfig:
    return TaskConfig(**({"name": name, "func": work} | settings))


def test_durations_and_priorities_are_read_from_text() -> None:
    task = config(interval="1m 30s", timeout="20s", priority="high")
    assert (task.interval, task.timeout, task.priority) == (90.0, 20.0, TaskPriority.HIGH)
    assert str(task.schedule) == "every 90 s"
    assert str(config(every_candle="5m", offset="2s").schedule) == "every 5m candle + 2 s"
    assert str(config().schedule) == "once"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"name": " "}, "needs a name"),
        ({"interval": -1}, "-1"),
        ({"interval": 0}, "more than 0"),
        ({"interval": "soon"}, "'soon'"),
        ({"interval": 1, "cron": "* * * * *"}, "interval and cron"),
        ({"forever": True, "every_candle": "1m"}, "every_candle and forever"),
        ({"cron": "61 * * * *"}, "Bad minute"),
        ({"cron": "* * *"}, "five fields"),
        ({"cron": "0 0 30 2 *"}, "cron="),
        ({"every_candle": "1m", "offset": 60}, "less than 60 s"),
        ({"offset": 1, "interval": 5}, "every_candle="),
        ({"timeout": 0}, "timeout"),
        ({"forever": True, "timeout": 5}, "heartbeat"),
        ({"interval": 5, "heartbeat": 5}, "timeout"),
        ({"priority": "HIHG"}, "Did you mean 'HIGH'"),
        ({"priority": 3.5}, "3.5"),
        ({"depends_on": ["a"]}, "depends on itself"),
        ({"depends_on": [1]}, "names of tasks"),
        ({"max_restarts": -1}, "max_restarts"),
        ({"func": "work"}, "must be a function"),
        ({"func": lambda x: x}, "functools.partial"),
    ],
)
def test_an_invalid_configuration_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(TaskConfigError) as caught:
        config(**settings)
    assert says in str(caught.value)


def test_an_unknown_timeframe_is_refused() -> None:
    with pytest.raises(UnknownTimeframe, match="2m"):
        config(every_candle="2m")


def test_a_coroutine_in_place_of_its_function_is_refused() -> None:
    with pytest.raises(TaskConfigError, match=r"func=work, not func=work\(\)"):
        config(func=work())


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(TypeError, match="intervall"):
        config(intervall=3)


def cell(source: str, line: int) -> Any:
    """Define a function as a cell does, at a line and file of its own."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    code = compile("\n" * line + source, f"cell-{line}", "exec")
    exec(code, namespace)
    return namespace["made"]


CLOSURE = """
def make(limit):
    async def watch():
        return [limit for _ in range(3)]
    return watch
made = make({limit})
"""


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("def made(): return 1", "def made(): return 1", True),
        ("def made(): return 1", "def made(): return 2", False),
        ("def made(): return 1", "def made(): return 1.0", False),
        ("def made(): return one()", "def made(): return two()", False),
        ("def made(x=[1]): return x", "def made(x=[1]): return x", True),
        ("def made(x=[1]): return x", "def made(x=[2]): return x", False),
        ("def made(*, x=1): return x", "def made(*, x=2): return x", False),
        (CLOSURE.format(limit=1), CLOSURE.format(limit=1), True),
        (CLOSURE.format(limit=1), CLOSURE.format(limit=2), False),
        (
            "def made():\n def f(): return 1\n return f",
            "def made():\n def f(): return 2\n return f",
            False,
        ),
        (
            "class A:\n def go(self): pass\nmade = A().go",
            "class A:\n def go(self): pass\nmade = A().go",
            False,
        ),
    ],
)
def test_functions_are_compared_by_their_code_and_values(one: str, other: str, same: bool) -> None:
    assert same_config(config(func=cell(one, 1)), config(func=cell(other, 7))) is same


def test_settings_and_bound_arguments_are_compared() -> None:
    def add(a: int, b: int = 0) -> int:
        return a + b

    def bound(a: int) -> Callable[[], int]:
        return functools.partial(add, a)

    assert same_config(config(func=bound(1)), config(func=bound(1)))
    assert not same_config(config(func=bound(1)), config(func=bound(2)))
    assert same_config(config(interval="30s"), config(interval=30))
    assert not same_config(config(interval=30), config(interval=31))
    assert not same_config(config(metadata={"x": 1}), config(metadata={"x": 2}))


def test_functions_that_capture_each_other_can_be_compared() -> None:
    def pair() -> Callable[[], Any]:
        def ping() -> Any:
            return pong

        def pong() -> Any:
            return ping

        return ping

    assert same_config(config(func=pair()), config(func=pair())) in (True, False)
