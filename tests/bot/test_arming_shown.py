"""What a person sees when live trading is armed, in a program that takes paper for the venue."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import botlib as bl
from botlib.core.errors import ConfigError
from botlib.paper import PAPER_API_KEY, PAPER_API_SECRET, PaperProcess
from botlib.venues.binance.venue import BinanceExchange

FILE = """
mode: live
symbols: [BTC/USDT]
timeframes: [1m]
history: 60
strategies: []
health: {port: 0}
risk: {max_position: 700}
"""


@pytest.fixture
def venue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PaperProcess]:
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    options = ["--seed", "7", "--symbols", "BTC/USDT", "--start", "now", "--fee", "0.00075"]
    process = asyncio.run(PaperProcess.start(options, log=tmp_path / "paper.log"))

    def make(_: object) -> BinanceExchange:
        keys = (PAPER_API_KEY, PAPER_API_SECRET)
        return BinanceExchange(venue="binance", rest_url=process.url, keys=keys)

    monkeypatch.setattr("botlib.engine.orchestrator.make_exchange", make)
    (tmp_path / "bot.yaml").write_text(FILE)
    yield process
    asyncio.run(process.stop())


def test_connecting_shows_account_caps_and_strategies(
    venue: PaperProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="not armed in code"):
        bl.connect(tmp_path / "bot.yaml")
    bot: Any = bl.connect(tmp_path / "bot.yaml", live=True)
    try:
        out = capsys.readouterr().out
        assert "LIVE TRADING on Binance is armed" in out
        assert "key may withdraw" in out and "balance USDT" in out
        assert "max_position" in out and "700" in out and "strategies" in out
        assert bot.arming is not None and repr(bot).startswith("LIVE")
        # The account pays, not what a paper market would take.
        assert "0.075%" in out and bot.lab.market("BTC/USDT").fee == 0.00075
        stored = bl.research("binance", data_directory=tmp_path / "data").market("BTC/USDT")
        assert stored.fee == 0.00075
    finally:
        bot.stop()


def test_a_key_that_may_withdraw_is_refused_and_nothing_runs(
    venue: PaperProcess, tmp_path: Path
) -> None:
    async def permit() -> None:
        async with venue.control() as control:
            await control.permit(["USER_DATA", "TRADE", "WITHDRAW"])

    asyncio.run(permit())
    with pytest.raises(ConfigError, match="withdrawals"):
        bl.connect(tmp_path / "bot.yaml", live=True)
