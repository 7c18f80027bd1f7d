"""Sweeps: many combinations of parameters over the same candles, ranked.

A strategy class, candles and the values to try enter; a result with the figures of every
combination leaves. The work is done in worker processes or on a Dask cluster, within a memory
budget. Names are loaded when they are first used, so that a worker loads what it needs alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botlib.backtesting.sweeps.evaluator import METRICS
    from botlib.backtesting.sweeps.result import SweepResult
    from botlib.backtesting.sweeps.run import sweep

_HOMES = {
    "METRICS": "botlib.backtesting.sweeps.evaluator",
    "SweepResult": "botlib.backtesting.sweeps.result",
    "sweep": "botlib.backtesting.sweeps.run",
}

__all__ = ["METRICS", "SweepResult", "sweep"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
