"""The bot in a plain program and in a real kernel."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.manager import start_new_kernel

import botlib as bl
from botlib.bot import project_directory
from botlib.bot.connect import _log_to
from botlib.config.secrets import MASK
from botlib.core.errors import BlockingCallOnRuntime, ConfigError
from botlib.frames import COLUMNS
from botlib.views.dashboard import DashboardFeed
from tests.support.trends import TREND_BTC

Connect = Callable[..., Any]


@pytest.fixture
def connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """`botlib.connect` in a temporary directory; its bots are stopped afterwards."""
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    paper = {"lockstep": True, "start": "2026-01-05"}
    bots: list[Any] = []

    def call(config: str | None = None, **changes: Any) -> Any:
        defaults: dict[str, Any] = {"symbols": ["BTC/USDT"], "history": 60, "health": {"port": 0}}
        if config is None:
            defaults["strategies"] = TREND_BTC
        bots.append(bl.connect(config, **{**defaults, "paper": paper, **changes}))
        return bots[-1]

    yield call
    for bot in bots:
        bot.stop()


def test_connecting_again_returns_the_same_bot_and_other_settings_replace_it(
    connect: Connect,
) -> None:
    bot = connect()
    assert connect() is bot
    other = connect(history=70)
    assert other is not bot
    assert "stopped" in repr(bot)
    assert repr(other).startswith("PAPER · paper:synthetic:seed=42 · connected · 8 tasks running")


def test_there_is_one_dashboard_and_the_kill_switch_needs_no_free_loop(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTLIB_WIDGETS", "static")
    bot = connect()
    dashboard = bot.dashboard()
    assert bot.dashboard(height=300) is dashboard and dashboard.height == 300
    blocked, free = threading.Event(), threading.Event()

    async def hang() -> None:
        blocked.set()
        free.wait(60)

    hanging = bot._runtime.submit(hang())
    assert blocked.wait(60)
    killer = threading.Thread(target=bot.kill, args=("enough",))
    killer.start()
    while bot.aio.engine.halts.first is None:
        time.sleep(0.01)
    assert killer.is_alive()  # it waits for the loop to store it
    free.set()
    killer.join(60)
    hanging.result(60)
    assert "stopped" in bot._repr_html_() and "enough" in bot._repr_html_()
    assert bot.status()["risk"]["halted"] == "kill switch, method: enough"
    bot.rearm()
    assert bot.status()["risk"]["halted"] is None
    bot.stop()
    assert dashboard.closed and "stopped" in repr(dashboard)
    assert bot.dashboard() is dashboard


def test_a_key_reaches_neither_the_log_file_nor_the_dashboard(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = "canary/4f9+Zk2vQ81x=="
    monkeypatch.setenv("BOTLIB_WIDGETS", "static")
    _log_to(tmp_path / "data" / "logs" / "botlib.log")
    # Set after a bot without keys opened the log: connecting masks it too.
    monkeypatch.setenv("BINANCE_API_SECRET", key)
    bot = connect(strategies=[])

    @bot.task(name="leaks", auto_restart=False)
    async def leaks() -> None:
        raise ValueError(f"signature={key}")

    while not bot.tasks.status()["leaks"].failures:
        time.sleep(0.01)
    logging.getLogger("botlib.somewhere").warning("signing with %s", key)
    shown = json.dumps(DashboardFeed(bot.aio.engine).state(), ensure_ascii=False)
    bot.stop()
    log = (tmp_path / "data" / "logs" / "botlib.log").read_text()
    assert f"signature={MASK}" in log and f"signing with {MASK}" in log
    assert f"signature={MASK}" in shown and f"signing with {MASK}" in shown
    assert key not in log and key not in shown


def test_its_results_are_frames_and_cards(connect: Connect) -> None:
    bot = connect()
    bot.wait("2h", progress=False)
    candles = bot.candles("BTCUSDT", "1m")
    assert list(candles.columns) == list(COLUMNS)
    assert len(candles) == 31 + 50 + 120  # warm-up of the strategy, spare rows, and two hours
    assert len(bot.fills()) == len(bot.orders()) > 0
    assert set(bot.positions["symbol"]) == {"BTC/USDT"}
    assert bot.streams()["ready"].all()
    assert "<table" in bot.tasks._repr_html_()
    assert "●" in bot._repr_html_() and "healthy" in bot._repr_html_()
    assert bot.health().healthy
    assert float(bot.equity()) > 0
    bundle = bot.summary()._repr_mimebundle_()
    assert "synthetic: not real prices" in bundle["text/html"]
    json.dumps(bundle["application/vnd.botlib.summary+json"])


def test_a_task_in_market_time_runs_once_a_candle(connect: Connect) -> None:
    bot = connect(strategies=[])
    ran: list[int] = []

    @bot.task(name="per_candle", every_candle="1m")
    async def per_candle() -> None:
        ran.append(bot.aio.engine.market_clock.now())

    bot.wait("10m", progress=False)
    assert 8 <= len(ran) <= 10
    assert bot.tasks.status()["per_candle"].failures == 0


def test_a_blocking_call_from_a_task_is_refused_and_does_not_deadlock(connect: Connect) -> None:
    bot = connect(strategies=[])
    seen: list[str] = []

    @bot.task(name="wrong")
    async def wrong() -> None:
        try:
            bot.equity()
        except BlockingCallOnRuntime as error:
            seen.append(str(error))
        seen.append(str(await bot.aio.equity()))

    deadline = time.monotonic() + 60
    while len(seen) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "await the async form" in seen[0]
    assert float(seen[1]) == 10_000


def test_the_summary_outlasts_the_stop_and_a_new_start_works(connect: Connect) -> None:
    bot = connect()
    bot.wait("1h", progress=False)
    bot.stop()
    bot.stop()
    assert bot.summary().market_hours == 1
    assert not bot.health().healthy
    again = connect()
    assert again is not bot
    again.wait("1h", progress=False)
    assert again.summary().market_start == bot.summary().market_end


def test_a_configuration_file_and_its_errors(connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "bot.yaml"
    path.write_text("paper:\n  lockstpe: true\n")
    with pytest.raises(ConfigError, match=r"lockstpe.*lockstep"):
        connect(str(path))
    path.write_text("strategies: []\n")
    assert connect(str(path)).settings.strategies == ()


def test_a_recording_narrows_the_symbols(connect: Connect, recorded: Callable[[str], Path]) -> None:
    path = recorded("candles/BTCUSDT-1m-20241130-20241229.csv.gz")
    bot = connect(recorded=str(path), symbols=["BTC/USDT", "ETH/USDT"])
    assert bot.settings.symbols == ("BTC/USDT",)
    bot.wait("1h", progress=False)
    summary = bot.summary()
    assert summary.venue.startswith("paper:recording:BTCUSDT-1m-20241130-20241229:")
    assert summary.market_hours == 1


def test_the_data_directory_is_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BOTLIB_HOME", raising=False)
    (tmp_path / "pyproject.toml").touch()
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    assert project_directory(notebooks) == tmp_path
    monkeypatch.setenv("BOTLIB_HOME", str(notebooks))
    assert project_directory(tmp_path) == notebooks


@pytest.mark.kernel
def test_a_kernel_restart_ends_the_exchange_and_leaves_a_sound_database(
    tmp_path: Path,
) -> None:
    env = {**os.environ, "BOTLIB_HOME": str(tmp_path)}
    manager, client = start_new_kernel(env=env)
    code = (
        "import botlib as bl\n"
        "bot = bl.connect(symbols=['BTC/USDT'], history=60, health={'port': 0},"
        f" strategies={TREND_BTC}, paper={{'lockstep': True, 'start': '2026-01-05'}})\n"
        "bot.wait('1h', progress=False)\n"
    )

    def run(source: str) -> str:
        text = ""

        def output(message: dict[str, Any]) -> None:
            nonlocal text
            text += message["content"].get("text", "")

        reply = client.execute_interactive(source, output_hook=output, timeout=60)
        assert reply["content"]["status"] == "ok", reply["content"]
        return text

    try:
        run(code)
        pid = int(run("print(bot.engine.paper.pid)"))
        assert psutil.pid_exists(pid)
        manager.restart_kernel()
        client.wait_for_ready(timeout=60)
        deadline = time.monotonic() + 60
        while psutil.pid_exists(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not psutil.pid_exists(pid)
        assert int(run(code + "print(len(bot.fills()))")) >= 1
        assert run("print(bot.summary().market_start)").strip() == "1767574800000"
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


async def test_the_async_core_is_awaitable_on_the_runtime(connect: Connect) -> None:
    bot = await asyncio.to_thread(connect, strategies=[])
    runtime = bl.get_runtime()
    frame = await asyncio.wrap_future(runtime.submit(bot.aio.candles("BTC/USDT", "5m", limit=3)))
    assert len(frame) == 3
