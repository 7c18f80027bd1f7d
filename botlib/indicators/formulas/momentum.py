"""Changes of the price, and its place in its recent range."""

from __future__ import annotations

from typing import Final

import numpy as np

from botlib.indicators import rolling
from botlib.indicators.decay import decay, wilder, window
from botlib.indicators.formulas.averages import (
    MeanStream,
    ema_column,
    ema_stream,
    rma_column,
    rma_stream,
)
from botlib.indicators.formulas.volatility import ChannelStream, difference, difference_of
from botlib.indicators.record import OWN_SCALE, SOURCE, Array, Drawing, IndicatorRecord, Parameter
from botlib.indicators.streams import NAN, RingBuffer

_HLC: Final = ("high", "low", "close")


def _rsi(source: Array, length: int) -> tuple[Array, ...]:
    change = rolling.undefined(len(source))
    change[1:] = np.diff(source)
    up = rma_column(np.where(change < 0, 0.0, change), length)
    down = rma_column(np.where(change > 0, 0.0, change), length)
    with np.errstate(invalid="ignore"):
        return (100.0 * up / (up + np.abs(down)),)


class _RelativeStrengthStream:
    def __init__(self, length: int) -> None:
        self._up, self._down = rma_stream(length), rma_stream(length)
        self._before = NAN

    def update(self, value: float) -> tuple[float, ...]:
        change, self._before = value - self._before, value
        (up,) = self._up.update(0.0 if change < 0 else change)
        (down,) = self._down.update(0.0 if change > 0 else change)
        total = up + abs(down)
        return (100.0 * up / total if total else NAN,)


def _macd(source: Array, fast: int, slow: int, signal: int) -> tuple[Array, ...]:
    line = ema_column(source, fast) - ema_column(source, slow)
    smooth = ema_column(line, signal)
    return line, smooth, line - smooth


class _MacdStream:
    def __init__(self, fast: int, slow: int, signal: int) -> None:
        self._fast, self._slow, self._signal = (
            ema_stream(fast),
            ema_stream(slow),
            ema_stream(signal),
        )

    def update(self, value: float) -> tuple[float, ...]:
        line = self._fast.update(value)[0] - self._slow.update(value)[0]
        (signal,) = self._signal.update(line)
        return line, signal, line - signal


def _macd_warmup(tolerance: float, fast: int, slow: int, signal: int) -> int:
    settled = decay(2.0 / (slow + 1), tolerance) + decay(2.0 / (signal + 1), tolerance)
    return slow + signal - 1 + settled


def _mom(source: Array, length: int) -> tuple[Array, ...]:
    return (source - rolling.past(source, length),)


def _roc(source: Array, length: int) -> tuple[Array, ...]:
    before = rolling.past(source, length)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (100.0 * (source - before) / before,)


class _PriceChangeStream:
    """The change over some candles, if relative as a percentage (mom, roc)."""

    def __init__(self, length: int, relative: bool) -> None:
        self._ring = RingBuffer(length + 1)
        self._relative = relative

    def update(self, value: float) -> tuple[float, ...]:
        if not self._ring.push(value):
            return (NAN,)
        before = self._ring.oldest
        change = value - before
        return (float(np.divide(100.0 * change, before)) if self._relative else change,)


def _stoch(
    high: Array, low: Array, close: Array, k: int, d: int, smooth_k: int
) -> tuple[Array, ...]:
    lowest = rolling.extreme(low, k, highest=False)
    place = 100.0 * (close - lowest) / difference(rolling.extreme(high, k, highest=True), lowest)
    smooth = rolling.mean(place, smooth_k)
    return smooth, rolling.mean(smooth, d)


class _StochasticStream:
    def __init__(self, k: int, d: int, smooth_k: int) -> None:
        self._channel = ChannelStream(k, k)
        self._k, self._d = MeanStream(smooth_k), MeanStream(d)

    def update(self, high: float, low: float, close: float) -> tuple[float, ...]:
        lowest, _, highest = self._channel.update(high, low)
        (k,) = self._k.update(100.0 * (close - lowest) / difference_of(highest, lowest))
        return k, self._d.update(k)[0]


def _willr(high: Array, low: Array, close: Array, length: int) -> tuple[Array, ...]:
    lowest = rolling.extreme(low, length, highest=False)
    highest = rolling.extreme(high, length, highest=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (100.0 * ((close - lowest) / (highest - lowest) - 1.0),)


class _WilliamsStream:
    def __init__(self, length: int) -> None:
        self._channel = ChannelStream(length, length)

    def update(self, high: float, low: float, close: float) -> tuple[float, ...]:
        lowest, _, highest = self._channel.update(high, low)
        width = highest - lowest
        return (100.0 * ((close - lowest) / width - 1.0) if width else NAN,)


RECORDS: Final = (
    IndicatorRecord(
        name="rsi",
        inputs=SOURCE,
        parameters=(Parameter.length(14),),
        formula=_rsi,
        stream=_RelativeStrengthStream,
        warmup=wilder(before=1),
        drawing=Drawing(price=False, levels=(30.0, 70.0)),
    ),
    IndicatorRecord(
        name="macd",
        inputs=SOURCE,
        parameters=(
            Parameter.length(12, name="fast"),
            Parameter.length(26, name="slow"),
            Parameter.length(9, name="signal"),
        ),
        outputs=("macd", "signal", "histogram"),
        ascending=("fast", "slow"),
        formula=_macd,
        stream=_MacdStream,
        warmup=_macd_warmup,
        drawing=Drawing(price=False, outputs=("histogram", "macd", "signal")),
    ),
    IndicatorRecord(
        name="mom",
        inputs=SOURCE,
        parameters=(Parameter.length(10),),
        formula=_mom,
        stream=lambda length: _PriceChangeStream(length, relative=False),
        warmup=window(extra=1),
        drawing=OWN_SCALE,
    ),
    IndicatorRecord(
        name="roc",
        inputs=SOURCE,
        parameters=(Parameter.length(10),),
        formula=_roc,
        stream=lambda length: _PriceChangeStream(length, relative=True),
        warmup=window(extra=1),
        drawing=OWN_SCALE,
    ),
    IndicatorRecord(
        name="stoch",
        inputs=_HLC,
        parameters=(
            Parameter.length(14, name="k"),
            Parameter.length(3, name="d"),
            Parameter.length(3, name="smooth_k"),
        ),
        outputs=("k", "d"),
        formula=_stoch,
        stream=_StochasticStream,
        warmup=lambda tolerance, k, d, smooth_k: k + smooth_k + d - 2,
        drawing=Drawing(price=False, levels=(20.0, 80.0)),
    ),
    IndicatorRecord(
        name="willr",
        inputs=_HLC,
        parameters=(Parameter.length(14),),
        formula=_willr,
        stream=_WilliamsStream,
        warmup=window(),
        drawing=Drawing(price=False, levels=(-80.0, -20.0)),
    ),
)
