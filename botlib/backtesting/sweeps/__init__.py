"""Sweeps: many combinations of parameters over the same candles, ranked.

A strategy class, candles and the values to try enter; a result with the figures of every
combination leaves. The work is done in worker processes or on a Dask cluster, within a memory
budget.
"""

from botlib.backtesting.sweeps.evaluator import METRICS
from botlib.backtesting.sweeps.result import SweepResult
from botlib.backtesting.sweeps.run import sweep

__all__ = ["METRICS", "SweepResult", "sweep"]
