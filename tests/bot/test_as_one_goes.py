"""Symbols, charts and strategies that a person adds and removes in cells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import botlib as bl
from botlib.core.errors import InvalidInput
from tests.support.trends import TREND_BTC


@pytest.fixture
def bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    monkeypatch.setenv("BOTLIB_WIDGETS", "static")
    found = bl.connect(
        symbols=["BTC/USDT"],
        timeframes=["1m"],
        history=60,
        strategies=TREND_BTC,
        health={"port": 0},
        paper={"lockstep": True, "start": "2026-01-05"},
    )
    yield found
    found.stop()


def test_watch_and_unwatch_say_what_they_did_in_a_line(bot: Any) -> None:
    line = bot.watch("SOLUSDT", "1h")
    assert line == "SOL/USDT 1h is streamed from now on, after 60 candles or more of history."
    assert bot.watch("SOL/USDT", "1h") == "SOL/USDT 1h is streamed already."
    assert "SOL/USDT" in set(bot.streams()["symbol"])
    assert "not streamed any more" in bot.unwatch("SOL/USDT")
    assert "SOL/USDT" not in set(bot.streams()["symbol"])
    assert len(bot.candles("SOL/USDT", "1h", limit=10)) == 10


def test_a_chart_streams_what_it_shows_and_keeps_it(
    bot: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    chart = bot.chart("ETH/USDT", "5m")
    assert capsys.readouterr().out.startswith("ETH/USDT 5m is streamed from now on")
    with pytest.raises(InvalidInput, match="a chart shows it"):
        bot.unwatch("ETH/USDT", "5m")
    chart.close()
    bot.unwatch("ETH/USDT", "5m")
    bot.chart("BTC/USDT", "1m")
    assert capsys.readouterr().out == ""


def test_strategies_shows_what_trades_and_stopping_one_says_what_stays(
    bot: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    bot.trade(bl.TrendCross(fast=5, slow=20, timeframes=("5m",)), "SOL/USDT", name="cross")
    assert "SOL/USDT 5m is streamed from now on" in capsys.readouterr().out
    bot.wait("12h", progress=False)
    table = bot.strategies.set_index("name")
    assert list(table.index) == ["trend-btc", "cross"]
    row = table.loc["cross"]
    assert (row["symbol"], row["timeframe"], row["strategy"]) == ("SOL/USDT", "5m", "TrendCross")
    assert "fast=5" in row["parameters"] and row["asked"] > 100 and row["signals"] > 0
    assert row["last_signal"] in ("entry", "exit") and row["signalled"] <= row["last_asked"]
    line = bot.stop_strategy("cross")
    assert line.startswith("cross is stopped")
    assert ("bot.close_position('SOL/USDT')" in line) == (row["held"] > 0)
    assert "next start begins it again" in bot.stop_strategy("trend-btc")
    assert list(bot.strategies["state"]) == ["off", "off"]


def test_a_strategy_is_followed_beside_one_that_trades(bot: Any) -> None:
    strategy = bl.TrendCross(fast=5, slow=20, timeframes=("5m",))
    bot.trade(strategy, "BTC/USDT", name="trades")
    bot.follow(strategy, "BTC/USDT", name="followed")
    with pytest.raises(InvalidInput, match="'trades' trades"):
        bot.follow(strategy, "BTC/USDT", name="trades")
    bot.wait("12h", progress=False)
    signals = bot.signals[bot.signals["live"]]
    both = [signals[signals["strategy"] == name] for name in ("trades", "followed")]
    assert list(both[0]["candle"]) == list(both[1]["candle"]) and len(both[0]) > 0
    assert both[0]["ordered"].all() and not both[1]["ordered"].any()
    assert "trades" in set(bot.orders()["strategy"])
    assert "followed" not in set(bot.orders()["strategy"]) | set(bot.books["strategy"])
    assert bot.stop_strategy("followed") == "followed is stopped: it is not asked any more."
    # What was followed may trade: one of its name replaces it.
    bot.follow(strategy, "BTC/USDT", name="later")
    bot.trade(strategy, "BTC/USDT", name="later")
    assert bot.strategies.set_index("name").loc["later", "trades"]
