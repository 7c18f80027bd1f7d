"""Signal generation: on which candles a strategy is evaluated, and with which data."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from botlib.core.bus import EventBus
from botlib.core.errors import ConfigError, InvalidInput
from botlib.core.model import Candle, CandleClosed, Signal, SignalAction, SignalRaised
from botlib.core.timeframe import MINUTE, timeframe_ms
from botlib.engine.signals import ActiveStrategy, SignalGenerator, load_strategy
from botlib.frames import Frames, MultiTimeframeEngine
from botlib.store import CandleStorage, Database
from botlib.strategies import TrendCross
from botlib.strategy import Signals, Strategy
from tests.support.samples import flat

START = 1_735_689_600_000  # 2025-01-01 00:00 UTC, a multiple of every timeframe


def candle(timestamp: int, timeframe: str = "1m", close: float = 100.0) -> Candle:
    return flat(timestamp, close, timeframe=timeframe, volume=1.0)


class Watcher(Strategy):
    """Records the data of its evaluations, and returns the configured signals."""

    timeframes = ("1m", "5m")
    entry: bool = False
    exit: bool = False

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.seen: list[tuple[pd.Timestamp, int]] = []
        self.broken = False

    def signals(self, data: Frames) -> Signals:
        if self.broken:
            raise RuntimeError("broken")
        self.seen.append((data.frame.index[-1], len(data["5m"])))
        flat = pd.Series(False, index=data.frame.index)
        last = pd.Series(data.frame.index == data.frame.index[-1], index=data.frame.index)
        return Signals(entry=last if self.entry else flat, exit=last if self.exit else flat)


class RecordedOrders:
    """Records signals in place of executing them."""

    def __init__(self) -> None:
        self.signals: list[Signal] = []

    async def execute(self, signal: Signal, order_cost: Decimal) -> None:
        self.signals.append(signal)


class Setup:
    """A signal generator whose candles a test publishes."""

    def __init__(self, storage: CandleStorage) -> None:
        self.storage = storage
        self.bus = EventBus()
        self.raised = self.bus.subscribe(SignalRaised, name="test")
        self.orders = RecordedOrders()
        self.progress = 0
        self.generator = SignalGenerator(
            bus=self.bus,
            storage=storage,
            frames=MultiTimeframeEngine(),
            orders=self.orders,  # type: ignore[arg-type]
            on_progress=self._count,
        )

    def _count(self) -> None:
        self.progress += 1

    def trade(self, strategy: Strategy, name: str = "w") -> ActiveStrategy:
        active = ActiveStrategy(
            name=name, strategy=strategy, symbol="BTC/USDT", order_cost=Decimal(100)
        )
        self.generator.add(active)
        return active

    async def feed(self, *candles: Candle, backfilled: bool = False) -> None:
        """Store and then publish closed candles, as the stream does."""
        self.generator.listen()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.generator.run())
            for item in candles:
                self.storage.write([item], now=item.timestamp)
                self.bus.publish(
                    CandleClosed(candle=item, event_time=item.timestamp, backfilled=backfilled)
                )
            goal = self.progress + len(candles)
            while self.progress < goal:  # noqa: ASYNC110 - the generator only counts
                await asyncio.sleep(0.001)
            task.cancel()


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    with Database.open(tmp_path / "c.db", "paper:synthetic:seed=1") as database:
        yield Setup(CandleStorage(database))


async def test_a_strategy_is_evaluated_when_all_its_timeframes_have_arrived(setup: Setup) -> None:
    watcher = Watcher()
    active = setup.trade(watcher)
    await setup.feed(*(candle(START + n * MINUTE) for n in range(5)))
    assert len(watcher.seen) == 4  # the fifth waits for the 5m candle that closed with it
    await setup.feed(candle(START, "5m"))
    assert [count for _, count in watcher.seen] == [0, 0, 0, 0, 1]
    assert active.evaluations == 5 and active.skipped == 0


async def test_a_higher_candle_that_never_arrives_skips_one_evaluation_only(
    setup: Setup,
) -> None:
    watcher = Watcher()
    active = setup.trade(watcher)
    await setup.feed(*(candle(START + n * MINUTE) for n in range(7)))
    assert active.skipped == 2  # the 5m candle was missing in both
    await setup.feed(candle(START, "5m"), candle(START + 7 * MINUTE))
    assert watcher.seen[-1][0] == pd.Timestamp(START + 7 * MINUTE, unit="ms")


async def test_backfilled_candles_are_data_and_cause_no_signal(
    setup: Setup,
) -> None:
    watcher = Watcher(entry=True)
    setup.trade(watcher)
    await setup.feed(*(candle(START + n * MINUTE) for n in range(3)), backfilled=True)
    assert watcher.seen == [] and setup.orders.signals == []
    await setup.feed(candle(START + 3 * MINUTE))
    assert [signal.timestamp for signal in setup.orders.signals] == [START + 3 * MINUTE]


async def test_a_candle_is_evaluated_once(setup: Setup) -> None:
    setup.trade(Watcher(entry=True))
    await setup.feed(candle(START), candle(START))
    assert len(setup.orders.signals) == 1
    assert len(setup.raised) == 1


async def test_an_exit_has_priority_over_an_entry(setup: Setup) -> None:
    setup.trade(Watcher(entry=True, exit=True))
    await setup.feed(candle(START))
    assert [signal.action for signal in setup.orders.signals] == [SignalAction.EXIT]


async def test_a_broken_strategy_does_not_affect_the_others(setup: Setup) -> None:
    broken, sound = Watcher(), Watcher(entry=True)
    broken.broken = True
    one = setup.trade(broken, "broken")
    setup.trade(sound, "sound")
    await setup.feed(candle(START))
    assert one.errors == 1
    assert [signal.strategy for signal in setup.orders.signals] == ["sound"]


async def test_the_warm_up_is_loaded_from_the_store(setup: Setup) -> None:
    for n in range(40):
        setup.storage.write([candle(START + n * MINUTE)], now=START)
    active = setup.trade(TrendCross(fast=2, slow=30, timeframes=("1m",)))
    await setup.feed(candle(START + 40 * MINUTE, close=101.0))
    assert active.evaluations == 1
    assert [signal.action for signal in setup.orders.signals] == [SignalAction.ENTRY]


async def test_waiting_for_a_candle_ends_when_it_was_processed(setup: Setup) -> None:
    waiting = asyncio.ensure_future(setup.generator.processed("BTC/USDT", "1m", START + MINUTE))
    await setup.feed(candle(START))
    await asyncio.sleep(0)
    assert not waiting.done()
    await setup.feed(candle(START + MINUTE))
    await asyncio.wait_for(waiting, 60)


def test_strategies_are_found_by_name() -> None:
    strategy = load_strategy("TrendCross", "5m", {"fast": 3})
    assert strategy.timeframes == ("5m",) and strategy.parameters["fast"] == 3
    assert isinstance(
        load_strategy("botlib.strategies.trend_cross:TrendCross", "1m", {}), TrendCross
    )
    with pytest.raises(ConfigError, match="Did you mean 'TrendCross'"):
        load_strategy("TrendCros", "1m", {})
    with pytest.raises(ConfigError, match="Cannot import 'no_such_module'"):
        load_strategy("no_such_module:X", "1m", {})
    with pytest.raises(ConfigError, match="no parameter 'fats'"):
        load_strategy("TrendCross", "1m", {"fats": 3})


def test_a_strategy_needs_a_timeframe() -> None:
    with pytest.raises(ConfigError, match="has no timeframe"):
        ActiveStrategy(name="x", strategy=TrendCross(), symbol="BTC/USDT", order_cost=Decimal(1))
    assert timeframe_ms("5m") == 5 * MINUTE


@pytest.mark.parametrize("cost", ["NaN", "Infinity", "-Infinity", "-5", "0"])
def test_an_order_cost_that_is_no_number_above_0_is_refused(cost: str) -> None:
    with pytest.raises(InvalidInput, match="above 0"):
        ActiveStrategy(name="w", strategy=Watcher(), symbol="BTC/USDT", order_cost=Decimal(cost))
