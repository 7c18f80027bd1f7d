"""Checks of a strategy for look-ahead, repainting and too short a warm-up.

A strategy and candles enter; a report with findings leaves. A strategy that passes gives live the
signals that it gives over history.
"""

from botlib.backtesting.checking.report import KINDS, CheckReport, Finding, Settling
from botlib.backtesting.checking.run import check

__all__ = ["KINDS", "CheckReport", "Finding", "Settling", "check"]
