"""The lines of every indicator can be told apart on both themes, by any reader."""

from __future__ import annotations

from itertools import combinations

import pytest

from botlib.indicators.registry import names
from botlib.widgets.chart.studies import LINES, STYLES, Study
from tests.support.colours import contrast, distance

GROUNDS = ("#ffffff", "#11151c")
"""The backgrounds of the light and of the dark theme."""


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("place", range(len(LINES)))
def test_no_two_lines_of_an_indicator_look_alike(name: str, place: int) -> None:
    try:
        study = Study(name, group=0, place=place, timeframe="1h")
    except Exception as error:  # it needs parameters that have no default
        pytest.skip(str(error))
    lines = [
        one
        for one in study.series(0)
        if one.kind == "line" and not one.title.endswith((" lower", " upper"))
    ]
    # More lines than there are looks, such as one per candlestick pattern, are drawn all the same.
    for one, other in combinations(lines[: len(LINES[0]) * len(STYLES)], 2):
        assert one.style != other.style or distance(one.color, other.color) > 30, (one, other)
    for one in lines:
        assert all(contrast(one.color, ground) > 2.7 for ground in GROUNDS), one


def test_the_sides_of_a_band_look_alike_and_differ_from_its_middle() -> None:
    lower, middle, upper = Study("bbands(20, 2)", group=0, place=0, timeframe="1h").series(0)
    assert lower.color == upper.color != middle.color
