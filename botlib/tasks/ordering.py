"""In which order tasks start and stop."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping

from botlib.core.errors import TaskConfigError, did_you_mean
from botlib.tasks.config import TaskConfig

Configs = Mapping[str, TaskConfig]
"""All registered tasks by name, in the order of their registration."""


def refuse_circle(configs: Configs, name: str) -> None:
    """Refuse a registration by which a task comes to depend on itself.

    Raises:
        TaskConfigError: it does.
    """
    came_from: dict[str, str] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        for dependency in _known(configs, current):
            if dependency == name:
                circle = [name, current]
                while circle[-1] != name:
                    circle.append(came_from[circle[-1]])
                raise TaskConfigError(
                    f"Tasks would depend on each other in a circle: "
                    f"{' ← '.join(circle)}. Take one of them out of depends_on."
                )
            if dependency not in came_from:
                came_from[dependency] = current
                waiting.append(dependency)


def start_order(configs: Configs, names: Iterable[str]) -> list[str]:
    """Return the names, and all they depend on, in start order.

    A task comes after those it depends on; apart from that, higher priority comes first, and
    among equals what was registered first.

    Raises:
        TaskConfigError: a dependency is not registered.
    """
    waiting = list(names)
    wanted = set(waiting)
    while waiting:
        name = waiting.pop()
        for dependency in configs[name].depends_on:
            if dependency not in configs:
                raise TaskConfigError(
                    f"Task {name!r} depends on {dependency!r}, which is not registered. "
                    f"Registered: {', '.join(configs)}.{did_you_mean(dependency, configs)}"
                )
            if dependency not in wanted:
                wanted.add(dependency)
                waiting.append(dependency)
    return _ordered(configs, wanted)


def stop_waves(configs: Configs, names: Iterable[str]) -> list[list[str]]:
    """Return the names in waves, which are stopped one after the other.

    The waves reverse the start order: the tasks of one have the same priority, and none depends on
    another.
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
    found: dict[str, None] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        for other, config in configs.items():
            if current in config.depends_on and other not in found:
                found[other] = None
                waiting.append(other)
    return list(found)


def _ordered(configs: Configs, wanted: set[str]) -> list[str]:
    place = {name: index for index, name in enumerate(configs)}
    missing: dict[str, int] = {}
    dependents: dict[str, list[str]] = {}
    for name in wanted:
        needs = {other for other in configs[name].depends_on if other in wanted}
        missing[name] = len(needs)
        for dependency in needs:
            dependents.setdefault(dependency, []).append(name)
    free = [(configs[name].level, place[name], name) for name in wanted if not missing[name]]
    heapq.heapify(free)
    order: list[str] = []
    while free:
        name = heapq.heappop(free)[2]
        order.append(name)
        for dependent in dependents.get(name, ()):
            missing[dependent] -= 1
            if not missing[dependent]:
                heapq.heappush(free, (configs[dependent].level, place[dependent], dependent))
    return order


def _known(configs: Configs, name: str) -> list[str]:
    return [other for other in configs[name].depends_on if other in configs]
