"""Checks of a strategy: look-ahead, repainting and warm-up."""

from botlib.backtest.checking.report import CheckReport, Finding, Settling
from botlib.backtest.checking.run import check

__all__ = ["CheckReport", "Finding", "Settling", "check"]
