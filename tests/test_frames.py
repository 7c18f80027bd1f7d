"""Frames and the multi-timeframe engine."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from botlib.errors import InvalidInput
from botlib.frames import Frames, MultiTimeframeEngine, candle_frame
from botlib.model import Candle, CandleSource
from botlib.timeframe import MINUTE, timeframe_ms

START = 1_735_689_600_000  # 2025-01-01 00:00 UTC


def candle(timestamp: int, close: float = 1.0, timeframe: str = "1m") -> Candle:
    return Candle(
        symbol="BTC/USDT",
        timeframe=timeframe,
        timestamp=timestamp,
        open=close,
        high=close,
        low=close,
        close=close,
        volume=1.0,
        closed=True,
        source=CandleSource.STREAM,
    )


def test_a_frame_has_the_form_every_part_of_the_kit_expects() -> None:
    frame = candle_frame([START], [[1, 2, 0.5, 1.5, 10]])
    assert list(frame.columns) == ["open", "high", "low", "close", "volume"]
    assert str(frame.index.dtype) == "datetime64[ms]"
    assert frame.index.tz is None
    assert frame.index[0] == pd.Timestamp("2025-01-01")
    assert frame["high"].iloc[0] == 2.0


def test_the_window_keeps_the_newest_candles_in_order() -> None:
    engine = MultiTimeframeEngine()
    engine.require("BTC/USDT", "1m", 10)
    for minute in range(57):
        assert engine.update(candle(START + minute * MINUTE, close=minute + 1))
    assert not engine.update(candle(START + 3 * MINUTE))
    frame = engine.frames("BTC/USDT", ("1m",), START + 56 * MINUTE).frame
    assert frame["close"].tolist() == [float(n) for n in range(48, 58)]


def test_an_earlier_moment_shows_only_what_had_closed_then() -> None:
    engine = MultiTimeframeEngine()
    engine.require("BTC/USDT", "1m", 100)
    for minute in range(20):
        engine.update(candle(START + minute * MINUTE, close=minute + 1))
    frame = engine.frames("BTC/USDT", ("1m",), START + 4 * MINUTE).frame
    assert frame["close"].tolist() == [1, 2, 3, 4, 5]


def test_requiring_more_later_keeps_what_was_there() -> None:
    engine = MultiTimeframeEngine()
    engine.require("BTC/USDT", "1m", 2)
    engine.load(candle(START + minute * MINUTE, close=minute + 1) for minute in range(4))
    engine.require("BTC/USDT", "1m", 50)
    engine.update(candle(START + 4 * MINUTE, close=5))
    assert len(engine.frames("BTC/USDT", ("1m",), START + 4 * MINUTE).frame) >= 3
    assert engine.last_close("BTC/USDT") == 5


@given(st.integers(min_value=1, max_value=60))
def test_a_higher_timeframe_is_visible_only_after_its_close(minutes: int) -> None:
    engine = MultiTimeframeEngine()
    engine.require("BTC/USDT", "1m", 200)
    engine.require("BTC/USDT", "15m", 200)
    for minute in range(minutes):
        engine.update(candle(START + minute * MINUTE, close=minute))
    for quarter in range(4):  # all of them are stored, the later ones have not closed yet
        engine.update(candle(START + quarter * 15 * MINUTE, close=quarter + 1, timeframe="15m"))
    data = engine.frames("BTC/USDT", ("1m", "15m"), START + (minutes - 1) * MINUTE)
    assert len(data["15m"]) == minutes // 15
    aligned = data.align(data["15m"]["close"], "15m")
    expected = [(minute + 1) // 15 for minute in range(minutes)]
    assert aligned.fillna(0).tolist() == expected


def test_a_candle_is_complete_when_its_higher_timeframes_have_arrived() -> None:
    engine = MultiTimeframeEngine()
    engine.require("BTC/USDT", "1m", 10)
    engine.require("BTC/USDT", "5m", 10)
    timeframes = ("1m", "5m")

    def complete(minute: int) -> bool:
        engine.update(candle(START + minute * MINUTE))
        return engine.complete("BTC/USDT", timeframes, START + minute * MINUTE)

    assert [complete(minute) for minute in range(7)] == [True] * 4 + [False] * 3
    engine.update(candle(START, timeframe="5m"))
    assert engine.complete("BTC/USDT", timeframes, START + 6 * MINUTE)


def test_in_a_halt_there_is_no_higher_candle_to_wait_for() -> None:
    engine = MultiTimeframeEngine()
    engine.require("BTC/USDT", "1m", 10)
    engine.require("BTC/USDT", "5m", 10)
    for minute in (0, 1):
        engine.update(candle(START + minute * MINUTE))
    engine.update(candle(START, timeframe="5m"))
    engine.update(candle(START + 62 * MINUTE))  # trading resumes after an hour
    assert engine.complete("BTC/USDT", ("1m", "5m"), START + 62 * MINUTE)


def test_asking_for_a_timeframe_that_is_not_there_says_which_are() -> None:
    data = Frames("BTC/USDT", {"1m": candle_frame([], [])})
    with pytest.raises(InvalidInput, match=r"No frame for '4h'.*sees 1m"):
        data["4h"]
    with pytest.raises(InvalidInput, match="Subscribe"):
        MultiTimeframeEngine().frames("BTC/USDT", ("1m",), START)
    assert timeframe_ms("4h") == 240 * MINUTE


def test_an_indicator_is_computed_once_and_cannot_be_spoilt() -> None:
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
