"""The kill switch: thrown every way, kept through restarts, re-armed by a person."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest

from botlib.control.server import TOKEN_HEADER
from botlib.core.bus import EventBus
from botlib.core.clock import SystemClock
from botlib.core.errors import EngineError, StoreError
from botlib.core.model import Halted
from botlib.engine import Orchestrator
from botlib.engine.kill_switch import KillSwitch
from botlib.store import Database, OrderJournal
from botlib.trading.risk import RiskLimits, RiskValidator

MakeEngine = Callable[..., Awaitable[Orchestrator]]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


class Bench:
    """A switch on a real journal; the risk validator and the bus are the real ones."""

    def __init__(self, folder: Path) -> None:
        self.database = Database.open(folder / "market.db", "paper:synthetic:seed=1")
        self.journal = OrderJournal(self.database)
        self.folder = folder
        self.bus = EventBus()
        self.told = self.bus.subscribe(Halted, name="test")
        self.risk, self.switch = self.new()

    def new(self) -> tuple[RiskValidator, KillSwitch]:
        limits = RiskLimits(
            max_order_cost=Decimal(100),
            max_exposure=Decimal(100),
            max_open_orders=1,
            max_orders_per_minute=9,
            max_daily_loss=Decimal(9),
        )
        risk = RiskValidator(limits)
        switch = KillSwitch(
            risk=risk, bus=self.bus, clock=SystemClock(), stop_file=self.folder / "STOP"
        )
        return risk, switch


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.database.close()


async def test_a_throw_holds_through_a_restart_until_a_person_rearms(bench: Bench) -> None:
    bench.switch.open(bench.journal)
    bench.switch.throw("enough", by="method")
    assert "enough" in str(bench.risk.halted)
    bench.switch.close()
    assert isinstance(bench.told.get_nowait(), Halted)

    risk, switch = bench.new()
    switch.open(bench.journal)
    assert switch.thrown is not None and switch.thrown.reason == "enough"
    assert "enough" in str(risk.halted)
    assert bench.told.get_nowait() is None  # no news
    switch.rearm()
    assert risk.halted is None
    switch.close()

    risk, switch = bench.new()
    switch.open(bench.journal)
    assert switch.thrown is None and risk.halted is None
    switch.close()


async def test_it_holds_in_a_thread_while_the_loop_hangs(bench: Bench) -> None:
    bench.switch.open(bench.journal)
    seen: list[str | None] = []

    def person() -> None:
        bench.switch.throw("hangs", by="method")
        seen.append(bench.risk.halted)

    thread = threading.Thread(target=person)
    thread.start()
    thread.join()  # the loop stands still meanwhile
    assert "hangs" in str(seen[0])
    assert bench.journal.get_state("kill_switch") is None
    await until(lambda: bench.journal.get_state("kill_switch") is not None)
    bench.switch.close()


async def test_the_stop_file_throws_it_and_must_go_before_it_is_rearmed(bench: Bench) -> None:
    bench.switch.open(bench.journal)
    bench.switch.stop_file.write_text("a  wild market\nmore\n")
    await until(lambda: bench.switch.thrown is not None)
    assert bench.risk.halted == "kill switch, stop file: a wild market"
    with pytest.raises(EngineError, match="Remove it, then re-arm"):
        bench.switch.rearm()
    assert bench.risk.halted is not None
    bench.switch.stop_file.unlink()
    bench.switch.rearm()
    assert bench.risk.halted is None
    bench.switch.close()


async def test_a_stop_file_nobody_can_read_stops_too(bench: Bench) -> None:
    bench.switch.stop_file.mkdir()
    bench.switch.open(bench.journal)
    assert "cannot be read" in str(bench.risk.halted)
    bench.switch.close()


async def test_it_holds_where_it_cannot_be_written_down_and_tries_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    bench.switch.open(bench.journal)
    with monkeypatch.context() as patch:
        patch.setattr(bench.journal, "set_state", full)
        bench.switch.throw("enough", by="method")
        bench.switch.settle()
        assert bench.risk.halted is not None
        with pytest.raises(StoreError):
            bench.switch.rearm()
        assert bench.risk.halted is not None
    await until(lambda: bench.journal.get_state("kill_switch") is not None)
    bench.switch.close()


async def test_who_throws_it_while_it_is_rearmed_throws_it_after(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.switch.open(bench.journal)
    bench.switch.throw("first", by="method")
    bench.switch.settle()
    write = bench.journal.set_state
    person = threading.Thread(target=bench.switch.throw, args=("second",), kwargs={"by": "method"})

    def slowly(key: str, value: object) -> None:
        person.start()
        write(key, value)

    with monkeypatch.context() as patch:
        patch.setattr(bench.journal, "set_state", slowly)
        bench.switch.rearm()
    person.join(60)
    assert bench.risk.halted == "kill switch, method: second"
    await until(lambda: "second" in str(bench.journal.get_state("kill_switch")))
    bench.switch.close()


async def test_the_first_reason_stays_and_outweighs_another_halt(bench: Bench) -> None:
    bench.switch.open(bench.journal)
    bench.risk.halt("the day's result is beyond its limit")
    bench.switch.throw("  first\n" + "x" * 500, by="http")
    bench.switch.throw("second", by="method")
    assert bench.risk.halted is not None and "first" in bench.risk.halted
    assert len(bench.risk.halted) < 300 and "\n" not in bench.risk.halted
    bench.switch.rearm()
    assert bench.risk.halted is None
    bench.switch.close()
    with pytest.raises(EngineError, match="does not run"):
        bench.switch.throw("late", by="method")


async def test_a_killed_engine_refuses_entries_sells_on_demand_and_stays_killed(
    make_engine: MakeEngine,
) -> None:
    engine, least = await make_engine(), Decimal("0.0001")
    for _ in range(144):
        if engine.positions.get("BTC/USDT").amount > least:
            break
        await engine.wait(600)
    assert engine.positions.get("BTC/USDT").amount > least
    token = engine.control.token_file
    assert token is not None
    headers = {TOKEN_HEADER: token.read_text().strip()}
    async with aiohttp.ClientSession() as session:
        url = f"{engine.control.url}/api/v1/kill"
        async with session.post(
            url, headers=headers, json={"reason": "enough", "close_positions": True}
        ) as answer:
            assert answer.status == 200
            done = (await answer.json())["done"]
    assert "Entries are stopped" in done[0] and "sell" in done[1]
    assert engine.positions.get("BTC/USDT").amount < least
    assert "entries are halted: kill switch, http: enough" in engine.health().reasons
    await engine.stop()

    again = await make_engine()
    assert "enough" in str(again.risk.halted)
    held = again.positions.get("BTC/USDT").amount
    for _ in range(72):
        if "entries are halted" in again.orders.refused.get("trend-btc", ""):
            break
        await again.wait(300)
    assert "entries are halted" in again.orders.refused["trend-btc"]
    assert again.positions.get("BTC/USDT").amount <= held
    again.kill_switch.rearm()
    assert again.risk.halted is None
