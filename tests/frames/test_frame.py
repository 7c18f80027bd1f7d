"""Candle frames of a symbol."""

from __future__ import annotations

import pandas as pd
import pytest

from botlib.core.errors import InvalidInput
from botlib.core.timeframe import MINUTE, timeframe_ms
from botlib.frames import Frames, MultiTimeframeEngine, candle_frame

START = 1_735_689_600_000  # 2025-01-01 00:00 UTC


def test_a_candle_frame_has_float_columns_indexed_by_open_time() -> None:
    frame = candle_frame([START], [[1, 2, 0.5, 1.5, 10]])
    assert list(frame.columns) == ["open", "high", "low", "close", "volume"]
    assert str(frame.index.dtype) == "datetime64[ms]"
    assert frame.index.tz is None
    assert frame.index[0] == pd.Timestamp("2025-01-01")
    assert frame["high"].iloc[0] == 2.0


def test_an_unknown_timeframe_names_the_known_ones() -> None:
    data = Frames("BTC/USDT", {"1m": candle_frame([], [])})
    with pytest.raises(InvalidInput, match=r"No frame for '4h'.*sees 1m"):
        data["4h"]
    with pytest.raises(InvalidInput, match="Subscribe"):
        MultiTimeframeEngine().frames("BTC/USDT", ("1m",), START)
    assert timeframe_ms("4h") == 240 * MINUTE


def test_an_indicator_is_computed_once_and_cannot_be_changed() -> None:
    frame = candle_frame(
        [START + n * MINUTE for n in range(50)], [[n + 1.0] * 5 for n in range(50)]
    )
    data = Frames("BTC/USDT", {"1m": frame, "5m": frame.iloc[::5]})
    first = data.indicator("sma(3)")
    assert first.tolist()[2:] == [float(n) for n in range(2, 50)]
    first.iloc[-1] = 0.0
    again = data.indicator("sma( length=3 )")
    assert again.iloc[-1] == 49.0
    assert again.to_numpy().base is data.indicator("sma(3)").to_numpy().base
    assert data.indicator("sma(3)", "5m").index.equals(data["5m"].index)
    with pytest.raises(InvalidInput, match="No frame for '4h'"):
        data.indicator("sma(3)", "4h")
