"""A chart shows the timeframe that a reader chooses, and follows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import botlib as bl
from botlib.frames.resampling import resample
from botlib.indicators import compute
from botlib.widgets.chart import Marker
from tests.support.chart_page import MINUTE, START, market, view

FRAME = market(1_007)


def candle(place: int, frame: Any, *, closed: bool = True) -> bl.Candle:
    values = frame.to_numpy()[place].tolist()
    return bl.Candle(
        symbol="BTC/USDT",
        timeframe="1m",
        timestamp=START + place * MINUTE,
        closed=closed,
        source="stream",  # type: ignore[arg-type]
        **dict(zip(("open", "high", "low", "close", "volume"), values, strict=True)),
    )


def test_a_frame_offers_the_longer_timeframes_that_it_fills(live: Any) -> None:
    chart = bl.chart(FRAME)
    chart._ipython_display_()
    page = view(chart).ready()
    assert page.spec["timeframes"] == ["1m", "5m", "15m"]
    assert bl.chart(FRAME[:10])._scene.facts.timeframes == ("1m",)


def test_a_chosen_timeframe_has_its_own_candles_and_indicators(live: Any) -> None:
    chart = bl.chart(FRAME, overlays=["ema(20)"], panes=["rsi(14)"])
    chart._ipython_display_()
    page = view(chart).ready()
    page.say(type="timeframe", timeframe="5m")
    page.pump()
    assert chart.timeframe == page.spec["timeframe"] == "5m" and page.spec["step"] == 300
    wanted = resample(FRAME, "5m", base="1m")
    table = page.table()
    np.testing.assert_allclose(table[:, 1:6], wanted.to_numpy())
    np.testing.assert_allclose(table[:, 6], compute("ema(20)", wanted))
    page.say(type="timeframe", timeframe="1m")
    np.testing.assert_allclose(page.pump().table()[:, 1:6], FRAME.to_numpy())
    page.say(type="timeframe", timeframe="1d")  # which is not offered
    assert page.pump().spec["timeframe"] == "1m"


def test_candles_of_the_frame_make_those_of_the_timeframe_shown(live: Any) -> None:
    chart = bl.chart(FRAME[:1_000], overlays=["ema(20)"])
    chart._ipython_display_()
    page = view(chart).ready()
    page.say(type="timeframe", timeframe="5m")
    for place in range(1_000, 1_007):
        # Forming first, as a stream brings it.
        chart.take(candle(place, FRAME, closed=False))
        chart.take(candle(place, FRAME))
        chart.flush()
    page.pump()
    closed = resample(FRAME, "5m", base="1m")
    np.testing.assert_allclose(page.table()[:-1, 1:6], closed.to_numpy())
    forming = FRAME[1_005:]
    last = page.table()[-1]
    assert last[1:6].tolist() == pytest.approx(
        [
            forming["open"].iloc[0],
            forming["high"].max(),
            forming["low"].min(),
            forming["close"].iloc[-1],
            forming["volume"].sum(),
        ]
    )
    # They are there in the frame's own timeframe, too.
    page.say(type="timeframe", timeframe="1m")
    np.testing.assert_allclose(page.pump().table()[:, 1:6], FRAME.to_numpy())


def test_marks_stay_at_the_candles_that_contain_them(live: Any) -> None:
    moment = START + 7 * MINUTE
    chart = bl.chart(FRAME, markers=[Marker(timestamp=moment, kind="entry", text="buy")])
    chart._ipython_display_()
    page = view(chart).ready()
    assert page.marks["markers"][0]["time"] == moment / 1_000
    page.say(type="timeframe", timeframe="5m")
    assert page.pump().marks["markers"][0]["time"] == (START + 5 * MINUTE) / 1_000
