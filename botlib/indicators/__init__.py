"""Indicators: one vocabulary, computed over whole frames or candle by candle."""

from botlib.indicators.compute import compute
from botlib.indicators.vocabulary import Indicator, indicator, names, parse

__all__ = ["Indicator", "compute", "indicator", "names", "parse"]
