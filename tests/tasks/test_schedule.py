"""Schedules: grids, calendars, missed ticks, restarts."""

from __future__ import annotations

import asyncio
import itertools
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botlib.core.clock import MarketClock, SystemClock, iso, utc
from botlib.core.timeframe import DAY, HOUR, MINUTE, SECOND
from botlib.tasks import BackgroundTaskManager, TaskConfig
from botlib.tasks.schedule import Cron, EveryCandle, Interval
from tests.support import simulated_time


def ms(text: str) -> int:
    import datetime

    return round(datetime.datetime.fromisoformat(text + "+00:00").timestamp() * 1_000)


def test_candle_ticks_are_at_the_close_plus_the_offset() -> None:
    ticks = EveryCandle("5m", 2_000)
    assert ticks.following(ms("2024-06-01 00:00:00")) == ms("2024-06-01 00:00:02")
    assert ticks.following(ms("2024-06-01 00:00:02")) == ms("2024-06-01 00:05:02")
    assert ticks.following(ms("2024-06-01 00:05:01")) == ms("2024-06-01 00:05:02")
    assert EveryCandle("1w").following(ms("2024-06-01 00:00:00")) == ms("2024-06-03 00:00:00")


def test_passed_candle_ticks_are_coalesced_to_the_latest() -> None:
    ticks = EveryCandle("1m")
    due = ms("2024-06-01 00:01:00")
    assert ticks.latest(due, due + 30_000) == (due, 0)
    assert ticks.latest(due, due + 5 * MINUTE + 1) == (due + 5 * MINUTE, 5)


def test_cron_is_utc_also_on_days_of_daylight_saving_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        for changes in ("2024-03-30", "2024-10-26"):
            ticks = Cron("30 2 * * *")
            tick = ms(f"{changes} 00:00:00")
            for day in range(3):
                tick = ticks.following(tick)
                assert tick == ms(f"{changes} 02:30:00") + day * DAY
    finally:
        monkeypatch.undo()
        time.tzset()


def test_passed_cron_ticks_are_coalesced_to_the_latest() -> None:
    ticks = Cron("0 * * * *")
    due = ms("2024-06-01 01:00:00")
    assert ticks.latest(due, due + 10) == (due, 0)
    assert ticks.latest(due, due + 3 * HOUR) == (due + 3 * HOUR, 3)
    assert ticks.latest(due, due + 3 * HOUR - 1) == (due + 2 * HOUR, 2)
    # A long absence costs little.
    late, missed = Cron("* * * * * *").latest(due, due + 365 * DAY)
    assert (late, missed) == (due + 365 * DAY, 1_000)


@given(
    step=st.floats(0.01, 1e4), ran=st.floats(0, 1e5), rest=st.floats(0, 1e5), due=st.floats(0, 1e6)
)
def test_an_interval_stays_on_its_grid(step: float, ran: float, rest: float, due: float) -> None:
    now = due + ran
    tick, missed = Interval(step).following(due, now, now + rest)
    slack = 1e-6 * (1 + due + ran + rest)
    assert tick >= now + rest - slack
    assert tick - step <= max(now, now + rest) + slack
    assert abs((tick - due) / step - round((tick - due) / step)) * step < slack
    assert missed <= ran / step + slack


def test_an_interval_task_ticks_on_its_grid() -> None:
    starts: list[float] = []

    async def tick() -> None:
        starts.append(simulated_time.loop().time())
        await asyncio.sleep(1)

    async def main() -> None:
        tasks = BackgroundTaskManager()
        tasks.add_task(TaskConfig(name="tick", func=tick, interval=10))
        await tasks.start_all()
        await asyncio.sleep(35)
        assert starts == pytest.approx([0, 10, 20, 30])
        status = tasks.status()["tick"]
        assert (status.runs, status.overruns, status.last_duration) == (4, 0, pytest.approx(1))
        assert status.lateness_p99 == pytest.approx(0, abs=1e-6)
        await tasks.stop_all()

    simulated_time.run(main)


