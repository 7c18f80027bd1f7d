"""Sweeps: many combinations of parameters over the same candles, within time and memory."""

from botlib.backtest.sweeps.evaluate import METRICS
from botlib.backtest.sweeps.result import SweepResult
from botlib.backtest.sweeps.run import sweep

__all__ = ["METRICS", "SweepResult", "sweep"]
