"""What is known of an indicator: its parameters, formula, stream, warm-up and drawing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from botlib.indicators.streams import Stream

Array = npt.NDArray[np.float64]
Value = int | float | str | bool

SOURCE: Final = ("source",)
"""Inputs of an indicator of one price column that the user may choose."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an indicator; a default of None is known to the indicator alone."""

    name: str
    kind: type
    default: Value | None = None
    minimum: float | None = None
    maximum: float | None = None

    @classmethod
    def length(cls, default: int, minimum: int = 1, name: str = "length") -> Self:
        """Return a parameter that counts candles."""
        return cls(name, int, default, minimum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """How a chart draws an indicator.

    Attributes:
        price: whether its values are prices, which are drawn over the candles. None if that is not
            known: then it is judged by the values.
        outputs: the outputs that are drawn, in this order; None for all.
        levels: values at which a horizontal line is drawn.
        bars: names of outputs that are drawn as bars from zero.
        in_first_colour: names of outputs in the colour of the first one, such as both sides of a
            band.
    """

    price: bool | None = None
    outputs: tuple[str, ...] | None = None
    levels: tuple[float, ...] = ()
    bars: frozenset[str] = frozenset({"histogram"})
    in_first_colour: frozenset[str] = frozenset({"lower", "upper"})


OVERLAY: Final = Drawing(price=True)
"""The drawing of an indicator whose values are prices."""

OWN_SCALE: Final = Drawing(price=False)
"""The drawing of an indicator that has a scale of its own."""

UNKNOWN_SCALE: Final = Drawing()
"""The drawing of an indicator whose values decide where it is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IndicatorRecord:
    """One indicator; there is one record of a name, so that records compare by identity.

    Attributes:
        inputs: the candle columns it reads; `SOURCE` if the user may choose one.
        parameters: in the order of their positions.
        outputs: names of its columns; ``("",)`` for a Series, None if they are not known before
            it is computed.
        ascending: names of parameters whose values must ascend strictly.
        formula: computes whole columns: the inputs as arrays and the parameters by name in, one
            array per output back, NaN until there are enough candles. None if pandas-ta-classic
            computes the indicator.
        stream: starts the computation candle by candle, from the parameters by name. None if the
            newest candles are computed anew.
        warmup: returns how many candles make the newest value independent of older ones, from
            the tolerance and the parameters by name. None if it is measured.
        anchored: whether it begins anew with each day or week, so that its warm-up depends on the
            timeframe.
        settles: whether there is such a number of candles at all.
        drawing: how a chart draws it.
    """

    name: str
    inputs: tuple[str, ...]
    parameters: tuple[Parameter, ...] = ()
    outputs: tuple[str, ...] | None = ("",)
    ascending: tuple[str, ...] = ()
    formula: Callable[..., tuple[Array, ...]] | None = None
    stream: Callable[..., Stream] | None = None
    warmup: Callable[..., int] | None = None
    anchored: bool = False
    settles: bool = True
    drawing: Drawing = UNKNOWN_SCALE

    @property
    def usage(self) -> str:
        """The call with its defaults, for messages: ``bbands(length=5, std=2)``."""
        words = [
            one.name if one.default is None else f"{one.name}={_spelled(one.default)}"
            for one in self.parameters
        ]
        if self.inputs == SOURCE:
            words.append("source=close")
        return f"{self.name}({', '.join(words)})"


@dataclass(frozen=True, slots=True)
class Indicator:
    """An indicator with its parameters; equal ones are the same, ``str()`` is its one spelling."""

    record: IndicatorRecord
    values: tuple[tuple[str, Value], ...]
    source: str = "close"

    @property
    def name(self) -> str:
        """Name of the indicator without its parameters."""
        return self.record.name

    @property
    def parameters(self) -> dict[str, Value]:
        """The parameters that are set, by name."""
        return dict(self.values)

    def __str__(self) -> str:
        words: list[str] = []
        given = dict(self.values)
        in_place = True
        for one in self.record.parameters:
            if one.name not in given:
                in_place = False
                continue
            text = _spelled(given[one.name])
            words.append(text if in_place else f"{one.name}={text}")
        if self.source != "close":
            words.append(f"source={self.source}")
        return f"{self.name}({', '.join(words)})" if words else self.name


def _spelled(value: Value) -> str:
    if isinstance(value, bool | int):
        return repr(value)
    return f"{value:.12g}" if isinstance(value, float) else value