def test_missed_ticks_are_counted_and_not_queued() -> None:
    starts: list[float] = []

    async def slow() -> None:
        starts.append(simulated_time.loop().time())
        await asyncio.sleep(25)

    async def main() -> None:
        tasks = BackgroundTaskManager()
        tasks.add_task(TaskConfig(name="slow", func=slow, interval=10))
        await tasks.start_all()
        await asyncio.sleep(70)
        assert starts == [0, 30, 60]
        assert tasks.status()["slow"].overruns == 4
        await tasks.stop_all()

    simulated_time.run(main)


def test_a_blocked_loop_causes_one_late_run() -> None:
    starts: list[float] = []

    async def tick() -> None:
        starts.append(simulated_time.loop().time())

    async def main() -> None:
        tasks = BackgroundTaskManager()
        tasks.add_task(TaskConfig(name="tick", func=tick, interval=1, priority="HIGH"))
        await tasks.start_all()
        await asyncio.sleep(0.5)
        simulated_time.loop().block(60)
        await asyncio.sleep(1)
        assert starts == pytest.approx([0, 60.5, 61])
        status = tasks.status()["tick"]
        assert status.overruns == 59
        assert status.lateness_p99 == pytest.approx(59.5)
        await tasks.stop_all()

    simulated_time.run(main)


def test_calendar_tasks_follow_the_clock_and_catch_up_once() -> None:
    ran: list[str] = []

    def note(name: str, seconds: float) -> TaskConfig:
        async def run() -> None:
            ran.append(f"{name} {iso(SystemClock().now())[11:]}")
            await asyncio.sleep(seconds)

        kind = {"cron": "*/2 * * * *"} if name == "cron" else {"every_candle": "1m", "offset": 5}
        return TaskConfig(name=name, func=run, **kind)  # type: ignore[arg-type]

    async def main() -> None:
        tasks = BackgroundTaskManager()
        tasks.add_task(note("cron", 0))
        tasks.add_task(note("candle", 90))
        await tasks.start_all()
        assert ran == []
        await asyncio.sleep(4 * 60 + 1)
        # The tick of 00:02:05 came during a run, and is executed once, right after it.
        assert ran == ["candle 00:00:05", "candle 00:01:35", "cron 00:02:00", "candle 00:03:05",
                       "cron 00:04:00"]  # fmt: skip
        assert tasks.status()["candle"].overruns == 2
        assert tasks.status()["cron"].next_run == ms("2024-06-01 00:06:00")
        await tasks.stop_all()

    simulated_time.run(main)


def test_a_replay_drives_calendar_tasks_by_market_time() -> None:
    ran: list[int] = []
    clock = MarketClock()

    async def note() -> None:
        ran.append(clock.now())

    async def main() -> None:
        tasks = BackgroundTaskManager(clock=clock)
        tasks.add_task(TaskConfig(name="candle", func=note, every_candle="1m"))
        await tasks.start_all()
        begin = ms("2021-04-25 04:00:00")
        for second in range(0, 180, 10):
            clock.advance(begin + second * SECOND)
            await asyncio.sleep(0.001)
        # Nothing was due before the first event set the market time.
        assert ran == [begin + MINUTE, begin + 2 * MINUTE]
        assert tasks.status()["candle"].overruns == 0
        clock.advance(begin + HOUR)
        await asyncio.sleep(0.001)
        assert ran[2:] == [begin + HOUR]
        assert tasks.status()["candle"].overruns == 57
        assert utc(ran[-1]).minute == 0
        await tasks.stop_all()

    simulated_time.run(main)


def test_priority_decides_among_tasks_that_are_due_together() -> None:
    ran: list[str] = []

    def task(name: str, priority: str) -> TaskConfig:
        async def run() -> None:
            ran.append(name)

        return TaskConfig(name=name, func=run, interval=10, priority=priority)

    async def main() -> None:
        tasks = BackgroundTaskManager()
        for name, priority in [("l", "LOW"), ("m", "MEDIUM"), ("c", "CRITICAL"), ("h", "HIGH")]:
            tasks.add_task(task(name, priority), start_immediately=True)
        await asyncio.sleep(1)
        assert ran == ["l", "m", "c", "h"]
        ran.clear()
        await asyncio.sleep(10)
        assert ran == ["c", "h", "m", "l"]
        await tasks.stop_all()

    simulated_time.run(main)


