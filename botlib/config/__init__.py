"""Configuration: one YAML file, checked as a whole, with defaults that run on the paper exchange.

Durations are written as ``30s``, ``5m`` or ``1h 30m`` and kept as seconds; money is `Decimal`.
Keys and passwords have no place here: they come from the environment (see `botlib.config.secrets`).
"""

from botlib.config.settings import (
    CandleTask,
    ExchangeSettings,
    HealthSettings,
    PaperSettings,
    RiskSettings,
    Settings,
    StrategySettings,
    StreamTask,
    TaskSettings,
    TimedTask,
    example,
)

__all__ = [
    "CandleTask",
    "ExchangeSettings",
    "HealthSettings",
    "PaperSettings",
    "RiskSettings",
    "Settings",
    "StrategySettings",
    "StreamTask",
    "TaskSettings",
    "TimedTask",
    "example",
]
