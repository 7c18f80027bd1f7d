"""Indicators over whole candle frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
import numpy.typing as npt

from botlib.core.errors import InvalidInput
from botlib.indicators import pandas_ta
from botlib.indicators.columns import COLUMNS, CandleColumns
from botlib.indicators.record import Indicator
from botlib.indicators.specification import parse

if TYPE_CHECKING:
    import pandas as pd

C = TypeVar("C", float, npt.NDArray[np.float64])

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
        float64 on the index of the frame, NaN before there are enough candles: a Series named
        after the specification, or a DataFrame if the indicator gives several columns
        (``bbands``: lower, middle, upper, width, percent). The value of a row depends on that row
        and earlier ones alone.

    Raises:
        InvalidInput: the specification is not accepted, or the frame lacks a column it needs.
    """
    return compute_from(CandleColumns(frame), parse(spec))


def compute_from(columns: CandleColumns, indicator: Indicator) -> pd.Series | pd.DataFrame:
    """Return `compute` over the columns of a frame, which several indicators can share."""
    import pandas as pd

    inputs, index = inputs_of(indicator, columns), columns.index
    outputs = outputs_of(indicator)
    if indicator.record.formula is None:
        table = pandas_ta.compute(indicator, inputs, index)
        if outputs == ("",):
            return pd.Series(table[:, 0], index=index, name=str(indicator))
        return pd.DataFrame(table, index=index, columns=list(outputs))
    values = indicator.record.formula(*inputs, **indicator.parameters)
    if outputs == ("",):
        return pd.Series(values[0], index=index, name=str(indicator))
    return pd.DataFrame(dict(zip(outputs, values, strict=True)), index=index)


def outputs_of(indicator: Indicator) -> tuple[str, ...]:
    """Return the names of an indicator's columns, ``("",)`` if it gives a Series."""
    known = indicator.record.outputs
    return pandas_ta.outputs(indicator) if known is None else known


def inputs_of(indicator: Indicator, columns: Mapping[str, C]) -> tuple[C, ...]:
    """Return the inputs of an indicator from the columns of candles, or from one candle.

    Raises:
        InvalidInput: one is missing.
    """
    return tuple(
        _column(indicator, indicator.source if name == "source" else name, columns)
        for name in indicator.record.inputs
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
