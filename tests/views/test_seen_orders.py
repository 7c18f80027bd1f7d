"""What the dashboard and the tables of a bot show of books, halts and unknown orders."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from botlib.bot.order_rows import order_remarks, order_row
from botlib.engine import Orchestrator
from botlib.views.dashboard import DashboardFeed
from botlib.widgets.dashboard.picture import picture

MakeEngine = Callable[..., Awaitable[Orchestrator]]
STRATEGY = {
    "name": "pulse",
    "strategy": "botlib.drill.strategy:Pulse",
    "symbol": "BTC/USDT",
    "timeframe": "1m",
    "order_cost": 400,
    "parameters": {"stop_loss": 0.05, "take_profit": 0.5},
}


async def holding(engine: Orchestrator) -> None:
    for _ in range(10):
        if engine.orders.ledger.stops("BTC/USDT"):
            return
        await engine.wait(60)
    raise AssertionError("nothing was bought")


async def test_a_book_is_shown_with_its_stop_and_target(make_engine: MakeEngine) -> None:
    engine = await make_engine(strategies=[STRATEGY])
    await holding(engine)
    state = DashboardFeed(engine).state()
    assert json.loads(json.dumps(state)) == state
    assert state["holds"]["order"] == []
    row = state["books"]["rows"]["pulse BTC/USDT"]
    assert row["protection"] == "resting" and row["stop"] and row["target"]
    assert (row["wants"], row["orphaned"]) == ("", False)
    roles = [one["role"] for one in state["orders"]["rows"].values()]
    assert set(roles) == {"entry", "stop", "target"}
    assert all(one["unknown_since"] is None for one in state["orders"]["rows"].values())
    engine.signals.remove("pulse")
    state = DashboardFeed(engine).state()
    assert state["books"]["rows"]["pulse BTC/USDT"]["orphaned"]
    page = picture(state)
    assert "BOOKS" in page and "orphaned" in page
    (words, _), *more = order_remarks(engine)
    assert "pulse holds" in words and "rests at the venue at" in words
    assert "not registered" in words and more == []


async def test_an_unknown_order_a_halt_and_a_caution_are_shown(make_engine: MakeEngine) -> None:
    engine = await make_engine(strategies=[STRATEGY])
    assert engine.paper is not None
    control = engine.paper.control
    await control.fault("drop", match="user@executionReport", count=99)
    await control.fault("after_accept", match="order")
    # Queries fail, so that the outcome stays unknown.
    await control.fault("http_status", status=503, match="rder", count=9_999, skip=1)
    engine.orders.caution("test", "the venue's reports about orders are lost")
    engine.orders.caution("test", None)
    running = asyncio.create_task(engine.wait(600))
    async with asyncio.timeout(60):
        while not engine.orders.ledger.unsettled:  # noqa: ASYNC110 - the engine is polled
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    engine.orders.caution("reports", "the venue's reports about orders are lost")
    await engine.kill("enough")
    state = DashboardFeed(engine).state()
    (unknown,) = [
        one for one in state["orders"]["rows"].values() if one["unknown_since"] is not None
    ]
    assert unknown["status"] in ("unknown", "sent") and unknown["role"] == "entry"
    kinds = [(one["kind"], one["source"]) for one in state["holds"]["rows"].values()]
    assert kinds[0] == ("halt", "method") and ("caution", "") in kinds
    assert any(kind == "trouble" for kind, _ in kinds), state["holds"]
    page = picture(state)
    assert "HALTS AND CAUTIONS" in page and "enough" in page and " since " in page
    texts = [text for text, _ in order_remarks(engine)]
    assert any("enough" in text for text in texts)
    assert any("held back: the venue's reports" in text for text in texts)
    (order,) = engine.journal.orders()
    assert 0 <= order_row(order, engine).unknown_for < 60
    await control.fault("clear")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
