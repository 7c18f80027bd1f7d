"""The tear sheet of 1,000 round trips: figures and card, and the page with the plotly library.

The first one imports what it needs; the others are measured after it.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.measuring import Row, Size, seconds
from botlib.backtesting import BacktestResult, backtest
from botlib.frames import candle_frame
from botlib.indicators.sample import sample
from botlib.strategies import TrendCross

ROUND_TRIPS: Final = 1_000
SMOKE_ROUND_TRIPS: Final = 50
CANDLES_PER_TRIP: Final = 60
"""More than one takes on the sample."""

HOUR: Final = 3_600_000
LIMIT: Final = 1.5
"""Seconds that a tear sheet may take."""


def measure(size: Size = Size.USUAL) -> list[Row]:
    """Return one row: seconds for the first and for another sheet, and for the page."""
    smoke = size is Size.SMOKE
    result = _traded(SMOKE_ROUND_TRIPS if smoke else ROUND_TRIPS)
    rounds = 1 if smoke else 5
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "report.html"
        begun = time.perf_counter()
        card = _card(result)
        first = time.perf_counter() - begun
        begun = time.perf_counter()
        result.report(path)
        first_page = time.perf_counter() - begun
        return [
            {
                "round trips": len(result.roundtrips),
                "candles": len(result.frame),
                "first card, s": first,
                "card, s": seconds(lambda: _card(result), rounds),
                "card, kB": len(card) / 1e3,
                "first page, s": first_page,
                "page, s": seconds(lambda: result.report(path), rounds),
                "limit, s": LIMIT,
            }
        ]


def _card(result: BacktestResult) -> str:
    return result.tearsheet()._repr_html_()


def _traded(round_trips: int) -> BacktestResult:
    """Return a backtest with a number of round trips."""
    rows = round_trips * CANDLES_PER_TRIP
    columns, _ = sample(("open", "high", "low", "close", "volume"), rows, "1h")
    frame = candle_frame(np.arange(rows) * HOUR, np.column_stack(columns))
    strategy = TrendCross(fast=5, slow=20, timeframes=("1h",))
    exits = backtest(strategy, frame).roundtrips["exit_time"]
    return backtest(strategy, frame[frame.index <= exits.iloc[round_trips - 1]])
