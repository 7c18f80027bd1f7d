"""The order in which registered tasks start and stop."""

from __future__ import annotations

from typing import Any

import pytest

from botlib.core.errors import TaskConfigError
from botlib.tasks import BackgroundTaskManager, TaskConfig
from botlib.tasks.registry import start_order, stop_waves
from tests.support.task_behaviours import nothing


def config(name: str, **settings: Any) -> TaskConfig:
    return TaskConfig(name=name, func=nothing, **settings)


CONFIGS = {
    task.name: task
    for task in (
        config("report", priority="LOW", depends_on=("signals",)),
        config("signals", priority="CRITICAL", depends_on=("feed", "store")),
        config("store", priority="LOW"),
        config("feed", priority="HIGH"),
        config("other", priority="CRITICAL"),
        config("another", priority="LOW"),
    )
}


def test_tasks_start_after_their_dependencies_and_by_priority() -> None:
    assert start_order(CONFIGS, CONFIGS) == [
        "other", "feed", "store", "signals", "report", "another",
    ]  # fmt: skip
    assert start_order(CONFIGS, ["signals"]) == ["feed", "store", "signals"]


def test_tasks_stop_in_the_reverse_order() -> None:
    assert stop_waves(CONFIGS, CONFIGS) == [
        ["another", "report"], ["signals"], ["store"], ["feed"], ["other"],
    ]  # fmt: skip


def test_unknown_and_circular_dependencies_are_refused() -> None:
    with pytest.raises(
        TaskConfigError, match=r"'fed', which is not registered.*Did you mean 'feed'"
    ):
        start_order({**CONFIGS, "x": config("x", depends_on="fed")}, ["x"])
    manager = BackgroundTaskManager()
    manager.add_task(config("a", depends_on="b"))
    manager.add_task(config("b", depends_on="c"))
    with pytest.raises(TaskConfigError, match=r"circle: c ← b ← a ← c|circle: c ← a ← b ← c"):
        manager.add_task(config("c", depends_on="a"))
    assert "c" not in manager
