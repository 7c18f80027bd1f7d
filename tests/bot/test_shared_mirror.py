"""Two bots, two processes, one mirror: an account and a database for each."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any

import pytest

import botlib as bl
from botlib.core.errors import ConfigError, InvalidInput, WrongVenue
from botlib.paper import PaperProcess
from botlib.store import CandleStorage, Database, OrderJournal, database_path
from botlib.venues.registry import VENUES
from tests.support.mirror_rig import Client, mirror, until

ROOT = Path(__file__).parents[2]
BOTS = {"first": ("2", "4"), "second": ("3", "7")}


async def start(home: Path, url: str, account: str) -> Process:
    """Start a bot of the project ``home`` in a process of its own."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.mirror_bot", url, account, *BOTS[account]),
        cwd=ROOT,
        env={**os.environ, "BOTLIB_HOME": str(home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


async def line(process: Process) -> str:
    """Return the next line that a process prints."""
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 240)).decode().strip()


async def finish(process: Process) -> dict[str, Any]:
    """Let a bot stop, and return what it says of itself."""
    assert process.stdin is not None
    process.stdin.write(b"\n")
    found: dict[str, Any] = json.loads(await line(process))
    assert await asyncio.wait_for(process.wait(), 60) == 0
    return found


async def test_two_bots_on_one_mirror_trade_on_accounts_of_their_own(tmp_path: Path) -> None:
    processes: list[Process] = []
    data = tmp_path / "data"
    async with (
        await PaperProcess.start(["--speed", "240", "--seed", "7"]) as upstream,
        mirror(upstream.url) as made,
    ):
        await until(made.awake)
        try:
            for account in BOTS:
                processes.append(await start(tmp_path, made.url, account))
            assert [await line(one) for one in processes] == ["traded", "traded"]
            told = {name: await finish(one) for name, one in zip(BOTS, processes, strict=True)}
        finally:
            for one in processes:
                if one.returncode is None:
                    one.kill()
                    await one.wait()
        stamp = f"paper:mirror:binance@{upstream.url.rpartition(':')[2]}"
        orders = {}
        for account in BOTS:
            keys = await made.control.open_account(account, {})
            client = Client(made.url, made.session, keys)
            orders[account] = await client.signed("GET", "allOrders", symbol="BTCUSDT")
            trades = await client.signed("GET", "myTrades", symbol="BTCUSDT")
            found = told[account]
            assert (found["kind"], found["venue"]) == ("mirror", f"{stamp}/{account}")
            # What the bot knows is what its account did, and nothing of the other bot.
            assert found["orders"] == sorted(one["clientOrderId"] for one in orders[account])
            assert len(trades) == found["fills"] >= 3
            assert found["database"] == str(database_path(data, f"{stamp}/{account}"))
            # Balances come once, and then from trades alone.
            cost = sum(
                float(one["quoteQty"]) * (-1 if one["isBuyer"] else 1)
                - (float(one["commission"]) if one["commissionAsset"] == "USDT" else 0)
                for one in trades
            )
            assert await client.free("USDT") == pytest.approx(5_000 + cost, abs=1e-6)
        assert not {one["orderId"] for one in orders["first"]} & {
            one["orderId"] for one in orders["second"]
        }
        # Nothing happened on the account that every exchange has.
        assert (await made.control.ledger())["orders"] == []
        await asyncio.to_thread(check_files, data, stamp)


def check_files(data: Path, stamp: str) -> None:
    """Check that candles and orders of each account are in one file, and that none is a venue's."""
    files = [database_path(data, f"{stamp}/{account}") for account in BOTS]
    assert len(set(files)) == 2
    journals = []
    for path, account in zip(files, BOTS, strict=True):
        assert path.parent == data / "paper" and "mirror" in path.name
        with pytest.raises(WrongVenue):
            Database.open(path, "binance", readonly=True)
        with Database.open(path, f"{stamp}/{account}", readonly=True) as database:
            assert CandleStorage(database).counts()[("BTC/USDT", "1m")] >= 60
            journals.append({one.client_order_id for one in OrderJournal(database).orders()})
    assert all(journals) and not journals[0] & journals[1]
    for name in VENUES:
        assert not database_path(data, name).exists()


def test_candles_of_a_mirror_are_researched_apart_from_live_ones(tmp_path: Path) -> None:
    for venue in ("paper:mirror:binance", "paper:mirror:binance/second", "binance"):
        Database.open(database_path(tmp_path, venue), venue).close()
    names = {
        bl.research(name, data_directory=tmp_path).venue
        for name in ("mirror-binance", "mirror-binance@second", "binance")
    }
    assert names == {"paper:mirror:binance", "paper:mirror:binance/second", "binance"}
    paths = {database_path(tmp_path, venue) for venue in names}
    assert len(paths) == 3
    for venue in names:
        for path in paths - {database_path(tmp_path, venue)}:
            with pytest.raises(WrongVenue):
                Database.open(path, venue)


@pytest.mark.parametrize("name", ("", "a b", "../x", "x" * 33, 7))
def test_an_account_has_a_name_that_a_file_can_have(name: object) -> None:
    with pytest.raises((ConfigError, InvalidInput), match="account"):
        bl.connect(paper={"account": name})
