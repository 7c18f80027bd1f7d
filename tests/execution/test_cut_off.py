"""Orders that were journaled and never sent: a real bot is killed between the two."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from botlib.core.model import OrderRole, OrderStatus
from botlib.engine import Orchestrator
from botlib.paper import PaperProcess
from botlib.venues.binance.capabilities import BINANCE
from tests.support.cut_off_bot import settings
from tests.support.order_stage import SYMBOL, Trader

LATEST = 25.0
"""Seconds after the start by which everything is as wanted, on a machine with other work too."""


@pytest.mark.parametrize("role", [OrderRole.STOP, OrderRole.ENTRY])
async def test_an_order_cut_off_before_its_request_is_given_up_after_its_window(
    tmp_path: Path, role: OrderRole
) -> None:
    words = ["--seed", "5", "--symbols", SYMBOL, "--start", "2026-01-05"]
    async with await PaperProcess.start(words, log=tmp_path / "exchange.log") as exchange:
        bot = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.support.cut_off_bot", exchange.url, str(tmp_path / "data"), role),
        )
        assert await asyncio.wait_for(bot.wait(), 90) == -9
        engine = Orchestrator(settings(exchange.url, tmp_path / "data"))
        control = exchange.control()
        began = asyncio.get_running_loop().time()
        try:
            await engine.start()
            trader = Trader(engine, control, ["cut-off"])
            await trader.until(
                lambda: any(one.status is OrderStatus.ABSENT for one in trader.orders(role))
            )
            if role is OrderRole.STOP:
                await trader.protected()
            took = asyncio.get_running_loop().time() - began
            assert BINANCE.absence_fence / 1_000 <= took < LATEST
            await trader.agree()
            assert len(trader.orders(OrderRole.ENTRY)) == 1, "what was cut off is not sent again"
        finally:
            await engine.stop()
            await control.close()
