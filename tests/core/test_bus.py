"""The event bus: order, conflation, overflow and the end of a subscription."""

from __future__ import annotations

import asyncio

import pytest

from botlib.core.bus import EventBus
from botlib.core.errors import BusOverflow
from botlib.core.model import Candle, CandleClosed, CandleUpdated, Halted, TaskFailed
from tests.support import samples


def candle(timestamp: int = 0, close: float = 1.0, symbol: str = "BTC/USDT") -> Candle:
    return samples.candle(timestamp, close, symbol=symbol, closed=False)


def updated(close: float, symbol: str = "BTC/USDT") -> CandleUpdated:
    return CandleUpdated(candle=candle(close=close, symbol=symbol), event_time=1)


async def test_a_subscriber_gets_its_event_types_in_the_order_of_publication() -> None:
    bus = EventBus()
    both = bus.subscribe(Halted, TaskFailed, name="both")
    one = bus.subscribe(Halted, name="one")
    events = [Halted(reason="a"), TaskFailed(task="t", error="e"), Halted(reason="b")]
    for event in events:
        bus.publish(event)
    assert [await both.get() for _ in range(3)] == events
    assert [await one.get() for _ in range(2)] == [events[0], events[2]]
    assert one.get_nowait() is None
    assert bus.published == {"Halted": 2, "TaskFailed": 1}


async def test_forming_candles_are_conflated_per_subscription_to_the_newest() -> None:
    bus = EventBus()
    reader = bus.subscribe(CandleUpdated, name="chart", maxsize=1)
    for close in (1.0, 2.0, 3.0):
        bus.publish(updated(close))
        bus.publish(updated(close + 10, "ETH/USDT"))
    seen = [(await reader.get()).candle for _ in range(2)]
    assert [(entry.symbol, entry.close) for entry in seen] == [
        ("BTC/USDT", 3.0),
        ("ETH/USDT", 13.0),
    ]
    assert reader.conflated == 4
    assert reader.get_nowait() is None


async def test_an_overflow_of_closed_candles_ends_the_subscription_with_an_error() -> None:
    bus = EventBus()
    slow = bus.subscribe(CandleClosed, name="slow", maxsize=2)
    quick = bus.subscribe(CandleClosed, name="quick")
    for timestamp in range(3):
        bus.publish(CandleClosed(candle=candle(timestamp), event_time=0))
    assert [(await slow.get()).candle.timestamp for _ in range(2)] == [0, 1]
    with pytest.raises(BusOverflow, match=r"'slow' fell 2 events behind .* CandleClosed"):
        await slow.get()
    assert slow.closed
    assert len(quick) == 3
    assert not any(entry is slow for entry in bus._all())


async def test_a_waiting_reader_is_woken_by_an_event_and_by_the_close() -> None:
    bus = EventBus()
    got: list[str] = []
    subscription = bus.subscribe(Halted, name="waiting")

    async def read() -> None:
        async for event in subscription:
            got.append(event.reason)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        reading = group.create_task(read())
        await asyncio.sleep(0)
        bus.publish(Halted(reason="now"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert got == ["now"]
        bus.publish(Halted(reason="last"))
        subscription.close()
        await reading
    assert got == ["now", "last"]


async def test_a_cancelled_read_loses_no_event() -> None:
    bus = EventBus()
    subscription = bus.subscribe(Halted, name="cancelled")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(subscription.get(), 0.01)
    bus.publish(Halted(reason="kept"))
    assert (await subscription.get()).reason == "kept"


async def test_wants_and_backlog_follow_the_subscriptions() -> None:
    bus = EventBus()
    assert not bus.wants(Halted)
    assert bus.backlog() == 0
    with bus.subscribe(Halted, name="a"), bus.subscribe(Halted, TaskFailed, name="b"):
        assert bus.wants(Halted)
        bus.publish(Halted(reason="x"))
        bus.publish(TaskFailed(task="t", error="e"))
        assert bus.backlog() == 2
    assert not bus.wants(Halted)
    assert bus.backlog() == 0


def test_subscribing_without_an_event_type_is_an_error() -> None:
    with pytest.raises(TypeError, match="at least one event type"):
        EventBus().subscribe(name="nothing")
