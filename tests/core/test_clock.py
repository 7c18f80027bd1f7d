"""The system clock and the market clock."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime

import pytest

from botlib.core import clock as clock_module
from botlib.core.clock import MarketClock, MarketTime, SystemClock, iso, utc


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_the_system_clock_returns_the_time_of_the_computer() -> None:
    before = time.time_ns() // 1_000_000
    assert before <= SystemClock().now() <= time.time_ns() // 1_000_000


async def test_the_system_clock_sleeps_until_a_time() -> None:
    clock = SystemClock()
    goal = clock.now() + 30
    await asyncio.wait_for(clock.sleep_until(goal), 30)
    assert clock.now() >= goal
    await asyncio.wait_for(clock.sleep_until(goal - 10_000), 30)


async def test_a_long_sleep_notices_a_corrected_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_module, "MAX_SLEEP", 0.01)
    clock = SystemClock()
    now = 1_000_000
    monkeypatch.setattr(clock, "now", lambda: now)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(clock.sleep_until(now + 3_600_000))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        now += 3_600_000
        await asyncio.wait_for(waiting, 30)


async def test_market_time_never_decreases() -> None:
    clock = MarketClock()
    assert clock.now() == 0
    clock.advance(1_000)
    clock.advance(400)
    assert clock.now() == 1_000
    assert MarketClock(start=7).now() == 7


async def test_sleepers_wake_in_the_order_of_their_times() -> None:
    clock = MarketClock(1_000)
    woken: list[tuple[str, int]] = []

    async def sleeper(name: str, until: int) -> None:
        await clock.sleep_until(until)
        woken.append((name, clock.now()))

    async with asyncio.TaskGroup() as group:
        for name, until in [("late", 3_000), ("early", 2_000), ("past", 500), ("same", 2_000)]:
            group.create_task(sleeper(name, until))
        await turns()
        assert woken == [("past", 1_000)]
        clock.advance(1_999)
        await turns()
        assert len(woken) == 1
        clock.advance(2_000)
        await turns()
        assert woken[1:] == [("early", 2_000), ("same", 2_000)]
        clock.advance(9_000)
    assert woken[-1] == ("late", 9_000)


async def test_a_cancelled_sleeper_does_not_affect_the_others() -> None:
    clock = MarketClock()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(clock.sleep_until(100))
        second = group.create_task(clock.sleep_until(100))
        await turns()
        first.cancel()
        await turns()
        clock.advance(100)
    assert first.cancelled()
    assert second.done() and not second.cancelled()


async def test_cancelled_sleepers_are_removed() -> None:
    clock = MarketClock()
    async with asyncio.TaskGroup() as group:
        kept = group.create_task(clock.sleep_until(10**12))
        for _ in range(100):
            task = group.create_task(clock.sleep_until(10**12))
            await turns()
            task.cancel()
        await turns()
        assert len(clock._waiting) < 5
        clock.advance(10**12)
    assert kept.done()


def test_times_are_shown_in_utc() -> None:
    assert utc(1_795_295_762_123) == datetime(2026, 11, 21, 21, 16, 2, 123_000, UTC)
    assert iso(1_795_295_762_123) == "2026-11-21 21:16:02"
    assert iso(0) == "1970-01-01 00:00:00"


def test_a_market_time_is_a_number_that_is_shown_as_a_date() -> None:
    moment = MarketTime(1_767_571_200_000)
    assert moment == 1_767_571_200_000 and moment + 1 == 1_767_571_200_001
    assert repr(moment) == str(moment) == f"{moment}" == "2026-01-05 00:00:00 UTC"
    assert f"{moment:d}" == "1767571200000" and json.dumps(moment) == "1767571200000"
