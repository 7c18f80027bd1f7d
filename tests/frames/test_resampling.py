"""Candles of a higher timeframe, built from a frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from botlib.core.errors import InvalidInput
from botlib.core.timeframe import MINUTE
from botlib.frames import COLUMNS, candle_frame, resample
from botlib.store.files import read_recording

START = 1_735_689_600_000  # 2025-01-01 00:00 UTC


def row(number: int) -> tuple[float, float, float, float, float]:
    """Return a valid candle that differs from its neighbours."""
    open_, close = 100 + number % 17, 100 + number * 7 % 13
    return (open_, max(open_, close) + 1.5, min(open_, close) - 2.5, close, 1.0 + number % 5)


def test_a_built_candle_consists_of_its_base_candles() -> None:
    base = candle_frame([START + n * MINUTE for n in range(12)], [row(n) for n in range(12)])
    built = resample(base, "5m", base="1m")
    assert list(built.index) == [pd.Timestamp("2025-01-01 00:00"), pd.Timestamp("2025-01-01 00:05")]
    second = base.iloc[5:10]
    assert built.iloc[1].tolist() == [
        second["open"].iloc[0],
        second["high"].max(),
        second["low"].min(),
        second["close"].iloc[-1],
        second["volume"].sum(),
    ]


def test_a_timeframe_is_built_only_from_one_that_divides_it() -> None:
    empty = candle_frame([], [])
    assert resample(empty, "1w", base="1d").empty
    for base, timeframe in (("3m", "5m"), ("1h", "1h"), ("4h", "1h"), ("3d", "1w"), ("8h", "12h")):
        with pytest.raises(InvalidInput, match=f"Cannot build {timeframe} candles from {base}"):
            resample(empty, timeframe, base=base)


def test_weeks_start_on_mondays() -> None:
    days = [START + n * 1_440 * MINUTE for n in range(20)]  # from a Wednesday
    built = resample(candle_frame(days, [row(n) for n in range(20)]), "1w", base="1d")
    assert list(built.index) == [pd.Timestamp("2025-01-06"), pd.Timestamp("2025-01-13")]


def test_built_candles_equal_the_recorded_ones(recorded: Callable[[str], Path]) -> None:
    minutes, quarters = (
        read_recording(recorded(f"candles/BTCUSDT-{name}.csv.gz"))
        for name in ("1m-20241130-20241229", "15m-20231231-20241229")
    )
    base, theirs = (
        candle_frame(one.timestamp, np.column_stack([getattr(one, name) for name in COLUMNS]))
        for one in (minutes, quarters)
    )
    ours = resample(base, "15m", base="1m")
    common = ours.index.intersection(theirs.index)
    assert len(common) > 2_000
    whole = base.resample("15min").size().reindex(common) == 15  # the recording itself has holes
    assert whole.mean() > 0.99
    np.testing.assert_allclose(ours.loc[common][whole], theirs.loc[common][whole], rtol=1e-9)
