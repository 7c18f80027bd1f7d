"""`ActiveStrategy`: a strategy on a symbol, and what it says about a closed candle."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from botlib.core.errors import ConfigError, InvalidInput, did_you_mean
from botlib.core.model import Signal, SignalAction
from botlib.core.timeframe import timeframe_ms
from botlib.engine.strategies.failure import Failure
from botlib.frames.frame import open_times
from botlib.strategy import Strategy, asked, same_value
from botlib.trading.stops import StopRules

if TYPE_CHECKING:
    from botlib.config import Settings
    from botlib.frames import Frames

SPARE_ROWS = 50
"""Candles kept beyond a strategy's warm-up, so that no signal is the first row of a frame."""


def load_strategy(name: str, timeframe: str | None, parameters: dict[str, Any]) -> Strategy:
    """Return a strategy by its name in `botlib.strategies`, or by ``package.module:Class``.

    A module is also found in the working directory, as a notebook there finds it.

    Args:
        timeframe: takes the place of the first that the class names; None leaves it, or is 1m if
            the class names none.
        parameters: those of the strategy.

    Raises:
        ConfigError: there is no such strategy, or it does not accept a parameter.
    """
    module_name, _, class_name = name.rpartition(":")
    module = _module(name, module_name or "botlib.strategies")
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
    traded, *higher = found.timeframes or ("1m",)
    strategy: Strategy = found(timeframes=(timeframe or traded, *higher), **parameters)
    return strategy


def _module(strategy: str, name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # for good: worker processes import the module by its name as well
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"Cannot import {name!r} for strategy {strategy!r}: {error}."
            ) from None
        raise ConfigError(
            f"Cannot import {name!r} for strategy {strategy!r}: {error}. It is looked for among "
            f"what is installed and in the working directory, {here}."
        ) from None
    except Exception as error:
        raise ConfigError(
            f"Cannot import {name!r} for strategy {strategy!r}: {type(error).__name__}: {error}."
        ) from None


