"""Worked examples of strategies, usable by name in a configuration."""

from botlib.strategies.band_reversion import BandReversion
from botlib.strategies.trend_cross import TrendCross
from botlib.strategies.trend_pullback import TrendPullback

__all__ = ["BandReversion", "TrendCross", "TrendPullback"]
