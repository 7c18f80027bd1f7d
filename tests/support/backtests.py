"""Candle frames and a scripted strategy for tests of backtests."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from botlib import backtesting
from botlib.backtesting import BacktestResult
from botlib.backtesting.costs import Costs
from botlib.core.market import Market
from botlib.frames import Frames, candle_frame
from botlib.strategy import Signals, Strategy

MINUTE = 60_000


BTC = Market(
    symbol="BTC/USDT",
    id="BTCUSDT",
    base="BTC",
    quote="USDT",
    tick=Decimal("0.01"),
    step=Decimal("0.00001"),
    min_amount=Decimal("0.00001"),
    min_cost=Decimal(5),
)


class Scripted(Strategy):
    """A strategy with entries and exits on given candles."""

    timeframes = ("1m",)
    entries: tuple[int, ...] = ()
    exits: tuple[int, ...] = ()

    def signals(self, data: Frames) -> Signals:
        rows = pd.Series(np.arange(len(data.frame)), index=data.frame.index)
        return Signals(entry=rows.isin(self.entries), exit=rows.isin(self.exits))


ALL_IN: dict[str, Any] = {"order_cost": "all", "costs": Costs.none(fee=0.001)}
"""Terms of a backtest that spends all cash and pays a fee of 0.1 % alone."""


def backtest(strategy: Strategy, data: Any, **given: Any) -> BacktestResult:
    """Run a backtest on the terms of `ALL_IN`, where nothing else is said."""
    return backtesting.backtest(strategy, data, **{**ALL_IN, **given})


def candles(*rows: tuple[float, float, float, float]) -> pd.DataFrame:
    return candle_frame(np.arange(len(rows)) * MINUTE, [[*row, 1.0] for row in rows])


def flat(*opens: float) -> pd.DataFrame:
    """Return candles that open at the given prices and close where the next one opens."""
    closes = [*opens[1:], opens[-1]]
    return candles(*((o, max(o, c), min(o, c), c) for o, c in zip(opens, closes, strict=True)))


def wandering(rows: int, seed: int = 0, step: float = 2e-3, gap: float = 0.0) -> pd.DataFrame:
    """Return a random market in cents; with a ``gap`` candles do not open at the last close."""
    random = np.random.default_rng(seed)
    path = 20_000 * np.exp(np.cumsum(random.normal(0, step, rows + 1)))
    opens, closes = path[:-1] * np.exp(random.normal(0, gap, rows)), path[1:]
    high = np.maximum(opens, closes) * (1 + np.abs(random.normal(0, step / 2, rows)))
    low = np.minimum(opens, closes) * (1 - np.abs(random.normal(0, step / 2, rows)))
    values = np.round(np.column_stack([opens, high, low, closes]), 2)
    return candle_frame(np.arange(rows) * MINUTE, np.column_stack([values, np.ones(rows)]))


def trip(result: BacktestResult, number: int = 0) -> Any:
    return result.roundtrips.iloc[number]
