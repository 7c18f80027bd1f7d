"""Indicators: a year of minutes at once next to pandas-ta-classic, and one candle at a time.

Both compute the same numbers from the same frame. The engine computes one candle at a time when it
closes; without a state it would compute the newest 500 again.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.measuring import Row, Size, seconds
from botlib.frames import candle_frame
from botlib.indicators import Incremental, compute, pandas_ta, parse
from botlib.indicators.sample import sample

YEAR: Final = 525_600
SMOKE_CANDLES: Final = 2_000
MINUTE: Final = 60_000
ROUNDS: Final = 5
SINGLE: Final = 2_000
NEWEST: Final = 500
SPECS: Final = ("sma(20)", "ema(20)", "wma(20)", "rsi(14)", "bbands(20)", "atr(14)", "macd")


def measure(size: Size = Size.USUAL) -> list[Row]:
    """Return one row per indicator: ms for a year, µs for a candle."""
    smoke = size is Size.SMOKE
    candles, rounds = (SMOKE_CANDLES, 1) if smoke else (YEAR, ROUNDS)
    columns, _ = sample(("open", "high", "low", "close", "volume"), candles, "1m")
    opens = np.arange(candles) * MINUTE
    values = np.column_stack(columns)
    frame = candle_frame(opens, values)
    newest = frame.iloc[-NEWEST:]
    single = slice(SINGLE // 10 if smoke else SINGLE)
    rows: list[Row] = []
    for spec in SPECS:
        indicator = parse(spec)
        inputs = indicator.record.inputs
        series = [frame["close" if name == "source" else name] for name in inputs]
        theirs = getattr(pandas_ta.module(), indicator.name)
        ours = seconds(partial(compute, indicator, frame), rounds)
        peer = seconds(partial(theirs, *series, *indicator.parameters.values()), rounds)
        # One state for every round: the next one goes on with the same candles.
        state = Incremental(indicator, timeframe="1m")
        one = seconds(partial(_singly, state, opens[single], values[single]), rounds)
        anew = seconds(partial(compute, indicator, newest), rounds)
        rows.append(
            {
                "indicator": spec,
                f"botlib, {candles:,} candles, ms": ours * 1e3,
                "pandas-ta-classic, ms": peer * 1e3,
                "times faster": peer / ours,
                "one more candle, µs": one / len(opens[single]) * 1e6,
                f"{NEWEST} candles anew, µs": anew * 1e6,
            }
        )
    return rows


def _singly(
    state: Incremental, opens: npt.NDArray[np.int64], candles: npt.NDArray[np.float64]
) -> None:
    for place in range(len(opens)):
        state.update(opens[place : place + 1], candles[place : place + 1])
