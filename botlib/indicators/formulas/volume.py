"""Traded volume."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from botlib.core.errors import InvalidInput
from botlib.indicators.record import OWN_SCALE, Array, IndicatorRecord
from botlib.indicators.streams import NAN


def _obv(close: Array, volume: Array) -> tuple[Array, ...]:
    sign = np.sign(np.diff(close, prepend=close[:1]))
    sign[:1] = 1.0
    return (np.cumsum(sign * volume),)


class _OnBalanceVolumeStream:
    def __init__(self) -> None:
        self._total, self._before = 0.0, NAN

    def update(self, close: float, volume: float) -> tuple[float, ...]:
        before, self._before = self._before, close
        sign = 1.0 if math.isnan(before) else math.copysign(close != before, close - before)
        self._total += sign * volume
        return (self._total,)


def _obv_warmup(tolerance: float) -> int:
    raise InvalidInput(
        "obv never settles: it adds up volume from its first candle on. "
        "Use its change over some candles, or the same start everywhere."
    )


RECORDS: Final = (
    IndicatorRecord(
        name="obv",
        inputs=("close", "volume"),
        formula=_obv,
        stream=_OnBalanceVolumeStream,
        warmup=_obv_warmup,
        drawing=OWN_SCALE,
    ),
)
