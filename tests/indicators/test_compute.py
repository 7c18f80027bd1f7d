"""Indicators over whole candle frames."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from botlib.core.errors import InvalidInput
from botlib.indicators import compute
from tests.support.samples import market_frame


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return market_frame(900)


@pytest.mark.parametrize(
    ("spec", "columns"),
    [
        ("bbands(20, 2)", ["lower", "middle", "upper", "width", "percent"]),
        ("macd", ["macd", "signal", "histogram"]),
        ("donchian(10, 20)", ["lower", "middle", "upper"]),
        ("stoch", ["k", "d"]),
        ("adx(7)", ["adx", "plus", "minus"]),
        ("aroon(7)", ["down", "up", "oscillator"]),
        ("supertrend(7, 3)", ["line", "direction", "long", "short"]),
        ("qqe", ["qqe", "qqe_rsima", "qqel", "qqes", "qqeb_l", "qqeb_s", "qqed"]),
        ("kc(20, 1.5)", ["lower", "middle", "upper"]),
    ],
)
def test_columns_have_short_names_that_do_not_vary(
    frame: pd.DataFrame, spec: str, columns: list[str]
) -> None:
    found = compute(spec, frame)
    assert list(found.columns) == columns
    assert (found.dtypes == np.float64).all()
    too_few = compute(spec, frame.iloc[:3])
    assert list(too_few.columns) == columns
    assert too_few.isna().all().all()
    assert compute(spec, frame.iloc[:0]).shape == (0, len(columns))


def test_a_series_is_named_after_its_specification(frame: pd.DataFrame) -> None:
    found = compute("rsi(length=7)", frame)
    assert (found.name, found.dtype) == ("rsi(7)", np.float64)
    assert found.isna().sum() == 7
    assert compute("hma(9)", frame).name == "hma(9)"


def test_the_source_is_a_column_or_the_mean_of_several(frame: pd.DataFrame) -> None:
    high = frame["high"].rolling(5).mean()
    pd.testing.assert_series_equal(compute("sma(5, source=high)", frame), high, check_names=False)
    middle = (frame["high"] + frame["low"]) / 2
    found = compute("hma(5, source=hl2)", frame)
    same = compute("hma(5)", frame.assign(close=middle))
    np.testing.assert_allclose(found.to_numpy(), same.to_numpy())
    with pytest.raises(InvalidInput, match=r"sma\(5, source=volume\) needs the column 'volume'"):
        compute("sma(5, source=volume)", frame.drop(columns="volume"))
