"""The indicators that botlib computes itself, one record each.

Formulas, seeds and defaults are those of pandas-ta-classic (and of TA-Lib, where the two agree), so
both give the same numbers. A module holds a family of indicators: the formula over whole columns,
the stream that computes it candle by candle, the warm-up, and the record that names them. Columns
of candles enter, columns of values leave. To add an indicator, add its record to a family.
"""

from typing import Final

from botlib.indicators.formulas import averages, momentum, volatility, volume
from botlib.indicators.record import IndicatorRecord

OWN: Final[dict[str, IndicatorRecord]] = {
    record.name: record
    for family in (averages, momentum, volatility, volume)
    for record in family.RECORDS
}
"""Every record of this package, by name."""
