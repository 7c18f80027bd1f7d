"""Dependencies between named things: the order to start them in, and circles."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

Graph = Mapping[str, Iterable[str]]
"""Names, and the names each of them depends on. A name that is no key depends on nothing."""


def start_order(graph: Graph, rank: Callable[[str], Any] | None = None) -> list[str]:
    """Return every name of a graph after all those it depends on.

    Args:
        graph: names and their dependencies.
        rank: sort key that decides among names that could come next; without one, those named
            first come first.

    Raises:
        graphlib.CycleError: names depend on each other in a circle.
    """
    sorter = TopologicalSorter(graph)
    if rank is None:
        return list(sorter.static_order())
    sorter.prepare()
    ready: list[tuple[Any, str]] = []
    order: list[str] = []
    while sorter.is_active():
        for name in sorter.get_ready():
            heapq.heappush(ready, (rank(name), name))
        name = heapq.heappop(ready)[1]
        order.append(name)
        sorter.done(name)
    return order


def find_circle(graph: Graph) -> list[str] | None:
    """Return names that depend on each other in a circle, or None.

    Each name is a dependency of the one after it; the first name is repeated at the end.
    """
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return None


def needed_by(graph: Graph, names: Iterable[str]) -> set[str]:
    """Return names with all that they depend on, directly or through others."""
    found = set(names)
    waiting = list(found)
    while waiting:
        for needed in graph.get(waiting.pop(), ()):
            if needed not in found:
                found.add(needed)
                waiting.append(needed)
    return found


def dependents_of(graph: Graph, name: str) -> list[str]:
    """Return the names that depend on one, directly or through others, the nearest first."""
    found: dict[str, None] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        for other, needs in graph.items():
            if current in needs and other not in found:
                found[other] = None
                waiting.append(other)
    return list(found)
