"""Configuration: one YAML file, checked as a whole, with defaults that run on the paper exchange.

What enters is a YAML file or a mapping; what leaves is a frozen `Settings`. Durations are written
as ``30s``, ``5m`` or ``1h 30m`` and kept as seconds; money is `Decimal`. Keys and passwords are
never configured: they come from the environment (`botlib.config.secrets`).
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
