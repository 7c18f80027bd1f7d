"""A symbol that the venue delists: the bot starts all the same, and trades the others."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from botlib.config import Settings
from botlib.core.errors import UnknownSymbol
from botlib.engine import Orchestrator
from botlib.paper import PaperProcess
from tests.support.market_faults import Restless


async def test_a_delisted_symbol_does_not_stop_the_start(tmp_path: Path) -> None:
    arguments = ["--seed", "5", "--symbols", "BTC/USDT,ETH/USDT", "--start", "2026-01-05"]
    arguments += ["--speed", "60"]
    exchange = await PaperProcess.start(arguments, log=tmp_path / "exchange.log")
    settings = Settings().override(
        {
            "symbols": ["BTC/USDT", "ETH/USDT"],
            "timeframes": ["1m"],
            "history": 30,
            "strategies": [],
            "health": {"port": 0},
            "paper": {"url": exchange.url},
            "data_directory": tmp_path / "data",
        }
    )
    control = exchange.control()
    try:
        engine = Orchestrator(settings)
        await engine.start()
        await engine.trade(Restless(stop_loss=0.05), "ETH/USDT", name="eth")
        async with asyncio.timeout(60):
            while not engine.positions.get("ETH/USDT").amount:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await engine.stop()
        await control.fault("delist", symbol="ETHUSDT")
        engine = Orchestrator(settings)
        await engine.start()
        try:
            assert "ETH/USDT is not listed" in engine.halts.reasons("ETH/USDT")[0]
            assert engine.halts.reasons("BTC/USDT") == ()
            assert engine.positions.get("ETH/USDT").amount > 0, "absence is not flat"
            await engine.trade(Restless(stop_loss=0.05), "BTC/USDT", name="btc")
            async with asyncio.timeout(60):
                while not engine.positions.get("BTC/USDT").amount:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        finally:
            await engine.stop()
        never = Orchestrator(settings.override({"symbols": ["BTC/USDT", "XYZ/USDT"]}))
        with pytest.raises(UnknownSymbol, match="XYZ/USDT"):
            await never.start()
    finally:
        await control.close()
        await exchange.stop()
