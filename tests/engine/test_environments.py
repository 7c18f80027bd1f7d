"""Trading on the testnet and the demo of a venue, for which a paper exchange stands in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from botlib.bot.card import bot_card
from botlib.config import Settings
from botlib.core.errors import BotlibError, ConfigError
from botlib.core.model import OrderIntent, OrderType, Side
from botlib.engine import Orchestrator
from botlib.paper import PaperProcess
from botlib.store import Database
from botlib.venues.registry import capabilities
from botlib.views.summary import summarise

BUY = OrderIntent(
    client_order_id="environment-1",
    strategy="test",
    symbol="BTC/USDT",
    side=Side.BUY,
    type=OrderType.MARKET,
    amount=Decimal("0.001"),
)


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[PaperProcess]:
    options = ["--seed", "7", "--symbols", "BTC/USDT", "--start", "now"]
    async with await PaperProcess.start(options, log=tmp_path / "paper.log") as found:
        yield found


def settings(folder: Path, exchange: dict[str, Any]) -> Settings:
    return Settings.from_dict(
        {
            "mode": "live",
            "symbols": ["BTC/USDT"],
            "timeframes": ["1m"],
            "history": 30,
            "strategies": [],
            "data_directory": str(folder / "data"),
            "health": {"port": 0},
            "exchange": exchange,
        }
    )


@pytest.mark.parametrize("environment", ["testnet", "demo"])
async def test_play_money_has_keys_a_database_and_a_badge_of_its_own(
    process: PaperProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: str
) -> None:
    word, name = environment.upper(), f"binance-{environment}"
    chosen = settings(tmp_path, {"environment": environment, "url": process.url})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BINANCE_API_KEY", "of-the-real-account")
    monkeypatch.setenv("BINANCE_API_SECRET", "of-the-real-account")
    # Keys are read before anything is reached.
    with pytest.raises(ConfigError, match=f"BINANCE_{word}_API_KEY is not set"):
        await Orchestrator(settings(tmp_path, {"environment": environment}), live=True).start()
    # Play money cannot be withdrawn, whatever its account says.
    async with process.control() as control:
        await control.permit(["USER_DATA", "TRADE", "WITHDRAW"])
    engine = Orchestrator(chosen, live=True)
    await engine.start()
    try:
        path = Path(engine.database)
        assert (engine.venue, path.name) == (name, f"{name}.db")
        assert engine.arming is not None
        assert f"{word} TRADING on {capabilities(name).title} is armed" in str(engine.arming)
        shown = engine.arming._repr_html_()
        assert f">{word}</span>" in shown and ">LIVE<" not in shown
        assert dict(engine.arming.rows)["key may withdraw"].endswith("since it is play money)")
        card = bot_card(engine)
        assert f">{word}</span>" in card and "LIVE" not in card
        assert engine.health().mode == environment
        await engine.parts.exchange.place_order(BUY)
        async with process.control() as control:
            assert len((await control.ledger())["orders"]) == 1
    finally:
        await engine.stop()
    assert not list((tmp_path / "data").glob("tradingbot.db*"))
    with pytest.raises(BotlibError, match=name):
        Database.open(path, "binance")


async def test_a_stand_in_has_files_of_its_own_and_gets_no_key(
    process: PaperProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The stand-in refuses a request signed with any other key than the paper exchange's.
    monkeypatch.setenv("BINANCE_API_KEY", "of-the-real-account")
    monkeypatch.setenv("BINANCE_API_SECRET", "of-the-real-account")
    engine = Orchestrator(settings(tmp_path, {"url": process.url}), live=True)
    await engine.start()
    try:
        assert engine.venue == "binance" and engine.arming is not None
        assert ">LIVE</span>" in bot_card(engine)
        # Its prices and its money are not the venue's, which everything shown of it says.
        assert "binance, a stand-in" in bot_card(engine)
        assert "LIVE binance, a stand-in" in repr(engine.health())
        assert engine.kind_words == ("stand-in", "a paper exchange stands in: not real prices")
        assert "stands in: not real prices" in str(await summarise(engine, engine.health()))
        assert Path(engine.database) == tmp_path / "data" / "stand-in" / "tradingbot.db"
    finally:
        await engine.stop()
    assert not list((tmp_path / "data").glob("tradingbot.db*"))


def test_a_stand_in_is_reached_on_this_computer_only(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="on this computer only"):
        settings(tmp_path, {"url": "http://api.example.com"})


def test_an_unknown_environment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'live', 'testnet' or 'demo'"):
        settings(tmp_path, {"environment": "test"})
