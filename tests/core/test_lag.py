"""The lag meter of an event loop."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from botlib.core.errors import InvalidInput
from botlib.core.lag import RING, LagMeter


class Beats:
    """Timers under control of the test: `beat` fires the next one ``late`` seconds late."""

    def __init__(self, meter_interval: float) -> None:
        self.now = 100.0
        self.interval = meter_interval

    def clock(self) -> float:
        return self.now

    def beat(self, meter: LagMeter, late: float) -> None:
        assert meter._timer is not None
        meter._timer.cancel()
        self.now += self.interval + late
        meter._beat()


async def beats_of(meter: LagMeter, count: int) -> None:
    """Wait for ``count`` more beats."""
    wanted = meter.beats + count
    async with asyncio.timeout(60):
        while meter.beats < wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture
def beats() -> Beats:
    return Beats(0.05)


async def test_current_is_the_lateness_of_the_last_beat(beats: Beats) -> None:
    meter = LagMeter(clock=beats.clock)
    meter.start()
    assert meter.current == 0
    beats.beat(meter, 0.5)
    assert meter.current == pytest.approx(0.5)
    beats.beat(meter, 0.002)
    assert meter.current == pytest.approx(0.002)
    assert meter.worst == pytest.approx(0.5)
    meter.stop()


async def test_current_grows_while_a_beat_is_overdue(beats: Beats) -> None:
    meter = LagMeter(clock=beats.clock)
    meter.start()
    beats.now += 0.05 + 3
    assert meter.current == pytest.approx(3)
    beats.now += 4
    assert meter.current == pytest.approx(7)
    assert meter.worst == 0
    meter.stop()
    assert meter.current == 0


async def test_percentiles_cover_the_last_beats_only(beats: Beats) -> None:
    meter = LagMeter(clock=beats.clock)
    meter.start()
    assert meter.percentile(50) == 0
    beats.beat(meter, 9)
    for number in range(RING):
        beats.beat(meter, number / RING)
    assert meter.beats == RING + 1
    assert meter.worst == pytest.approx(9)
    assert meter.percentile(0) == pytest.approx(0)
    assert meter.percentile(50) == pytest.approx(0.5, abs=0.01)
    assert meter.percentile(99) == pytest.approx(0.99, abs=0.01)
    assert meter.percentile(100) == pytest.approx((RING - 1) / RING)
    meter.stop()


async def test_late_beats_are_reported(beats: Beats) -> None:
    seen: list[float] = []
    meter = LagMeter(clock=beats.clock, late_after=0.25, on_late=seen.append)
    meter.start()
    for late in (0.2, 0.3, 0.0, 4.0):
        beats.beat(meter, late)
    meter.stop()
    assert seen == pytest.approx([0.3, 4.0])


async def test_the_lag_of_a_blocked_loop_is_readable_from_another_thread() -> None:
    meter = LagMeter(0.01)
    meter.start()
    await beats_of(meter, 3)
    seen: list[float] = []
    other = threading.Thread(target=lambda: (time.sleep(0.3), seen.append(meter.current)))
    other.start()
    other.join()  # blocks the loop
    assert seen[0] > 0.15
    await beats_of(meter, 1)
    assert meter.worst > 0.15
    meter.stop()
    assert not meter.running


async def test_starting_twice_keeps_one_timer_and_the_values(beats: Beats) -> None:
    meter = LagMeter(clock=beats.clock)
    meter.start()
    beats.beat(meter, 1)
    timer = meter._timer
    meter.start()
    assert meter._timer is timer
    assert meter.beats == 1
    meter.stop()
    meter.start()
    assert meter.beats == 0
    assert meter.worst == 0
    meter.stop()


def test_a_meter_moves_to_a_new_loop() -> None:
    meter = LagMeter(0.01)

    async def one_beat() -> None:
        meter.start()
        await beats_of(meter, 1)

    asyncio.run(one_beat())
    asyncio.run(one_beat())


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf")])
def test_an_invalid_interval_is_refused(interval: float) -> None:
    with pytest.raises(InvalidInput, match="positive number of seconds"):
        LagMeter(interval)


@pytest.mark.parametrize("q", [-1, 100.5, float("nan")])
def test_an_invalid_percentile_is_refused(q: float) -> None:
    with pytest.raises(InvalidInput, match="between 0 and 100"):
        LagMeter().percentile(q)


def test_starting_without_a_loop_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        LagMeter().start()
