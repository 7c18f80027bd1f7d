"""Replays of stored candles: several symbols in step, what is missing, and the backtest of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import botlib as bl
from botlib.core.errors import BotlibError, ConfigError, InvalidInput
from botlib.core.model import Candle, CandleSource
from botlib.core.timeframe import HOUR, MINUTE, timeframe_ms
from botlib.store import CandleStorage, Database, database_path

T0 = 1_722_470_400_000
"""2024-08-01, in ms."""
TREND = bl.TrendCross(timeframes=("1m",), fast=4, slow=9, stop_loss=0.001, take_profit=0.0012)


def walk(symbol: str, price: float, minutes: range, timeframe: str = "1m") -> list[Candle]:
    """Return candles of a random walk, without those that ``minutes`` leaves out."""
    chance = np.random.default_rng(len(symbol) + int(price))
    closes = np.round(price * np.exp(np.cumsum(chance.normal(0, 6e-4, max(minutes) + 1))), 2)
    opens = np.concatenate([[price], closes[:-1]])
    return [
        Candle(
            symbol=symbol,
            timeframe=timeframe,
            timestamp=T0 + n * timeframe_ms(timeframe),
            open=float(opens[n]),
            high=round(float(max(opens[n], closes[n])) * 1.0002, 2),
            low=round(float(min(opens[n], closes[n])) * 0.9998, 2),
            close=float(closes[n]),
            volume=5.5,
            closed=True,
            source=CandleSource.IMPORT,
        )
        for n in minutes
    ]


def store(data: Path, *parts: list[Candle]) -> None:
    with Database.open(database_path(data, "binance"), "binance") as database:
        for part in parts:
            CandleStorage(database).write(part, now=1)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    return tmp_path / "data"


@pytest.fixture
def connect(data: Path) -> Iterator[Callable[..., Any]]:
    bots: list[Any] = []

    def call(**changes: Any) -> Any:
        defaults: dict[str, Any] = {
            "timeframes": ["1m"],
            "history": 60,
            "health": {"port": 0},
            "strategies": [],
            "paper": {"lockstep": True, "balances": {"USDT": 100_000}},
        }
        bots.append(bl.connect(**{**defaults, **changes}))
        return bots[-1]

    yield call
    for bot in bots:
        bot.stop()


def test_two_symbols_are_replayed_in_step_and_trade_as_their_backtests_do(
    connect: Callable[..., Any], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(
        data,
        walk("BTC/USDT", 60_000.0, range(600)),
        walk("ETH/USDT", 3_000.0, range(600)),
    )
    stretch = {
        "symbols": ["BTC/USDT", "ETH/USDT"],
        "since": "2024-08-01T02:00",
        "until": "2024-08-01T07:59",
    }
    bot = connect(replay=stretch, timeframes=["1m", "15m"])
    assert bot.aio.engine.venue.startswith(
        "paper:recording:binance-BTCUSDT+1-1m-2024-08-01-2024-08-01:"
    )
    # Candles before the stretch are the history, so trading starts where the stretch does.
    assert bot.market_time() == T0 + 2 * HOUR
    lots = bot.market("BTC/USDT")
    assert (str(lots.tick), str(lots.step)) == ("0.01", "0.00001")  # those of the shipped list
    assert lots.market.min_cost == bl.research().market("BTC/USDT").min_cost
    # All of it can be researched before any of it is replayed.
    whole = bot.candles("ETH/USDT", "1m", since=T0, until="2024-08-01T09:59")
    assert len(whole) == 8 * 60
    assert whole["close"].equals(
        bl.research().candles("ETH/USDT", "1m", until="2024-08-01T07:59")["close"]
    )
    told = capsys.readouterr().out
    assert "from 2024-08-01 02:00:00 on are recorded but not replayed yet" in told
    assert "bl.research()" not in told  # these candles are the real ones
    assert len(bot.candles("ETH/USDT", "1m", since=T0)) == 2 * 60  # as a strategy would see them
    assert len(bot.candles("ETH/USDT", "15m", since=T0, until="2024-08-02")) == 8 * 4
    before = bot.backtest(TREND, "BTC/USDT", since=T0 + 2 * HOUR, until="2024-08-01T07:59")
    assert len(before.roundtrips) >= 2

    for symbol in ("BTC/USDT", "ETH/USDT"):
        bot.trade(TREND, symbol, name=symbol[:3].lower(), order_cost=1_000)
    bot.wait("5h50m", progress=False)
    assert bot.market_time() >= T0 + 7 * HOUR + 50 * MINUTE
    for symbol in ("BTC/USDT", "ETH/USDT"):
        result = bl.research().backtest(
            TREND,
            symbol,
            since=T0 + 2 * HOUR + MINUTE,
            until=bot.market_time() - MINUTE,
            order_cost=1_000,
            cash=100_000,
        )
        report = bot.compare(result, symbol[:3].lower())
        report.raise_for_differences()
        assert len(report.frame) >= 2, report


def test_a_replay_without_candles_before_it_starts_after_its_history(
    connect: Callable[..., Any], data: Path
) -> None:
    store(data, walk("BTC/USDT", 60_000.0, range(200)))
    bot = connect(replay={"symbols": ["BTC/USDT"]})
    assert bot.market_time() == T0 + 60 * MINUTE
    assert bot.aio.settings.symbols == ("BTC/USDT",)
    # What is stored later does not change what this call means.
    assert connect(replay={"symbols": ["BTC/USDT"]}) is bot


def test_a_hole_of_the_venue_is_replayed_as_a_hole(connect: Callable[..., Any], data: Path) -> None:
    left = [*range(100), *range(130, 300)]
    store(data, [one for one in walk("BTC/USDT", 60_000.0, range(300)) if _minute(one) in left])
    with Database.open(database_path(data, "binance"), "binance") as database:
        storage = CandleStorage(database)
        storage.mark_hole(
            "BTC/USDT", "1m", T0 + 100 * MINUTE, T0 + 129 * MINUTE, cause="halt", now=1
        )
    bot = connect(replay={"symbols": ["BTC/USDT"], "since": T0 + 90 * MINUTE})
    bot.wait("60m", progress=False)
    times = bot.candles("BTC/USDT", "1m", since=T0 + 95 * MINUTE).index
    assert pd.Timestamp(T0 + 99 * MINUTE, unit="ms") in times
    assert pd.Timestamp(T0 + 100 * MINUTE, unit="ms") not in times
    assert pd.Timestamp(T0 + 130 * MINUTE, unit="ms") in times


def _minute(candle: Candle) -> int:
    return (candle.timestamp - T0) // MINUTE


@pytest.mark.parametrize(
    ("replay", "said"),
    [
        (
            {"symbols": ["BTC/USDT", "SOL/USDT"]},
            r"No candles of SOL/USDT are stored\. Stored symbols: BTC/USDT, ETH/USDT, XRP/USDT\..*"
            r"bl\.research\(\)\.download\('SOL/USDT', '1m', since='30d'\).*"
            r"`botlib download SOL/USDT 1m --since 30d`",
        ),
        (
            {"symbols": ["ETH/USDT"], "since": "2024-08-01", "until": "2024-08-01T04:00"},
            r"20 of the 1m candles of ETH/USDT from 2024-08-01 00:00:00 to 2024-08-01 04:00:00 are "
            r"not stored \(2024-08-01 01:40:00 to 2024-08-01 01:59:00\)\. Stored of it: 1m from "
            r"2024-08-01 00:00:00 to 2024-08-01 04:59:00\. .*since='2024-08-01'",
        ),
        (
            {"symbols": ["BTC/USDT"], "since": "2024-07-31", "until": "2024-08-01T04:00"},
            r"1.440 of the 1m candles of BTC/USDT",
        ),
        (
            {"symbols": ["BTC/USDT", "XRP/USDT"]},
            r"There is no timeframe of all of BTC/USDT, XRP/USDT\. Stored of BTC/USDT: 1m .*"
            r"Stored of XRP/USDT: 1h",
        ),
        (
            {"symbols": ["BTC/USDT"], "timeframe": "1h"},
            r"There are no 1h candles of all of BTC/USDT",
        ),
        (
            {"symbols": ["BTC/USDT"], "since": "2024-08-01T05:00", "until": "2024-08-01T02:00"},
            r"has no candle of 1m\. Pass a later until",
        ),
        ({"symbols": ["BTC/USDT"], "until": "2024-08-01T00:30"}, r"Nothing is left to replay"),
        ({"symbols": ["XRP/USDT"]}, r"The stretch has candles of 1h.*timeframes=\['1h'\]"),
        ({"symbol": ["BTC/USDT"]}, r"unknown key 'paper\.replay\.symbol'.*Did you mean 'symbols'"),
        ({"symbols": ["BTC/USDT"], "since": "yesterday"}, r"Cannot use 'yesterday' as a time"),
        (
            {"symbols": ["BTC/USDT"], "venue": "kraken"},
            r"unknown venue 'kraken'; accepted: binance",
        ),
    ],
)
def test_what_cannot_be_replayed_is_said_with_what_is_stored_and_how_to_download_it(
    connect: Callable[..., Any], data: Path, replay: dict[str, Any], said: str
) -> None:
    gap = [one for one in walk("ETH/USDT", 3_000.0, range(300)) if not 100 <= _minute(one) < 120]
    store(
        data,
        walk("BTC/USDT", 60_000.0, range(300)),
        gap,
        walk("XRP/USDT", 2.0, range(300), "1h"),
    )
    with pytest.raises(BotlibError, match=f"(?s){said}"):
        connect(replay=replay)
    assert not (data / "paper").exists()  # nothing half-started stays


def test_an_empty_store_says_how_to_fill_it(connect: Callable[..., Any], data: Path) -> None:
    with pytest.raises(
        InvalidInput, match=r"There is nothing to replay: .*does not exist.*fetches"
    ):
        connect(replay={"symbols": ["BTC/USDT"]})
    with pytest.raises(ConfigError, match="Pass one"):
        connect(replay={"symbols": ["BTC/USDT"]}, recorded="a.csv")


def test_the_whole_of_a_recorded_file_can_be_researched_before_it_is_replayed(
    connect: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "BTCUSDT-1m.csv"
    path.write_text(
        "".join(
            f"{one.timestamp},{one.open},{one.high},{one.low},{one.close},{one.volume}\n"
            for one in walk("BTC/USDT", 60_000.0, range(400))
        )
    )
    bot = connect(recorded=path)
    assert len(bot.candles("BTC/USDT", "1m", since=T0)) == 60
    assert len(bot.candles("BTC/USDT", "1m", since=T0, until="2024-09-01")) == 400
    assert len(bot.lab.candles("BTC/USDT", "1m", until="2024-09-01", limit=10)) == 10
    assert len(bot.backtest(TREND, "BTC/USDT", until="2024-09-01").roundtrips) >= 2
