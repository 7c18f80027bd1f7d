"""The multi-timeframe engine."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from botlib.core.errors import InvalidInput
from botlib.core.model import Candle, CandleSource
from botlib.core.timeframe import MINUTE, timeframe_ms
from botlib.frames import MultiTimeframeEngine, candle_frame, resample
from botlib.frames.frame import open_times
from botlib.indicators import compute, warmup
from tests.frames.test_resampling import row
from tests.support.samples import flat

START = 1_735_689_600_000  # 2025-01-01 00:00 UTC


def candle(timestamp: int, close: float = 1.0, timeframe: str = "1m") -> Candle:
    return flat(timestamp, close, timeframe=timeframe, volume=1.0)


def test_the_window_keeps_the_newest_candles_in_order() -> None:
    engine = MultiTimeframeEngine()
    engine.require("BTC/USDT", "1m", 10)
    for minute in range(57):
        assert engine.update(candle(START + minute * MINUTE, close=minute + 1))
    assert not engine.update(candle(START + 3 * MINUTE))
    frame = engine.frames("BTC/USDT", ("1m",), START + 56 * MINUTE).frame
    assert frame["close"].tolist() == [float(n) for n in range(48, 58)]


def test_frames_of_an_earlier_moment_hold_only_candles_closed_by_then() -> None:
    engine = MultiTimeframeEngine()
    engine.require("BTC/USDT", "1m", 100)
    for minute in range(20):
        engine.update(candle(START + minute * MINUTE, close=minute + 1))
    frame = engine.frames("BTC/USDT", ("1m",), START + 4 * MINUTE).frame
    assert frame["close"].tolist() == [1, 2, 3, 4, 5]


def test_requiring_more_candles_keeps_the_existing_ones() -> None:
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
    for quarter in range(4):  # all are stored, although the later ones have not closed yet
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


def minute_candle(number: int, timeframe: str = "1m") -> Candle:
    open_, high, low, close, volume = row(number)
    return Candle(
        symbol="BTC/USDT",
        timeframe=timeframe,
        timestamp=START + number * timeframe_ms(timeframe),
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=volume,
        closed=True,
        source=CandleSource.STREAM,
    )


@given(st.data())
def test_candles_built_one_by_one_equal_those_built_at_once(data: st.DataObject) -> None:
    """Any history with holes, at any moment, holds no unfinished or future candle."""
    minutes = sorted(data.draw(st.sets(st.integers(0, 90), min_size=1, max_size=80)))
    engine = MultiTimeframeEngine()
    engine.require("BTC/USDT", "1m", 200)
    early = data.draw(st.integers(0, len(minutes)))
    engine.load(minute_candle(minute) for minute in minutes[:early])
    engine.require("BTC/USDT", "15m", 50, resample=True)
    for place, minute in enumerate(minutes):
        if place >= early:
            engine.update(minute_candle(minute))
        seen = engine.frames("BTC/USDT", ("1m", "15m"), START + minute * MINUTE)
        assert engine.complete("BTC/USDT", ("1m", "15m"), START + minute * MINUTE)
        pd.testing.assert_frame_equal(seen["15m"], resample(seen["1m"], "15m", base="1m"))
        closed = START + (minute + 1) * MINUTE
        assert all(open_ + 15 * MINUTE <= closed for open_ in open_times(seen["15m"].index))


def test_a_built_timeframe_waits_for_its_base() -> None:
    engine = MultiTimeframeEngine()
    engine.require("BTC/USDT", "1m", 300)
    engine.require("BTC/USDT", "5m", 60)
    engine.require("BTC/USDT", "15m", 20, resample=True)  # from 5m, the longest
    timeframes = ("1m", "15m")
    engine.load(minute_candle(n) for n in range(15))
    engine.load(minute_candle(n, "5m") for n in range(2))
    assert not engine.complete("BTC/USDT", timeframes, START + 14 * MINUTE)
    assert engine.frames("BTC/USDT", timeframes, START + 14 * MINUTE)["15m"].empty
    engine.update(minute_candle(2, "5m"))
    assert engine.complete("BTC/USDT", timeframes, START + 14 * MINUTE)
    assert len(engine.frames("BTC/USDT", timeframes, START + 14 * MINUTE)["15m"]) == 1


def test_a_halt_completes_the_built_candle_it_interrupts() -> None:
    engine = MultiTimeframeEngine()
    engine.require("BTC/USDT", "1m", 300)
    engine.require("BTC/USDT", "5m", 60)
    engine.require("BTC/USDT", "15m", 20, resample=True)
    engine.load(minute_candle(n) for n in (*range(7), 17))
    engine.load(minute_candle(n, "5m") for n in (0, 1))
    data = engine.frames("BTC/USDT", ("1m", "15m"), START + 17 * MINUTE)
    assert list(data["15m"].index) == [pd.Timestamp("2025-01-01")]
    assert data["15m"]["close"].tolist() == [row(1)[3]]


def test_a_streamed_timeframe_is_not_built_and_a_built_one_can_become_streamed() -> None:
    engine = MultiTimeframeEngine()
    with pytest.raises(InvalidInput, match="nothing to build BTC/USDT 15m from"):
        engine.require("BTC/USDT", "15m", 10, resample=True)
    engine.require("BTC/USDT", "1m", 100)
    engine.require("BTC/USDT", "5m", 10)
    engine.require("BTC/USDT", "5m", 20, resample=True)
    assert engine.update(minute_candle(0, "5m"))
    engine.require("BTC/USDT", "15m", 10, resample=True)
    assert not engine.update(minute_candle(0, "15m"))
    engine.require("BTC/USDT", "15m", 10)
    assert engine.update(minute_candle(0, "15m"))
    engine.load(minute_candle(n, "5m") for n in range(1, 9))
    assert engine.last_open("BTC/USDT", "15m") == START


SPECS = ("ema(8)", "rsi(5)", "bbands(6, 2)", "macd(3, 6, 3)", "hma(6)", "sma(4, source=hl2)")


@pytest.mark.parametrize("spec", SPECS)
def test_indicators_equal_those_of_all_history_while_the_window_moves(spec: str) -> None:
    engine = MultiTimeframeEngine()
    engine.require("BTC/USDT", "1m", 40)
    engine.require("BTC/USDT", "5m", 20, resample=True)
    engine.load(minute_candle(n) for n in range(7))
    history = candle_frame([START + n * MINUTE for n in range(300)], [row(n) for n in range(300)])
    fives = resample(history, "5m", base="1m")
    engine.indicators("BTC/USDT", "1m", spec), engine.indicators("BTC/USDT", "5m", spec)
    for number in range(7, 300):
        engine.update(minute_candle(number))
        if number == 100:
            engine.require("BTC/USDT", "1m", 60)
        if number % 37 and number != 299:
            continue
        for timeframe, whole in (("1m", history[: number + 1]), ("5m", fives)):
            found = engine.indicators("BTC/USDT", timeframe, spec)
            expected = compute(spec, whole).loc[found.index]
            assert found.index[-1] == whole.index[whole.index <= found.index[-1]][-1]
            np.testing.assert_allclose(found.to_numpy(), expected.to_numpy(), atol=1e-9)
    assert len(engine.indicators("BTC/USDT", "1m", spec)) == 60
    assert len(engine.indicators("BTC/USDT", "5m", spec)) == 20


def test_indicators_start_again_with_a_new_history() -> None:
    engine = MultiTimeframeEngine()
    engine.require("BTC/USDT", "1m", 50)
    engine.require("BTC/USDT", "5m", 30, resample=True)
    engine.load(minute_candle(n) for n in range(100, 120))
    engine.indicators("BTC/USDT", "5m", "ema(2)")
    engine.forget("BTC/USDT", "1m")
    with pytest.raises(InvalidInput, match="No candles of BTC/USDT 1m are kept"):
        engine.indicators("BTC/USDT", "1m", "ema(2)")
    engine.require("BTC/USDT", "1m", 120)
    numbers = range(3, 120)  # from the middle of a candle, which is left out again
    engine.load(minute_candle(n) for n in numbers)
    history = candle_frame([START + n * MINUTE for n in numbers], [row(n) for n in numbers])
    expected = compute("ema(2)", resample(history, "5m", base="1m"))
    found = engine.indicators("BTC/USDT", "5m", "ema(2)")
    pd.testing.assert_series_equal(found, expected)


def test_depth_covers_kept_candles_built_timeframes_and_warm_up() -> None:
    engine = MultiTimeframeEngine()
    assert engine.depth("BTC/USDT", "1m") == 0
    engine.require("BTC/USDT", "1m", 100)
    assert engine.depth("BTC/USDT", "1m") == 100
    engine.indicators("BTC/USDT", "1m", "sma(20)")
    assert engine.depth("BTC/USDT", "1m") == 119
    engine.indicators("BTC/USDT", "1m", "obv")
    assert engine.depth("BTC/USDT", "1m") == 119
    engine.require("BTC/USDT", "15m", 30, resample=True)
    assert engine.depth("BTC/USDT", "1m") == 31 * 15
    engine.indicators("BTC/USDT", "15m", "ema(10)")
    assert engine.depth("BTC/USDT", "1m") == (29 + warmup("ema(10)") + 1) * 15
