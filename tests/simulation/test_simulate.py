"""A bot and its exchange in virtual time are repeatable at any speed, with faults and without."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from botlib.config import Settings
from botlib.core.errors import BotlibError, ConfigError, InvalidInput
from botlib.simulation import Simulation, SimulationResult, simulate
from botlib.strategies import TrendCross
from tests.support.trends import TREND_BTC, trends

ROOT = Path(__file__).parents[2]
TRENDS = trends(["BTC/USDT", "ETH/USDT"])
SMALL = {"history": 60, "timeframes": ["1m", "5m"]}


def lines(path: Path) -> list[list[Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def small(**options: Any) -> SimulationResult:
    return simulate(
        Settings().override({"strategies": TRENDS, **SMALL}), **{"run_for": "30m", **options}
    )


def test_the_summary_names_no_database_that_is_gone() -> None:
    database = small(run_for="2m").summary.database
    assert database.startswith("none:") and "removed" in database


async def disturb(simulation: Simulation) -> None:
    """Order faults of several kinds, and restart the exchange."""
    control = simulation.control
    await asyncio.sleep(200)
    await control.fault("reset", target="streams")
    await asyncio.sleep(100)
    await control.fault("drop_closing", count=2)
    await asyncio.sleep(100)
    await control.fault("stall", target="streams")
    await asyncio.sleep(200)
    await control.fault("http_status", status=503, count=2)
    await control.fault("blackhole", target="user")
    await asyncio.sleep(300)
    await simulation.restart_exchange(away=20)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> tuple[SimulationResult, list[list[Any]]]:
    """Simulate half an hour without faults; return the result and the event log."""
    path = tmp_path_factory.mktemp("simulation") / "events.jsonl"
    outcome = small(seed=5, log=path)
    return outcome, lines(path)


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[SimulationResult, list[list[Any]]]:
    """Simulate half an hour with faults; return the result and the event log."""
    path = tmp_path_factory.mktemp("simulation") / "events.jsonl"
    outcome = small(seed=5, script=disturb, log=path)
    return outcome, lines(path)


def test_a_simulation_is_a_whole_run(quiet: tuple[SimulationResult, list[list[Any]]]) -> None:
    outcome, log = quiet
    assert outcome.summary.healthy, outcome.summary.reasons
    assert outcome.summary.tasks_failed == outcome.summary.reconnects == 0
    assert outcome.summary.orders == outcome.summary.fills > 0
    assert outcome.simulated == pytest.approx(1_800, abs=20)
    assert len(log) == outcome.events
    live = [
        what["candle"] for _, kind, what in log if kind == "CandleClosed" and not what["backfilled"]
    ]
    # Thirty one-minute and six five-minute candles of two symbols.
    assert len(live) == 2 * (30 + 6)
    trades = [orjson.loads(what) for _, kind, what in log if kind == "VenueTrade"]
    fills = [what["fill"] for _, kind, what in log if kind == "FillReceived"]
    assert len(trades) == len(fills) == outcome.summary.fills
    assert log[-1][1] == "Balances"
    assert {asset: Decimal(amount) for asset, amount in log[-1][2].items()} == outcome.balances
    assert f"sha256 {outcome.digest}" in str(outcome)


def test_a_decision_is_filled_at_the_next_open(
    quiet: tuple[SimulationResult, list[list[Any]]],
) -> None:
    opens = {
        (what["candle"]["symbol"], what["candle"]["timestamp"]): what["candle"]["open"]
        for _, kind, what in quiet[1]
        if kind == "CandleClosed" and what["candle"]["timeframe"] == "1m"
    }
    filled = [what["fill"] for _, kind, what in quiet[1] if kind == "FillReceived"]
    for fill in filled:
        minute = fill["timestamp"] - fill["timestamp"] % 60_000
        assert fill["timestamp"] == minute
        if (fill["symbol"], minute) in opens:
            assert float(fill["price"]) == opens[fill["symbol"], minute]


def test_the_same_seed_is_the_same_run_whatever_the_hash_seed(
    disturbed: tuple[SimulationResult, list[list[Any]]],
) -> None:
    script = (
        "from tests.simulation.test_simulate import small, disturb\n"
        "for seed in (6, 5): print(small(seed=seed, script=disturb).digest)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": "4242", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=240,
    )
    other, same = run.stdout.split()
    assert same == disturbed[0].digest
    assert other != same


def test_a_bot_recovers_from_faults(
    disturbed: tuple[SimulationResult, list[list[Any]]],
) -> None:
    outcome, log = disturbed
    assert outcome.summary.reconnects >= 3
    assert outcome.summary.healthy, outcome.summary.reasons
    closed: dict[tuple[str, str], list[int]] = {}
    for _, kind, what in log:
        if kind == "CandleClosed":
            candle = what["candle"]
            closed.setdefault((candle["symbol"], candle["timeframe"]), []).append(
                candle["timestamp"]
            )
    for (symbol, timeframe), times in closed.items():
        step = 60_000 if timeframe == "1m" else 300_000
        assert times == list(range(times[0], times[-1] + 1, step)), (symbol, timeframe)


def test_a_socket_is_closed_only_when_the_pings_stop_too() -> None:
    seen: list[object] = []

    async def watch(simulation: Simulation) -> None:
        users = simulation.exchange.venue.users
        await asyncio.sleep(600)
        (before,) = users.connections
        seen.append(before)
        await asyncio.sleep(600)
        # The account has no events, but the venue's pings show that the socket works.
        assert tuple(users.connections) == (before,)
        await simulation.control.fault("blackhole", target="user")
        # Pinged after 21 s without a frame, closed 10 s later, and connected again.
        await asyncio.sleep(25)
        assert tuple(users.connections) == (before,)
        await asyncio.sleep(40)
        assert before not in users.connections and len(users.connections) == 1
        seen.extend(users.connections)

    settings = {"symbols": ["BTC/USDT"], "timeframes": ["1m"], "strategies": []}
    quiet = Settings().override({**SMALL, **settings})
    simulate(quiet, seed=5, run_for="25m", step="60s", script=watch)
    assert len(seen) == 2


def test_memory_does_not_grow() -> None:
    blocks: list[int] = []

    async def watch(simulation: Simulation) -> None:
        while True:
            await asyncio.sleep(3_600)
            gc.collect()
            blocks.append(sys.getallocatedblocks())

    one = {"symbols": ["BTC/USDT"], "timeframes": ["1m"], "strategies": TREND_BTC}
    settings = Settings().override({**SMALL, **one})
    outcome = simulate(settings, run_for="3h", step="60s", seed=3, script=watch)
    assert outcome.summary.orders > 3
    # Only the orders remain: some dozen objects each.
    grown = blocks[-1] - blocks[0]
    assert grown < 6_000, blocks


def test_a_given_strategy_trades_on_every_symbol(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    strategy = TrendCross(fast=2, slow=4, timeframes=("1m",))
    outcome = small(strategies=strategy, run_for="15m", seed=5, log=path)
    raised = {
        (what["signal"]["strategy"], what["signal"]["symbol"])
        for _, kind, what in lines(path)
        if kind == "SignalRaised"
    }
    assert raised == {("trendcross-btc", "BTC/USDT"), ("trendcross-eth", "ETH/USDT")}
    assert outcome.summary.orders > 0


def test_a_recording_ends_the_simulation(recorded: Callable[[str], Path], tmp_path: Path) -> None:
    minutes = tmp_path / "BTCUSDT-1m.csv"
    start = 1_735_689_600_000
    rows = [f"{start + 60_000 * i},{100 + i % 7},120,90,{101 + i % 5},3" for i in range(90)]
    minutes.write_text("\n".join(["timestamp,open,high,low,close,volume", *rows]) + "\n")
    outcome = simulate(
        Settings().override(
            {**SMALL, "symbols": ["BTC/USDT"], "timeframes": ["1m"], "strategies": TREND_BTC}
        ),
        paper={"market": "recording", "recording": [str(minutes)]},
        run_for="10d",
    )
    assert [(row.symbol, row.total) for row in outcome.summary.candles] == [("BTC/USDT", 90)]
    assert outcome.simulated < 3_600


def test_the_old_name_of_a_result_warns() -> None:
    import botlib.simulation

    with pytest.warns(DeprecationWarning, match="SimulationResult"):
        assert botlib.simulation.Outcome is SimulationResult


def test_invalid_arguments_and_errors_of_the_script_are_raised() -> None:
    with pytest.raises(ConfigError, match="Only a paper exchange"):
        simulate(paper={"url": "http://127.0.0.1:9000"})
    with pytest.raises(InvalidInput, match="Cannot simulate for"):
        simulate(run_for=0)

    async def broken(simulation: Simulation) -> None:
        raise BotlibError("the script is broken")

    with pytest.raises(BotlibError, match="the script is broken"):
        small(script=broken)
