"""Excursions: how far each round trip went against its entry, and how far for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from botlib.backtesting.metrics import Floats

if TYPE_CHECKING:
    import pandas as pd


def excursions(trips: pd.DataFrame, frame: pd.DataFrame) -> tuple[Floats, Floats]:
    """Return the maximum adverse and the maximum favourable excursion of every round trip.

    Fractions of the entry price, from the candle of the entry to the exit: a negative one or 0, and
    a positive one or 0. Of the candle of the exit only the exit price counts, as what its highs and
    lows were before the exit is not known. Sweeney (1996).

    Args:
        trips: round trips, as of `BacktestResult.roundtrips`.
        frame: the candles they were traded on.
    """
    import pandas as pd

    if not len(trips):
        return np.empty(0), np.empty(0)
    entry = trips["entry_price"].to_numpy(dtype=np.float64)
    first = frame.index.get_indexer(pd.Index(trips["entry_time"]))
    last = first + trips["candles"].to_numpy(dtype=np.int64)  # The candle of the exit.
    exit_price = trips["exit_price"].fillna(trips["entry_price"]).to_numpy(dtype=np.float64)
    lowest = np.minimum(entry, exit_price)
    highest = np.maximum(entry, exit_price)
    held = np.flatnonzero(last > first)
    if len(held):
        # Every second stretch is one between round trips, which is dropped.
        edges = np.column_stack((first[held], last[held])).ravel()
        lows = np.append(frame["low"].to_numpy(dtype=np.float64), np.inf)
        highs = np.append(frame["high"].to_numpy(dtype=np.float64), -np.inf)
        lowest[held] = np.minimum(lowest[held], np.minimum.reduceat(lows, edges)[::2])
        highest[held] = np.maximum(highest[held], np.maximum.reduceat(highs, edges)[::2])
    return lowest / entry - 1, highest / entry - 1
