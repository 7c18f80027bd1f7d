"""Backtests: strategies over stored candles, through vectorbt.

Everything is loaded when it is first asked for; importing the package loads none of pandas,
vectorbt or plotly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botlib.backtest.checking import CheckReport, check
    from botlib.backtest.forward import WalkForwardResult, walk_forward
    from botlib.backtest.parity import ParityReport, compare
    from botlib.backtest.result import BacktestResult
    from botlib.backtest.run import backtest
    from botlib.backtest.sweeps import SweepResult, sweep

_HOMES = {
    "BacktestResult": "botlib.backtest.result",
    "ParityReport": "botlib.backtest.parity",
    "CheckReport": "botlib.backtest.checking",
    "SweepResult": "botlib.backtest.sweeps",
    "WalkForwardResult": "botlib.backtest.forward",
    "backtest": "botlib.backtest.run",
    "compare": "botlib.backtest.parity",
    "check": "botlib.backtest.checking",
    "sweep": "botlib.backtest.sweeps",
    "walk_forward": "botlib.backtest.forward",
}

__all__ = [
    "BacktestResult",
    "CheckReport",
    "ParityReport",
    "SweepResult",
    "WalkForwardResult",
    "backtest",
    "check",
    "compare",
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
