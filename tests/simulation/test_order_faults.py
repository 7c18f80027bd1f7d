"""Faults of orders on a simulated exchange in virtual time, with all of the real code."""

from __future__ import annotations

from tests.support.market_faults import FaultRecord, Restless, Stage, check_recovered, run


async def outage(stage: Stage, record: FaultRecord) -> None:
    """Every request fails for five minutes, while a stop rests."""
    await stage.until(lambda: stage.engine.positions.get("BTC/USDT").amount > 0)
    await stage.control.fault("http_status", match="", status=503, count=1_000_000)
    await stage.minutes(3)
    record.facts["healthy"] = stage.engine.health().healthy
    await stage.minutes(2)
    await stage.control.fault("clear")
    before = stage.engine.orders.fills
    await stage.minutes(4)
    record.facts["fills"] = stage.engine.orders.fills - before
    states = {task.name: str(task.state) for task in stage.engine.tasks.status().tasks}
    record.facts["failed"] = [name for name, state in states.items() if state == "failed"]


def test_five_minutes_of_errors_end_no_task_and_trading_goes_on() -> None:
    records, _ = run({"outage": outage}, strategy=Restless(stop_loss=0.05), run_for="1h")
    record = records["outage"]
    check_recovered(record)
    assert record.facts["healthy"] is False, "an outage is seen"
    assert record.facts["failed"] == [], "tasks that keep money safe are started again for ever"
    assert record.facts["fills"] > 0, "trading goes on by itself"