@dataclass(slots=True, kw_only=True)
class ActiveStrategy:
    """A strategy that trades a symbol, or is only followed there.

    ``order_cost`` is in quote units per entry; None is a strategy whose signals are not ordered.
    """

    name: str
    strategy: Strategy
    symbol: str
    order_cost: Decimal | None = None
    overrule: tuple[str, ...] = ()
    """Kinds of findings of a check with which it may trade live all the same."""
    checked: str = ""
    """What came of the check before it traded live, in words; "" if there was none."""
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
    failure: Failure | None = None
    """The failures since it was last evaluated without one, None if there are none."""
    told: str = ""
    """The error of which a person was told last."""
    unseen: int = 0
    """Candles that its warm-up lacked when it was last asked."""
    fitting: asyncio.Future[None] | None = None
    """Its learning on schedule that is under way, or the last one."""
    fits: int = 0
    """Times it has learned here."""
    misfit: Failure | None = None
    """The failures to learn again since it last did, None if there are none."""
    waited: int = 0
    """Candles in a row of which the higher timeframe never arrived."""

    def __post_init__(self) -> None:
        if not self.strategy.timeframes:
            raise ConfigError(
                f"Strategy {self.name!r} has no timeframe. "
                f"Give it one: {type(self.strategy).__name__}(timeframes=('1h',))."
            )
        cost = self.order_cost
        if cost is not None and not (cost.is_finite() and cost > 0):
            raise InvalidInput(
                f"Strategy {self.name!r} cannot spend {self.order_cost} per entry. "
                "Accepted: a number of quote units above 0."
            )

        if self.overrule:
            _check_kinds(self.overrule)

    def same_as(self, other: ActiveStrategy) -> bool:
        """Return whether both trade alike, so that neither has to replace the other."""
        mine, others = self.strategy, other.strategy
        return (
            type(mine) is type(others)
            and others.training in (None, mine.training)
            and (mine.timeframes, self.symbol, self.order_cost)
            == (others.timeframes, other.symbol, other.order_cost)
            and mine.parameters.keys() == others.parameters.keys()
            and all(same_value(one, others.parameters[k]) for k, one in mine.parameters.items())
        )

    @property
    def trades(self) -> bool:
        """Whether its signals are ordered."""
        return self.order_cost is not None

    @property
    def rules(self) -> StopRules:
        """The rules for the stops of its positions."""
        return StopRules.of(self.strategy)

    def rows(self, timeframe: str) -> int:
        """Return how many candles of a timeframe to keep."""
        return self.strategy.warmup_of(timeframe) + SPARE_ROWS

    def history(self, timeframe: str) -> int:
        """Return how many candles of a timeframe have to be stored before it starts."""
        if not self.strategy.learns:
            return self.rows(timeframe)
        span = self.strategy.train_candles * timeframe_ms(self.strategy.timeframes[0])
        return max(self.rows(timeframe), -(-span // timeframe_ms(timeframe)))

    def cancel(self) -> None:
        """Discard what it computes; it leads to no order any more."""
        for work in (self.working, self.fitting):
            if work is not None:
                work.cancel()


def _check_kinds(kinds: Collection[str]) -> None:
    """Check that a check can find what is overruled.

    Raises:
        InvalidInput: it has no finding of that kind.
    """
    from botlib.backtesting.checking import KINDS

    for kind in kinds:
        if kind not in KINDS:
            raise InvalidInput(
                f"Cannot overrule {kind!r}: no check finds that. "
                f"Accepted: {', '.join(KINDS)}.{did_you_mean(str(kind), KINDS)}"
            )


def configured_strategies(
    settings: Settings, symbols: Collection[str], usual_cost: Decimal
) -> list[ActiveStrategy]:
    """Return the strategies of the settings on these symbols; a bot that watches follows them.

    Args:
        usual_cost: quote units per entry where the settings do not say it.

    Raises:
        ConfigError: one cannot be loaded, or trades on candles that are not streamed.
    """
    found = [
        ActiveStrategy(
            name=entry.name,
            strategy=load_strategy(entry.strategy, entry.timeframe, entry.parameters),
            symbol=entry.symbol,
            order_cost=None if settings.mode == "watch" else entry.order_cost or usual_cost,
            overrule=entry.overrule,
        )
        for entry in settings.strategies
        if entry.symbol in symbols
    ]
    for active in found:
        missing = [tf for tf in active.strategy.timeframes if tf not in settings.timeframes]
        if missing:
            raise ConfigError(
                f"Strategy {active.name!r} uses timeframe {' and '.join(missing)}, which is not "
                f"among the timeframes ({', '.join(settings.timeframes)}); add it there."
            )
    return found


def newest_signal(active: ActiveStrategy, data: Frames) -> Signal | None:
    """Return what a strategy says about the newest candle, None if nothing.

    This is the part that runs in a thread.
    """
    found = _signals(active, data, len(data.index) - 1)
    return found[0] if found else None


def past_signals(active: ActiveStrategy, data: Frames) -> list[Signal]:
    """Return what a strategy says about every candle after its warm-up, ascending.

    This is the part that runs in a thread.
    """
    return _signals(active, data, 0)


def _signals(active: ActiveStrategy, data: Frames, first: int) -> list[Signal]:
    """Return the signals on the candles from the row ``first`` on."""
    active.unseen = max(
        0, *(active.strategy.warmup_of(name) - data.rows_of(name) for name in data.timeframes)
    )
    warmup = active.strategy.warmup_of(data.timeframes[0])
    if len(data.index) < warmup:
        return []
    signals = asked(active.strategy, data)
    first = max(first, warmup - 1, 0)
    entries, exits = signals.entry.to_numpy()[first:], signals.exit.to_numpy()[first:]
    rows = (entries | exits).nonzero()[0]
    if not len(rows):
        return []
    times, closes = open_times(data.index), data.frame["close"].to_numpy()
    return [
        Signal(
            strategy=active.name,
            symbol=active.symbol,
            timeframe=active.strategy.timeframes[0],
            timestamp=int(times[first + row]),
            action=SignalAction.EXIT if exits[row] else SignalAction.ENTRY,
            price=float(closes[first + row]),
        )
        for row in rows
    ]
