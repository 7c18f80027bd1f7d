"""The indicators of `core` candle by candle: each value from the last state and one candle.

A stream is fed the inputs of its definition in order and answers with one value per output, NaN
until there are enough candles. Its values equal the formula over the whole column.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import numpy as np

from botlib.indicators.formulas import EPSILON

NAN: Final = math.nan


class Stream(Protocol):
    """Takes one closed candle and gives the indicator's values."""

    @property
    def update(self) -> Callable[..., tuple[float, ...]]:
        """The inputs of one candle in, one value per output back."""
        ...


class Peek:
    """Asks a stream what it would answer, and leaves it in the state it is in.

    Good until the stream takes a candle. What a question writes is put back, which is far less
    than a copy of the rings.
    """

    def __init__(self, stream: Stream) -> None:
        self._update = stream.update
        parts = _parts_of(stream)
        self._states = [vars(part) for part in parts]
        self._rings = [part for part in parts if isinstance(part, _Ring)]

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


class _Ring:
    """The newest values, oldest first on request."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.seen = 0
        self._values = np.zeros(length)

    def push(self, value: float) -> bool:
        """Take a value and tell whether the ring is full; NaN is taken for no value yet."""
        if not math.isnan(value):
            self._values[self.seen % self.length] = value
            self.seen += 1
        return self.seen >= self.length

    @property
    def oldest(self) -> float:
        """The value that the next one takes the place of."""
        return float(self._values[self.seen % self.length])

    @oldest.setter
    def oldest(self, value: float) -> None:
        self._values[self.seen % self.length] = value

    @property
    def lowest(self) -> float:
        return float(self._values.min())

    @property
    def highest(self) -> float:
        return float(self._values.max())

    @property
    def mean(self) -> float:
        # From the oldest one, as in `core`: a flat window gives exactly its price.
        return self.oldest + float((self._values - self.oldest).sum()) / self.length

    def deviation(self, ddof: int, mean: float) -> float:
        difference = self._values - mean
        return math.sqrt(float(difference @ difference) / (self.length - ddof))

    def ordered(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        place = self.seen % self.length
        return np.concatenate([self._values[place:], self._values[:place]])


class Mean:
    """sma"""

    def __init__(self, length: int) -> None:
        self._ring = _Ring(length)

    def update(self, value: float) -> tuple[float, ...]:
        return (self._ring.mean if self._ring.push(value) else NAN,)


class Smooth:
    """ema and rma: an exponential average seeded with the mean of the first ``length`` values."""

    def __init__(self, length: int, alpha: float) -> None:
        self._alpha = alpha
        self._ring: _Ring | None = _Ring(length)
        self._value = NAN

    def update(self, value: float) -> tuple[float, ...]:
        if self._ring is None:
            self._value = (1.0 - self._alpha) * self._value + self._alpha * value
        elif self._ring.push(value):
            self._value = self._ring.mean
            self._ring = None
        return (self._value,)


def _ema(length: int) -> Smooth:
    return Smooth(length, 2.0 / (length + 1))


def _rma(length: int) -> Smooth:
    return Smooth(length, 1.0 / length)


class Weighted:
    """wma"""

    def __init__(self, length: int) -> None:
        self._ring = _Ring(length)
        self._weights = np.arange(1.0, length + 1)
        self._total = float(self._weights.sum())

    def update(self, value: float) -> tuple[float, ...]:
        if not self._ring.push(value):
            return (NAN,)
        return (float(self._ring.ordered() @ self._weights) / self._total,)


class Chain:
    """dema and tema: exponential averages of exponential averages."""

    def __init__(self, length: int, depth: int) -> None:
        self._parts = [_ema(length) for _ in range(depth)]

    def update(self, value: float) -> tuple[float, ...]:
        found: list[float] = []
        for part in self._parts:
            (value,) = part.update(value)
            found.append(value)
        if len(found) == 2:
            return (2.0 * found[0] - found[1],)
        return (3.0 * (found[0] - found[1]) + found[2],)


class Strength:
    """rsi"""

    def __init__(self, length: int) -> None:
        self._up, self._down = _rma(length), _rma(length)
        self._before = NAN

    def update(self, value: float) -> tuple[float, ...]:
        change, self._before = value - self._before, value
        (up,) = self._up.update(0.0 if change < 0 else change)
        (down,) = self._down.update(0.0 if change > 0 else change)
        total = up + abs(down)
        return (100.0 * up / total if total else NAN,)


class Macd:
    """macd"""

    def __init__(self, fast: int, slow: int, signal: int) -> None:
        self._fast, self._slow, self._signal = _ema(fast), _ema(slow), _ema(signal)

    def update(self, value: float) -> tuple[float, ...]:
        line = self._fast.update(value)[0] - self._slow.update(value)[0]
        (signal,) = self._signal.update(line)
        return line, signal, line - signal


class Change:
    """mom and roc"""

    def __init__(self, length: int, relative: bool) -> None:
        self._ring = _Ring(length + 1)
        self._relative = relative

    def update(self, value: float) -> tuple[float, ...]:
        if not self._ring.push(value):
            return (NAN,)
        before = self._ring.oldest
        change = value - before
        return (float(np.divide(100.0 * change, before)) if self._relative else change,)


class Deviation:
    """stdev"""

    def __init__(self, length: int, ddof: int) -> None:
        self._ring = _Ring(length)
        self._ddof = ddof

    def update(self, value: float) -> tuple[float, ...]:
        if not self._ring.push(value):
            return (NAN,)
        return (self._ring.deviation(self._ddof, self._ring.mean),)


class Bands:
    """bbands"""

    def __init__(self, length: int, std: float) -> None:
        self._ring = _Ring(length)
        self._std = std

    def update(self, value: float) -> tuple[float, ...]:
        if not self._ring.push(value):
            return (NAN,) * 5
        middle = self._ring.mean
        deviation = self._std * self._ring.deviation(0, middle)
        lower, upper = middle - deviation, middle + deviation
        width = _range(upper, lower)
        return lower, middle, upper, 100.0 * width / middle, _range(value, lower) / width


class TrueRange:
    """true_range"""

    def __init__(self) -> None:
        self._before = NAN

    def update(self, high: float, low: float, close: float) -> tuple[float, ...]:
        before, self._before = self._before, close
        if math.isnan(before):
            return (NAN,)
        return (max(_range(high, low), abs(high - before), abs(before - low)),)


class AverageRange:
    """atr, and natr as a percentage of the close"""

    def __init__(self, length: int, relative: bool) -> None:
        self._range, self._average = TrueRange(), _rma(length)
        self._relative = relative

    def update(self, high: float, low: float, close: float) -> tuple[float, ...]:
        (value,) = self._average.update(*self._range.update(high, low, close))
        return (100.0 / close * value if self._relative else value,)


class Channel:
    """donchian"""

    def __init__(self, lower_length: int, upper_length: int) -> None:
        self._low, self._high = _Ring(lower_length), _Ring(upper_length)

    def update(self, high: float, low: float) -> tuple[float, ...]:
        lower = self._low.lowest if self._low.push(low) else NAN
        upper = self._high.highest if self._high.push(high) else NAN
        return lower, 0.5 * (lower + upper), upper


class Stochastic:
    """stoch"""

    def __init__(self, k: int, d: int, smooth_k: int) -> None:
        self._channel = Channel(k, k)
        self._k, self._d = Mean(smooth_k), Mean(d)

    def update(self, high: float, low: float, close: float) -> tuple[float, ...]:
        lowest, _, highest = self._channel.update(high, low)
        (k,) = self._k.update(100.0 * (close - lowest) / _range(highest, lowest))
        return k, self._d.update(k)[0]


class Williams:
    """willr"""

    def __init__(self, length: int) -> None:
        self._channel = Channel(length, length)

    def update(self, high: float, low: float, close: float) -> tuple[float, ...]:
        lowest, _, highest = self._channel.update(high, low)
        width = highest - lowest
        return (100.0 * ((close - lowest) / width - 1.0) if width else NAN,)


class Balance:
    """obv"""

    def __init__(self) -> None:
        self._total, self._before = 0.0, NAN

    def update(self, close: float, volume: float) -> tuple[float, ...]:
        before, self._before = self._before, close
        sign = 1.0 if math.isnan(before) else math.copysign(close != before, close - before)
        self._total += sign * volume
        return (self._total,)


def _range(high: float, low: float) -> float:
    return high - low or EPSILON


STREAMS: Final[dict[str, Callable[..., Stream]]] = {
    "sma": Mean,
    "ema": _ema,
    "rma": _rma,
    "wma": Weighted,
    "dema": lambda length: Chain(length, 2),
    "tema": lambda length: Chain(length, 3),
    "rsi": Strength,
    "macd": Macd,
    "mom": lambda length: Change(length, relative=False),
    "roc": lambda length: Change(length, relative=True),
    "stdev": Deviation,
    "bbands": Bands,
    "true_range": TrueRange,
    "atr": lambda length: AverageRange(length, relative=False),
    "natr": lambda length: AverageRange(length, relative=True),
    "donchian": Channel,
    "stoch": Stochastic,
    "willr": Williams,
    "obv": Balance,
}
"""How to start the stream of every indicator of `core`, from its parameters."""
