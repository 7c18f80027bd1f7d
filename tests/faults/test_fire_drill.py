"""The fire drill: real processes, real sockets, a real kill."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import botlib as bl
from botlib.drill import STEPS, DrillReport, DrillRow, fire_drill
from botlib.errors import InvalidInput


def test_a_bot_plays_a_drill_beside_itself(tmp_path: Path) -> None:
    bot = bl.connect(
        symbols=["BTC/USDT"],
        history=30,
        health={"port": 0},
        data_directory=tmp_path,
        paper={"lockstep": True, "start": "2026-01-05"},
    )
    try:
        before = bot.orders()
        played = ["fill missed", "kernel killed", "computer asleep"]
        report = bot.fire_drill(faults=played)
        assert [row.fault for row in report.rows] == played
        assert report.passed, str(report)
        assert "events of an order lost" in report.rows[0].happened
        assert "killed with" in report.rows[1].happened
        # Row 15 of the faults: candles that closed meanwhile came, and were not entered on.
        assert "stood for 4 s" in report.rows[2].happened
        assert len(bot.orders()) == len(before)
        assert "3 of 3 passed" in repr(report)
        assert "Fire drill" in report._repr_html_()
        with pytest.raises(InvalidInput, match="Did you mean 'kernel killed'"):
            bot.fire_drill(faults=["kernel killing"])
    finally:
        bot.stop()


async def test_an_unknown_fault_starts_nothing() -> None:
    with pytest.raises(InvalidInput, match="Accepted: connections dropped"):
        async with asyncio.timeout(5):
            await fire_drill(faults=["rain"])


def test_a_report_says_what_failed() -> None:
    row = DrillRow(
        fault=STEPS[0].fault,
        expected=STEPS[0].expected,
        happened="2 connections cut",
        seconds=60.0,
        broken=("I2 trade 4 of BTCUSDT: the kit says no fill, the venue buy 1 at 2",),
    )
    report = DrillReport(rows=(row,), market="paper:synthetic:seed=1")
    assert not report.passed
    assert "FAILED" in str(report) and "I2 trade 4" in str(report)
    assert "FAILED" in report._repr_html_()
    assert not DrillReport(rows=(), market="").passed
