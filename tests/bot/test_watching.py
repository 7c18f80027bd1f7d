"""Watching a venue without keys; a paper exchange on this computer stands in for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import botlib as bl
from botlib.core.errors import ConfigError, ExchangeUnavailable, InvalidInput, PaperExchangeError
from botlib.paper import PaperProcess
from botlib.strategies import TrendCross
from botlib.views.dashboard_state import StateBuilder

LIMIT = 90.0
# At 60 minutes a minute; the market begins at the time of the computer, as a venue does.
KEYS = ("BINANCE_API_KEY", "BINANCE_API_SECRET")


@pytest.fixture
def venue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PaperProcess]:
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    options = ["--seed", "7", "--symbols", "BTC/USDT", "--speed", "60", "--start", "now"]
    process = asyncio.run(PaperProcess.start(options, log=tmp_path / "paper.log"))
    yield process
    asyncio.run(process.stop())


def watch(venue: PaperProcess, **changes: Any) -> Any:
    return bl.connect(
        market="binance",
        symbols=["BTC/USDT"],
        timeframes=["1m"],
        history=60,
        health={"port": 0},
        exchange={"url": venue.url},
        **changes,
    )


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def ledger(venue: PaperProcess) -> dict[str, Any]:
    async def read() -> dict[str, Any]:
        async with venue.control() as control:
            found: dict[str, Any] = await control.ledger()
            return found

    return asyncio.run(read())


def test_a_venue_is_watched_without_keys_and_nothing_can_be_ordered(
    venue: PaperProcess, tmp_path: Path
) -> None:
    bot = watch(venue, paper={"fee": 0.005})
    try:
        engine = bot.aio.engine
        until(lambda: engine.health().candles_closed >= 3)
        # The fee of a paper account is not that of the venue.
        assert bot.lab.market("BTC/USDT").fee == 0.001
        assert repr(bot).startswith("WATCH") and ">WATCH</span>" in bot._repr_html_()
        until(lambda: engine.health().healthy)
        assert engine.venue == "binance" and engine.health().mode == "watch"
        assert Path(engine.database) == tmp_path / "data" / "stand-in" / "tradingbot.db"
        names = {task.name for task in engine.tasks.status().tasks}
        assert names == {"market_data_collection", "signal_generation"}
        assert len(bot.candles("BTC/USDT", "1m")) >= 60
        assert "it only watches" in bot._repr_html_() and "booked" not in bot._repr_html_()
        holds = StateBuilder(engine).build({})["holds"]
        assert [row["text"] for row in holds["rows"].values()] == [
            "this bot only watches the market: nothing is ordered"
        ]
        summary = bot.summary()
        assert "equity" not in str(summary) + summary._repr_html_() + repr(summary)
        assert "signals" in str(summary)
        with pytest.raises(InvalidInput, match=r"(?s)only watches.*testnet.*bot\.follow\("):
            bot.trade(TrendCross(timeframes=("1m",)), "BTC/USDT", name="trend")
        assert "nothing" in bot.close_position("BTC/USDT")
    finally:
        bot.stop()
    assert ledger(venue)["orders"] == []


def test_signals_of_a_watched_market_are_shown_and_lead_to_no_order(venue: PaperProcess) -> None:
    entry = {
        "name": "quick",
        "strategy": "TrendCross",
        "symbol": "BTC/USDT",
        "timeframe": "1m",
        "parameters": {"fast": 2, "slow": 3},
    }
    bot = watch(venue, strategies=[entry])
    try:
        engine = bot.aio.engine
        until(lambda: engine.signals.signals >= 1)
        until(lambda: engine.health().healthy)
        assert engine.orders.sent == 0 and engine.orders.desks == {}
    finally:
        bot.stop()
    assert ledger(venue)["orders"] == []


def test_a_strategy_is_followed_in_one_call(
    venue: PaperProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BOTLIB_WIDGETS", "static")
    bot = watch(venue)
    try:
        chart = bot.chart("SOL/USDT", "1m")
        strategy = TrendCross(fast=2, slow=3, timeframes=("1m",))
        line = bot.follow(strategy, "SOL/USDT")
        assert line.startswith("TrendCross SOL/USDT is followed: TrendCross(fast=2, slow=3")
        assert "last signal: " in line and line.endswith("Nothing of it is ordered.")
        past = bot.signals
        assert len(past) > 3 and not past["live"].any() and not past["ordered"].any()
        until(lambda: bool(bot.signals["live"].sum() >= 2))
        live = bot.signals[bot.signals["live"]]
        assert live["candle"].min() > past["candle"].max()
        (row,) = bot.strategies.itertuples()
        assert not row.trades and row.signals >= 2 and row.last_signal in ("entry", "exit")
        until(lambda: len(chart.marks.markers) >= len(past) + 2)
        assert {one.kind for one in chart.marks.markers} == {"entry signal", "exit signal"}
        assert "streamed already" in bot.watch("SOL/USDT", "1m")
        assert bot.follow(strategy, "SOL/USDT").startswith("TrendCross SOL/USDT is followed")
        assert bot.signals["live"].sum() >= 2, "the same call again changes nothing"
        until(lambda: bot.health().healthy)
        capsys.readouterr()
        bot.follow(strategy, "ETH/USDT", name="eth")
        assert capsys.readouterr().out.startswith("ETH/USDT 1m is streamed from now on")
        with pytest.raises(InvalidInput, match="the strategy 'eth' needs it"):
            bot.unwatch("ETH/USDT")
    finally:
        bot.stop()
    assert ledger(venue)["orders"] == []


def test_one_market_is_chosen_at_a_time() -> None:
    with pytest.raises(ConfigError, match=r"market='binance' and recorded='a\.csv' are 2 markets"):
        bl.connect(market="binance", recorded="a.csv")
    with pytest.raises(ConfigError, match="are 2 markets; a bot has one"):
        bl.connect(recorded="a.csv", replay={"symbols": ["BTC/USDT"]})
    with pytest.raises(ConfigError, match="only watches, and live=True arms orders"):
        bl.connect(market="binance", live=True)


def test_symbols_come_and_go_in_a_watched_market_and_signals_are_listed(
    venue: PaperProcess,
) -> None:
    entry = {
        "name": "quick",
        "strategy": "TrendCross",
        "symbol": "BTC/USDT",
        "timeframe": "1m",
        "parameters": {"fast": 2, "slow": 3},
    }
    bot = watch(venue, strategies=[entry])
    try:
        assert bot.watch("SOL/USDT", "1m").startswith("SOL/USDT 1m is streamed from now on")
        storage = bot.aio.engine.storage
        first = storage.last_closed("SOL/USDT", "1m")
        until(lambda: storage.last_closed("SOL/USDT", "1m") >= first + 120_000)
        until(lambda: bot.strategies.loc[0, "last_signal"] != "")
        assert bot.strategies.loc[0, "held"] == 0
        until(lambda: bot.health().healthy)
        bot.unwatch("SOL/USDT")
        assert bot.stop_strategy("quick").startswith("quick is stopped")
        assert list(bot.strategies["state"]) == ["off"]
    finally:
        bot.stop()
    assert ledger(venue)["orders"] == []


def test_what_cannot_be_watched_is_refused(venue: PaperProcess) -> None:
    for market in ("binanse", "paper:synthetic:seed=1"):
        with pytest.raises(InvalidInput, match="Accepted: binance"):
            bl.connect(market=market)
    with pytest.raises(ConfigError, match="on this computer only"):
        bl.connect(market="binance", exchange={"url": "http://api.example.com:80"})


def test_nothing_beyond_this_computer_is_asked_if_told_so(tmp_path: Path) -> None:
    # The tests say so for all of themselves.
    with pytest.raises(ExchangeUnavailable, match=r"^BOTLIB_OFFLINE is set.*bl\.connect\(\)"):
        bl.connect(market="binance", data_directory=tmp_path)
    with pytest.raises(PaperExchangeError, match=r"binance is not asked\. BOTLIB_OFFLINE is set"):
        bl.connect(paper={"market": "mirror"}, data_directory=tmp_path)
    assert not list(tmp_path.rglob("*.db"))
