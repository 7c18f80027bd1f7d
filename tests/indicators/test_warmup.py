"""How many candles an indicator needs before its value no longer depends on the first one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from botlib.core.errors import InvalidInput
from botlib.indicators import compute, warmup
from botlib.indicators.formulas import OWN
from tests.support.samples import market_frame

ROWS = 1_100
DEPEND_ON_ALL_HISTORY = {"ad", "aobv", "drawdown", "nvi", "obv", "pvi", "pvt", "wad"}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return market_frame(ROWS)


def settled(spec: str, frame: pd.DataFrame, rows: int, tolerance: float) -> bool:
    """Return whether a number of candles gives the newest value, wherever they end."""
    whole = compute(spec, frame).to_numpy().reshape(len(frame), -1)
    scale = np.nanmax(np.abs(whole), axis=0)
    for end in range(len(frame) - 5 * 37, len(frame) + 1, 37):
        found = compute(spec, frame.iloc[end - rows : end]).to_numpy().reshape(rows, -1)[-1]
        error = np.abs(found - whole[end - 1])
        if not ((error <= tolerance * scale) | np.isnan(whole[end - 1])).all():
            return False
    return True


@pytest.mark.parametrize("tolerance", [1e-9, 1e-4])
@pytest.mark.parametrize("name", sorted(set(OWN) - {"obv"}))
def test_the_first_candle_does_not_matter_after_the_warm_up(
    frame: pd.DataFrame, name: str, tolerance: float
) -> None:
    assert settled(name, frame, warmup(name, tolerance), tolerance)


@pytest.mark.parametrize("name", ["ema(50)", "dema(30)", "tema(20)", "rsi(14)", "macd", "atr(20)"])
def test_a_third_of_the_warm_up_is_too_short(name: str) -> None:
    frame = market_frame(3_000)
    assert settled(name, frame, warmup(name), 1e-9)
    assert not settled(name, frame, warmup(name) // 3, 1e-9)


@pytest.mark.parametrize(
    ("spec", "rows"),
    [
        ("sma(20)", 20),
        ("bbands(20, 2)", 20),
        ("mom(10)", 11),
        ("true_range", 2),
        ("stoch(14, 3, 3)", 18),
        ("donchian(5, 9)", 9),
        ("ema(1)", 1),
        ("hl2", 1),
        ("cci(20)", 20),
        ("hma(16)", 19),
    ],
)
def test_the_warm_up_of_a_window_is_its_length(spec: str, rows: int) -> None:
    assert warmup(spec) == rows
    frame = market_frame(400)
    assert settled(spec, frame, rows, 1e-9)
    if rows > 1:
        assert not settled(spec, frame, rows - 1, 1e-9) or spec == "hma(16)"


def test_an_indicator_that_depends_on_all_history_has_no_warm_up() -> None:
    for name in sorted(DEPEND_ON_ALL_HISTORY):
        with pytest.raises(InvalidInput, match=f"{name} never settles"):
            warmup(name)
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        warmup("ema(20)", 0)


def test_a_daily_average_price_settles_within_a_day_or_two() -> None:
    assert 24 <= warmup("vwap", timeframe="1h") <= 48
    assert 6 <= warmup("vwap", timeframe="4h") <= 12
    assert 1_440 <= warmup("vwap", timeframe="1m") <= 2_880


def test_a_smaller_tolerance_and_a_longer_average_take_longer() -> None:
    assert warmup("ema(20)", 1e-3) < warmup("ema(20)") < warmup("ema(40)")
    assert warmup("kama(10)", 1e-3) < warmup("kama(10)")
