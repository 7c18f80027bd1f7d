"""Indicators candle by candle, what they need to settle, and that none looks ahead."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from botlib.core.errors import InvalidInput
from botlib.indicators import COLUMNS, Incremental, compute, names, parse, warmup
from botlib.indicators.formulas import CORE
from botlib.store.files import read_recording
from tests.indicators.test_compute import market

Array = npt.NDArray[np.float64]

ROWS = 1_100
DEPEND_ON_ALL_HISTORY = {"ad", "aobv", "drawdown", "nvi", "obv", "pvi", "pvt", "wad"}
SAMPLE = ("adx(14)", "supertrend(10, 3)", "psar", "kama(10)", "cci(20)", "kc(20, 2)", "hma(16)")
"""Library indicators of every sort: recursive, flipping, windowed."""


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return market(ROWS)


def values(found: pd.Series | pd.DataFrame) -> Array:
    return found.to_numpy().reshape(len(found), -1)


def differs(found: Array, expected: Array) -> npt.NDArray[np.bool_]:
    """Tell where two arrays differ by more than 1e-9, relative to values above 1."""
    with np.errstate(invalid="ignore"):
        near = np.abs(found - expected) <= 1e-9 * np.maximum(1.0, np.abs(expected))
    return ~(near | (found == expected) | (np.isnan(found) & np.isnan(expected)))


def changed_by_cutting(
    function: Callable[[pd.DataFrame], pd.Series | pd.DataFrame], frame: pd.DataFrame
) -> list[int]:
    """Return the cuts after which an earlier value is another one, the last candle included."""
    whole = values(function(frame))
    rows = len(frame)
    cuts = (rows - 1, rows - 30, rows // 2, 150)
    return [cut for cut in cuts if differs(values(function(frame.iloc[:cut])), whole[:cut]).any()]


@pytest.mark.parametrize("name", names())
def test_no_value_changes_when_the_future_is_cut_off(frame: pd.DataFrame, name: str) -> None:
    # Sixty patterns of a few candles each, and slow ones.
    part = frame.iloc[:200] if name == "cdl_pattern" else frame
    assert changed_by_cutting(lambda part: compute(name, part), part) == []


def test_an_indicator_that_looks_ahead_would_be_noticed(frame: pd.DataFrame) -> None:
    def centred(part: pd.DataFrame) -> pd.Series:
        return part["close"].rolling(21, center=True).mean()

    def one_candle(part: pd.DataFrame) -> pd.Series:
        return part["close"].shift(-1)

    assert len(changed_by_cutting(centred, frame)) == 4
    assert len(changed_by_cutting(one_candle, frame)) == 4


def candle_by_candle(spec: str, frame: pd.DataFrame, timeframe: str, singly: int) -> Array:
    """Return an indicator fed with all but the last candles at once, and with those singly."""
    incremental = Incremental(spec, timeframe=timeframe)
    opens = np.asarray(frame.index, dtype="datetime64[ms]").astype(np.int64)
    candles = frame[list(COLUMNS)].to_numpy()
    edges = [0, *range(len(frame) - singly, len(frame) + 1)]
    return np.concatenate(
        [incremental.update(opens[start:end], candles[start:end]) for start, end in pairwise(edges)]
    )


@pytest.mark.parametrize("name", sorted(set(names()) - DEPEND_ON_ALL_HISTORY | {"obv"}))
def test_candle_by_candle_gives_the_values_of_the_whole(frame: pd.DataFrame, name: str) -> None:
    singly = ROWS if name in CORE else 6
    found = candle_by_candle(name, frame, "1m", singly)
    wrong = differs(found, values(compute(name, frame)))
    assert not wrong.any(), np.argwhere(wrong)[0]


@pytest.mark.parametrize(
    ("file", "timeframe"),
    [
        ("BTCUSDT-1m-20241130-20241229", "1m"),
        ("BURGERUSDT-1m-20210402-20210514", "1m"),
        ("ETHUSDT-1h-20191204-20251102", "1h"),
    ],
)
def test_candle_by_candle_equals_the_whole_on_recorded_candles(
    recorded: Callable[[str], Path], file: str, timeframe: str
) -> None:
    recording = read_recording(recorded(f"candles/{file}.csv.gz"))
    frame = pd.DataFrame(
        {name: getattr(recording, name) for name in COLUMNS},
        index=pd.DatetimeIndex(np.asarray(recording.timestamp).astype("datetime64[ms]")),
    ).iloc[-15_000:]
    specs = [*CORE, "ema(200)", "bbands(20, 2)", "sma(50, source=hlc3)", *SAMPLE]
    for spec in specs:
        own = parse(spec).name in CORE
        part = frame if own else frame.iloc[-3_000:]
        found = candle_by_candle(spec, part, timeframe, len(part) if own else 15)
        wrong = differs(found, values(compute(spec, part)))
        assert not wrong.any(), (spec, np.argwhere(wrong)[0])
        assert np.isfinite(found[-1]).any()


def settled(spec: str, frame: pd.DataFrame, rows: int, tolerance: float) -> bool:
    """Tell whether so many candles give the newest value, wherever they end."""
    whole = values(compute(spec, frame))
    scale = np.nanmax(np.abs(whole), axis=0)
    for end in range(len(frame) - 5 * 37, len(frame) + 1, 37):
        found = values(compute(spec, frame.iloc[end - rows : end]))[-1]
        error = np.abs(found - whole[end - 1])
        if not ((error <= tolerance * scale) | np.isnan(whole[end - 1])).all():
            return False
    return True


@pytest.mark.parametrize("tolerance", [1e-9, 1e-4])
@pytest.mark.parametrize("name", sorted(set(CORE) - {"obv"}))
def test_after_the_warm_up_the_beginning_no_longer_matters(
    frame: pd.DataFrame, name: str, tolerance: float
) -> None:
    assert settled(name, frame, warmup(name, tolerance), tolerance)


@pytest.mark.parametrize("name", ["ema(50)", "dema(30)", "tema(20)", "rsi(14)", "macd", "atr(20)"])
def test_a_third_of_the_warm_up_would_not_do(name: str) -> None:
    frame = market(3_000)
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
def test_a_window_forgets_exactly_what_left_it(spec: str, rows: int) -> None:
    assert warmup(spec) == rows
    frame = market(400)
    assert settled(spec, frame, rows, 1e-9)
    if rows > 1:
        assert not settled(spec, frame, rows - 1, 1e-9) or spec == "hma(16)"


def test_what_depends_on_all_history_is_refused_where_that_cannot_be() -> None:
    for name in sorted(DEPEND_ON_ALL_HISTORY):
        with pytest.raises(InvalidInput, match=f"{name} never settles"):
            warmup(name)
    with pytest.raises(InvalidInput, match="pvt never settles"):
        Incremental("pvt", timeframe="1m")
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        warmup("ema(20)", 0)


def test_a_daily_average_price_settles_within_a_day_or_two() -> None:
    assert 24 <= warmup("vwap", timeframe="1h") <= 48
    assert 6 <= warmup("vwap", timeframe="4h") <= 12
    assert 1_440 <= warmup("vwap", timeframe="1m") <= 2_880


def test_a_smaller_tolerance_and_a_longer_average_take_longer() -> None:
    assert warmup("ema(20)", 1e-3) < warmup("ema(20)") < warmup("ema(40)")
    assert warmup("kama(10)", 1e-3) < warmup("kama(10)")
