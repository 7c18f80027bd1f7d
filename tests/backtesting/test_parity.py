"""Parity: the example strategies in a backtest and in a replay, round trip by round trip."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from botlib.backtesting import BacktestResult, backtest
from botlib.backtesting.costs import Costs
from botlib.backtesting.parity import ParityReport, compare
from botlib.config import Settings
from botlib.core.errors import BotlibError
from botlib.core.model import Fill, Side
from botlib.engine import Orchestrator
from botlib.frames import Frames, candle_frame
from botlib.invariants import InvariantChecker
from botlib.strategies import BandReversion, TrendCross, TrendPullback
from botlib.strategy import Signals, Strategy

HOUR = 3_600
HOURS = float(os.environ.get("BOTLIB_PARITY_HOURS", "4"))
"""Market hours of the recording that are replayed; ``make parity`` replays all of it."""
MINUTE = 60_000
START = 1_767_225_600_000
"""2026-01-01, in ms."""
COST = Decimal(1_000)
FEE_ALONE = Costs.none(fee=0.001)
SIGNAL = 100.3
"""Close of a candle on which `Held` leaves."""
TREND = TrendCross(timeframes=("1m",), fast=4, slow=9)
REVERSION = BandReversion(timeframes=("1m",), length=10, rsi=5, oversold=40.0)
PULLBACK = TrendPullback(timeframes=("1m", "15m"), length=5, trend=3)
STOPPED = TrendCross(timeframes=("1m",), fast=4, slow=9, stop_loss=0.001, trailing_stop=0.0015)
TARGET = TrendCross(timeframes=("1m",), fast=4, slow=9, take_profit=0.001)
BOTH = TrendCross(timeframes=("1m",), fast=4, slow=9, stop_loss=0.001, take_profit=0.0012)
TRAILING = TrendCross(timeframes=("1m",), fast=4, slow=9, trailing_stop=0.0006, take_profit=0.0015)

Trades = dict[str, tuple[str, Strategy]]
"""Symbol and strategy, by the name it trades under."""

Replay = Callable[..., Awaitable[Orchestrator]]


class Held(Strategy):
    """Buys on one candle, and holds; a candle that closes at `SIGNAL` is an exit."""

    timeframes = ("1m",)
    stop_loss = 0.01
    take_profit = 0.01

    def signals(self, data: Frames) -> Signals:
        chosen = data.frame.index == pd.Timestamp(START + 310 * MINUTE, unit="ms")
        entry = pd.Series(chosen, index=data.frame.index)
        return Signals(entry=entry, exit=data.frame["close"] == SIGNAL)


@pytest.fixture
async def replay(tmp_path: Path) -> AsyncIterator[Replay]:
    """Return a function that runs strategies for hours of market time."""
    engines: list[Orchestrator] = []

    async def run(strategies: Trades, hours: float, **paper: Any) -> Orchestrator:
        symbols = dict.fromkeys(symbol for symbol, _ in strategies.values())
        settings = Settings().override(
            {
                "data_directory": tmp_path / "data",
                "symbols": list(symbols),
                "timeframes": ["1m", "15m"],
                "strategies": [],
                "history": 300,
                "health": {"port": 0},
                "paper": {"lockstep": True, "balances": {"USDT": 100_000}, **paper},
                "risk": {
                    "max_order_cost": 5_000,
                    "max_exposure": 100_000,
                    "max_daily_loss": 50_000,
                },
            }
        )
        engine = Orchestrator(settings)
        engines.append(engine)
        await engine.start()
        for name, (symbol, strategy) in strategies.items():
            await engine.trade(strategy, symbol, name=name, order_cost=COST)
        await engine.wait(hours * HOUR)
        return engine

    yield run
    for engine in engines:
        await engine.stop()


def parity(engine: Orchestrator, name: str, costs: Costs | None = None) -> ParityReport:
    """Compare a backtest over the engine's candles, from the first it traded, with its fills.

    Args:
        costs: None are those of the market: the slippage of recorded candles is the usual one.
    """
    if costs is None:
        costs = FEE_ALONE.changed(slippage=float(engine.settings.paper.market_slippage))
    active = engine.signals.strategies[name]
    strategy, symbol, frames = active.strategy, active.symbol, {}
    for timeframe in strategy.timeframes:
        found = list(engine.storage.candles(symbol, timeframe))
        frames[timeframe] = candle_frame(
            [c.timestamp for c in found],
            [[c.open, c.high, c.low, c.close, c.volume] for c in found],
        )
    # The candle that closed when the engine started is history: the next one is acted on first.
    first = pd.Timestamp(engine.run_start.market_time, unit="ms").floor("min") + pd.Timedelta(
        minutes=1
    )
    result = backtest(
        strategy,
        Frames(symbol, frames),
        market=engine.exchange.market(symbol),
        costs=costs,
        order_cost=float(COST),
        cash=100_000,
        start=first,
    )
    return compare(result, engine.journal.fills_of_strategy(name))


async def test_every_example_trades_the_same_on_a_synthetic_market(replay: Replay) -> None:
    strategies: Trades = {
        "trend": ("BTC/USDT", TREND),
        "reversion": ("ETH/USDT", REVERSION),
        "pullback": ("SOL/USDT", PULLBACK),
    }
    engine = await replay(strategies, 4, seed=5, start="2026-01-05")
    for name in strategies:
        report = await asyncio.to_thread(parity, engine, name)
        report.raise_for_differences()
        assert len(report.frame) >= 2, report


async def test_targets_are_filled_at_the_same_prices_on_a_synthetic_market(replay: Replay) -> None:
    strategies: Trades = {
        "target": ("BTC/USDT", TARGET),
        "both": ("ETH/USDT", BOTH),
        "trailing": ("SOL/USDT", TRAILING),
    }
    engine = await replay(strategies, 4, seed=5, start="2026-01-05")
    for name in strategies:
        report = await asyncio.to_thread(parity, engine, name)
        report.raise_for_differences()
        assert "take_profit" in set(report.frame["reason"]), report


async def test_slippage_and_a_rebate_are_the_same_in_a_replay_and_in_a_backtest(
    replay: Replay,
) -> None:
    costs = Costs(maker=-0.0001, taker=0.0007, spread=0.0002, slippage=0.0003, volume_share=None)
    strategies: Trades = {"target": ("BTC/USDT", TARGET), "both": ("ETH/USDT", BOTH)}
    charged = {"fee": "0.0007", "maker_fee": "-0.0001", "slippage": str(costs.fixed)}
    engine = await replay(strategies, 3, seed=5, start="2026-01-05", **charged)
    for name in strategies:
        report = parity(engine, name, costs)
        report.raise_for_differences()
        assert len(report.frame) > 5 and (report.frame["reason"] == "take_profit").any()
        assert (report.frame["exit_fee"][report.frame["reason"] == "take_profit"] < 0).all()


async def test_two_strategies_on_one_symbol_trade_as_each_does_alone(replay: Replay) -> None:
    strategies: Trades = {
        "trend": ("BTC/USDT", BOTH),
        "reversion": ("BTC/USDT", REVERSION),
    }
    engine = await replay(strategies, 6, seed=5, start="2026-01-05")
    for name in strategies:
        report = await asyncio.to_thread(parity, engine, name)
        report.raise_for_differences()
        assert len(report.frame) >= 2, report


async def test_in_a_market_with_a_depth_fills_differ_and_the_invariants_hold(
    replay: Replay,
) -> None:
    strategies: Trades = {"both": ("BTC/USDT", BOTH), "trailing": ("ETH/USDT", TRAILING)}
    depth = {"spread": 0.0005, "levels": 20, "size": 150}
    engine = await replay(strategies, 3, seed=5, start="2026-01-05", depth=depth)
    parts: dict[str | None, int] = {}
    for fill in engine.journal.fills():
        parts[fill.client_order_id] = parts.get(fill.client_order_id, 0) + 1
    assert max(parts.values()) > 1, "no order was filled in parts"
    for name in strategies:
        report = await asyncio.to_thread(parity, engine, name)
        assert len(report.frame) >= 2 and not report.equal
    assert engine.halts.all == () and engine.orders.cautions == ()
    checker = InvariantChecker.of(engine)
    checked = await checker.converge(10)
    checker.close()
    assert checked.ok, checked
    assert {"I1", "I2", "I3", "I6", "I7"} <= set(checked.checked)


FLAT = (100.0, 100.1, 99.9, 100.0)


@pytest.mark.parametrize(
    ("candles", "stops", "reason", "price"),
    [
        # The price goes to the nearer end of a candle first.
        ([(100.0, 102.0, 98.5, 100.0)], {}, "stop_loss", 99.0),
        ([(100.0, 101.5, 98.0, 100.0)], {}, "take_profit", 101.0),
        # Both ends are equally far: the open time of the candle decides.
        ([(100.0, 102.0, 98.0, 100.0)], {}, "stop_loss", 99.0),
        ([FLAT, FLAT, (100.0, 102.0, 98.0, 100.0)], {}, "take_profit", 101.0),
        # It opens beyond one of them, with the other one nearer.
        ([(101.2, 103.0, 98.9, 100.0)], {}, "take_profit", 101.0),
        ([(98.8, 101.1, 98.0, 100.0)], {}, "stop_loss", 98.8),
        # It opens beyond one of them, at which an exit is due.
        ([(100.0, 100.4, 99.9, SIGNAL), (101.2, 103.0, 98.0, 100.0)], {}, "take_profit", 101.0),
        ([(100.0, 100.4, 99.9, SIGNAL), (98.8, 102.0, 98.0, 100.0)], {}, "stop_loss", 98.8),
        ([(100.0, 100.4, 99.9, SIGNAL), (100.2, 102.0, 98.0, 100.0)], {}, "exit", 100.2),
        # A trailing stop does not rise inside a candle, and rises when it closes.
        (
            [(100.0, 100.9, 99.6, 100.5), (100.5, 101.4, 100.2, 100.4)],
            {"trailing_stop": 0.006},
            "trailing_stop",
            100.29,
        ),
        (
            [(100.0, 100.9, 99.6, 100.5), (100.5, 101.4, 99.0, 100.4)],
            {"trailing_stop": 0.006},
            "take_profit",
            101.0,
        ),
        # The stop that the closed candle raised lies above the price already.
        (
            [(100.0, 100.9, 99.6, 99.9), (99.9, 103.0, 99.8, 100.4)],
            {"trailing_stop": 0.006},
            "trailing_stop",
            99.9,
        ),
    ],
    ids=[
        *("nearer-stop", "nearer-target", "tie-stop", "tie-target"),
        *("opens-above", "opens-below", "exit-above", "exit-below", "exit-between"),
        *("trailing-stop", "trailing-target", "trailing-past-the-price"),
    ],
)
async def test_a_candle_that_reaches_stop_and_target_sells_alike(
    replay: Replay,
    tmp_path: Path,
    candles: list[tuple[float, float, float, float]],
    stops: dict[str, float],
    reason: str,
    price: float,
) -> None:
    rows = [FLAT] * 400
    rows[320 : 320 + len(candles)] = candles
    path = tmp_path / "BTCUSDT-1m-2026.csv"
    path.write_text(
        "".join(
            f"{START + number * MINUTE},{opened},{top},{bottom},{closed},10.0\n"
            for number, (opened, top, bottom, closed) in enumerate(rows)
        )
    )
    engine = await replay(
        {"one": ("BTC/USDT", Held(**stops))},
        1,
        market="recording",
        recording=[str(path)],
        slippage=0,
    )
    report = await asyncio.to_thread(parity, engine, "one")
    report.raise_for_differences()
    trip = report.frame.iloc[0]
    assert (trip["reason"], trip["exit_price"]) == (reason, price)


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(
    ("strategy", "reasons"),
    [
        (TREND, set()),
        (REVERSION, set()),
        (PULLBACK, set()),
        (STOPPED, {"stop_loss"}),
        (TARGET, {"take_profit"}),
        (BOTH, {"stop_loss", "take_profit"}),
        (TRAILING, {"trailing_stop", "take_profit"}),
    ],
    ids=[
        *("trend", "reversion", "two-timeframes", "stops"),
        *("target", "stop-and-target", "trailing-stop-and-target"),
    ],
)
async def test_every_example_trades_the_same_on_recorded_candles(
    replay: Replay, recorded: Callable[[str], Path], strategy: Strategy, reasons: set[str]
) -> None:
    path = recorded("candles/BTCUSDT-1m-20241130-20241229.csv.gz")
    engine = await replay(
        {"one": ("BTC/USDT", strategy)}, HOURS, market="recording", recording=[str(path)]
    )
    report = await asyncio.to_thread(parity, engine, "one")
    report.raise_for_differences()
    assert len(report.frame) >= 6, report
    assert reasons <= set(report.frame["reason"]), report


# -- the comparison itself

OPENS = [100.0, 110.0, 120.0, 130.0, 140.0, 150.0, 160.0, 170.0]


@pytest.fixture
def result() -> BacktestResult:
    frame = candle_frame(
        [n * MINUTE for n in range(len(OPENS))], [[o, o + 5, o - 5, o, 1.0] for o in OPENS]
    )
    return backtest(Twice(), frame, symbol="BTC/USDT", order_cost=220, costs=FEE_ALONE)


class Twice(Strategy):
    """Buys at the second and the sixth open, sells at the fourth."""

    timeframes = ("1m",)

    def signals(self, data: Frames) -> Signals:
        rows = pd.Series(range(len(data.frame)), index=data.frame.index)
        return Signals(entry=rows.isin([0, 4]), exit=rows == 2)


def fill(number: int, side: Side, price: str, amount: str, minute: float, **other: Any) -> Fill:
    values: dict[str, Any] = {
        "symbol": "BTC/USDT",
        "trade_id": number,
        "venue_order_id": str(number),
        "client_order_id": f"bl-{number}",
        "side": side,
        "price": Decimal(price),
        "amount": Decimal(amount),
        "fee": Decimal(price) * Decimal(amount) / 1_000,
        "fee_asset": "USDT",
        "timestamp": int(minute * MINUTE),
        "maker": False,
    }
    return Fill(**values | other)


def live() -> list[Fill]:
    """Return the fills of the backtest of `Twice`; the last one lies within its candle."""
    third = Decimal(220) / 140
    return [
        fill(1, Side.BUY, "110", "2.2", 1, fee=Decimal("0.0022"), fee_asset="BTC"),
        fill(2, Side.SELL, "130", "2.2", 3),
        fill(3, Side.BUY, "150", str(third), 5.9),
    ]


def test_equal_round_trips_are_called_equal(result: BacktestResult) -> None:
    report = compare(result, live())
    report.raise_for_differences()
    assert report.equal and len(report.frame) == 2 and len(report.differences) == 0
    assert "2 of 2 round trips equal" in repr(report)
    assert "The last round trips" in report._repr_html_()


@pytest.mark.parametrize(
    ("which", "change", "words"),
    [
        (0, {"timestamp": 2 * MINUTE}, "entered on another candle"),
        (1, {"timestamp": 4 * MINUTE}, "left on another candle (exit)"),
        (0, {"price": Decimal("110.01")}, "bought at another price: 110.0 in the backtest, 110.01"),
        (1, {"price": Decimal("129.99")}, "sold at another price (exit)"),
        (0, {"amount": Decimal("2.1")}, "another amount was bought"),
        (1, {"amount": Decimal("2.1")}, "another amount was sold"),
        (1, {"fee": Decimal("0.2")}, "another fee on exit"),
        (0, {"fee_asset": "BNB"}, "another fee on entry"),
        (2, {"timestamp": 6 * MINUTE}, "entered on another candle"),
    ],
)
def test_every_difference_is_found_and_named(
    result: BacktestResult, which: int, change: dict[str, Any], words: str
) -> None:
    fills = live()
    fills[which] = replace(fills[which], **change)
    report = compare(result, fills)
    assert not report.equal
    assert words in report.differences.iloc[0]["difference"]
    assert words.split(":")[0] in report._repr_html_()
    with pytest.raises(BotlibError, match="1 of 2 round trips differ"):
        report.raise_for_differences()


def test_a_trip_of_one_side_stands_alone(result: BacktestResult) -> None:
    report = compare(result, live()[2:])
    assert report.frame["difference"].str.startswith("only in the backtest").tolist() == [1, 0]
    extra = [
        fill(4, Side.BUY, "140", "1", 4.1),
        fill(5, Side.SELL, "140", "1", 4.2),
    ]
    report = compare(result, [*live()[:2], *extra, live()[2]])
    assert report.frame["equal"].tolist() == [True, False, True]
    assert report.differences.iloc[0]["difference"].startswith("only live: bought at")


def test_what_lies_outside_the_candles_or_is_of_another_symbol_is_left_out(
    result: BacktestResult,
) -> None:
    others = [
        fill(8, Side.BUY, "100", "1", 2, symbol="ETH/USDT"),
        *live(),
        fill(9, Side.SELL, "170", "1", 8),
    ]
    assert compare(result, others).equal


def test_an_order_filled_in_parts_counts_as_one(result: BacktestResult) -> None:
    first, *rest = live()
    parts = [
        replace(first, trade_id=n, amount=first.amount / 2, fee=first.fee / 2) for n in (10, 11)
    ]
    assert compare(result, [*parts, *rest]).equal


def test_a_comparison_of_nothing_is_not_equal() -> None:
    frame = candle_frame([n * MINUTE for n in range(4)], [[1.0] * 5] * 4)

    class Never(Twice):
        def signals(self, data: Frames) -> Signals:
            no = data.frame["close"] < 0
            return Signals(entry=no, exit=no)

    report = compare(backtest(Never(), frame, symbol="BTC/USDT"), [])
    assert not report.equal
    with pytest.raises(BotlibError, match="no round trip on either side"):
        report.raise_for_differences()


def test_costs_that_a_backtest_does_not_share_with_its_market_are_named(
    result: BacktestResult,
) -> None:
    other = FEE_ALONE.changed(slippage=0.002)
    report = compare(result, [], other)
    with pytest.raises(BotlibError, match=r"assumed other costs \(fee 0\.001, .*slippage 0\.002"):
        report.raise_for_differences()
    assert "assumed other costs" in report._repr_html_()
    assert not compare(result, [], FEE_ALONE).note
