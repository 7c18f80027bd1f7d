"""Crashes and faults of the order path, enumerated and drawn: it converges, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.order_scenarios import SCENARIOS, play


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_crash_at_any_moment_leaves_nothing_wrong(name: str, tmp_path: Path) -> None:
    first = tmp_path / "whole"
    first.mkdir()
    whole = play(first, SCENARIOS[name]())
    assert whole.violations == [] and whole.halts == ()
    wrong = []
    for number in range(len(whole.moments)):
        place = tmp_path / str(number)
        place.mkdir()
        played = play(place, SCENARIOS[name](), crash_at=number)
        if played.violations or played.halts:
            wrong.append((number, played.crashed_at, played.violations, played.halts))
    assert wrong == []


def test_random_faults_leave_nothing_wrong(tmp_path: Path) -> None:
    wrong = []
    for seed in range(100):
        place = tmp_path / str(seed)
        place.mkdir()
        steps = list(SCENARIOS.values())[seed % 3]()
        played = play(place, steps, seed=seed, partial=1 + seed % 2)
        if played.violations:
            wrong.append((seed, played.violations, played.halts))
    assert wrong == []
