"""Indicators candle by candle, and that none looks ahead."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from botlib.core.errors import InvalidInput
from botlib.indicators import COLUMNS, Incremental, compute, names, parse
from botlib.indicators.formulas import OWN
from botlib.store.files import read_recording
from tests.indicators.test_warmup import DEPEND_ON_ALL_HISTORY
from tests.support.samples import market_frame

Array = npt.NDArray[np.float64]

ROWS = 1_100
SAMPLE = ("adx(14)", "supertrend(10, 3)", "psar", "kama(10)", "cci(20)", "kc(20, 2)", "hma(16)")
"""Library indicators of every kind: recursive, with two states, windowed."""


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return market_frame(ROWS)


def values(found: pd.Series | pd.DataFrame) -> Array:
    return found.to_numpy().reshape(len(found), -1)


def differs(found: Array, expected: Array) -> npt.NDArray[np.bool_]:
    """Return which rows differ by more than 1e-9, relative to values above 1."""
    with np.errstate(invalid="ignore"):
        near = np.abs(found - expected) <= 1e-9 * np.maximum(1.0, np.abs(expected))
    return ~(near | (found == expected) | (np.isnan(found) & np.isnan(expected)))


def changed_by_cutting(
    function: Callable[[pd.DataFrame], pd.Series | pd.DataFrame], frame: pd.DataFrame
) -> list[int]:
    """Return the cuts that change an earlier value, the last candle included."""
    whole = values(function(frame))
    rows = len(frame)
    cuts = (rows - 1, rows - 30, rows // 2, 150)
    return [cut for cut in cuts if differs(values(function(frame.iloc[:cut])), whole[:cut]).any()]


@pytest.mark.parametrize("name", names())
def test_no_value_changes_when_the_future_is_cut_off(frame: pd.DataFrame, name: str) -> None:
    # Sixty patterns of a few candles each, and slow ones.
    part = frame.iloc[:200] if name == "cdl_pattern" else frame
    assert changed_by_cutting(lambda part: compute(name, part), part) == []


def test_the_check_notices_an_indicator_that_looks_ahead(frame: pd.DataFrame) -> None:
    def centred(part: pd.DataFrame) -> pd.Series:
        return part["close"].rolling(21, center=True).mean()

    def one_candle(part: pd.DataFrame) -> pd.Series:
        return part["close"].shift(-1)

    assert len(changed_by_cutting(centred, frame)) == 4
    assert len(changed_by_cutting(one_candle, frame)) == 4


def candle_by_candle(spec: str, frame: pd.DataFrame, timeframe: str, singly: int) -> Array:
    """Return an indicator updated with all but the last candles at once, then with those singly."""
    incremental = Incremental(spec, timeframe=timeframe)
    opens = np.asarray(frame.index, dtype="datetime64[ms]").astype(np.int64)
    candles = frame[list(COLUMNS)].to_numpy()
    edges = [0, *range(len(frame) - singly, len(frame) + 1)]
    return np.concatenate(
        [incremental.update(opens[start:end], candles[start:end]) for start, end in pairwise(edges)]
    )


@pytest.mark.parametrize("name", sorted(set(names()) - DEPEND_ON_ALL_HISTORY | {"obv"}))
def test_values_candle_by_candle_are_those_of_the_whole_frame(
    frame: pd.DataFrame, name: str
) -> None:
    singly = ROWS if name in OWN else 6
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
def test_recorded_candles_give_the_same_values_one_by_one(
    recorded: Callable[[str], Path], file: str, timeframe: str
) -> None:
    recording = read_recording(recorded(f"candles/{file}.csv.gz"))
    frame = pd.DataFrame(
        {name: getattr(recording, name) for name in COLUMNS},
        index=pd.DatetimeIndex(np.asarray(recording.timestamp).astype("datetime64[ms]")),
    ).iloc[-15_000:]
    specs = [*OWN, "ema(200)", "bbands(20, 2)", "sma(50, source=hlc3)", *SAMPLE]
    for spec in specs:
        own = parse(spec).name in OWN
        part = frame if own else frame.iloc[-3_000:]
        found = candle_by_candle(spec, part, timeframe, len(part) if own else 15)
        wrong = differs(found, values(compute(spec, part)))
        assert not wrong.any(), (spec, np.argwhere(wrong)[0])
        assert np.isfinite(found[-1]).any()


def test_an_indicator_that_depends_on_all_history_has_no_stream() -> None:
    with pytest.raises(InvalidInput, match="pvt never settles"):
        Incremental("pvt", timeframe="1m")
