"""Rows 53 to 56 of the list of faults, by their names."""

from __future__ import annotations

import asyncio
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

import botlib as bl
from botlib.core.errors import BusOverflow
from botlib.core.model import CandleUpdated, FillReceived
from tests.support.market_faults import Restless, Row, Stage, run


def test_row_53_overlap_and_misfire() -> None:
    """A run that takes longer than its interval never doubles; missed runs become one."""
    inside, most, runs = 0, 0, 0

    async def tasks(stage: Stage, row: Row) -> None:
        async def slow() -> None:
            nonlocal inside, most, runs
            inside += 1
            runs += 1
            most = max(most, inside)
            await asyncio.sleep(3.5)
            inside -= 1

        stage.engine.tasks.task(interval=1, name="slow", start_immediately=True)(slow)
        await asyncio.sleep(20)
        row.facts["runs"] = runs
        loop: Any = asyncio.get_running_loop()
        loop._now += 60.0
        await asyncio.sleep(4.2)
        row.facts["after"] = runs
        await stage.engine.tasks.stop_task("slow")

    rows, _ = run({"tasks": tasks})
    assert most == 1
    assert 4 <= rows["tasks"].facts["runs"] <= 7
    # Of sixty runs that were due while the loop stood, one or two are made up for.
    assert rows["tasks"].facts["after"] - rows["tasks"].facts["runs"] <= 3
    assert rows["tasks"].report is not None and rows["tasks"].report.ok


def test_row_54_a_cell_is_run_again_and_interrupted(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "symbols": ["BTC/USDT"],
        "history": 30,
        "health": {"port": 0},
        "data_directory": tmp_path,
        "paper": {"lockstep": True, "start": "2026-01-05"},
    }
    bot = bl.connect(**settings)
    try:
        assert bl.connect(**settings) is bot
        engine = bot.aio.engine
        main = threading.main_thread().ident
        timer = threading.Timer(0.5, signal.pthread_kill, [main, signal.SIGINT])
        with pytest.raises(KeyboardInterrupt):
            timer.start()
            bot.wait("10000d", progress=False)
        timer.join()
        assert bl.connect(**settings) is bot
        assert bot.aio.engine is engine and engine.started
        names = [task.name for task in engine.tasks.status().tasks]
        assert len(names) == len(set(names))
    finally:
        bot.stop()


def test_row_55_the_venue_starts_again_with_its_ledger() -> None:
    async def restart(stage: Stage, row: Row) -> None:
        row.facts["held"] = stage.engine.positions.get("BTC/USDT").amount
        await stage.control.fault("restart", away=20)
        await stage.minutes(3)

    rows, outcome = run({"first": nothing, "restart": restart})
    assert rows["restart"].report is not None and rows["restart"].report.ok
    assert outcome.summary.healthy


async def nothing(stage: Stage, row: Row) -> None:
    await stage.minutes(2)


@pytest.mark.parametrize("stop_loss", [0.05, None], ids=["with a stop", "without"])
def test_row_55_the_venue_has_forgotten_everything(stop_loss: float | None) -> None:
    """What is absent after a reset of the test network is not flat: entries are halted."""
    found: dict[str, Any] = {}

    async def reset(stage: Stage, row: Row) -> None:
        engine, paper = stage.engine, stage.simulation.paper
        await stage.until(lambda: not engine.positions.get("BTC/USDT").flat)
        await paper.close()
        ledger = paper.options.ledger
        assert ledger is not None
        for path in ledger.parent.glob(ledger.name + "*"):
            path.unlink()
        await asyncio.sleep(5)
        await paper.serve()
        await asyncio.sleep(150)
        found["held"] = engine.positions.get("BTC/USDT").amount
        found["halted"] = engine.risk.halted
        before = len(engine.journal.orders())
        await asyncio.sleep(180)
        found["bought"] = [
            order for order in engine.journal.orders()[before:] if order.side == "buy"
        ]
        raise EndOfTest

    with pytest.raises(EndOfTest):
        run({"reset": reset}, strategy=Restless(stop_loss=stop_loss))
    assert found["halted"] is not None
    assert found["held"] > 0
    assert found["bought"] == []


class EndOfTest(Exception):
    """Nothing is to be checked any more: the ledger is another one."""


def test_row_56_queues_overflow() -> None:
    """Forming candles are conflated; whoever misses executions is cut off, aloud."""

    async def slow_readers(stage: Stage, row: Row) -> None:
        bus = stage.engine.bus
        forming = bus.subscribe(CandleUpdated, name="slow chart", maxsize=1)
        fills = bus.subscribe(FillReceived, name="slow book", maxsize=1)
        await stage.minutes(5)
        row.facts["waiting"] = len(forming)
        row.facts["conflated"] = forming.conflated
        newest = [forming.get_nowait() for _ in range(len(forming))]
        row.facts["newest"] = max(one.event_time for one in newest if one is not None)
        row.facts["now"] = stage.engine.market_clock.now()
        forming.close()
        await fills.get()
        with pytest.raises(BusOverflow, match="slow book"):
            await fills.get()
        fills.close()

    rows, _ = run({"slow": slow_readers})
    row = rows["slow"]
    assert row.report is not None and row.report.ok
    assert row.facts["waiting"] <= 2 and row.facts["conflated"] > 10
    assert row.facts["now"] - row.facts["newest"] <= 15_000
    assert len(row.fills) >= 4
