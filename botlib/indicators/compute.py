"""Indicators over a whole candle frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from botlib.errors import InvalidInput
from botlib.indicators.core import CORE
from botlib.indicators.vocabulary import Indicator, parse

if TYPE_CHECKING:
    import pandas as pd

_MEANS = {
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
    import pandas as pd

    indicator = parse(spec)
    inputs = tuple(
        column(frame, indicator.source if name == "source" else name, str(indicator))
        for name in indicator.definition.inputs
    )
    core = CORE.get(indicator.name)
    if core is None:
        from botlib.indicators import library

        return library.compute(indicator, inputs, frame.index)
    values = core.batch(*inputs, **indicator.parameters)
    outputs = indicator.definition.outputs
    assert outputs is not None
    if outputs == ("",):
        return pd.Series(values[0], index=frame.index, name=str(indicator))
    return pd.DataFrame(dict(zip(outputs, values, strict=True)), index=frame.index)


def column(frame: pd.DataFrame, source: str, wanted_by: str = "") -> npt.NDArray[np.float64]:
    """Return a column of a candle frame, or the mean of several (``hl2 hlc3 ohlc4``), as float64.

    Raises:
        InvalidInput: the frame has no such column.
    """
    parts = _MEANS.get(source, (source,))
    missing = [name for name in parts if name not in frame.columns]
    if missing:
        raise InvalidInput(
            f"The frame has no column {missing[0]!r}, which {wanted_by or source} needs; "
            f"it has {', '.join(map(str, frame.columns))}. "
            "Give a candle frame: open, high, low, close, volume."
        )
    arrays = [frame[name].to_numpy(dtype=np.float64) for name in parts]
    if len(arrays) == 1:
        return arrays[0]
    mean: npt.NDArray[np.float64] = sum(arrays[1:], start=arrays[0]) / len(arrays)
    return mean
