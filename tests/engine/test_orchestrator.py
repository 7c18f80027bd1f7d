"""The whole engine on a real paper exchange, real sockets and a real database."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import ClassVar

import aiohttp
import pandas as pd
import pytest

from botlib.core.errors import (
    ConfigError,
    EngineError,
    NoTasksRegistered,
    PaperExchangeError,
    StoreLocked,
    UnknownSymbol,
)
from botlib.engine import EngineHealth, Orchestrator, ServiceState
from botlib.engine.strategies import signals as engine_signals
from botlib.frames import Frames
from botlib.paper import PaperProcess
from botlib.strategies import TrendCross
from botlib.strategy import Signals, Strategy
from botlib.tasks import TaskConfig, TaskPriority
from botlib.views.summary import Summaries

MakeEngine = Callable[..., Awaitable[Orchestrator]]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - not everything publishes an event
            await asyncio.sleep(0.05)


DEFAULT_TASKS = {
    "market_data_collection": "CRITICAL",
    "position_monitoring": "HIGH",
    "signal_generation": "HIGH",
    "order_sync": "MEDIUM",
    "risk_checks": "MEDIUM",
}


async def test_the_five_default_tasks_are_registered_and_started(
    make_engine: MakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="botlib"):
        engine = await make_engine()
    trading = {
        task.name: task.priority for task in engine.tasks.status().tasks if task.group == "trading"
    }
    assert trading == DEFAULT_TASKS
    assert "Registered 8 tasks" in caplog.text
    assert "Started 5 tasks" in caplog.text and "Started 3 tasks" in caplog.text
    names = [service.name for service in engine.services.all()]
    assert names == [
        "paper_exchange",
        "store",
        "kill_switch",
        "exchange",
        "trading",
        "tasks",
        "control",
    ]
    assert all(service.state is ServiceState.RUNNING for service in engine.services.all())
    assert engine.health().healthy, engine.health().reasons


async def test_the_same_run_gives_the_same_fills_and_the_next_one_continues(
    make_engine: MakeEngine,
) -> None:
    async def run(seed: int) -> tuple[list[tuple[object, ...]], int]:
        engine = await make_engine(paper={"seed": seed})
        summaries = Summaries(engine)
        await engine.wait(3 * 3600)
        fills = [
            (fill.timestamp, fill.side, fill.price, fill.amount) for fill in engine.journal.fills()
        ]
        end = engine.market_clock.now()
        summary = await summaries.get()
        assert summary.market_hours == 3
        assert summary.fills == summary.orders == len(fills)
        await engine.stop()
        return fills, end

    first, end = await run(7)
    assert len(first) > 4
    engine = await make_engine(paper={"seed": 7})  # continues where it stopped
    assert engine.market_clock.now() == end
    assert len(engine.journal.fills()) == len(first)
    assert engine.positions.get("BTC/USDT").amount == sum(
        (fill.amount if fill.side == "buy" else -fill.amount)
        - (fill.fee if fill.fee_asset == "BTC" else 0)
        for fill in engine.journal.fills()
    )


async def test_every_signal_is_filled_at_the_next_open(make_engine: MakeEngine) -> None:
    engine = await make_engine()
    await engine.wait(3 * 3600)
    candles = {c.timestamp: c for c in engine.storage.candles("BTC/USDT", "1m")}
    fills = engine.journal.fills()
    assert fills
    for fill in fills:
        if fill.timestamp in candles:  # the last one may be on the forming candle
            assert float(fill.price) == candles[fill.timestamp].open


async def test_health_and_task_status_are_served(make_engine: MakeEngine) -> None:
    engine = await make_engine()
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{engine.control.url}/health") as response:
            body = await response.json()
            assert response.status == 200 and body["healthy"] and body["mode"] == "paper"
        async with session.get(f"{engine.control.url}/api/v1/tasks/status") as response:
            body = await response.json()
            assert {task["name"] for task in body["tasks"]} >= set(DEFAULT_TASKS)


async def test_a_dead_exchange_makes_it_unhealthy_with_a_reason(make_engine: MakeEngine) -> None:
    engine = await make_engine(
        exchange={"data_deadline": "3s"}, paper={"lockstep": False, "speed": 60}
    )
    assert engine.health().healthy, engine.health().reasons
    assert engine.paper is not None and engine.paper.pid is not None
    os.kill(engine.paper.pid, signal.SIGKILL)
    async with asyncio.timeout(60):
        while engine.health().healthy:  # noqa: ASYNC110 - health publishes no event
            await asyncio.sleep(0.1)
    assert any("not complete" in reason or "frame" in reason for reason in engine.health().reasons)


async def test_one_failed_request_during_the_start_only_delays_it(make_engine: MakeEngine) -> None:
    process = await PaperProcess.start(["--seed", "5", "--lockstep", "--start", "2026-01-05"])
    try:
        async with process.control() as control:
            for match in ("exchangeInfo", "account"):
                await control.fault("http_status", match=match, status=503, count=1)
            engine = await make_engine(paper={"url": process.url})
            summaries = Summaries(engine)
            assert (await control.state())["counters"]["faults"] == {"http_status": 2}
        assert engine.health().healthy and engine.run_start.equity == 10_000
        os.kill(process.pid, signal.SIGKILL)
        summary = await summaries.get()  # the exchange is gone: the latest value is used
        assert summary.equity == "10000.00"
        assert engine.lag.running
        await engine.stop()
        assert not engine.lag.running
    finally:
        await process.stop()


async def test_lockstep_raises_when_a_closed_candle_never_arrives(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botlib.engine.paper.lockstep.LEAST_WAIT", 0.5)
    engine = await make_engine(exchange={"data_deadline": "1s"})
    assert engine.paper is not None
    await engine.paper.control.fault("drop", match="kline", count=1_000_000)
    await engine.paper.control.fault("http_status", match="klines", status=503, count=1_000_000)
    with pytest.raises(
        EngineError, match=r"candle of BTC/USDT \d+m of 2026-01-05 .* not processed"
    ):
        await engine.wait(3600)


async def test_a_critical_task_that_fails_for_good_ends_the_wait(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = "canary-0123456789"
    monkeypatch.setenv("BINANCE_API_SECRET", canary)
    engine = await make_engine()

    async def doomed() -> None:
        raise ValueError(f"no use of {canary}")

    config = TaskConfig(
        name="doomed", func=doomed, priority=TaskPriority.CRITICAL, auto_restart=False
    )
    engine.tasks.add_task(config, start_immediately=True)
    with pytest.raises(ValueError, match="no use"):
        await engine.wait(24 * 3600)
    assert not engine.health().healthy
    assert any("doomed" in reason for reason in engine.health().reasons)
    # The error is shown, but not the secret in it.
    assert canary not in str(engine.health())
    async with aiohttp.ClientSession() as session:
        for page in ("health", "api/v1/tasks/status"):
            async with session.get(f"{engine.control.url}/{page}") as response:
                text = await response.text()
                assert "no use of" in text and canary not in text


async def test_disabling_all_default_tasks_is_an_error_and_leaves_nothing_running(
    make_engine: MakeEngine,
) -> None:
    with pytest.raises(NoTasksRegistered):
        await make_engine(tasks={name: {"enabled": False} for name in DEFAULT_TASKS})


async def test_an_engine_that_was_not_started_is_not_healthy(make_engine: MakeEngine) -> None:
    engine = await make_engine(start=False)
    health = engine.health()
    assert not health.healthy
    assert "no task is registered" in health.reasons


async def test_live_trading_has_to_be_armed_twice() -> None:
    from botlib.config import Settings

    settings = Settings().override({"mode": "live", "strategies": []})
    with pytest.raises(ConfigError, match="live=True"):
        Orchestrator(settings)


async def test_a_symbol_that_the_venue_does_not_list_is_refused_at_the_start(
    make_engine: MakeEngine, recorded: Callable[[str], object]
) -> None:
    path = recorded("candles/BTCUSDT-1m-20241130-20241229.csv.gz")
    with pytest.raises((UnknownSymbol, PaperExchangeError, EngineError), match="DOGE"):
        await make_engine(
            symbols=["DOGE/USDT"],
            paper={"market": "recording", "recording": [str(path)], "start": None},
        )


async def test_the_same_strategy_again_changes_nothing(make_engine: MakeEngine) -> None:
    engine = await make_engine(strategies=[])
    one = await engine.trade(TrendCross(timeframes=("1m",)), "BTC/USDT", name="x")
    assert await engine.trade(TrendCross(timeframes=("1m",)), "BTCUSDT", name="x") is one
    other = await engine.trade(TrendCross(fast=5, timeframes=("1m",)), "BTC/USDT", name="x")
    assert other is not one
    assert list(engine.signals.strategies) == ["x"]


async def test_a_second_engine_on_the_same_market_is_refused(make_engine: MakeEngine) -> None:
    await make_engine()
    with pytest.raises((StoreLocked, PaperExchangeError)):
        await make_engine()


async def test_another_process_reads_the_database_while_it_runs(make_engine: MakeEngine) -> None:
    engine = await make_engine()
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
        "print(c.execute(\"SELECT COUNT(*) FROM candles WHERE symbol='BTCUSDT'\").fetchone()[0])"
    )
    out = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", code, engine.database],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert int(out.stdout) >= 3 * 60


async def test_the_health_page_moves_to_a_free_port(make_engine: MakeEngine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        engine = await make_engine(health={"port": taken.getsockname()[1]})
        assert engine.control.port != taken.getsockname()[1]


async def test_fills_of_a_disconnection_are_fetched_when_the_user_stream_is_back(
    make_engine: MakeEngine,
) -> None:
    engine = await make_engine()
    calls: list[bool] = []
    check = engine.orders.check

    def recorded_check(*, thorough: bool = True) -> None:
        calls.append(thorough)
        check(thorough=thorough)

    engine.orders.check = recorded_check  # type: ignore[method-assign]
    assert engine.paper is not None
    await engine.paper.control.fault("reset", target="user")
    await until(lambda: True in calls)


async def test_entries_are_held_back_while_the_user_stream_is_lost(make_engine: MakeEngine) -> None:
    engine = await make_engine()
    watch = engine.parts.executions
    await asyncio.wait_for(watch.connected.wait(), 60)
    assert engine.orders.cautions == ()
    assert engine.paper is not None
    lost: list[str | None] = []
    lose = watch._lose

    def recorded(why: str) -> None:
        lose(why)
        lost.append(engine.orders.held_back())
        assert f"entries are held back: {lost[-1]}" in engine.health().reasons

    watch._lose = recorded  # type: ignore[method-assign]
    await engine.tasks.restart_task("execution_reports")
    await asyncio.wait_for(watch.connected.wait(), 60)
    assert lost and "reports about orders are lost" in str(lost[0])
    assert engine.orders.cautions == ()


class Stuck(Strategy):
    """Computes until it is released."""

    timeframes = ("1m",)
    released: ClassVar = threading.Event()

    def signals(self, data: Frames) -> Signals:
        self.released.wait(60)
        never = pd.Series(False, index=data.frame.index)
        return Signals(entry=never, exit=never)


async def test_a_strategy_that_computes_too_long_makes_the_bot_unhealthy(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_signals, "EVALUATION_DEADLINE", 0.2)
    engine = await make_engine(paper={"lockstep": False, "speed": 60})
    try:
        await engine.trade(Stuck(), "BTC/USDT", name="stuck")
        await until(
            lambda: (
                "the strategy 'stuck' is failing: it has computed for"
                in str(engine.health().reasons)
            )
        )
        assert not engine.health().healthy
        # The others go on.
        other = engine.signals.strategies["trend-btc"]
        seen = other.evaluations
        await until(lambda: other.evaluations >= seen + 2)
    finally:
        Stuck.released.set()
    await until(lambda: "the strategy 'stuck'" not in str(engine.health().reasons))


async def test_a_position_can_be_closed_manually(make_engine: MakeEngine) -> None:
    engine = await make_engine()
    assert await engine.close_position("BTC/USDT") is None
    await engine.wait(3600)
    while engine.positions.get("BTC/USDT").amount < Decimal("0.001"):
        await engine.wait(600)
    order = await engine.close_position("BTCUSDT")
    assert order is not None and order.status == "filled"
    assert engine.positions.get("BTC/USDT").amount < Decimal("0.0001")
    assert await engine.close_position("BTC/USDT") is None


async def test_stop_hooks_run_while_the_exchange_is_connected(
    make_engine: MakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine = await make_engine(strategies=[])
    values: list[Decimal] = []

    async def broken(health: EngineHealth) -> None:
        raise ValueError("no figures")

    async def value(health: EngineHealth) -> None:
        assert health.healthy and engine.started
        values.append(await engine.account.value())

    engine.before_stop(broken)
    engine.before_stop(value)
    await engine.stop()
    assert values == [10_000]
    assert "a stop hook failed" in caplog.text and not engine.started
