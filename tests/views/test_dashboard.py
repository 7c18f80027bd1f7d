"""The dashboard of a real engine: what it shows, and what its buttons do."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from botlib.config.secrets import MASK, Secret
from botlib.engine import Orchestrator
from botlib.tasks import TaskConfig
from botlib.views.dashboard import DashboardFeed
from botlib.widgets.dashboard import Dashboard, delta
from tests.support.samples import order as made_order

MakeEngine = Callable[..., Awaitable[Orchestrator]]


class Bench:
    """An engine with a task of its own that fails on demand."""

    def __init__(self, engine: Orchestrator) -> None:
        self.engine = engine
        self.desk = DashboardFeed(engine)
        self.fail = ""
        self.runs = 0
        engine.tasks.add_task(TaskConfig(name="watch <b>", func=self.watch, interval=3600))

    async def watch(self) -> None:
        self.runs += 1
        if self.fail:
            raise ValueError(self.fail)

    def task(self) -> dict[str, Any]:
        row: dict[str, Any] = self.desk.state()["tasks"]["rows"]["watch <b>"]
        return row


@pytest.fixture
async def bench(make_engine: MakeEngine) -> AsyncIterator[Bench]:
    engine = await make_engine()
    yield Bench(engine)


async def test_it_shows_what_the_engine_does_until_it_stops(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="botlib")
    engine, desk = bench.engine, bench.desk
    for _ in range(36):
        await engine.wait(600)
        state = desk.state()
        if state["positions"]["order"]:
            break
    assert json.loads(json.dumps(state)) == state
    head, account = state["head"], state["account"]
    assert (head["mode"], head["synthetic"], head["running"]) == ("paper", True, True)
    assert head["market_time"] == engine.market_clock.now() // 1_000 * 1_000
    assert abs(account["equity"] - float(await engine.account.value())) < 50
    assert len(state["curve"]["values"]) > 1
    assert state["tasks"]["rows"]["signal_generation"]["can"] == ["stop"]
    assert state["tasks"]["rows"]["order_sync"]["can"] == ["stop", "run"]
    assert state["tasks"]["order"][-1] == "watch <b>"
    feed = state["feeds"]["rows"]["BTC/USDT 1m"]
    assert feed["state"] == "ok" and feed["closed"] > 0 and feed["age"] < 120
    position = state["positions"]["rows"]["BTC/USDT"]
    assert position["strategy"] == "trend-btc" and position["protection"] == "none"
    first = state["orders"]["rows"][state["orders"]["order"][0]]
    assert (first["side"], first["status"]) == ("buy", "filled")
    fill = state["fills"]["rows"][state["fills"]["order"][0]]
    # One clock: the market of January stands still while the wall's goes on.
    assert 0 <= fill["time"] - first["time"] < 60_000 < first["wall"] - first["time"]
    assert fill["side"] == "buy" and fill["price"].replace(",", "") in str(
        engine.orders.last_fills[-1].price
    )
    assert any("entry" in row["text"] for row in state["log"]["rows"].values())
    # At rest nothing is sent but the time and the lag.
    assert set(delta(desk.state(), desk.state())) <= {"head", "loop"}
    await keeps_up_to_date(engine, desk)


async def keeps_up_to_date(engine: Orchestrator, desk: DashboardFeed) -> None:
    dashboard = Dashboard(desk.state(), lambda *_: None, interval=0.02)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        running = group.create_task(desk.run(dashboard))
        await engine.wait(1800)
        while desk.state()["head"]["market_time"] != dashboard._state["head"]["market_time"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await engine.stop()
        await running
    assert dashboard.closed and "stopped" in repr(dashboard)
    state = dashboard._state
    assert {row["state"] for row in state["feeds"]["rows"].values()} == {"stopped"}
    assert {row["health"] for row in state["tasks"]["rows"].values()} == {"off"}
    assert not any(row["can"] for row in state["tasks"]["rows"].values())
    assert "repairing" not in dashboard._repr_html_()


async def test_the_worth_follows_a_market_that_runs_fast(bench: Bench) -> None:
    engine = bench.engine
    before = len(engine.account.curve.values)
    dashboard = Dashboard(bench.desk.state(), lambda *_: None, interval=0.02)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        running = group.create_task(bench.desk.run(dashboard))
        while len(engine.account.curve.values) < before + 3:
            await engine.wait(120)
        dashboard.close()
        await running


async def test_its_buttons_do_what_they_say(bench: Bench) -> None:
    name = "watch <b>"
    assert bench.task()["can"] == ["start", "run"]
    assert await bench.desk.answer("run", name) == (True, f"{name} has run")
    assert bench.runs == 1
    assert (await bench.desk.answer("start", name))[0]
    assert bench.task()["can"] == ["stop", "run"] and bench.task()["health"] == "ok"
    assert await bench.desk.answer("stop", name) == (True, f"{name} was stopped")
    assert (bench.task()["state"], bench.task()["health"]) == ("stopped", "off")
    await tells_the_traceback_of_a_failure(bench)
    await stops_entries_and_rearms(bench)


async def tells_the_traceback_of_a_failure(bench: Bench) -> None:
    bench.fail = "the spread is wide"
    ok, text = await bench.desk.answer("run", "watch <b>")
    assert not ok and text == "ValueError: the spread is wide"
    row = bench.task()
    assert row["failures"] == 1 and "the spread is wide" in row["error"]
    ok, text = await bench.desk.answer("error", "watch <b>")
    assert ok and "Traceback" in text and "ValueError: the spread is wide" in text
    assert "no error" in (await bench.desk.answer("error", "order_sync"))[1]
    ok, text = await bench.desk.answer("stop", "wotch <b>")
    assert not ok and "Did you mean" in text


async def test_no_secret_is_told_by_a_button(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_KEY", "canary-0123456789")
    bench.engine.log.hide([Secret.from_environment("CANARY_KEY")])
    bench.fail = "canary-0123456789 was refused"
    answer = await bench.desk.answer("run", "watch <b>")
    assert answer == (False, f"ValueError: {MASK} was refused")
    assert MASK in (await bench.desk.answer("error", "watch <b>"))[1]
    assert MASK in (await bench.desk.answer("stop", "canary-0123456789"))[1]
    refused = made_order(message="canary-0123456789 may not trade")
    monkeypatch.setattr(bench.engine.orders, "newest", lambda _limit: [refused])
    state = json.dumps(bench.desk.state(), ensure_ascii=False)
    assert f"{MASK} may not trade" in state and "canary-0123456789" not in state


async def stops_entries_and_rearms(bench: Bench) -> None:
    engine, desk = bench.engine, bench.desk
    desk.throw()  # as the button does, before the loop comes to the rest
    assert engine.risk.halted is not None
    ok, text = await desk.answer("kill", "")
    assert ok and "Entries are stopped" in text
    risk = desk.state()["risk"]
    assert risk["killed"]["by"] == "dashboard" and risk["halted"]
    assert risk["stop_file"] == "data/STOP" and risk["token_file"].endswith(".token")
    assert (await desk.answer("rearm", ""))[0]
    assert desk.state()["risk"]["halted"] is None
