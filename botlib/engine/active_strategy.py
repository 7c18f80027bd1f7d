"""`ActiveStrategy`: a strategy on a symbol, and what it says about a closed candle."""

from __future__ import annotations

import asyncio
import importlib
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from botlib.core.errors import ConfigError, InvalidInput, did_you_mean
from botlib.core.model import Signal, SignalAction
from botlib.strategy import Strategy
from botlib.trading.stops import StopRules

if TYPE_CHECKING:
    from botlib.frames import Frames

SPARE_ROWS = 50
"""Candles kept beyond a strategy's warm-up, so that no signal is the first row of a frame."""


def load_strategy(name: str, timeframe: str, parameters: dict[str, Any]) -> Strategy:
    """Return a strategy by its name in `botlib.strategies`, or by ``package.module:Class``.

    Args:
        timeframe: used if the class names no timeframes.
        parameters: those of the strategy.

    Raises:
        ConfigError: there is no such strategy, or it does not accept a parameter.
    """
    module_name, _, class_name = name.rpartition(":")
    try:
        module = importlib.import_module(module_name or "botlib.strategies")
    except ImportError as error:
        raise ConfigError(
            f"Cannot import {module_name!r} for strategy {name!r}: {error}."
        ) from None
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        known = sorted(
            key
            for key, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, Strategy) and value is not Strategy
        )
        raise ConfigError(
            f"There is no strategy {class_name!r} in {module.__name__}. "
            f"Accepted: {', '.join(known) or 'none there'}.{did_you_mean(class_name, known)}"
        )
    strategy: Strategy = found(timeframes=found.timeframes or (timeframe,), **parameters)
    return strategy


@dataclass(slots=True, kw_only=True)
class ActiveStrategy:
    """A strategy that trades a symbol. ``order_cost`` is in quote units per entry."""

    name: str
    strategy: Strategy
    symbol: str
    order_cost: Decimal
    evaluated: int | None = None
    """Open time (ms) of the newest candle on which it was evaluated."""
    pending: int | None = None
    """Open time (ms) of a candle that waits for the candle of a higher timeframe."""
    working: asyncio.Future[None] | None = None
    """The evaluation that is under way, or the last one."""
    working_since: float = 0.0
    again: bool = False
    """Whether a candle came while it was being evaluated."""
    evaluations: int = 0
    skipped: int = 0
    """Candles on which it was not evaluated because a higher timeframe never arrived."""
    signals: int = 0
    errors: int = 0
    last_signal: Signal | None = None

    def __post_init__(self) -> None:
        if not self.strategy.timeframes:
            raise ConfigError(
                f"Strategy {self.name!r} has no timeframe. "
                f"Give it one: {type(self.strategy).__name__}(timeframes=('1h',))."
            )
        if not self.order_cost.is_finite() or self.order_cost <= 0:
            raise InvalidInput(
                f"Strategy {self.name!r} cannot spend {self.order_cost} per entry. "
                "Accepted: a number of quote units above 0."
            )

    def same_as(self, other: ActiveStrategy) -> bool:
        """Return whether both trade alike, so that neither has to replace the other."""
        mine = (type(self.strategy), self.strategy.parameters, self.strategy.timeframes)
        others = (type(other.strategy), other.strategy.parameters, other.strategy.timeframes)
        return (mine, self.symbol, self.order_cost) == (others, other.symbol, other.order_cost)

    @property
    def rules(self) -> StopRules:
        """The rules for the stops of its positions."""
        return StopRules.of(self.strategy)

    @property
    def rows(self) -> int:
        """Candles to keep per timeframe."""
        return self.strategy.warmup + SPARE_ROWS


def signal_of(active: ActiveStrategy, data: Frames, timestamp: int) -> Signal | None:
    """Return what a strategy says about the candle that opened at ``timestamp``, None if nothing.

    This is the part that runs in a thread.
    """
    if len(data.index) < active.strategy.warmup:
        return None
    signals = active.strategy.signals(data)
    signals.check(data.index)
    if signals.exit.to_numpy()[-1]:
        action = SignalAction.EXIT
    elif signals.entry.to_numpy()[-1]:
        action = SignalAction.ENTRY
    else:
        return None
    return Signal(
        strategy=active.name,
        symbol=active.symbol,
        timeframe=active.strategy.timeframes[0],
        timestamp=timestamp,
        action=action,
        price=float(data.frame["close"].iloc[-1]),
    )
