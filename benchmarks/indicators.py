"""Indicators: a year of minutes at once beside pandas-ta-classic, and one candle at a time.

Both compute the same numbers, from the same pandas. A candle at a time is what the engine does when
one closes; computing the newest 500 anew is what it would cost without keeping a state.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from botlib.frames import candle_frame
from botlib.indicators import Incremental, compute, pandas_ta, parse
from botlib.indicators.sample import sample

YEAR = 525_600
MINUTE = 60_000
ROUNDS = 5
SINGLE = 2_000
SPECS = ("sma(20)", "ema(20)", "wma(20)", "rsi(14)", "bbands(20)", "atr(14)", "macd")


def measure() -> list[dict[str, object]]:
    """Return one row per indicator: ms for a year, µs for a candle."""
    inputs = ("open", "high", "low", "close", "volume")
    columns, _ = sample(inputs, YEAR, "1m")
    opens = np.arange(YEAR) * MINUTE
    candles = np.column_stack(columns)
    frame = candle_frame(opens, candles)
    newest = frame.iloc[-500:]
    rows: list[dict[str, object]] = []
    for spec in SPECS:
        indicator = parse(spec)
        series = [frame["close" if name == "source" else name] for name in indicator.record.inputs]
        values = list(indicator.parameters.values())
        theirs = getattr(pandas_ta.module(), indicator.name)
        ours = _best(partial(compute, indicator, frame))
        library_time = _best(partial(theirs, *series, *values))
        one = _best(partial(_singly, Incremental(indicator, timeframe="1m"), opens, candles))
        anew = _best(partial(compute, indicator, newest))
        rows.append(
            {
                "indicator": spec,
                "botlib, a year, ms": ours * 1e3,
                "pandas-ta-classic, ms": library_time * 1e3,
                "times faster": library_time / ours,
                "one more candle, µs": one / SINGLE * 1e6,
                "500 candles anew, µs": anew * 1e6,
            }
        )
    return rows


def _singly(
    incremental: Incremental, opens: npt.NDArray[np.int64], candles: npt.NDArray[np.float64]
) -> None:
    for place in range(SINGLE):
        incremental.update(opens[place : place + 1], candles[place : place + 1])


def _best(function: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)
