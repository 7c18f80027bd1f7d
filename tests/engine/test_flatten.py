"""The kill switch of a whole engine: every way to throw it, with and without selling everything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal

import aiohttp
import pytest

from botlib.control.server import TOKEN_HEADER
from botlib.engine import Orchestrator
from botlib.views.dashboard import DashboardFeed

MakeEngine = Callable[..., Awaitable[Orchestrator]]
LEAST = Decimal("0.00001")
STRATEGY = {
    "name": "s",
    "strategy": "botlib.drill.strategy:Pulse",
    "symbol": "BTC/USDT",
    "timeframe": "1m",
    "order_cost": 400,
    "parameters": {"stop_loss": 0.05},
}


def held(engine: Orchestrator) -> Decimal:
    return engine.positions.get("BTC/USDT").amount


async def holding(engine: Orchestrator) -> None:
    """Let the market run until a position is held with its stop."""
    for _ in range(10):
        if held(engine) > LEAST and engine.orders.ledger.stops("BTC/USDT"):
            return
        await engine.wait(60)
    raise AssertionError("nothing was bought")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what the engine does is polled
            await asyncio.sleep(0.02)


async def by_method(engine: Orchestrator, close: bool) -> None:
    await engine.kill("enough", close_positions=close)


async def by_http(engine: Orchestrator, close: bool) -> None:
    token = engine.control.token_file
    assert token is not None
    headers = {TOKEN_HEADER: token.read_text().strip()}
    body = {"reason": "enough", "close_positions": close}
    async with aiohttp.ClientSession() as session:
        url = f"{engine.control.url}/api/v1/kill"
        async with session.post(url, headers=headers, json=body) as answer:
            assert answer.status == 200


async def by_file(engine: Orchestrator, close: bool) -> None:
    engine.kill_switch.stop_file.write_text("enough\nclose_positions\n" if close else "enough\n")
    await until(lambda: engine.kill_switch.thrown is not None)


async def by_dashboard(engine: Orchestrator, close: bool) -> None:
    feed = DashboardFeed(engine)
    feed.throw()
    ok, text = await feed.answer("kill_and_sell" if close else "kill", "")
    assert ok and "Entries are stopped" in text


WAYS = {"method": by_method, "http": by_http, "stop file": by_file, "dashboard": by_dashboard}


@pytest.mark.parametrize("close", [False, True], ids=["keep", "sell"])
@pytest.mark.parametrize("way", WAYS)
async def test_each_way_stops_entries_and_sells_only_on_request(
    make_engine: MakeEngine, way: str, close: bool
) -> None:
    engine = await make_engine(strategies=[STRATEGY])
    await holding(engine)
    await WAYS[way](engine, close)
    kill = engine.kill_switch.thrown
    assert kill is not None and kill.by == way
    if close:
        await until(lambda: held(engine) < LEAST)
        assert await engine.exchange.open_orders() == []
    else:
        assert held(engine) > LEAST
        assert len(await engine.exchange.open_orders()) == 1
    amount = held(engine)
    await engine.wait(240)
    assert held(engine) <= amount
    assert "entries are halted" in engine.orders.refused["s"]
    if way == "stop file":
        engine.kill_switch.stop_file.unlink()
    engine.kill_switch.rearm("the news are over")
    await engine.wait(300)
    assert len(engine.journal.fills()) > 2, "no entry after re-arming"


@pytest.mark.parametrize("way", ["method", "stop file"])
async def test_a_flatten_that_the_venue_refuses_is_done_after_a_restart(
    make_engine: MakeEngine, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botlib.engine.orchestrator.SETTLE_TIMEOUT", 1.0)
    monkeypatch.setattr("botlib.engine.manual_orders.PATIENCE", 1.0)
    engine = await make_engine(strategies=[STRATEGY])
    await holding(engine)
    assert engine.paper is not None
    await engine.paper.control.fault(
        "http_status", status=429, retry_after=1, match="rder", count=9_999
    )
    await WAYS[way](engine, True)
    await asyncio.sleep(1)
    assert held(engine) > LEAST
    await engine.stop()
    assert any("not done" in words for words in engine.left_over)

    again = await make_engine(strategies=[])  # its strategy is gone, too
    await until(lambda: held(again) < LEAST)
    assert await again.exchange.open_orders() == []
    assert again.kill_switch.thrown is not None
    assert again.left_over == ()


async def test_the_reason_of_rearming_is_stored_with_the_halts(make_engine: MakeEngine) -> None:
    engine = await make_engine(strategies=[])
    await engine.kill("enough")
    engine.kill_switch.rearm("the news are over")
    assert engine.halts.first is None
    with engine.stored.database.reading() as connection:
        rows = connection.execute("SELECT reason, ended, ended_because FROM halts").fetchall()
    assert [(row[0], row[2]) for row in rows] == [
        ("kill switch, method: enough", "the news are over")
    ]
    assert rows[0][1] is not None
    await engine.stop()
    again = await make_engine(strategies=[])
    assert again.halts.first is None