@pytest.mark.parametrize(
    ("blocked", "skipped"), [(0.1, set()), (0.5, {"low"}), (2.0, {"low", "medium"})]
)
def test_a_lagging_loop_skips_the_least_important_tasks(blocked: float, skipped: set[str]) -> None:
    async def work() -> None:
        pass

    async def main() -> None:
        tasks = BackgroundTaskManager(shed_lag=0.25)
        for name in ("low", "medium", "high", "critical"):
            tasks.add_task(TaskConfig(name=name, func=work, interval=10, priority=name))
        tasks.add_task(TaskConfig(name="later", func=work, cron="20 0 0 * * *", priority="LOW"))
        await tasks.start_all()
        await asyncio.sleep(10 - 0.01)
        simulated_time.loop().block(blocked)
        await asyncio.sleep(1)
        status = tasks.status()
        assert {task.name for task in status.tasks if task.skipped} == skipped
        assert {task.name for task in status.tasks if task.runs == 1} == skipped
        await asyncio.sleep(10)
        assert all(task.runs >= 1 for task in tasks.status().tasks), "they go on afterwards"
        await tasks.stop_all()

    simulated_time.run(main)


def test_a_failing_task_backs_off_and_then_fails_for_good() -> None:
    starts: list[float] = []
    failures: list[tuple[str, str]] = []

    async def bad() -> None:
        starts.append(simulated_time.loop().time())
        raise ValueError("no price")

    async def main() -> None:
        tasks = BackgroundTaskManager(
            rng=random.Random(1), on_failure=lambda name, error: failures.append((name, str(error)))
        )
        tasks.add_task(
            TaskConfig(
                name="bad", func=bad, interval=1, backoff=4, max_restarts=3, restart_window=100
            )
        )
        await tasks.start_all()
        assert tasks.status()["bad"].state == "backoff"
        await asyncio.sleep(99)
        status = tasks.status()["bad"]
        assert (status.state, status.runs, status.failures, status.restarts) == ("failed", 4, 4, 3)
        assert status.last_error == "ValueError: no price"
        assert "in bad" in (status.last_traceback or "")
        assert starts == [round(start) for start in starts], "restarts keep to the grid"
        for gap, step in zip([b - a for a, b in itertools.pairwise(starts)], (4, 8, 16),
                             strict=True):  # fmt: skip
            assert step / 2 <= gap <= step + 1
        assert failures == [("bad", "no price")] * 4
        health = tasks.health()
        assert not health.ok
        assert health.reasons == ["MEDIUM task 'bad' failed for good: ValueError: no price"]
        await tasks.stop_all()

    simulated_time.run(main)


def test_a_stream_is_restarted_and_a_success_resets_the_failures_in_a_row() -> None:
    attempts: list[int] = []

    async def stream() -> None:
        attempts.append(1)
        if len(attempts) < 3:
            raise OSError("reset")
        await asyncio.Event().wait()

    async def sometimes() -> None:
        attempts_here = tasks.status()["sometimes"].runs
        if attempts_here % 2:
            raise OSError("down")

    tasks = BackgroundTaskManager()

    async def main() -> None:
        tasks.add_task(TaskConfig(name="stream", func=stream, forever=True))
        tasks.add_task(TaskConfig(name="sometimes", func=sometimes, interval=100, max_restarts=9))
        await tasks.start_all()
        await asyncio.sleep(310)
        status = tasks.status()
        assert (status["stream"].state, status["stream"].restarts) == ("running", 2)
        assert status["sometimes"].failures == 2
        assert status["sometimes"].failures_in_row == 0
        assert tasks.health().ok
        await tasks.stop_all()

    simulated_time.run(main)


@pytest.mark.parametrize("settings", [{"auto": False}, {"recovery": False}])
def test_without_recovery_a_failed_task_stays_failed(settings: dict[str, bool]) -> None:
    async def bad() -> None:
        raise ValueError

    async def main() -> None:
        tasks = BackgroundTaskManager(enable_auto_recovery=settings.get("recovery", True))
        tasks.add_task(
            TaskConfig(name="bad", func=bad, interval=1, auto_restart=settings.get("auto", True))
        )
        await tasks.start_all()
        await asyncio.sleep(100)
        status = tasks.status()["bad"]
        assert (status.state, status.runs, status.restarts) == ("failed", 1, 0)
        await tasks.stop_all()

    simulated_time.run(main)
