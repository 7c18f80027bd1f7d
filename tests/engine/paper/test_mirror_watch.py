"""A bot on a mirror that becomes stale: it says so, holds entries back, and goes on by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from botlib.bot.card import bot_card
from botlib.config import Settings
from botlib.core.errors import InvalidInput
from botlib.engine import Orchestrator
from botlib.paper import PaperProcess
from botlib.views.dashboard_state import StateBuilder
from botlib.views.summary import summarise, summary_table
from tests.support.mirror_rig import mirror
from tests.support.scripted_venue import until

SYMBOL = "BTC/USDT"


@asynccontextmanager
async def bot_on(data: Path, paper: dict[str, Any]) -> AsyncIterator[Orchestrator]:
    """Run an engine with a quick strategy, whose own rounds come too late for any test."""
    settings = Settings.from_dict(
        {
            "data_directory": data,
            "symbols": [SYMBOL],
            "timeframes": ["1m"],
            "history": 60,
            "health": {"port": 0},
            "tasks": {"order_sync": {"interval": "10m"}},
            "strategies": [
                {
                    "name": "trend",
                    "strategy": "TrendCross",
                    "symbol": SYMBOL,
                    "parameters": {"fast": 2, "slow": 4},
                }
            ],
            "paper": paper,
        }
    )
    engine = Orchestrator(settings)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


def stale(engine: Orchestrator) -> bool:
    """Return whether the engine knows that its mirror is stale."""
    return engine.mirror is not None and engine.mirror.stale


async def test_a_cut_upstream_is_told_and_orders_resume_by_themselves(tmp_path: Path) -> None:
    async with (
        await PaperProcess.start(["--speed", "60", "--seed", "7"]) as upstream,
        upstream.control() as control,
        bot_on(
            tmp_path,
            {"market": "mirror", "mirror": {"upstream": upstream.url, "stale_after": "5s"}},
        ) as engine,
    ):
        await until(lambda: engine.orders.fills >= 1, 90)
        assert engine.kind == "mirror" and not stale(engine)
        await control.fault("restart", away=6)
        await until(lambda: stale(engine))

        # A stale mirror does not look healthy, and says why.
        health = engine.health()
        assert not health.healthy
        assert health.reasons[0].startswith("the mirror of binance is stale, and fills nothing: ")
        assert len([one for one in health.reasons if "stale" in one]) == 1
        assert "the mirror of binance is stale" in " ".join(engine.orders.cautions)
        card = bot_card(engine)
        assert "MIRROR" in card and "the mirror of binance is stale" in card
        assert "held back" in card
        state = StateBuilder(engine).build({})
        assert state["head"]["mode"] == "mirror"
        assert "mirror of binance is stale" in state["head"]["reasons"][0]
        assert state["feeds"]["rows"]["binance mirror"]["state"] == "stale"
        assert any("stale" in row["text"] for row in state["holds"]["rows"].values())
        assert not (await engine.exchange.reload_market(SYMBOL)).active

        # It knows by itself when that has passed.
        await until(lambda: not stale(engine), 90)
        await until(lambda: engine.exchange.market(SYMBOL).active)
        await until(lambda: not engine.orders.cautions)
        before = engine.orders.fills
        await until(lambda: engine.orders.fills > before, 90)
        await until(lambda: not any("mirror" in one for one in engine.health().reasons))

        # What was lost stays in sight.
        assert engine.mirror is not None and engine.mirror.reconnections >= 1
        assert "reconnection" in bot_card(engine)
        lines = [line.text for line in engine.log.tail()]
        assert any("is stale, and fills nothing" in line for line in lines)
        assert any("follows it again after" in line for line in lines)
        _, rows = summary_table((await summarise(engine, engine.health())).to_dict())
        assert "reconnection" in dict((str(name), str(value)) for name, value in rows)["mirror"]
    log = (tmp_path / "logs" / "paper.log").read_text()
    assert "The mirror of binance is stale" in log and "follows binance again" in log


async def test_a_bot_that_connects_to_a_stale_mirror_trades_when_it_has_recovered(
    tmp_path: Path,
) -> None:
    async with (
        await PaperProcess.start(["--speed", "60", "--seed", "7"]) as upstream,
        mirror(upstream.url) as made,
    ):
        await until(made.awake)
        await made.control.pause()
        async with bot_on(tmp_path, {"url": made.url}) as engine:
            # The market of an address is known by its name.
            assert engine.kind == "mirror"
            await until(lambda: stale(engine))
            assert "It was paused." in engine.health().reasons[0]
            assert not engine.exchange.market(SYMBOL).active
            with pytest.raises(InvalidInput, match="does not trade it now"):
                await engine.watch("ETH/USDT", ["1m"])
            await made.control.resume()
            await until(lambda: engine.exchange.market(SYMBOL).active)
            await until(lambda: engine.orders.fills >= 1, 90)
            # Symbols that nobody asked about are asked about when they are wanted.
            assert not engine.exchange.market("ETH/USDT").active
            assert await engine.watch("ETH/USDT", ["1m"]) == [("ETH/USDT", "1m")]


async def test_a_mirror_that_is_gone_holds_entries_back(tmp_path: Path) -> None:
    async with await PaperProcess.start(["--speed", "60", "--seed", "7"]) as upstream:
        process = await PaperProcess.start(
            ["--mirror", "binance", "--upstream", upstream.url, "--symbols", SYMBOL]
        )
        async with process, bot_on(tmp_path, {"url": process.url}) as engine:
            assert not engine.orders.cautions
            process.kill()
            await until(lambda: "the mirror does not answer" in engine.orders.cautions)
            assert not engine.health().healthy
