"""botlib: a Jupyter-first kit for crypto research and live trading.

``import botlib as bl`` is cheap: every name below is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from botlib.backtesting import backtest, check, cross_validate, sweep, walk_forward
    from botlib.backtesting.costs import Costs, RangeSlippage, VolumeSlippage
    from botlib.bot import Bot, connect
    from botlib.config import Settings
    from botlib.core.bus import EventBus
    from botlib.core.clock import MarketClock, SystemClock
    from botlib.core.errors import BotlibError, ConfigError, NoTasksRegistered
    from botlib.core.model import (
        Candle,
        CandleClosed,
        CandleUpdated,
        Fill,
        FillReceived,
        GapFilled,
        Halted,
        Order,
        OrderUpdated,
        Position,
        PositionChanged,
        Signal,
        SignalRaised,
        TaskFailed,
    )
    from botlib.core.timeframe import TimeFrame
    from botlib.frames import Frames, MultiTimeframeEngine
    from botlib.indicators import ta
    from botlib.lab import research
    from botlib.runs import run_notebook
    from botlib.runtime import get_runtime
    from botlib.simulation import simulate
    from botlib.strategies import BandReversion, TrendCross, TrendPullback
    from botlib.strategy import Signals, Strategy
    from botlib.tasks import BackgroundTaskManager, TaskConfig, TaskPriority, beat
    from botlib.trading.risk import RiskLimits
    from botlib.widgets.chart import Chart, chart

__version__ = "0.1.0"

_HOMES: Final = {
    "backtesting": ("backtest", "check", "cross_validate", "sweep", "walk_forward"),
    "backtesting.costs": ("Costs", "RangeSlippage", "VolumeSlippage"),
    "bot": ("Bot", "connect"),
    "core.bus": ("EventBus",),
    "core.clock": ("MarketClock", "SystemClock"),
    "config": ("Settings",),
    "core.errors": ("BotlibError", "ConfigError", "NoTasksRegistered"),
    "frames": ("Frames", "MultiTimeframeEngine"),
    "indicators": ("ta",),
    "lab": ("research",),
    "core.model": (
        "Candle",
        "CandleClosed",
        "CandleUpdated",
        "Fill",
        "FillReceived",
        "GapFilled",
        "Halted",
        "Order",
        "OrderUpdated",
        "Position",
        "PositionChanged",
        "Signal",
        "SignalRaised",
        "TaskFailed",
    ),
    "core.timeframe": ("TimeFrame",),
    "runs": ("run_notebook",),
    "runtime": ("get_runtime",),
    "simulation": ("simulate",),
    "strategies": ("BandReversion", "TrendCross", "TrendPullback"),
    "strategy": ("Signals", "Strategy"),
    "trading.risk": ("RiskLimits",),
    "tasks": ("BackgroundTaskManager", "TaskConfig", "TaskPriority", "beat"),
    "widgets.chart": ("Chart", "chart"),
}
_HOME: Final = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "BackgroundTaskManager",
    "BandReversion",
    "Bot",
    "BotlibError",
    "Candle",
    "CandleClosed",
    "CandleUpdated",
    "Chart",
    "ConfigError",
    "Costs",
    "EventBus",
    "Fill",
    "FillReceived",
    "Frames",
    "GapFilled",
    "Halted",
    "MarketClock",
    "MultiTimeframeEngine",
    "NoTasksRegistered",
    "Order",
    "OrderUpdated",
    "Position",
    "PositionChanged",
    "RangeSlippage",
    "RiskLimits",
    "Settings",
    "Signal",
    "SignalRaised",
    "Signals",
    "Strategy",
    "SystemClock",
    "TaskConfig",
    "TaskFailed",
    "TaskPriority",
    "TimeFrame",
    "TrendCross",
    "TrendPullback",
    "VolumeSlippage",
    "backtest",
    "beat",
    "chart",
    "check",
    "connect",
    "cross_validate",
    "get_runtime",
    "research",
    "run_notebook",
    "simulate",
    "sweep",
    "ta",
    "walk_forward",
]


def __getattr__(name: str) -> Any:
    try:
        home = _HOME[name]
    except KeyError:
        raise AttributeError(f"module 'botlib' has no attribute {name!r}") from None
    module = importlib.import_module(f"botlib.{home}")
    value = getattr(module, name, None) or importlib.import_module(f"botlib.{home}.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
