"""Frames that keep a bounded number of indicators."""

from __future__ import annotations

import numpy as np
import pandas as pd

from botlib.backtesting.sweeps.candles import BoundedFrames, to_arrays
from botlib.frames import Frames


def test_indicators_are_kept_up_to_the_budget(frame: pd.DataFrame) -> None:
    data = BoundedFrames("", to_arrays(Frames("", {"1m": frame})), keep=3 * 8 * len(frame))
    first = data.indicator("sma(3)").to_numpy()
    assert data.indicator("sma(3)").to_numpy() is first or np.shares_memory(
        data.indicator("sma(3)").to_numpy(), first
    )
    for length in range(4, 8):
        data.indicator(f"sma({length})")
    assert len(data._indicators) == 3
    assert not np.shares_memory(data.indicator("sma(3)").to_numpy(), first)
