"""Backtests, sweeps, walk forwards and checks of strategies over stored candles.

Candle frames, a strategy and the terms of trade enter; results with fills, round trips, figures and
pictures leave. Every name is loaded when it is first used: importing the package loads none of
pandas, vectorbt or plotly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botlib.backtesting.checking import CheckReport, check
    from botlib.backtesting.forward import (
        CrossValidationResult,
        WalkForwardResult,
        cross_validate,
        walk_forward,
    )
    from botlib.backtesting.parity import ParityReport, compare
    from botlib.backtesting.result import BacktestResult
    from botlib.backtesting.run import backtest
    from botlib.backtesting.sweeps import SweepResult, sweep

_HOMES = {
    "BacktestResult": "botlib.backtesting.result",
    "ParityReport": "botlib.backtesting.parity",
    "CheckReport": "botlib.backtesting.checking",
    "CrossValidationResult": "botlib.backtesting.forward",
    "SweepResult": "botlib.backtesting.sweeps",
    "WalkForwardResult": "botlib.backtesting.forward",
    "backtest": "botlib.backtesting.run",
    "compare": "botlib.backtesting.parity",
    "check": "botlib.backtesting.checking",
    "sweep": "botlib.backtesting.sweeps",
    "cross_validate": "botlib.backtesting.forward",
    "walk_forward": "botlib.backtesting.forward",
}

__all__ = [
    "BacktestResult",
    "CheckReport",
    "CrossValidationResult",
    "ParityReport",
    "SweepResult",
    "WalkForwardResult",
    "backtest",
    "check",
    "compare",
    "cross_validate",
    "sweep",
    "walk_forward",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOMES))
