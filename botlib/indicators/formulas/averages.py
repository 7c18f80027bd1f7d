"""Moving averages of one column."""

from __future__ import annotations

from typing import Final

import numpy as np

from botlib.indicators import rolling
from botlib.indicators.decay import exponential, wilder, window
from botlib.indicators.record import OVERLAY, SOURCE, Array, IndicatorRecord, Parameter
from botlib.indicators.streams import NAN, RingBuffer


def ema_column(values: Array, length: int) -> Array:
    """Return the exponential average of weight 2/(n + 1)."""
    return rolling.seeded(values, length, 2.0 / (length + 1))


def rma_column(values: Array, length: int) -> Array:
    """Return Wilder's average, of weight 1/n."""
    return rolling.seeded(values, length, 1.0 / length)


class MeanStream:
    """The mean of the newest values."""

    def __init__(self, length: int) -> None:
        self._ring = RingBuffer(length)

    def update(self, value: float) -> tuple[float, ...]:
        return (self._ring.mean if self._ring.push(value) else NAN,)


class ExponentialStream:
    """An exponential average seeded with the mean of the first ``length`` values."""

    def __init__(self, length: int, alpha: float) -> None:
        self._alpha = alpha
        self._ring: RingBuffer | None = RingBuffer(length)
        self._value = NAN

    def update(self, value: float) -> tuple[float, ...]:
        if self._ring is None:
            self._value = (1.0 - self._alpha) * self._value + self._alpha * value
        elif self._ring.push(value):
            self._value = self._ring.mean
            self._ring = None
        return (self._value,)


def ema_stream(length: int) -> ExponentialStream:
    """Return the stream of `ema_column`."""
    return ExponentialStream(length, 2.0 / (length + 1))


def rma_stream(length: int) -> ExponentialStream:
    """Return the stream of `rma_column`."""
    return ExponentialStream(length, 1.0 / length)


def _sma(source: Array, length: int) -> tuple[Array, ...]:
    return (rolling.mean(source, length),)


def _ema(source: Array, length: int) -> tuple[Array, ...]:
    return (ema_column(source, length),)


def _rma(source: Array, length: int) -> tuple[Array, ...]:
    return (rma_column(source, length),)


def _wma(source: Array, length: int) -> tuple[Array, ...]:
    result = rolling.undefined(len(source))
    if len(source) >= length:
        weights = np.arange(length, 0, -1, dtype=np.float64)
        result[length - 1 :] = np.convolve(source, weights, "valid") / weights.sum()
    return (result,)


class _WeightedStream:
    def __init__(self, length: int) -> None:
        self._ring = RingBuffer(length)
        self._weights = np.arange(1.0, length + 1)
        self._total = float(self._weights.sum())

    def update(self, value: float) -> tuple[float, ...]:
        if not self._ring.push(value):
            return (NAN,)
        return (float(self._ring.ordered() @ self._weights) / self._total,)


def _dema(source: Array, length: int) -> tuple[Array, ...]:
    one = ema_column(source, length)
    return (2.0 * one - ema_column(one, length),)


def _tema(source: Array, length: int) -> tuple[Array, ...]:
    one = ema_column(source, length)
    two = ema_column(one, length)
    return (3.0 * (one - two) + ema_column(two, length),)


class _ChainedStream:
    """Two or three exponential averages in a row (dema, tema)."""

    def __init__(self, length: int, depth: int) -> None:
        self._parts = [ema_stream(length) for _ in range(depth)]

    def update(self, value: float) -> tuple[float, ...]:
        found: list[float] = []
        for part in self._parts:
            (value,) = part.update(value)
            found.append(value)
        if len(found) == 2:
            return (2.0 * found[0] - found[1],)
        return (3.0 * (found[0] - found[1]) + found[2],)


RECORDS: Final = (
    IndicatorRecord(
        name="sma",
        inputs=SOURCE,
        parameters=(Parameter.length(10),),
        formula=_sma,
        stream=MeanStream,
        warmup=window(),
        drawing=OVERLAY,
    ),
    IndicatorRecord(
        name="ema",
        inputs=SOURCE,
        parameters=(Parameter.length(10),),
        formula=_ema,
        stream=ema_stream,
        warmup=exponential(1),
        drawing=OVERLAY,
    ),
    IndicatorRecord(
        name="rma",
        inputs=SOURCE,
        parameters=(Parameter.length(10),),
        formula=_rma,
        stream=rma_stream,
        warmup=wilder(),
        drawing=OVERLAY,
    ),
    IndicatorRecord(
        name="wma",
        inputs=SOURCE,
        parameters=(Parameter.length(10),),
        formula=_wma,
        stream=_WeightedStream,
        warmup=window(),
        drawing=OVERLAY,
    ),
    IndicatorRecord(
        name="dema",
        inputs=SOURCE,
        parameters=(Parameter.length(10),),
        formula=_dema,
        stream=lambda length: _ChainedStream(length, 2),
        warmup=exponential(2),
        drawing=OVERLAY,
    ),
    IndicatorRecord(
        name="tema",
        inputs=SOURCE,
        parameters=(Parameter.length(10),),
        formula=_tema,
        stream=lambda length: _ChainedStream(length, 3),
        warmup=exponential(3),
        drawing=OVERLAY,
    ),
)
