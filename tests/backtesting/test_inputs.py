"""Inputs of a backtest: candle frames and signals that can or cannot be used."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from botlib.backtesting import backtest, check, sweep
from botlib.core.errors import ConfigError, InvalidInput
from botlib.engine.strategies.active import ActiveStrategy
from botlib.frames import Frames, candle_frame, resample
from botlib.strategies import TrendCross, TrendPullback
from botlib.strategy import Signals
from tests.support.backtests import Scripted, flat, wandering


def test_an_index_with_a_time_zone_is_converted_to_utc() -> None:
    naive = flat(10, 11, 12, 13)
    zoned = naive.tz_localize("UTC").tz_convert("Asia/Tokyo")
    result = backtest(Scripted(entries=(0,)), zoned)
    assert result.frame.index.tz is None and result.frame.index.equals(naive.index)
    assert zoned.index.tz is not None  # the given frame is not changed


Spoil = Callable[[pd.DataFrame], object]


def _nan(frame: pd.DataFrame) -> pd.DataFrame:
    frame.iloc[2, 3] = np.nan
    return frame


def _zero(frame: pd.DataFrame) -> pd.DataFrame:
    frame.iloc[2, 0] = 0.0
    return frame


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.iloc[:1], "1 candles of 1m are too few"),
        (_nan, "close of the 1m candle at 1970-01-01 00:02:00 is nan"),
        (_zero, "open of the 1m candle at 1970-01-01 00:02:00 is 0.0"),
        (lambda f: f.iloc[::-1], "out of order.*sort_index"),
        (lambda f: pd.concat([f, f.iloc[-1:]]), "there twice"),
        (lambda f: f.reset_index(drop=True), "not of open times"),
        (lambda f: f.drop(columns="low"), "lack low"),
        (lambda f: f.astype(str).assign(open="x"), "not numbers"),
        (lambda f: f["close"], "must be a pandas DataFrame, not Series"),
        (lambda f: {}, "No candles were given"),
        (lambda f: {"5m": f}, "trades 1m; the candles given are of 5m"),
        (lambda f: f.set_axis(f.index[0] + (f.index - f.index[0]) / 2), "closer than 1m"),
    ],
)
def test_candles_that_cannot_be_used_are_refused(spoil: Spoil, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        backtest(Scripted(entries=(0,)), spoil(flat(10, 11, 12, 13, 14)))  # type: ignore[arg-type]


def test_too_few_candles_for_the_warm_up() -> None:
    with pytest.raises(InvalidInput, match=r"31 to warm up and one to trade on\. Load at least 32"):
        backtest(TrendCross(timeframes=("1m",)), wandering(31))
    backtest(TrendCross(timeframes=("1m",)), wandering(32))


def test_signals_of_the_wrong_form_are_refused() -> None:
    class Wrong(Scripted):
        def signals(self, data: Frames) -> Signals:
            good = data.frame["close"] > 0
            return Signals(entry=good.iloc[1:], exit=good)

    with pytest.raises(ConfigError, match="not those of the trading frame"):
        backtest(Wrong(), flat(10, 11, 12))

    class Nothing(Scripted):
        def signals(self, data: Frames) -> Signals:
            return None  # type: ignore[return-value]

    with pytest.raises(ConfigError, match=r"must return Signals\(.*not NoneType"):
        backtest(Nothing(), flat(10, 11, 12))

    class Numbers(Scripted):
        def signals(self, data: Frames) -> Signals:
            return Signals(entry=data.frame["close"], exit=data.frame["close"] > 0)

    with pytest.raises(ConfigError, match="float64, not bool"):
        backtest(Numbers(), flat(10, 11, 12))


def test_the_timeframe_is_read_from_the_candles_if_none_is_given() -> None:
    class Free(Scripted):
        timeframes = ()

    assert backtest(Free(entries=(0,)), flat(10, 11, 12)).timeframe == "1m"
    odd = candle_frame(np.arange(3) * 61_000, [[1.0] * 5] * 3)
    with pytest.raises(InvalidInput, match="61000 ms apart"):
        backtest(Free(), odd)


def test_candles_of_another_timeframe_than_the_strategy_trades_are_refused() -> None:
    """15m candles labelled 1m quadrupled the Sharpe ratio, and nothing was said."""
    quarters = candle_frame(np.arange(2_000) * 900_000, wandering(2_000, 4).to_numpy())
    for given in (quarters, {"1m": quarters}, Frames("BTC/USDT", {"1m": quarters})):
        for ask in (backtest, check):
            with pytest.raises(InvalidInput, match="given as 1m are usually 15m apart"):
                ask(TrendCross(timeframes=("1m",)), given)  # type: ignore[operator]
    hourly = candle_frame(np.arange(2_000) * 3_600_000, wandering(2_000, 4).to_numpy())
    with pytest.raises(InvalidInput, match="given as 15m are usually 1h apart"):
        backtest(TrendPullback(), hourly)
    with pytest.raises(InvalidInput, match="given as 5m are usually 15m apart"):
        sweep(TrendCross, {"5m": quarters}, timeframes="5m", fast=[2], slow=[5])
    # Holes are longer steps, and no mistake.
    holed = wandering(2_000, 4).drop(wandering(2_000, 4).index[100:1_500])
    assert backtest(TrendCross(timeframes=("1m",)), holed).timeframe == "1m"


def test_a_warm_up_is_asked_of_each_timeframe_for_itself() -> None:
    """800 candles for an average of the trading timeframe were asked of the higher one too."""

    class Slow(TrendPullback):
        @property
        def warmup(self) -> int:
            return 800

        def warmup_of(self, timeframe: str) -> int:
            return 800 if timeframe == "15m" else 12

    active = ActiveStrategy(name="slow", strategy=Slow(), symbol="BTC/USDT")
    assert (active.rows("15m"), active.rows("4h")) == (850, 62)


def test_a_higher_timeframe_that_is_missing_is_built() -> None:
    frame = wandering(2_000, 4)
    strategy = TrendPullback(timeframes=("1m", "15m"), length=5, trend=3)
    built = backtest(strategy, frame)
    given = backtest(strategy, {"1m": frame, "15m": resample(frame, "15m", base="1m")})
    assert len(built.roundtrips) > 5
    pd.testing.assert_frame_equal(built.roundtrips, given.roundtrips)


def test_frames_in_order_are_used_as_they_are() -> None:
    seen = []

    class Watching(Scripted):
        def signals(self, data: Frames) -> Signals:
            seen.append(data)
            return super().signals(data)

    frames = Frames("BTC/USDT", {"1m": flat(10, 11, 12)})
    result = backtest(Watching(), frames)
    assert seen[0] is frames and result.symbol == "BTC/USDT"
