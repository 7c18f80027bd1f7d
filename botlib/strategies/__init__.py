"""Worked examples of strategies, usable by name in a configuration."""

from botlib.strategies.trend_cross import TrendCross

__all__ = ["TrendCross"]
