"""Configuration: one YAML file, checked as a whole, with defaults that run on the paper exchange.

What enters is a YAML file or a mapping; what leaves is a frozen `Settings`. Durations are written
as ``30s``, ``5m`` or ``1h 30m`` and kept as seconds; money is `Decimal`. Keys and passwords are
never configured: they come from the environment (`botlib.config.secrets`). Settings are loaded when
they are first used: a kernel that reads stored candles needs keys masked, and no configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from botlib.config import settings

    value = getattr(settings, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
