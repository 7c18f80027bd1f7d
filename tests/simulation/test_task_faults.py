"""Faults of tasks, cells, the venue and slow readers, in virtual time."""

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
from tests.support.market_faults import FaultRecord, Restless, Stage, run
from tests.support.trends import TREND_BTC


def test_a_slow_task_never_overlaps_and_missed_runs_are_not_made_up_for() -> None:
    """A run longer than its interval never overlaps the next; missed runs become one."""
    inside, most, runs = 0, 0, 0

    async def tasks(stage: Stage, record: FaultRecord) -> None:
        async def slow() -> None:
            nonlocal inside, most, runs
            inside += 1
            runs += 1
            most = max(most, inside)
            await asyncio.sleep(3.5)
            inside -= 1

        stage.engine.tasks.task(interval=1, name="slow", start_immediately=True)(slow)
        await asyncio.sleep(20)
        record.facts["runs"] = runs
        loop: Any = asyncio.get_running_loop()
        loop._now += 60.0
        await asyncio.sleep(4.2)
        record.facts["after"] = runs
        await stage.engine.tasks.stop_task("slow")

    records, _ = run({"tasks": tasks})
    assert most == 1
    assert 4 <= records["tasks"].facts["runs"] <= 7
    # Of the sixty runs due while the loop was blocked, one or two are made up for.
    assert records["tasks"].facts["after"] - records["tasks"].facts["runs"] <= 3
    assert records["tasks"].report is not None and records["tasks"].report.ok


def test_a_cell_run_again_or_interrupted_keeps_the_bot(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "symbols": ["BTC/USDT"],
        "history": 30,
        "health": {"port": 0},
        "data_directory": tmp_path,
        "strategies": TREND_BTC,
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


def test_a_venue_that_restarts_with_its_ledger_is_found_again() -> None:
    async def restart(stage: Stage, record: FaultRecord) -> None:
        record.facts["held"] = stage.engine.positions.get("BTC/USDT").amount
        await stage.control.fault("restart", away=20)
        await stage.minutes(3)

    records, outcome = run({"first": nothing, "restart": restart})
    assert records["restart"].report is not None and records["restart"].report.ok
    assert outcome.summary.healthy


async def nothing(stage: Stage, record: FaultRecord) -> None:
    await stage.minutes(2)


@pytest.mark.parametrize("stop_loss", [0.05, None], ids=["with a stop", "without"])
def test_a_venue_that_lost_its_ledger_halts_entries(stop_loss: float | None) -> None:
    """A position that the venue lost, as after a reset of the test network, halts entries."""
    found: dict[str, Any] = {}

    async def reset(stage: Stage, record: FaultRecord) -> None:
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
        found["halted"] = engine.halts.first
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
    """Ends a run whose ledger was replaced, so that nothing can be checked any more."""


def test_overflowing_queues_conflate_candles_and_raise_for_fills() -> None:
    """Forming candles are conflated; a reader that misses fills gets an error."""

    async def slow_readers(stage: Stage, record: FaultRecord) -> None:
        bus = stage.engine.bus
        forming = bus.subscribe(CandleUpdated, name="slow chart", maxsize=1)
        fills = bus.subscribe(FillReceived, name="slow book", maxsize=1)
        await stage.minutes(5)
        record.facts["waiting"] = len(forming)
        record.facts["conflated"] = forming.conflated
        newest = [forming.get_nowait() for _ in range(len(forming))]
        record.facts["newest"] = max(one.event_time for one in newest if one is not None)
        record.facts["now"] = stage.engine.market_clock.now()
        forming.close()
        await fills.get()
        with pytest.raises(BusOverflow, match="slow book"):
            await fills.get()
        fills.close()

    records, _ = run({"slow": slow_readers})
    record = records["slow"]
    assert record.report is not None and record.report.ok
    assert record.facts["waiting"] <= 2 and record.facts["conflated"] > 10
    assert record.facts["now"] - record.facts["newest"] <= 15_000
    assert len(record.fills) >= 4
