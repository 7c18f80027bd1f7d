"""Backtests: strategies over stored candles, through vectorbt.

Everything is loaded when it is first asked for; importing the package loads none of pandas,
vectorbt or plotly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botlib.backtest.result import BacktestResult
    from botlib.backtest.run import backtest
    from botlib.backtest.sweeps import SweepResult, sweep

_HOMES = {
    "BacktestResult": "botlib.backtest.result",
    "SweepResult": "botlib.backtest.sweeps",
    "backtest": "botlib.backtest.run",
    "sweep": "botlib.backtest.sweeps",
}

__all__ = ["BacktestResult", "SweepResult", "backtest", "sweep"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOMES))
