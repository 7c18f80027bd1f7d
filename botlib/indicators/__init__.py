"""Indicators: one vocabulary, over whole frames or candle by candle.

``"ema(20)"``, ``"bbands(20, 2)"`` and ``"sma(10, source=high)"`` mean the same in a chart, a
strategy and the engine. What is common the kit computes itself; the rest is pandas-ta-classic.
"""

from botlib.indicators.compute import COLUMNS, compute
from botlib.indicators.incremental import Incremental
from botlib.indicators.specification import Indicator, indicator, names, parse
from botlib.indicators.warmup import warmup

__all__ = [
    "COLUMNS",
    "Incremental",
    "Indicator",
    "compute",
    "indicator",
    "names",
    "parse",
    "warmup",
]
