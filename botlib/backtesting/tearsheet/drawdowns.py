"""The list of drawdowns of an equity curve, the deepest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def drawdown_list(equity: pd.Series, start: float, most: int) -> pd.DataFrame:
    """Return the deepest drawdowns: from a peak until it is reached again.

    Args:
        equity: the value at the close of every candle.
        start: the value before the first.
        most: rows at most.

    Returns:
        Columns peak and trough (open times of their candles), recovered (NaT if not yet), depth (a
        negative fraction), length (peak to recovery, or to the end) and recovery (trough to
        recovery, NaT if not yet).
    """
    import pandas as pd

    values = equity.to_numpy(dtype=np.float64)
    peaks = np.maximum(np.maximum.accumulate(values), start)
    depths = values / peaks - 1
    edges = np.diff(np.concatenate(([False], values < peaks, [False])).astype(np.int8))
    firsts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    if not len(firsts):
        return _table(equity.index, [], [], [], [], len(values))
    lowest = np.minimum.reduceat(depths, firsts)
    chosen = np.argsort(lowest, kind="stable")[:most]
    troughs = [
        int(firsts[one] + np.argmin(depths[firsts[one] : ends[one]])) for one in chosen.tolist()
    ]
    table = _table(
        equity.index,
        np.maximum(firsts[chosen] - 1, 0).tolist(),
        troughs,
        ends[chosen].tolist(),
        lowest[chosen].tolist(),
        len(values),
    )
    assert isinstance(table, pd.DataFrame)
    return table


def _table(
    index: pd.Index,
    peaks: list[int],
    troughs: list[int],
    ends: list[int],
    depths: list[float],
    rows: int,
) -> pd.DataFrame:
    import pandas as pd

    times = index.to_numpy()
    peak, trough = times[peaks], times[troughs]
    last = times[np.minimum(ends, rows - 1).astype(np.int64)]
    recovered = last.copy()
    recovered[np.array(ends, dtype=np.int64) >= rows] = np.datetime64("NaT")
    return pd.DataFrame(
        {
            "peak": peak,
            "trough": trough,
            "recovered": recovered,
            "depth": np.array(depths, dtype=np.float64),
            "length": last - peak,
            "recovery": recovered - trough,
        }
    )
