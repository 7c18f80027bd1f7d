"""Ranges, deviations, bands and channels."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from botlib.indicators import rolling
from botlib.indicators.decay import wilder, window
from botlib.indicators.formulas.averages import rma_column, rma_stream
from botlib.indicators.record import (
    OVERLAY,
    OWN_SCALE,
    SOURCE,
    Array,
    Drawing,
    IndicatorRecord,
    Parameter,
)
from botlib.indicators.streams import NAN, RingBuffer

EPSILON: Final = float(np.finfo(np.float64).eps)
"""The difference that takes the place of 0 in a divisor, as in pandas-ta-classic."""

_HLC: Final = ("high", "low", "close")


def difference(high: Array, low: Array) -> Array:
    """Return high minus low, `EPSILON` if they are equal."""
    found = high - low
    return np.where(found == 0, EPSILON, found)


def difference_of(high: float, low: float) -> float:
    """Return high minus low of one candle, `EPSILON` if they are equal."""
    return high - low or EPSILON


def _stdev(source: Array, length: int, ddof: int) -> tuple[Array, ...]:
    return (rolling.deviation(source, length, ddof),)


class _DeviationStream:
    def __init__(self, length: int, ddof: int) -> None:
        self._ring = RingBuffer(length)
        self._ddof = ddof

    def update(self, value: float) -> tuple[float, ...]:
        if not self._ring.push(value):
            return (NAN,)
        return (self._ring.deviation(self._ddof, self._ring.mean),)


def _bbands(source: Array, length: int, std: float) -> tuple[Array, ...]:
    middle = rolling.mean(source, length)
    deviation = std * rolling.deviation(source, length, 0)
    lower, upper = middle - deviation, middle + deviation
    width = difference(upper, lower)
    return lower, middle, upper, 100.0 * width / middle, difference(source, lower) / width


class _BandsStream:
    def __init__(self, length: int, std: float) -> None:
        self._ring = RingBuffer(length)
        self._std = std

    def update(self, value: float) -> tuple[float, ...]:
        if not self._ring.push(value):
            return (NAN,) * 5
        middle = self._ring.mean
        deviation = self._std * self._ring.deviation(0, middle)
        lower, upper = middle - deviation, middle + deviation
        width = difference_of(upper, lower)
        return lower, middle, upper, 100.0 * width / middle, difference_of(value, lower) / width


def _true_range(high: Array, low: Array, close: Array) -> tuple[Array, ...]:
    result = rolling.undefined(len(close))
    before = close[:-1]
    result[1:] = np.maximum(
        difference(high[1:], low[1:]),
        np.maximum(np.abs(high[1:] - before), np.abs(before - low[1:])),
    )
    return (result,)


class _TrueRangeStream:
    def __init__(self) -> None:
        self._before = NAN

    def update(self, high: float, low: float, close: float) -> tuple[float, ...]:
        before, self._before = self._before, close
        if math.isnan(before):
            return (NAN,)
        return (max(difference_of(high, low), abs(high - before), abs(before - low)),)


def _atr(high: Array, low: Array, close: Array, length: int) -> tuple[Array, ...]:
    return (rma_column(_true_range(high, low, close)[0], length),)


def _natr(high: Array, low: Array, close: Array, length: int) -> tuple[Array, ...]:
    return (100.0 / close * _atr(high, low, close, length)[0],)


class _AverageRangeStream:
    """The average true range, if relative as a percentage of the close (atr, natr)."""

    def __init__(self, length: int, relative: bool) -> None:
        self._range, self._average = _TrueRangeStream(), rma_stream(length)
        self._relative = relative

    def update(self, high: float, low: float, close: float) -> tuple[float, ...]:
        (value,) = self._average.update(*self._range.update(high, low, close))
        return (100.0 / close * value if self._relative else value,)


def _donchian(high: Array, low: Array, lower_length: int, upper_length: int) -> tuple[Array, ...]:
    lower = rolling.extreme(low, lower_length, highest=False)
    upper = rolling.extreme(high, upper_length, highest=True)
    return lower, 0.5 * (lower + upper), upper


class ChannelStream:
    """The lowest low, the highest high and their mean."""

    def __init__(self, lower_length: int, upper_length: int) -> None:
        self._low, self._high = RingBuffer(lower_length), RingBuffer(upper_length)

    def update(self, high: float, low: float) -> tuple[float, ...]:
        lower = self._low.lowest if self._low.push(low) else NAN
        upper = self._high.highest if self._high.push(high) else NAN
        return lower, 0.5 * (lower + upper), upper


RECORDS: Final = (
    IndicatorRecord(
        name="stdev",
        inputs=SOURCE,
        parameters=(Parameter.length(30, 2), Parameter("ddof", int, 0, 0, 1)),
        formula=_stdev,
        stream=_DeviationStream,
        warmup=window(),
        drawing=OWN_SCALE,
    ),
    IndicatorRecord(
        name="bbands",
        inputs=SOURCE,
        parameters=(Parameter.length(5, 2), Parameter("std", float, 2.0, 0)),
        outputs=("lower", "middle", "upper", "width", "percent"),
        formula=_bbands,
        stream=_BandsStream,
        warmup=window(),
        # The width and the percentage have scales of their own.
        drawing=Drawing(price=True, outputs=("lower", "middle", "upper")),
    ),
    IndicatorRecord(
        name="true_range",
        inputs=_HLC,
        formula=_true_range,
        stream=_TrueRangeStream,
        warmup=lambda tolerance: 2,
        drawing=OWN_SCALE,
    ),
    IndicatorRecord(
        name="atr",
        inputs=_HLC,
        parameters=(Parameter.length(14),),
        formula=_atr,
        stream=lambda length: _AverageRangeStream(length, relative=False),
        warmup=wilder(before=1),
        drawing=OWN_SCALE,
    ),
    IndicatorRecord(
        name="natr",
        inputs=_HLC,
        parameters=(Parameter.length(14),),
        formula=_natr,
        stream=lambda length: _AverageRangeStream(length, relative=True),
        warmup=wilder(before=1),
        drawing=OWN_SCALE,
    ),
    IndicatorRecord(
        name="donchian",
        inputs=("high", "low"),
        parameters=(
            Parameter.length(20, name="lower_length"),
            Parameter.length(20, name="upper_length"),
        ),
        outputs=("lower", "middle", "upper"),
        formula=_donchian,
        stream=ChannelStream,
        warmup=lambda tolerance, lower_length, upper_length: max(lower_length, upper_length),
        drawing=OVERLAY,
    ),
)
