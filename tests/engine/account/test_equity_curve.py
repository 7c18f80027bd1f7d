"""The equity curve: a bounded number of points over a run of any length."""

from __future__ import annotations

from itertools import pairwise

from botlib.engine.account.equity_curve import EquityCurve


def test_a_curve_covers_the_whole_run_in_a_bounded_number_of_points() -> None:
    curve = EquityCurve(points=50)
    for second in range(10_000):
        curve.add(second * 1_000, float(second))
        assert curve.values[-1] == second
    values = curve.values
    assert 20 < len(values) <= 50 and values[0] == 0
    steps = [later - earlier for earlier, later in pairwise(values)]
    assert all(step > 0 for step in steps) and max(steps) < 1_000
