"""The state of an indicator that is computed candle by candle."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import numpy as np

NAN: Final = math.nan


class Stream(Protocol):
    """An indicator's state: one closed candle enters, one value per output leaves.

    The values are NaN until there are enough candles, and equal the formula over whole columns.
    """

    @property
    def update(self) -> Callable[..., tuple[float, ...]]:
        """Return the values after one more candle, from its inputs in the record's order."""
        ...


class Preview:
    """The answer a stream would give to a candle, without a change of its state.

    It is valid until the stream is updated. The changed values are restored afterwards, which
    costs far less than a copy of the ring buffers.
    """

    def __init__(self, stream: Stream) -> None:
        self._update = stream.update
        parts = _parts_of(stream)
        self._states = [vars(part) for part in parts]
        self._rings = [part for part in parts if isinstance(part, RingBuffer)]

    def __call__(self, inputs: Sequence[float]) -> tuple[float, ...]:
        states = [state.copy() for state in self._states]
        slots = [ring.oldest for ring in self._rings]
        try:
            return self._update(*inputs)
        finally:
            for now, before in zip(self._states, states, strict=True):
                now.update(before)
            for ring, slot in zip(self._rings, slots, strict=True):
                ring.oldest = slot


def _parts_of(stream: object) -> list[Any]:
    found = [stream]
    for part in vars(stream).values():
        for one in part if isinstance(part, list) else [part]:
            if hasattr(one, "__dict__"):
                found += _parts_of(one)
    return found


class RingBuffer:
    """The newest values, as many as its length."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.seen = 0
        self._values = np.zeros(length)

    def push(self, value: float) -> bool:
        """Add a value, unless it is NaN, and return whether the buffer is full."""
        if not math.isnan(value):
            self._values[self.seen % self.length] = value
            self.seen += 1
        return self.seen >= self.length

    @property
    def oldest(self) -> float:
        """The value that the next one replaces."""
        return float(self._values[self.seen % self.length])

    @oldest.setter
    def oldest(self, value: float) -> None:
        self._values[self.seen % self.length] = value

    @property
    def lowest(self) -> float:
        """The lowest value."""
        return float(self._values.min())

    @property
    def highest(self) -> float:
        """The highest value."""
        return float(self._values.max())

    @property
    def mean(self) -> float:
        """The mean, measured from the oldest value: a flat window gives exactly its price."""
        return self.oldest + float((self._values - self.oldest).sum()) / self.length

    def deviation(self, ddof: int, mean: float) -> float:
        """Return the standard deviation from a mean."""
        difference = self._values - mean
        return math.sqrt(float(difference @ difference) / (self.length - ddof))

    def ordered(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Return the values, oldest first."""
        place = self.seen % self.length
        return np.concatenate([self._values[place:], self._values[:place]])
