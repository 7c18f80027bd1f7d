"""Indicators kept up to date as candles close."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from botlib.indicators.columns import COLUMNS
from botlib.indicators.compute import compute, inputs_of, outputs_of
from botlib.indicators.record import Array, Indicator
from botlib.indicators.specification import parse
from botlib.indicators.streams import Preview, Stream
from botlib.indicators.warmup import warmup


class Incremental:
    """One indicator over the candles of one symbol and timeframe, as they close.

    An indicator with a stream updates its state with each candle and recomputes no history. Others
    are computed over the newest candles that their value depends on: `warmup` is their number.

    Args:
        timeframe: of the candles.

    Raises:
        InvalidInput: the specification is not accepted, or the indicator depends on all history.
    """

    def __init__(self, spec: str | Indicator, *, timeframe: str) -> None:
        self.indicator = parse(spec)
        self.outputs = outputs_of(self.indicator)
        """Names of the values of a candle; ``("",)`` if there is one."""
        start = self.indicator.record.stream
        self._stream = None if start is None else start(**self.indicator.parameters)
        self._preview: Preview | None = None
        # The candles before a new one that its value depends on; none for a stream.
        self._before = warmup(self.indicator, timeframe=timeframe) - 1 if start is None else 0
        self._timestamps = np.empty(0, dtype=np.int64)
        self._candles = np.empty((0, len(COLUMNS)))

    def update(self, timestamps: npt.NDArray[np.int64], candles: Array) -> Array:
        """Add candles that closed after all earlier ones, and return the values after each.

        Args:
            timestamps: n open times, ms.
            candles: n rows of open, high, low, close, volume.

        Returns:
            n rows, one value per output, NaN until there are enough candles.
        """
        if self._stream is None:
            values, timestamps, candles = self._recompute(timestamps, candles)
            start = max(len(candles) - self._before, 0)
            self._timestamps, self._candles = timestamps[start:], candles[start:]
            return values
        self._preview = None
        return self._feed(self._stream, candles)

    def peek(self, timestamp: int, candle: Sequence[float]) -> list[float]:
        """Return the values as if a candle closed as it is now, without adding it.

        Args:
            timestamp: its open time, ms, after all that were added.
            candle: open, high, low, close, volume.

        Returns:
            One value per output.
        """
        if self._stream is not None:
            inputs = inputs_of(self.indicator, dict(zip(COLUMNS, candle, strict=True)))
            self._preview = self._preview or Preview(self._stream)
            return list(self._preview(inputs))
        row = np.array([candle], dtype=np.float64)
        values: list[float] = self._recompute(np.array([timestamp]), row)[0][0].tolist()
        return values

    def _feed(self, stream: Stream, candles: Array) -> Array:
        columns = {name: candles[:, place] for place, name in enumerate(COLUMNS)}
        inputs = [one.tolist() for one in inputs_of(self.indicator, columns)]
        values = [stream.update(*row) for row in zip(*inputs, strict=True)]
        return np.array(values, dtype=np.float64).reshape(len(candles), len(self.outputs))

    def _recompute(
        self, timestamps: npt.NDArray[np.int64], candles: Array
    ) -> tuple[Array, npt.NDArray[np.int64], Array]:
        """Return the values of new candles, then the kept candles with the new ones."""
        import pandas as pd

        timestamps = np.concatenate([self._timestamps, timestamps])
        whole = np.concatenate([self._candles, candles])
        index = pd.DatetimeIndex(timestamps.astype("datetime64[ms]"), name="timestamp")
        frame = pd.DataFrame(whole, index=index, columns=list(COLUMNS))
        values = compute(self.indicator, frame).to_numpy().reshape(len(whole), -1)
        return np.array(values[len(whole) - len(candles) :]), timestamps, whole
