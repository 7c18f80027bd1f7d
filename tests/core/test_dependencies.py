"""The order in which things that depend on each other start."""

from __future__ import annotations

from graphlib import CycleError
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botlib.core.dependencies import dependents_of, find_circle, needed_by, start_order

GRAPH = {
    "report": ["signals"],
    "signals": ["feed", "store"],
    "store": [],
    "feed": [],
    "other": [],
}


def test_a_name_comes_after_all_it_depends_on_and_by_rank_otherwise() -> None:
    ranks = {"other": 0, "feed": 1, "signals": 0, "store": 3, "report": 3}
    assert start_order(GRAPH, ranks.__getitem__) == ["other", "feed", "store", "signals", "report"]


def test_without_a_rank_the_names_given_first_come_first() -> None:
    assert start_order({"b": [], "a": ["b"], "c": []}) == ["b", "c", "a"]


@given(
    edges=st.sets(st.tuples(st.integers(0, 8), st.integers(0, 8)).filter(lambda e: e[0] > e[1])),
    ranked=st.booleans(),
)
def test_every_order_respects_every_dependency(edges: set[tuple[int, int]], ranked: bool) -> None:
    graph = {str(n): [str(b) for a, b in edges if a == n] for n in range(9)}
    order = start_order(graph, (lambda name: -int(name)) if ranked else None)
    assert sorted(order) == sorted(graph)
    assert all(order.index(str(b)) < order.index(str(a)) for a, b in edges)


def test_a_circle_is_found_and_named() -> None:
    graph = {"a": ["b"], "b": ["c"], "c": ["a"], "d": []}
    circle = find_circle(graph)
    assert circle is not None
    assert circle[0] == circle[-1] and set(circle) == {"a", "b", "c"}
    for needed, name in pairwise(circle):
        assert needed in graph[name]
    with pytest.raises(CycleError):
        start_order(graph, str)
    assert find_circle(GRAPH) is None


def test_what_a_name_needs_and_what_needs_it() -> None:
    assert needed_by(GRAPH, ["signals"]) == {"signals", "feed", "store"}
    assert needed_by({"a": ["unknown"]}, ["a"]) == {"a", "unknown"}
    assert dependents_of(GRAPH, "feed") == ["signals", "report"]
    assert dependents_of(GRAPH, "other") == []
