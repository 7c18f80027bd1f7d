"""Signal generation: on which candles a strategy is evaluated, and with which data."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from botlib.core.bus import EventBus
from botlib.core.errors import ConfigError, InvalidInput, StoreError
from botlib.core.model import Candle, CandleClosed, Signal, SignalAction, SignalRaised
from botlib.core.timeframe import MINUTE
from botlib.engine.strategies import signals
from botlib.engine.strategies.active import ActiveStrategy
from botlib.engine.strategies.signals import SignalGenerator
from botlib.engine.watching import KEPT_SIGNALS, SignalHistory
from botlib.frames import Frames, MultiTimeframeEngine
from botlib.store import CandleStorage, Database
from botlib.strategies import TrendCross
from botlib.strategy import Signals, Strategy
from botlib.trading.books import BookKey
from botlib.trading.stops import StopRules
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
    """Records what an order path is told, in place of doing it."""

    def __init__(self) -> None:
        self.signals: list[Signal] = []
        self.rules: dict[tuple[str, str], StopRules | None] = {}
        self.highs: list[float | None] = []
        self.since: int | None = None
        self.broken = False
        self.settlings = 0

    def register(self, strategy: str, symbol: str, rules: StopRules) -> None:
        self.rules[strategy, symbol] = rules

    def unregister(self, strategy: str, symbol: str) -> None:
        self.rules[strategy, symbol] = None

    def signal(self, signal: Signal, order_cost: Decimal) -> None:
        if self.broken:
            raise StoreError("the disk is full")
        self.signals.append(signal)

    def opened(self, key: BookKey) -> int | None:
        return self.since

    def candle(self, strategy: str, symbol: str, high: float | None) -> None:
        self.highs.append(high)

    async def settled(self, symbol: str) -> None:
        self.settlings += 1


class Setup:
    """A signal generator whose candles a test publishes."""

    def __init__(self, storage: CandleStorage, *, in_lockstep: bool = False) -> None:
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
            in_lockstep=in_lockstep,
        )

    def _count(self) -> None:
        self.progress += 1

    def trade(self, strategy: Strategy, name: str = "w") -> ActiveStrategy:
        active = ActiveStrategy(
            name=name, strategy=strategy, symbol="BTC/USDT", order_cost=Decimal(100)
        )
        self.generator.add(active)
        return active

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the generator."""
        self.generator.listen()
        task = asyncio.create_task(self.generator.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def close(self, item: Candle, *, backfilled: bool = False, late: str = "") -> None:
        """Store and publish a closed candle, and wait for all strategies but a late one."""
        self.storage.write([item], now=item.timestamp)
        seen = self.progress
        self.bus.publish(
            CandleClosed(candle=item, event_time=item.timestamp, backfilled=backfilled)
        )
        while self.progress == seen or self.working(late):  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    async def feed(self, *candles: Candle, backfilled: bool = False) -> None:
        """Store and then publish closed candles, as the stream does, one after another."""
        async with self.running():
            for item in candles:
                await self.close(item, backfilled=backfilled)

    def working(self, late: str) -> bool:
        """Return whether a strategy is being evaluated, one aside."""
        return any(
            active.working is not None and not active.working.done()
            for active in self.generator.strategies.values()
            if active.name != late
        )


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


async def test_a_signal_that_cannot_be_executed_counts_as_an_error(setup: Setup) -> None:
    setup.orders.broken = True
    active = setup.trade(Watcher(entry=True))
    await setup.feed(candle(START), candle(START + MINUTE))
    assert (active.errors, active.signals, active.evaluations) == (2, 2, 2)


class Slow(Watcher):
    """Computes on its first candle until it is released."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.released = threading.Event()

    def signals(self, data: Frames) -> Signals:
        assert self.released.wait(60)
        return super().signals(data)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "EVALUATION_DEADLINE", 0.1)


@pytest.mark.usefixtures("impatient")
async def test_a_late_strategy_holds_up_nobody_and_is_told(setup: Setup) -> None:
    slow, quick = Slow(entry=True), Watcher(entry=True)
    late = setup.trade(slow, "slow")
    setup.trade(quick, "quick")
    async with setup.running():
        try:
            for n in range(4):
                await setup.close(candle(START + n * MINUTE), late="slow")
            assert [signal.strategy for signal in setup.orders.signals] == ["quick"] * 4
            await asyncio.sleep(0.2)
            (told,) = setup.generator.late().items()
            assert told[0] == "slow" and told[1] > 0.1
        finally:
            slow.released.set()
        while setup.working(""):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert setup.generator.late() == {}
    # It goes on with the newest candle; those between are skipped and counted.
    assert [index for index, _ in slow.seen] == [
        pd.Timestamp(START, unit="ms"),
        pd.Timestamp(START + 3 * MINUTE, unit="ms"),
    ]
    assert (late.evaluations, late.skipped) == (2, 2)


async def test_what_is_computed_when_signals_are_stopped_leads_to_no_order(setup: Setup) -> None:
    slow = Slow(entry=True)
    active = setup.trade(slow, "slow")
    async with setup.running():
        await setup.close(candle(START), late="slow")
    slow.released.set()
    while setup.working(""):  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert active.working is not None and active.working.cancelled()
    assert setup.orders.signals == [] and active.signals == 0


async def test_strategies_are_evaluated_beside_each_other(setup: Setup) -> None:
    both = threading.Barrier(2)

    class Meeting(Watcher):
        """Returns only when another strategy is evaluated at the same time."""

        def signals(self, data: Frames) -> Signals:
            both.wait(60)
            return super().signals(data)

    one, two = setup.trade(Meeting(), "one"), setup.trade(Meeting(), "two")
    await setup.feed(candle(START))
    assert one.evaluations == two.evaluations == 1
    assert one.errors == two.errors == 0


@pytest.mark.usefixtures("impatient")
async def test_in_lockstep_the_market_waits_for_a_strategy_and_its_orders(tmp_path: Path) -> None:
    with Database.open(tmp_path / "l.db", "paper:synthetic:seed=1") as database:
        setup = Setup(CandleStorage(database), in_lockstep=True)
        slow = Slow(entry=True)
        setup.trade(slow, "slow")
        asyncio.get_running_loop().call_later(0.5, slow.released.set)
        await setup.feed(candle(START), candle(START + MINUTE))
        assert len(setup.orders.signals) == 2
        assert setup.orders.settlings == 2
        assert setup.generator.late() == {}


async def test_the_order_path_learns_rules_and_replacements(setup: Setup) -> None:
    setup.trade(Watcher(stop_loss=0.1))
    assert setup.orders.rules == {("w", "BTC/USDT"): StopRules(stop_loss=0.1)}
    moved = ActiveStrategy(name="w", strategy=Watcher(), symbol="ETH/USDT", order_cost=Decimal(100))
    setup.generator.add(moved)
    assert setup.orders.rules == {("w", "BTC/USDT"): None, ("w", "ETH/USDT"): StopRules()}
    setup.generator.remove("w")
    assert setup.orders.rules["w", "ETH/USDT"] is None


async def test_a_trailing_stop_follows_the_highest_high_since_the_entry(setup: Setup) -> None:
    highs = [200.0, 101.0, 130.0, 120.0]
    setup.trade(Watcher(trailing_stop=0.1))
    candles = [replace(candle(START + n * MINUTE), high=high) for n, high in enumerate(highs)]
    await setup.feed(candles[0])
    assert setup.orders.highs == []  # nothing is held
    setup.orders.since = START + MINUTE + 5
    await setup.feed(*candles[1:])
    assert setup.orders.highs == [101.0, 130.0, 130.0]


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


def wave(n: int) -> Candle:
    """Return a candle of a price that goes up and down."""
    return candle(START + n * MINUTE, close=round(100 + 5 * math.sin(n / 5), 4))


CROSS = TrendCross(fast=2, slow=8, timeframes=("1m",))


def following(strategy: Strategy = CROSS, name: str = "f") -> ActiveStrategy:
    return ActiveStrategy(name=name, strategy=strategy, symbol="BTC/USDT")


async def test_signals_of_a_strategy_that_is_followed_are_recorded_and_not_ordered(
    setup: Setup,
) -> None:
    setup.storage.write([wave(n) for n in range(60)], now=START)
    active = following()
    await setup.generator.follow(active)
    past = setup.generator.history.all()
    assert past and not any(one.live or one.ordered for one in past)
    assert active.last_signal == past[-1].signal and active.signals == 0
    setup.trade(CROSS, "trades")
    await setup.feed(*(wave(n) for n in range(60, 100)))
    ordered = [signal.timestamp for signal in setup.orders.signals]
    assert {signal.strategy for signal in setup.orders.signals} == {"trades"}
    assert ("f", "BTC/USDT") not in setup.orders.rules
    live = [one for one in setup.generator.history.all() if one.live and not one.ordered]
    assert [one.signal.timestamp for one in live] == ordered
    assert len(live) == active.signals > 1
    setup.generator.remove("f")
    assert ("f", "BTC/USDT") not in setup.orders.rules


async def test_signals_of_the_past_are_those_that_were_raised_live(setup: Setup) -> None:
    await setup.generator.follow(following())
    await setup.feed(*(wave(n) for n in range(100)))
    live = [one.signal for one in setup.generator.history.all()]
    # Followed again, under its name: what it said before is computed from the store.
    setup.generator.remove("f")
    setup.generator.keep("BTC/USDT", "1m", 100)
    await setup.generator.follow(following())
    assert [one.signal for one in setup.generator.history.all()] == live
    assert len(live) > 4 and not any(one.live for one in setup.generator.history.all())


async def test_a_strategy_that_trades_is_not_replaced_by_one_that_is_followed(
    setup: Setup,
) -> None:
    active = setup.trade(Watcher(stop_loss=0.1), "w")
    with pytest.raises(InvalidInput, match=r"'w' trades.*bot\.stop_strategy\('w'\)"):
        await setup.generator.follow(following(name="w"))
    assert setup.generator.strategies == {"w": active}
    assert setup.orders.rules["w", "BTC/USDT"] == StopRules(stop_loss=0.1)


async def test_a_strategy_that_fails_on_the_candles_so_far_is_not_followed(setup: Setup) -> None:
    setup.storage.write([wave(n) for n in range(60)], now=START)
    broken = Watcher(timeframes=("1m",))
    broken.broken = True
    with pytest.raises(ConfigError, match=r"(?s)was not started: .*RuntimeError: broken"):
        await setup.generator.follow(following(broken))
    assert setup.generator.strategies == {}


async def test_the_newest_signals_are_kept() -> None:
    history = SignalHistory()
    one = Signal(
        strategy="w",
        symbol="BTC/USDT",
        timeframe="1m",
        timestamp=START,
        action=SignalAction.ENTRY,
        price=1.0,
    )
    many = [replace(one, timestamp=START + n * MINUTE) for n in range(KEPT_SIGNALS + 5)]
    history.add(many, ordered=False, live=True)
    assert [kept.signal for kept in history.all()] == many[5:]
    assert history.followed("BTC/USDT") == many[5:] and history.followed("ETH/USDT") == []
