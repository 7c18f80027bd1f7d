"""Checks of a strategy: look-ahead, repainting and warm-up."""

from botlib.backtesting.checking.report import CheckReport, Finding, Settling
from botlib.backtesting.checking.run import check

__all__ = ["CheckReport", "Finding", "Settling", "check"]
