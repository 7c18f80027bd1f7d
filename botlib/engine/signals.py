"""Signal generation: closed candles in, orders out, in the order the candles closed."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from botlib.core.clock import utc
from botlib.core.errors import BotlibError, ConfigError, did_you_mean
from botlib.core.model import CandleClosed, Signal, SignalAction, SignalRaised
from botlib.core.timeframe import open_time, timeframe_ms
from botlib.strategy import Strategy
from botlib.trading.stops import StopRules

if TYPE_CHECKING:
    from botlib.core.bus import BusSubscription, EventBus
    from botlib.execution import OrderExecutor, Protector
    from botlib.frames import MultiTimeframeEngine
    from botlib.store import CandleStorage
    from botlib.trading.positions import PositionManager

logger = logging.getLogger(__name__)

SPARE_ROWS = 50
"""Candles kept beyond a strategy's warm-up, so that no signal stands on the first of them."""


def load_strategy(name: str, timeframe: str, parameters: dict[str, Any]) -> Strategy:
    """Return a strategy by its name in `botlib.strategies`, or as ``package.module:Class``.

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
    """A strategy at work on a symbol. ``order_cost`` is in quote units per entry."""

    name: str
    strategy: Strategy
    symbol: str
    order_cost: Decimal
    evaluated: int | None = None
    """Open time (ms) of the newest candle it was asked about."""
    pending: int | None = None
    """Open time (ms) of a candle that waits for a higher timeframe to arrive."""
    evaluations: int = 0
    skipped: int = 0
    """Candles it was not asked about since a higher timeframe never arrived."""
    signals: int = 0
    errors: int = 0

    def __post_init__(self) -> None:
        if not self.strategy.timeframes:
            raise ConfigError(
                f"Strategy {self.name!r} has no timeframe. "
                f"Give it one: {type(self.strategy).__name__}(timeframes=('1h',))."
            )

    def same_as(self, other: ActiveStrategy) -> bool:
        """Tell whether both trade alike, so that one need not take the place of the other."""
        mine = (type(self.strategy), self.strategy.parameters, self.strategy.timeframes)
        others = (type(other.strategy), other.strategy.parameters, other.strategy.timeframes)
        return (mine, self.symbol, self.order_cost) == (others, other.symbol, other.order_cost)

    @property
    def rules(self) -> StopRules:
        """What limits its positions."""
        return StopRules.of(self.strategy)

    @property
    def rows(self) -> int:
        """Candles per timeframe to keep for it."""
        return self.strategy.warmup + SPARE_ROWS


class SignalGenerator:
    """Asks every strategy about every candle that closes, and hands its signals to the orders.

    Candles are taken in the order of the bus. A strategy that looks at several timeframes is asked
    when all of them that close at the same moment have arrived. History fetched after the fact is
    data, never a reason to trade.

    After each candle of a strategy that limits its positions, its stop is seen to: placed after an
    entry, moved where it trails. Profit is taken here as well: when a candle has closed whose high
    reached the target, the position is sold at the market, at the next open.
    """

    def __init__(
        self,
        *,
        bus: EventBus,
        storage: CandleStorage,
        frames: MultiTimeframeEngine,
        orders: OrderExecutor,
        on_progress: Callable[[], None],
        protector: Protector | None = None,
        positions: PositionManager | None = None,
        now: Callable[[], int] = lambda: 0,
    ) -> None:
        self._now = now
        self._bus = bus
        self._storage = storage
        self._frames = frames
        self._orders = orders
        self._on_progress = on_progress
        self._protector = protector
        self._positions = positions
        self._loaded: dict[tuple[str, str], int] = {}
        self._rows: dict[tuple[str, str], int] = {}
        self._processed: dict[tuple[str, str], int] = {}
        self._moved = asyncio.Event()
        self._subscription: BusSubscription[CandleClosed] | None = None
        self.strategies: dict[str, ActiveStrategy] = {}

    @property
    def signals(self) -> int:
        """How many signals were raised."""
        return sum(active.signals for active in self.strategies.values())

    def keep(self, symbol: str, timeframe: str, rows: int) -> None:
        """Keep a symbol and timeframe as a frame of at least ``rows`` candles."""
        key = (symbol, timeframe)
        self._rows[key] = max(rows, self._rows.get(key, 0))
        self._frames.require(symbol, timeframe, self._rows[key])

    def add(self, active: ActiveStrategy) -> None:
        """Put a strategy to work; one of the same name is replaced."""
        for timeframe in active.strategy.timeframes:
            self.keep(active.symbol, timeframe, active.rows)
        self.strategies[active.name] = active
        if self._protector is not None:
            self._protector.rules[active.name] = active.rules

    def listen(self) -> None:
        """Begin to collect closed candles, so that none is missed before `run` reads them."""
        if self._subscription is None or self._subscription.closed:
            self._subscription = self._bus.subscribe(CandleClosed, name="signal_generation")

    async def run(self) -> None:
        """Take closed candles for ever: the body of the task ``signal_generation``."""
        self.listen()
        assert self._subscription is not None
        subscription = self._subscription
        try:
            async for event in subscription:
                await self._take(event)
                self._on_progress()
        finally:
            subscription.close()

    async def processed(self, symbol: str, timeframe: str, timestamp: int) -> None:
        """Wait until the candle that opened at ``timestamp`` (ms), or a later one, was acted on."""
        while self._processed.get((symbol, timeframe), -1) < timestamp:
            self._moved.clear()
            await self._moved.wait()

    async def _take(self, event: CandleClosed) -> None:
        candle = event.candle
        key = (candle.symbol, candle.timeframe)
        self._load(*key)
        self._frames.update(candle)
        for active in list(self.strategies.values()):
            if active.symbol != candle.symbol or candle.timeframe not in active.strategy.timeframes:
                continue
            if candle.timeframe == active.strategy.timeframes[0] and not event.backfilled:
                if active.pending is not None:
                    active.skipped += 1
                active.pending = candle.timestamp
            await self._evaluate(active)
        self._processed[key] = candle.timestamp
        self._moved.set()

    async def _evaluate(self, active: ActiveStrategy) -> None:
        timestamp, timeframes = active.pending, active.strategy.timeframes
        if timestamp is None:
            return
        for timeframe in timeframes:
            self._load(active.symbol, timeframe)
        if not self._frames.complete(active.symbol, timeframes, timestamp):
            return
        active.pending = None
        if active.evaluated is not None and timestamp <= active.evaluated:
            return
        active.evaluated = timestamp
        try:
            signal = await asyncio.to_thread(self._ask, active, timestamp)
        except Exception:
            # One broken strategy must not keep the others from their candles.
            active.errors += 1
            logger.exception("strategy %s failed on the candle %d", active.name, timestamp)
            signal = None
        else:
            active.evaluations += 1
        if signal is not None:
            await self._act(active, signal)
        await self._protect(active)

    async def _act(self, active: ActiveStrategy, signal: Signal) -> None:
        active.signals += 1
        logger.info("%s: %s %s at %s", active.name, signal.action, signal.symbol, signal.price)
        self._bus.publish(SignalRaised(signal=signal))
        length = timeframe_ms(signal.timeframe)
        if signal.action is SignalAction.ENTRY and self._now() >= signal.timestamp + 2 * length:
            # The loop stood, or the news came late: an entry belongs to the next open.
            self._orders.refused[active.name] = "the candle is old: the next one has closed too"
            logger.info("%s: the entry in %s came too late", active.name, signal.symbol)
            return
        try:
            await self._orders.execute(signal, active.order_cost)
        except BotlibError:
            active.errors += 1
            logger.exception("order of %s failed", active.name)

    async def _protect(self, active: ActiveStrategy) -> None:
        if self._protector is None or self._positions is None or active.rules == StopRules():
            return
        entry = self._protector.entry(active.symbol)
        if entry is None or entry.strategy != active.name:
            return
        try:
            await self._protector.attend(active.symbol, self._high_since_entry(active))
        except BotlibError:
            active.errors += 1
            logger.exception("stop of %s failed", active.name)

    def _high_since_entry(self, active: ActiveStrategy) -> float | None:
        """Return the highest high of the candles that closed since the entry, the entry's first."""
        assert self._positions is not None
        opened = self._positions.get(active.symbol).opened
        timeframes, timestamp = active.strategy.timeframes, active.evaluated
        if opened is None or timestamp is None:
            return None
        frame = self._frames.frames(active.symbol, timeframes, timestamp).frame
        first = utc(open_time(opened, timeframes[0])).replace(tzinfo=None)
        highs = frame.loc[frame.index >= first, "high"]
        return float(highs.max()) if len(highs) else None

    def _ask(self, active: ActiveStrategy, timestamp: int) -> Signal | None:
        timeframes = active.strategy.timeframes
        data = self._frames.frames(active.symbol, timeframes, timestamp)
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
            timeframe=timeframes[0],
            timestamp=timestamp,
            action=action,
            price=float(data.frame["close"].iloc[-1]),
        )

    def warm(self) -> None:
        """Fill every frame from the store, so that prices are known before the first candle."""
        for key in self._rows:
            self._load(*key)

    def _load(self, symbol: str, timeframe: str) -> None:
        """Fill a frame from the store once, and again when it has to be longer."""
        key = (symbol, timeframe)
        rows = self._rows.get(key)
        if rows is None or self._loaded.get(key, 0) >= rows:
            return
        self._loaded[key] = rows
        self._frames.forget(symbol, timeframe)
        self._frames.require(symbol, timeframe, rows)
        # Stored before published: what the store holds includes every event still to be read.
        depth = self._frames.depth(symbol, timeframe)
        self._frames.load(self._storage.candles(symbol, timeframe, limit=depth))
