"""Moving windows: pandas' own numbers, bit for bit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from botlib.indicators import rolling


def columns() -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    walk = 100 + rng.standard_normal(400).cumsum()
    holes = walk.copy()
    holes[:7] = np.nan
    holes[50:60] = np.nan
    holes[200], holes[300] = np.inf, -np.inf
    flat = np.full(50, 0.1)
    return [walk, walk[:1], walk[:0], holes, flat, np.stack([walk, walk])[:, ::2].T[:, 1]]


@pytest.mark.parametrize("length", [1, 2, 10, 399, 500])
@pytest.mark.parametrize("values", columns())
def test_windows_are_those_of_pandas(values: np.ndarray, length: int) -> None:
    window = pd.Series(values).rolling(length)
    same = np.testing.assert_array_equal
    same(rolling.mean(values, length), window.mean().to_numpy())
    same(rolling.extreme(values, length, highest=True), window.max().to_numpy())
    same(rolling.extreme(values, length, highest=False), window.min().to_numpy())


@pytest.mark.parametrize("alpha", [1.0, 2 / 11, 1 / 14, 0.001])
@pytest.mark.parametrize("values", columns())
def test_averages_are_those_of_pandas(values: np.ndarray, alpha: float) -> None:
    expected = pd.Series(values).ewm(alpha=alpha, adjust=False).mean().to_numpy()
    np.testing.assert_array_equal(rolling.smooth(values, alpha), expected)


def test_a_column_is_left_as_it_was() -> None:
    values = np.array([1.0, np.inf, 3.0, np.nan])
    before = values.copy()
    rolling.mean(values, 2)
    rolling.extreme(values, 2, highest=True)
    rolling.smooth(values, 0.5)
    np.testing.assert_array_equal(values, before)
