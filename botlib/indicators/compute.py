"""Indicators over whole candle frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Final, Self, TypeVar

import numpy as np
import numpy.typing as npt

from botlib.core.errors import InvalidInput
from botlib.indicators.formulas import CORE
from botlib.indicators.specification import Indicator, parse

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[np.float64]
C = TypeVar("C", float, npt.NDArray[np.float64])

COLUMNS: Final = ("open", "high", "low", "close", "volume")
"""The columns of a candle frame."""

_MEANS: Final = {
    "hl2": ("high", "low"),
    "hlc3": ("high", "low", "close"),
    "ohlc4": ("open", "high", "low", "close"),
}


def compute(spec: str | Indicator, frame: pd.DataFrame) -> pd.Series | pd.DataFrame:
    """Return an indicator over a candle frame.

    Args:
        frame: one row per closed candle, ascending.

    Returns:
        float64 on the index of the frame, NaN where there were not enough candles yet: a Series
        named after the specification, or a DataFrame where the indicator gives several columns
        (``bbands``: lower, middle, upper, width, percent). The value of a row depends on that row
        and earlier ones alone.

    Raises:
        InvalidInput: the specification is not accepted, or the frame lacks a column it needs.
    """
    return compute_from(Columns(frame), parse(spec))


def compute_from(columns: Columns, indicator: Indicator) -> pd.Series | pd.DataFrame:
    """Return what `compute` returns, for a frame whose columns others have asked for already."""
    import pandas as pd

    inputs, index = pick(indicator, columns), columns.index
    core = CORE.get(indicator.name)
    if core is None:
        from botlib.indicators import library

        return library.compute(indicator, inputs, index)
    values = core.batch(*inputs, **indicator.parameters)
    outputs = outputs_of(indicator)
    if outputs == ("",):
        return pd.Series(values[0], index=index, name=str(indicator))
    return pd.DataFrame(dict(zip(outputs, values, strict=True)), index=index)


class Columns(Mapping[str, Array]):
    """The columns of a frame, each taken out once, when it is first asked for."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.index = frame.index
        self._frame: pd.DataFrame | None = frame
        self._values: Array | None = None
        self._taken: dict[str, Array] = {}

    @classmethod
    def of(cls, index: pd.Index, values: Array) -> Self:
        """Return the columns of a candle frame that is made when somebody looks at it.

        Args:
            values: one row for each of the index, with the columns of `COLUMNS`.
        """
        columns = cls.__new__(cls)
        columns.index, columns._frame, columns._values = index, None, values
        columns._taken = dict(zip(COLUMNS, values.T, strict=True))
        return columns

    @property
    def frame(self) -> pd.DataFrame:
        """The frame."""
        if self._frame is None:
            import pandas as pd

            self._frame = pd.DataFrame(self._values, index=self.index, columns=_names().view())
        return self._frame

    def __getitem__(self, name: str) -> Array:
        taken = self._taken.get(name)
        if taken is None:
            taken = self._taken[name] = self.frame[name].to_numpy(np.float64)
        return taken

    def __contains__(self, name: object) -> bool:
        return name in self._taken or name in self.frame

    def __iter__(self) -> Iterator[str]:
        return (name for name in COLUMNS if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@cache
def _names() -> pd.Index:
    """Return the columns of every candle frame, made once: a frame is made for every candle."""
    import pandas as pd

    return pd.Index(COLUMNS)


def outputs_of(indicator: Indicator) -> tuple[str, ...]:
    """Return the names of an indicator's columns, ``("",)`` where it gives a Series."""
    known = indicator.definition.outputs
    if known is not None:
        return known
    from botlib.indicators import library

    return library.outputs_of(indicator)


def pick(indicator: Indicator, columns: Mapping[str, C]) -> tuple[C, ...]:
    """Return the inputs of an indicator from the columns of candles, or from one candle.

    Raises:
        InvalidInput: one is missing.
    """
    return tuple(
        _column(indicator, indicator.source if name == "source" else name, columns)
        for name in indicator.definition.inputs
    )


def _column(indicator: Indicator, name: str, columns: Mapping[str, C]) -> C:
    parts = _MEANS.get(name, (name,))
    for part in parts:
        if part not in columns:
            raise InvalidInput(
                f"{indicator} needs the column {part!r}, which the frame does not have; it has "
                f"{', '.join(columns) or 'none'} of {', '.join(COLUMNS)}."
            )
    if len(parts) == 1:
        return columns[name]
    total = columns[parts[0]]
    for part in parts[1:]:
        total = total + columns[part]
    return total / len(parts)
