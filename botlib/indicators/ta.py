"""Every indicator as a function: ``ta.ema(frame, 20)`` is ``compute("ema(20)", frame)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from botlib.core.errors import InvalidInput
from botlib.indicators.compute import compute
from botlib.indicators.registry import find, names
from botlib.indicators.specification import indicator

if TYPE_CHECKING:
    import pandas as pd

__all__: list[str] = []


def __getattr__(name: str) -> Callable[..., pd.Series | pd.DataFrame]:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        usage = find(name).usage
    except InvalidInput as error:
        raise AttributeError(str(error)) from None

    def function(
        frame: pd.DataFrame, /, *values: object, **keywords: object
    ) -> pd.Series | pd.DataFrame:
        return compute(indicator(name, *values, **keywords), frame)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"Return ``{usage}`` over a candle frame.\n\n"
        "float64 on the index of the frame: a Series, or a DataFrame with a column per output.\n"
    )
    globals()[name] = function
    return function


def __dir__() -> list[str]:
    return list(names())
