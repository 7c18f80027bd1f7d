"""What came, in the message of an error: short, and named by its kind."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from botlib.core.errors import InvalidInput
from botlib.core.received import LONGEST, refused, short


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (0.5, "0.5 (float)"),
        ("fast", "'fast' (str)"),
        (pd.Series(range(5_000)), "a Series of 5\u2009000 values"),
        (pd.DataFrame({"a": [1, 2]}), "a DataFrame of the shape (2, 1)"),
        (np.zeros(3), "an ndarray of 3 values"),
        (dict, "the class dict"),
        (len, "the function len"),
        (Broken(), "<Broken>"),
        ("one\ntwo", "'one\\ntwo' (str)"),
    ],
)
def test_a_value_is_named_in_one_line(value: object, text: str) -> None:
    assert short(value) == text


def test_a_long_value_is_cut() -> None:
    assert short(list(range(1_000))).startswith("[0, 1, 2, ")
    assert len(short("x" * 10_000)) <= LONGEST + len(" (str)")


def test_a_refusal_says_what_came_and_what_is_accepted() -> None:
    error = refused("fee", pd.Series([1.0]), "a fraction from 0 to below 1")
    assert isinstance(error, InvalidInput)
    assert str(error) == "fee is a Series of 1 values. Accepted: a fraction from 0 to below 1."
