"""The lab of a bot: its own market's candles only, and where else candles are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import botlib as bl
from botlib.core.errors import InvalidInput, UnknownSymbol
from botlib.core.model import Candle, CandleSource
from botlib.core.timeframe import HOUR
from botlib.lab import AsyncLab, Lab
from botlib.store import CandleStorage, Database, database_path

T0 = 1_735_689_600_000  # 2025-01-01
METHODS = (
    "candles", "frames", "backtest", "sweep", "walk_forward", "cross_validate", "check",
    "experiments", "download", "import_files",
)  # fmt: skip
ASYNC = ("candles", "frames", "stored_candles", "data_report", "export", "download", "import_files")


def real(data: Path, *symbols: str, count: int = 30) -> None:
    """Store candles of the real venue, all at a price that no paper market has."""
    with Database.open(database_path(data, "binance"), "binance") as database:
        for symbol in symbols:
            CandleStorage(database).write(
                [
                    Candle(
                        symbol=symbol,
                        timeframe="1h",
                        timestamp=T0 + index * HOUR,
                        open=7.0,
                        high=7.0,
                        low=7.0,
                        close=7.0,
                        volume=1.0,
                        closed=True,
                        source=CandleSource.IMPORT,
                    )
                    for index in range(count)
                ],
                now=1,
            )


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    return tmp_path / "data"


@pytest.fixture
def connect(data: Path) -> Iterator[Callable[..., Any]]:
    bots: list[Any] = []

    def call(**changes: Any) -> Any:
        paper = {"lockstep": True, "start": "2026-01-05"}
        defaults: dict[str, Any] = {"symbols": ["BTC/USDT"], "history": 60, "health": {"port": 0}}
        bots.append(bl.connect(**{**defaults, "strategies": [], "paper": paper, **changes}))
        return bots[-1]

    yield call
    for bot in bots:
        bot.stop()


@pytest.mark.parametrize("name", METHODS)
def test_the_research_methods_of_a_bot_are_those_of_a_lab(name: str) -> None:
    ours, theirs = getattr(bl.Bot, name), getattr(Lab, name)
    assert inspect.signature(ours) == inspect.signature(theirs)
    assert ours.__doc__ == theirs.__doc__


@pytest.mark.parametrize("name", ASYNC)
def test_the_async_research_methods_of_a_bot_are_those_of_an_async_lab(name: str) -> None:
    from botlib.bot import AsyncBot

    ours, theirs = getattr(AsyncBot, name), getattr(AsyncLab, name)
    assert inspect.signature(ours) == inspect.signature(theirs)
    assert inspect.iscoroutinefunction(ours)


def test_a_paper_bot_returns_its_own_candles_and_says_where_real_ones_are(
    connect: Callable[..., Any], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real(data, "BTC/USDT")
    real(data, "ETH/USDT")
    bot = connect(symbols=["BTC/USDT", "ETH/USDT"])
    frame = bot.candles("BTC/USDT", "1h", since="2025-01-01", until="2025-01-02")
    assert len(frame) == 25 and (frame["close"] > 1_000).all()  # synthetic, not the real 7.0
    told = capsys.readouterr().out
    assert "These are candles of paper:synthetic:seed=42." in told
    assert "tradingbot.db' has real candles of BTC/USDT (1h from 2025-01-01" in told
    assert "use bl.research()." in told
    for symbol in ("BTC/USDT", "ETH/USDT"):
        bot.candles(symbol, "1h", since="2025-01-01", until="2025-01-02")
    assert capsys.readouterr().out == ""  # told once
    assert (bl.research().candles("BTC/USDT", "1h")["close"] == 7.0).all()


def test_a_symbol_that_a_paper_market_does_not_list_is_refused_with_where_it_is(
    connect: Callable[..., Any], data: Path, tmp_path: Path
) -> None:
    real(data, "BURGER/USDT")
    rows = "".join(f"{T0 + n * 60_000},1,2,1,2,3\n" for n in range(3_000))
    path = tmp_path / "BTCUSDT-1m.csv"
    path.write_text(f"timestamp,open,high,low,close,volume\n{rows}")
    bot = connect(timeframes=["1m"], recorded=path, paper={"lockstep": True})
    with pytest.raises(UnknownSymbol, match=r"real candles of BURGER/USDT.*use bl\.research\(\)"):
        bot.candles("BURGER/USDT", "1h", since="2025-01-01")
    with pytest.raises(UnknownSymbol, match=r"use bl\.research\(\)"):
        bot.backtest(bl.TrendCross(timeframes=("1h",)), "BURGER/USDT", since="2025-01-01")


def test_a_span_that_a_recording_does_not_have_is_an_error_that_names_where_it_is(
    connect: Callable[..., Any], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real(data, "BTC/USDT")
    rows = "".join(f"{T0 + n * 60_000},1,2,1,2,3\n" for n in range(3_000))
    path = tmp_path / "BTCUSDT-1m.csv"
    path.write_text(f"timestamp,open,high,low,close,volume\n{rows}")
    bot = connect(timeframes=["1m"], recorded=path, paper={"lockstep": True})
    with pytest.raises(InvalidInput, match=r"paper:recording:.* has no candles.*bl\.research\(\)"):
        bot.candles("BTC/USDT", "1m", since="2024-11-01", until="2024-12-01")
    found = bot.candles("BTC/USDT", "1m", since="2024-12-30")
    assert found.index[0] == pd.Timestamp(T0, unit="ms") and found["close"].max() == 2.0
    assert "begins 2025-01-01 00:00:00; asked for 2024-12-30" in capsys.readouterr().out


def test_files_are_not_imported_into_a_paper_market(connect: Callable[..., Any]) -> None:
    with pytest.raises(InvalidInput, match=r"never mixed: |never mixed"):
        connect().import_files("BTCUSDT-1h.csv")


def test_a_bot_stores_its_markets_for_a_lab_of_the_same_market(connect: Callable[..., Any]) -> None:
    bot = connect(paper={"lockstep": True, "start": "2026-01-05", "fee": 0.0005})
    assert bot.download("BTC/USDT", "1h", since="2d").stored > 40
    strategy = bl.TrendCross(fast=3, slow=8, timeframes=("1h",))
    ours = bot.backtest(strategy, "BTC/USDT", since="2d")
    assert bot.market("BTC/USDT").source == "read from paper:synthetic:seed=42 by this bot"
    lab = bl.research("synthetic-42")
    assert lab.venue == bot.lab.venue
    assert lab.market("BTC/USDT").market == bot.market("BTC/USDT").market
    assert lab.market("BTC/USDT").fee == bot.market("BTC/USDT").fee == 0.0005
    assert not lab.market("BTC/USDT").shipped
    start = ours.frame.index[0]
    theirs = lab.backtest(strategy, "BTC/USDT", since=start.to_pydatetime())
    assert len(lab.candles("BTC/USDT", "1h")) > 40
    assert theirs.equity.index[-1] == ours.equity.index[-1]
    bot.stop()
    assert len(bot.candles("BTC/USDT", "1h")) > 40  # read only, after the stop
    assert len(lab.candles("BTC/USDT", "1h")) > 40


def test_a_backtest_of_a_bot_spends_and_pays_what_the_bot_does(connect: Callable[..., Any]) -> None:
    paper = {"lockstep": True, "start": "2026-01-05", "fee": 0.0008, "slippage": 0.0005}
    paper |= {"burn_bnb": True, "balances": {"USDT": 10_000, "BNB": 5}, "maker_fee": 0.0002}
    bot = connect(risk={"max_order_cost": 900}, paper=paper)
    strategy = bl.TrendCross(timeframes=("1m",), fast=2, slow=4)
    active = bot.trade(strategy, "BTC/USDT")
    spends = bot.aio.engine.signals.strategies[active.split(":")[0]].order_cost
    result = bot.backtest(strategy, "BTC/USDT")
    assert result.order_cost == float(spends) == 450.0
    expected = bl.Costs.none(fee=0.0006).changed(slippage=0.0005)
    assert result.costs == replace(expected, maker=0.00015, paid_in="BNB")
    limits = bl.RiskLimits(**bot.settings.risk.model_dump())
    assert bot.backtest(strategy, "BTC/USDT", limits=limits).order_cost == 450.0
    assert bot.backtest(strategy, "BTC/USDT", order_cost="all", fee=0.0).fee == 0.0
