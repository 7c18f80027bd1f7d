"""Numbers and times are written as the cases say, which the pages' tests check as well."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from botlib.core.text import formats
from botlib.core.text.formats import column, exact, interval, is_number, number

CASES: dict[str, list[list[Any]]] = json.loads(
    (Path(__file__).parent / "format_cases.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize(("value", "decimals", "text"), CASES["number"])
def test_numbers_are_grouped_and_negative_ones_have_a_minus(
    value: Any, decimals: int, text: str
) -> None:
    assert number(value, decimals) == text


@pytest.mark.parametrize(("value", "text"), CASES["gain"])
def test_gains_have_a_sign(value: Any, text: str) -> None:
    assert number(value, sign=True) == text


@pytest.mark.parametrize(("value", "text"), CASES["percent"])
def test_changes_are_percentages_with_a_sign(value: Any, text: str) -> None:
    assert formats.percent(value, sign=True) == text


@pytest.mark.parametrize("name", ["compact", "column", "duration", "stamp", "clock"])
def test_other_values_are_written_as_in_the_pages(name: str) -> None:
    for value, text in CASES[name]:
        assert getattr(formats, name)(value) == text, value


def test_decimals_of_a_venue_keep_every_digit_and_computed_ones_do_not() -> None:
    assert column([Decimal("65660.12345678"), Decimal(1)])[0] == "65\u2009660.12345678"
    assert exact(Decimal(2) / Decimal(3) * 100_000) == "66\u2009666.67"
    assert exact(Decimal("0.01510000")) == "0.0151"
    assert exact(Decimal("1E+3")) == "1\u2009000"


def test_a_computed_number_has_the_digits_that_are_shown() -> None:
    assert formats.rounded(Decimal("66224.49502063")) == Decimal("66224.50")
    assert formats.rounded(Decimal("0.0000123456789")) == Decimal("0.00001234568")
    assert formats.rounded(Decimal("66139.61")) == Decimal("66139.61")


def test_numbers_of_numpy_are_numbers_and_truth_values_are_none() -> None:
    assert column([np.int64(3), np.int64(4_000)]) == ["3", "4\u2009000"]
    assert column([np.float64(0.5), math.nan]) == ["0.5", "–"]
    assert is_number(np.float32(1)) and not is_number(True) and not is_number("1")


def test_an_interval_that_was_set_keeps_its_digits() -> None:
    texts = [interval(seconds) for seconds in (0.0125, 1, 30, 60, 90, 150, 7_200, 86_400)]
    assert texts == ["12.5 ms", "1 s", "30 s", "1 min", "90 s", "2.5 min", "2 h", "1 d"]


def test_a_price_has_at_least_two_decimals() -> None:
    assert formats.price(Decimal("66196.2")) == "66\u2009196.20"
    assert formats.price(0.00001234) == "0.00001234"
    assert formats.price(None) == "–"
