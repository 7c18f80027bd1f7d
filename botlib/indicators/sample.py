"""A synthetic market on which indicators of the library are measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from botlib.core.timeframe import timeframe_ms
from botlib.indicators.record import Array

if TYPE_CHECKING:
    import pandas as pd


def sample(
    inputs: tuple[str, ...], size: int, timeframe: str = "1h"
) -> tuple[tuple[Array, ...], pd.Index]:
    """Return synthetic candles: quiet and volatile hours, gaps, equal prices.

    Args:
        inputs: names of the columns; ``source`` is the close.
        size: number of candles.

    Returns:
        One array per input, and the open times.
    """
    import pandas as pd

    random = np.random.default_rng(0)
    step = 0.004 * (1.2 + np.sin(np.arange(size) / 40.0))
    close = np.round(100 * np.exp(np.cumsum(random.normal(0, 1, size) * step)), 2)
    open_ = np.concatenate([close[:1], close[:-1]]) * (1 + step * random.normal(0, 0.5, size))
    columns = {
        "source": close,
        "open": open_,
        "high": np.maximum(open_, close) * (1 + step * random.random(size)),
        "low": np.minimum(open_, close) * (1 - step * random.random(size)),
        "close": close,
        "volume": 1 + 10 * random.random(size),
    }
    opens = np.arange(size) * timeframe_ms(timeframe)
    index = pd.DatetimeIndex(opens.astype("datetime64[ms]"), name="timestamp")
    return tuple(columns[name] for name in inputs), index
