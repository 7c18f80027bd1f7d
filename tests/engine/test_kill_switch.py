"""The kill switch: the ways to throw it, restarts, and re-arming."""

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


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


class Setup:
    """A kill switch on a real journal, risk validator and bus."""

    def __init__(self, folder: Path) -> None:
        self.database = Database.open(folder / "market.db", "paper:synthetic:seed=1")
        self.journal = OrderJournal(self.database)
        self.folder = folder
        self.bus = EventBus()
        self.halts = self.bus.subscribe(Halted, name="test")
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
def setup(tmp_path: Path) -> Iterator[Setup]:
    setup = Setup(tmp_path)
    yield setup
    setup.database.close()


async def test_it_outlasts_a_restart_until_a_person_rearms(setup: Setup) -> None:
    setup.switch.open(setup.journal)
    setup.switch.throw("enough", by="method")
    assert "enough" in str(setup.risk.halted)
    setup.switch.close()
    assert isinstance(setup.halts.get_nowait(), Halted)

    risk, switch = setup.new()
    switch.open(setup.journal)
    assert switch.thrown is not None and switch.thrown.reason == "enough"
    assert "enough" in str(risk.halted)
    assert setup.halts.get_nowait() is None  # published before the restart
    switch.rearm()
    assert risk.halted is None
    switch.close()

    risk, switch = setup.new()
    switch.open(setup.journal)
    assert switch.thrown is None and risk.halted is None
    switch.close()


async def test_it_takes_effect_from_a_thread_while_the_loop_hangs(setup: Setup) -> None:
    setup.switch.open(setup.journal)
    seen: list[str | None] = []

    def person() -> None:
        setup.switch.throw("hangs", by="method")
        seen.append(setup.risk.halted)

    thread = threading.Thread(target=person)
    thread.start()
    thread.join()  # blocks the loop
    assert "hangs" in str(seen[0])
    assert setup.journal.get_state("kill_switch") is None
    await until(lambda: setup.journal.get_state("kill_switch") is not None)
    setup.switch.close()


async def test_the_stop_file_throws_it_and_must_be_removed_before_rearming(setup: Setup) -> None:
    setup.switch.open(setup.journal)
    setup.switch.stop_file.write_text("a  wild market\nmore\n")
    await until(lambda: setup.switch.thrown is not None)
    assert setup.risk.halted == "kill switch, stop file: a wild market"
    with pytest.raises(EngineError, match="Remove it, then re-arm"):
        setup.switch.rearm()
    assert setup.risk.halted is not None
    setup.switch.stop_file.unlink()
    setup.switch.rearm()
    assert setup.risk.halted is None
    setup.switch.close()


async def test_an_unreadable_stop_file_throws_it_too(setup: Setup) -> None:
    setup.switch.stop_file.mkdir()
    setup.switch.open(setup.journal)
    assert "cannot be read" in str(setup.risk.halted)
    setup.switch.close()


async def test_it_takes_effect_on_a_full_disk_and_is_stored_later(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    setup.switch.open(setup.journal)
    with monkeypatch.context() as patch:
        patch.setattr(setup.journal, "set_state", full)
        setup.switch.throw("enough", by="method")
        setup.switch.settle()
        assert setup.risk.halted is not None
        with pytest.raises(StoreError):
            setup.switch.rearm()
        assert setup.risk.halted is not None
    await until(lambda: setup.journal.get_state("kill_switch") is not None)
    setup.switch.close()


async def test_a_throw_during_rearming_takes_effect_after_it(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.switch.open(setup.journal)
    setup.switch.throw("first", by="method")
    setup.switch.settle()
    write = setup.journal.set_state
    person = threading.Thread(target=setup.switch.throw, args=("second",), kwargs={"by": "method"})

    def slowly(key: str, value: object) -> None:
        person.start()
        write(key, value)

    with monkeypatch.context() as patch:
        patch.setattr(setup.journal, "set_state", slowly)
        setup.switch.rearm()
    person.join(60)
    assert setup.risk.halted == "kill switch, method: second"
    await until(lambda: "second" in str(setup.journal.get_state("kill_switch")))
    setup.switch.close()


async def test_the_first_reason_stays_and_overrides_another_halt(setup: Setup) -> None:
    setup.switch.open(setup.journal)
    setup.risk.halt("the day's result is beyond its limit")
    setup.switch.throw("  first\n" + "x" * 500, by="http")
    setup.switch.throw("second", by="method")
    assert setup.risk.halted is not None and "first" in setup.risk.halted
    assert len(setup.risk.halted) < 300 and "\n" not in setup.risk.halted
    setup.switch.rearm()
    assert setup.risk.halted is None
    setup.switch.close()
    with pytest.raises(EngineError, match="does not run"):
        setup.switch.throw("late", by="method")


async def test_a_killed_engine_refuses_entries_sells_on_request_and_stays_killed(
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
    assert "enough" in str(again.halts.first)
    held = again.positions.get("BTC/USDT").amount
    for _ in range(72):
        if "entries are halted" in again.orders.refused.get("trend-btc", ""):
            break
        await again.wait(300)
    assert "entries are halted" in again.orders.refused["trend-btc"]
    assert again.positions.get("BTC/USDT").amount <= held
    again.kill_switch.rearm()
    assert again.halts.first is None
