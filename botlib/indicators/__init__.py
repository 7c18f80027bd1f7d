"""Indicators over whole frames or candle by candle, by one specification.

``"ema(20)"``, ``"bbands(20, 2)"`` and ``"sma(10, source=high)"`` mean the same in a chart, a
strategy and the engine. A specification and closed candles enter, columns of float64 leave. The
common indicators are those of `formulas`; the others are computed by pandas-ta-classic.
"""

from botlib.indicators.columns import COLUMNS
from botlib.indicators.compute import compute
from botlib.indicators.incremental import Incremental
from botlib.indicators.record import Indicator
from botlib.indicators.registry import names
from botlib.indicators.specification import indicator, parse
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
