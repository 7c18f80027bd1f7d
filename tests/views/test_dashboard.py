"""The dashboard of a real engine: its state and its buttons."""

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


class Setup:
    """An engine with a task that fails on request, and its dashboard feed."""

    def __init__(self, engine: Orchestrator) -> None:
        self.engine = engine
        self.feed = DashboardFeed(engine)
        self.fail = ""
        self.runs = 0
        engine.tasks.add_task(TaskConfig(name="watch <b>", func=self.watch, interval=3600))

    async def watch(self) -> None:
        self.runs += 1
        if self.fail:
            raise ValueError(self.fail)

    def task(self) -> dict[str, Any]:
        row: dict[str, Any] = self.feed.state()["tasks"]["rows"]["watch <b>"]
        return row


@pytest.fixture
async def setup(make_engine: MakeEngine) -> AsyncIterator[Setup]:
    engine = await make_engine()
    yield Setup(engine)


async def test_it_follows_the_engine_until_it_stops(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="botlib")
    engine, feed = setup.engine, setup.feed
    for _ in range(36):
        await engine.wait(600)
        state = feed.state()
        if state["positions"]["order"]:
            break
    assert json.loads(json.dumps(state)) == state
    head, account = state["head"], state["account"]
    assert (head["mode"], head["note"], head["running"]) == ("paper", "synthetic", True)
    assert head["market_time"] == engine.market_clock.now() // 1_000 * 1_000
    assert abs(account["equity"] - float(await engine.account.value())) < 50
    assert len(state["curve"]["values"]) > 1
    assert state["tasks"]["rows"]["signal_generation"]["can"] == ["stop"]
    assert state["tasks"]["rows"]["order_sync"]["can"] == ["stop", "run"]
    assert state["tasks"]["order"][-1] == "watch <b>"
    row = state["feeds"]["rows"]["BTC/USDT 1m"]
    assert row["state"] == "ok" and row["closed"] > 0 and row["age"] < 120
    position = state["positions"]["rows"]["BTC/USDT"]
    assert position["strategy"] == "trend-btc" and position["protection"] == "none"
    first = state["orders"]["rows"][state["orders"]["order"][0]]
    assert (first["side"], first["status"]) == ("buy", "filled")
    fill = state["fills"]["rows"][state["fills"]["order"][0]]
    # Times are market time: the paper market is in January, the wall clock is not.
    assert 0 <= fill["time"] - first["time"] < 60_000 < first["wall"] - first["time"]
    assert fill["side"] == "buy" and fill["price"].replace(",", "") in str(
        engine.orders.ledger.last_fills[-1].price
    )
    assert any("entry" in row["text"] for row in state["log"]["rows"].values())
    # While the market waits, only the time and the lag change.
    assert set(delta(feed.state(), feed.state())) <= {"head", "loop"}
    await keeps_up_to_date(engine, feed)


async def keeps_up_to_date(engine: Orchestrator, feed: DashboardFeed) -> None:
    dashboard = Dashboard(feed.state(), lambda *_: None, interval=0.02)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        running = group.create_task(feed.run(dashboard))
        await engine.wait(1800)
        while feed.state()["head"]["market_time"] != dashboard._state["head"]["market_time"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await engine.stop()
        await running
    assert dashboard.closed and "stopped" in repr(dashboard)
    state = dashboard._state
    assert {row["state"] for row in state["feeds"]["rows"].values()} == {"stopped"}
    assert {row["health"] for row in state["tasks"]["rows"].values()} == {"off"}
    assert not any(row["can"] for row in state["tasks"]["rows"].values())
    assert "repairing" not in dashboard._repr_html_()


async def test_the_equity_follows_a_market_that_runs_fast(setup: Setup) -> None:
    engine = setup.engine
    before = len(engine.account.curve.values)
    dashboard = Dashboard(setup.feed.state(), lambda *_: None, interval=0.02)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        running = group.create_task(setup.feed.run(dashboard))
        while len(engine.account.curve.values) < before + 3:
            await engine.wait(120)
        dashboard.close()
        await running


async def test_the_buttons_run_tasks_and_the_kill_switch(setup: Setup) -> None:
    name = "watch <b>"
    assert setup.task()["can"] == ["start", "run"]
    assert await setup.feed.answer("run", name) == (True, f"{name} has run")
    assert setup.runs == 1
    assert (await setup.feed.answer("start", name))[0]
    assert setup.task()["can"] == ["stop", "run"] and setup.task()["health"] == "ok"
    assert await setup.feed.answer("stop", name) == (True, f"{name} was stopped")
    assert (setup.task()["state"], setup.task()["health"]) == ("stopped", "off")
    await shows_the_traceback_of_a_failure(setup)
    await stops_entries_and_rearms(setup)


async def shows_the_traceback_of_a_failure(setup: Setup) -> None:
    setup.fail = "the spread is wide"
    ok, text = await setup.feed.answer("run", "watch <b>")
    assert not ok and text == "ValueError: the spread is wide"
    row = setup.task()
    assert row["failures"] == 1 and "the spread is wide" in row["error"]
    ok, text = await setup.feed.answer("error", "watch <b>")
    assert ok and "Traceback" in text and "ValueError: the spread is wide" in text
    assert "no error" in (await setup.feed.answer("error", "order_sync"))[1]
    ok, text = await setup.feed.answer("stop", "wotch <b>")
    assert not ok and "Did you mean" in text


async def test_the_answer_of_a_button_has_its_secrets_masked(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_KEY", "canary-0123456789")
    Secret.from_environment("CANARY_KEY")
    setup.fail = "canary-0123456789 was refused"
    answer = await setup.feed.answer("run", "watch <b>")
    assert answer == (False, f"ValueError: {MASK} was refused")
    assert MASK in (await setup.feed.answer("error", "watch <b>"))[1]
    assert MASK in (await setup.feed.answer("stop", "canary-0123456789"))[1]
    refused = made_order(message="canary-0123456789 may not trade")
    monkeypatch.setattr(setup.engine.orders.ledger, "newest", lambda _limit: [refused])
    state = json.dumps(setup.feed.state(), ensure_ascii=False)
    assert f"{MASK} may not trade" in state and "canary-0123456789" not in state


async def stops_entries_and_rearms(setup: Setup) -> None:
    engine, feed = setup.engine, setup.feed
    feed.throw()  # as the button does, before the loop runs the action
    assert engine.halts.first is not None
    ok, text = await feed.answer("kill", "")
    assert ok and "Entries are stopped" in text
    risk = feed.state()["risk"]
    assert risk["killed"]["by"] == "dashboard" and risk["halted"]
    assert risk["stop_file"] == "data/STOP" and risk["token_file"].endswith(".token")
    assert (await feed.answer("rearm", ""))[0]
    assert feed.state()["risk"]["halted"] is None
