"""The example strategies."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from botlib.frames import Frames, candle_frame
from botlib.strategies import BandReversion, TrendCross, TrendPullback


def data(closes: list[float]) -> Frames:
    stamps = np.arange(len(closes)) * 60_000
    frame = candle_frame(stamps, [[c, c, c, c, 1.0] for c in closes])
    return Frames("BTC/USDT", {"1m": frame})


def test_trend_cross_enters_on_the_cross_up_and_exits_on_the_cross_down() -> None:
    closes = [10.0] * 8 + [11.0, 12.0, 13.0, 12.0, 9.0, 8.0, 7.0]
    signals = TrendCross(fast=2, slow=4).signals(data(closes))
    assert np.flatnonzero(signals.entry).tolist() == [8]
    assert np.flatnonzero(signals.exit).tolist() == [12]


def test_trend_cross_has_no_signals_during_its_warm_up() -> None:
    strategy = TrendCross(fast=2, slow=4)
    rising = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert not strategy.signals(data(rising[: strategy.warmup - 1])).entry.any()


def test_band_reversion_enters_below_the_band_and_exits_above_the_average() -> None:
    closes = [100.0 + (n % 2) for n in range(30)] + [95.0, 90.0, 95.0, 104.0]
    signals = BandReversion(length=10, rsi=5).signals(data(closes))
    assert np.flatnonzero(signals.entry).tolist() == [30, 31]
    assert signals.exit.iloc[33] and not signals.exit.iloc[30:33].any()


def test_trend_pullback_reads_closed_candles_of_the_higher_timeframe() -> None:
    strategy = TrendPullback(timeframes=("1m", "5m"), length=3, trend=2)
    closes = np.array([10.0, 10, 10, 10, 10, 11, 11, 11, 9, 12, 12, 12, 9, 13, 13, 8, 14, 14])
    base = data(closes.tolist()).frame
    stamps = np.arange(3) * 300_000
    higher = candle_frame(stamps, [[c, c, c, c, 1.0] for c in closes[4:15:5]])
    signals = strategy.signals(Frames("BTC/USDT", {"1m": base, "5m": higher}))
    # The second 5m candle (12, up from 10) closes with minute 9: no entry before that.
    assert np.flatnonzero(signals.entry).tolist() == [9, 13, 16]
    assert signals.exit.iloc[:9].all() and signals.exit.iloc[12]


def test_the_examples_are_short() -> None:
    import botlib.strategies as package

    for path in Path(package.__file__).parent.glob("*.py"):
        assert len(path.read_text().splitlines()) <= 60, path.name
