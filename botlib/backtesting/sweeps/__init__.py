"""Sweeps: many combinations of parameters over the same candles, within time and memory."""

from botlib.backtesting.sweeps.evaluator import METRICS
from botlib.backtesting.sweeps.result import SweepResult
from botlib.backtesting.sweeps.run import sweep

__all__ = ["METRICS", "SweepResult", "sweep"]
