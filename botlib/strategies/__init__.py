"""Example strategies, which a configuration can name.

Each is a `Strategy`: frames of closed candles enter, entry and exit signals leave.
"""

from botlib.strategies.band_reversion import BandReversion
from botlib.strategies.trend_cross import TrendCross
from botlib.strategies.trend_pullback import TrendPullback

__all__ = ["BandReversion", "TrendCross", "TrendPullback"]
