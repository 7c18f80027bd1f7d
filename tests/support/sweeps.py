"""A random market and strategies for tests of sweeps."""

from __future__ import annotations

import os
import signal
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from botlib import backtesting
from botlib.backtesting import SweepResult, WalkForwardResult
from botlib.core.errors import ConfigError
from botlib.core.market import Market
from botlib.frames import Frames, candle_frame
from botlib.strategy import Signals, Strategy
from tests.support.backtests import ALL_IN

ROWS = 1_500


START = 1_704_067_200_000


def sweep(strategy: type[Strategy], data: Any, **given: Any) -> SweepResult:
    """Run a sweep that spends all cash and pays a fee alone, where nothing else is said."""
    return backtesting.sweep(strategy, data, **{**ALL_IN, **given})


def walk_forward(strategy: type[Strategy], data: Any, **given: Any) -> WalkForwardResult:
    """Run a walk forward on the same terms."""
    return backtesting.walk_forward(strategy, data, **{**ALL_IN, **given})


def candles(rows: int = ROWS, seed: int = 1) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 2e-3, rows)))
    opened = np.concatenate(([close[0]], close[:-1])) * (1 + random.normal(0, 1e-4, rows))
    high = np.maximum(opened, close) * (1 + random.exponential(5e-4, rows))
    low = np.minimum(opened, close) * (1 - random.exponential(5e-4, rows))
    return candle_frame(
        START + 60_000 * np.arange(rows),
        np.column_stack((opened, high, low, close, random.exponential(1, rows))),
    )


class Cross(Strategy):
    fast: int = 10
    slow: int = 30

    @property
    def warmup(self) -> int:
        return self.slow + 1

    def signals(self, data: Frames) -> Signals:
        fast, slow = data.indicator(f"sma({self.fast})"), data.indicator(f"sma({self.slow})")
        above, below = fast > slow, fast < slow
        return Signals(
            entry=above & ~above.shift(1, fill_value=False),
            exit=below & ~below.shift(1, fill_value=False),
        )


class RandomSignals(Strategy):
    """Random signal: rare, dense, and meeting each other."""

    number: int = 0
    often: float = 0.1

    def signals(self, data: Frames) -> Signals:
        random = np.random.default_rng(self.number)
        index = data.frame.index
        entry, leave = random.random((2, len(index))) < self.often
        return Signals(entry=pd.Series(entry, index), exit=pd.Series(leave, index))


class Fragile(Cross):
    def signals(self, data: Frames) -> Signals:
        if self.fast == 7:
            raise ZeroDivisionError("seven")
        if self.fast == 13:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().signals(data)


class Refusing(Cross):
    def __init__(self, **given: object) -> None:
        super().__init__(**given)  # type: ignore[arg-type]
        if self.fast >= self.slow:
            raise ConfigError(f"fast={self.fast} is not below slow={self.slow}.")


MARKET = Market(
    symbol="BTC/USDT",
    id="BTCUSDT",
    base="BTC",
    quote="USDT",
    tick=Decimal("0.01"),
    step=Decimal("0.001"),
    min_amount=Decimal("0.001"),
    min_cost=Decimal(5),
)


class Guarded(Cross):
    stop_loss: float | None = 0.004
    take_profit: float | None = 0.006


def fast_below_slow(parameters: dict[str, int]) -> bool:
    return parameters["fast"] < parameters["slow"]
