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
from botlib.engine.safety.kill_switch import KillSwitch
from botlib.execution import HaltLatch
from botlib.store import Database, OrderJournal

MakeEngine = Callable[..., Awaitable[Orchestrator]]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


class Setup:
    """A kill switch on a real journal, latch of halts and bus."""

    def __init__(self, folder: Path) -> None:
        self.database = Database.open(folder / "market.db", "paper:synthetic:seed=1")
        self.journal = OrderJournal(self.database)
        self.folder = folder
        self.bus = EventBus()
        self.published = self.bus.subscribe(Halted, name="test")
        self.halts, self.switch = self.new()

    def new(self) -> tuple[HaltLatch, KillSwitch]:
        clock = SystemClock()
        halts = HaltLatch(self.bus, clock)
        return halts, KillSwitch(halts=halts, clock=clock, stop_file=self.folder / "STOP")

    def stored(self) -> list[str]:
        """Return the reasons in the table of halts that hold."""
        return [halt.reason for halt in self.journal.halts()]


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    setup = Setup(tmp_path)
    yield setup
    setup.database.close()


async def test_it_outlasts_a_restart_until_a_person_rearms(setup: Setup) -> None:
    setup.switch.open(setup.journal)
    setup.switch.throw("enough", by="method")
    assert "enough" in str(setup.halts.first)
    setup.switch.close()
    assert isinstance(setup.published.get_nowait(), Halted)

    halts, switch = setup.new()
    switch.open(setup.journal)
    assert switch.thrown is not None and switch.thrown.reason == "enough"
    assert switch.thrown.by == "method"
    assert "enough" in str(halts.first)
    assert setup.published.get_nowait() is None  # published before the restart
    switch.rearm()
    assert halts.first is None
    switch.close()

    halts, switch = setup.new()
    switch.open(setup.journal)
    assert switch.thrown is None and halts.first is None
    switch.close()


async def test_a_use_stored_by_an_earlier_version_holds(setup: Setup) -> None:
    earlier = {"reason": "enough", "by": "http", "at": 5}
    setup.journal.set_state("kill_switch", earlier)
    for _ in range(2):
        halts, switch = setup.new()
        switch.open(setup.journal)
        assert switch.thrown is not None
        assert (switch.thrown.reason, switch.thrown.by) == ("enough", "http")
        assert halts.reasons() == ("kill switch, http: enough",)
        switch.close()
    assert setup.stored() == ["kill switch, http: enough"]
    switch.open(setup.journal)
    switch.rearm("looked at")
    switch.close()
    halts, switch = setup.new()
    switch.open(setup.journal)
    assert halts.first is None
    switch.close()


async def test_it_takes_effect_from_a_thread_while_the_loop_hangs(setup: Setup) -> None:
    setup.switch.open(setup.journal)
    seen: list[str | None] = []

    def person() -> None:
        setup.switch.throw("hangs", by="method")
        seen.append(setup.halts.first)

    thread = threading.Thread(target=person)
    thread.start()
    thread.join()  # blocks the loop
    assert "hangs" in str(seen[0])
    assert setup.stored() == []
    await until(lambda: setup.stored() == ["kill switch, method: hangs"])
    setup.switch.close()


async def test_the_stop_file_throws_it_and_must_be_removed_before_rearming(setup: Setup) -> None:
    setup.switch.open(setup.journal)
    setup.switch.stop_file.write_text("a  wild market\nmore\n")
    await until(lambda: setup.switch.thrown is not None)
    assert setup.halts.first == "kill switch, stop file: a wild market"
    with pytest.raises(EngineError, match="Remove it, then re-arm"):
        setup.switch.rearm()
    assert setup.halts.first is not None
    setup.switch.stop_file.unlink()
    setup.switch.rearm()
    assert setup.halts.first is None
    setup.switch.close()


async def test_an_unreadable_stop_file_throws_it_too(setup: Setup) -> None:
    setup.switch.stop_file.mkdir()
    setup.switch.open(setup.journal)
    assert "cannot be read" in str(setup.halts.first)
    setup.switch.close()


async def test_it_takes_effect_on_a_full_disk_and_is_stored_later(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    setup.switch.open(setup.journal)
    with monkeypatch.context() as patch:
        patch.setattr(setup.journal, "begin_halt", full)
        patch.setattr(setup.journal, "end_halts", full)
        setup.switch.throw("enough", by="method")
        setup.switch.settle()
        assert setup.halts.first is not None
        with pytest.raises(StoreError):
            setup.switch.rearm()
        assert setup.halts.first is not None
    await until(lambda: setup.stored() == ["kill switch, method: enough"])
    setup.switch.close()


async def test_a_throw_during_rearming_takes_effect_after_it(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.switch.open(setup.journal)
    setup.switch.throw("first", by="method")
    setup.switch.settle()
    write = setup.journal.end_halts
    person = threading.Thread(target=setup.switch.throw, args=("second",), kwargs={"by": "method"})

    def slowly(because: str, *, now: int) -> None:
        person.start()
        write(because, now=now)

    with monkeypatch.context() as patch:
        patch.setattr(setup.journal, "end_halts", slowly)
        setup.switch.rearm()
    person.join(60)
    assert setup.halts.first == "kill switch, method: second"
    await until(lambda: setup.stored() == ["kill switch, method: second"])
    setup.switch.close()


async def test_the_first_reason_stays_and_overrides_another_halt(setup: Setup) -> None:
    setup.switch.open(setup.journal)
    loss = "the day's result is beyond its limit"
    assert setup.halts.add(loss, source="risk")
    setup.switch.throw("  first\n" + "x" * 500, by="http")
    setup.switch.throw("second", by="method")
    assert setup.halts.first is not None and "first" in setup.halts.first
    assert len(setup.halts.first) < 300 and "\n" not in setup.halts.first
    assert setup.halts.reasons() == (loss, setup.halts.first)
    setup.switch.rearm()
    assert setup.halts.first is None
    setup.switch.close()
    with pytest.raises(EngineError, match="does not run"):
        setup.switch.throw("late", by="method")
    with pytest.raises(EngineError, match="does not run"):
        setup.switch.rearm()


async def test_rearming_stores_why_a_person_did_it(setup: Setup) -> None:
    setup.switch.open(setup.journal)
    setup.switch.throw("enough", by="method")
    setup.switch.settle()
    setup.switch.rearm("the news are over")
    with setup.database.reading() as connection:
        row = connection.execute("SELECT reason, source, ended_because FROM halts").fetchone()
    assert row == ("kill switch, method: enough", "method", "the news are over")
    setup.switch.close()


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
