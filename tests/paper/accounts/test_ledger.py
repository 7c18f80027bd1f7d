"""The ledger on disk: kills, damage, other markets, a second process, a full disk."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from botlib.core.errors import PaperExchangeError, WrongVenue
from botlib.paper import PaperProcess
from botlib.paper.accounts.commission import Commission
from botlib.paper.accounts.keys import PAPER_API_KEY
from botlib.paper.accounts.ledger import Ledger
from botlib.paper.market.feed import Feed
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.synthetic import SyntheticMarket
from botlib.paper.matching.engine import MatchingEngine
from tests.support.full_disk import FullDisk
from tests.support.samples import request

BALANCES = {"USDT": Decimal(10_000)}
LOCKSTEP = MarketPace(None, lockstep=True)
STREAM = "btcusdt@kline_1m"


def opened(path: Path, venue: str = "paper:a") -> Ledger:
    return Ledger.open(path, venue=venue, balances=BALANCES)


def test_a_new_ledger_has_the_initial_balances_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ledger.db"
    opened(path).close()
    assert path.stat().st_mode & 0o777 == 0o600
    again = Ledger.open(path, venue="paper:a", balances={"USDT": Decimal(5)})
    assert again.load().account("main").balances["USDT"].free == 10_000
    again.close()


def test_a_ledger_of_another_market_is_refused(tmp_path: Path) -> None:
    opened(tmp_path / "l.db").close()
    with pytest.raises(WrongVenue, match=r"'paper:a', not to 'paper:b'"):
        opened(tmp_path / "l.db", "paper:b")


def test_a_ledger_is_used_by_one_exchange_at_a_time(tmp_path: Path) -> None:
    first = opened(tmp_path / "l.db")
    with pytest.raises(PaperExchangeError, match="in use"):
        opened(tmp_path / "l.db")
    first.close()
    opened(tmp_path / "l.db").close()


def other_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (a)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_text("no database at all, but some text"), "damaged"),
        (lambda path: path.write_bytes(b""), "no SQLite database"),
        (lambda path: (path.unlink(), other_database(path)), "not made by"),
        (
            lambda path: path.write_bytes(
                path.read_bytes()[:4_096] + b"\xff" * 3_000 + path.read_bytes()[7_096:]
            ),
            "damaged",
        ),
    ],
    ids=["text", "empty", "other", "overwritten"],
)
def test_a_damaged_ledger_is_refused_and_not_changed(
    tmp_path: Path, damage: Any, words: str
) -> None:
    path = tmp_path / "l.db"
    opened(path).close()
    damage(path)
    before = path.read_bytes()
    with pytest.raises(PaperExchangeError, match=words):
        opened(path).load()
    assert path.read_bytes() == before


async def test_a_full_disk_refuses_the_order_and_keeps_the_account(
    serve: Any, tmp_path: Path, start_time: int
) -> None:
    served = await serve(
        SyntheticMarket(1), pace=LOCKSTEP, start=start_time, ledger=tmp_path / "l.db"
    )
    price = served.venue.feed("BTCUSDT").last_price
    resting = {"timeInForce": "GTC", "quantity": "0.01"}
    await served.order("BUY", "LIMIT", price=str(price - 1), **resting)
    connection = served.exchange._ledger._connection
    connection.execute("PRAGMA query_only=ON")
    status, answer = await served.signed(
        "POST", "order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.001"
    )
    assert (status, answer["code"]) == (500, -1001)
    # The market continues, and resting orders are tried again.
    while served.venue.feed("BTCUSDT").price >= price - 1:
        await served.advance(STREAM)
    counters = (await served.control.state())["counters"]
    assert (counters["orders"], counters["trades"]) == (1, 0)
    connection.execute("PRAGMA query_only=OFF")
    while served.venue.feed("BTCUSDT").resting:
        await served.advance(STREAM)
    assert (await served.control.state())["counters"]["trades"] == 1
    stored = served.exchange._ledger.load().account("main")
    assert stored.balances == served.venue.engine.account.balances


async def test_an_account_continues_after_a_restart(
    serve: Any, tmp_path: Path, start_time: int
) -> None:
    settings = {"pace": LOCKSTEP, "start": start_time, "ledger": tmp_path / "l.db"}
    first = await serve(SyntheticMarket(1), **settings)
    await first.order("BUY", "MARKET", quantity="0.01")
    low = str(first.venue.feed("BTCUSDT").last_price - 1)
    waiting = await first.order("BUY", "LIMIT", timeInForce="GTC", quantity="0.01", price=low)
    await first.advance(STREAM)
    reached = first.venue.market_time
    before = vars(first.venue.engine.account)["balances"]
    await first.exchange.close()
    second = await serve(SyntheticMarket(1), **settings)
    assert second.venue.market_time == reached
    assert second.venue.engine.account.balances == before
    while second.venue.feed("BTCUSDT").resting:
        await second.advance(STREAM)
    _, order = await second.signed("GET", "order", symbol="BTCUSDT", orderId=waiting["orderId"])
    assert order["status"] == "FILLED"
    third = await second.order("BUY", "MARKET", quantity="0.01")
    assert third["orderId"] == waiting["orderId"] + 1


async def trade(process: PaperProcess, session: aiohttp.ClientSession, sign: Any, n: int) -> Any:
    params = {
        "symbol": "BTCUSDT",
        "side": "BUY" if n % 2 else "SELL",
        "type": "MARKET",
        "quantity": "0.01" if n == 1 else "0.001",
        "timestamp": time.time_ns() // 1_000_000,
    }
    target = f"{process.url}/api/v3/order?{sign(urlencode(params))}"
    async with session.post(target, headers={"X-MBX-APIKEY": PAPER_API_KEY}) as response:
        return await response.json()


async def test_a_kill_loses_no_acknowledged_order(tmp_path: Path, signer: Any) -> None:
    path = tmp_path / "l.db"
    args = ["--seed", "4", "--start", "2026-01-05", "--lockstep", "--ledger", str(path)]
    there: set[int] = set()
    for delay in (0.0, 0.001, 0.002):
        process = await PaperProcess.start(args, log=tmp_path / "log")
        async with aiohttp.ClientSession() as session:
            for number in range(1, 12):
                answer = await trade(process, session, signer, number)
                there.add(answer["orderId"])
            # Killed while an order is being placed: it is stored completely or not at all.
            last = asyncio.get_running_loop().create_task(trade(process, session, signer, 13))
            await asyncio.sleep(delay)
            process.kill()
            await asyncio.gather(last, return_exceptions=True)
        ledger = opened(path, "paper:synthetic:seed=4")
        account = ledger.load().account("main")
        assert there <= set(account.orders)
        expected = {"USDT": Decimal(10_000), "BTC": Decimal(0)}
        for one in account.trades["BTCUSDT"]:
            sign = 1 if one.side == "BUY" else -1
            expected["BTC"] += sign * one.amount
            expected["USDT"] -= sign * one.quote_amount
            expected[one.commission_asset] -= one.commission
        assert {a: b.free + b.locked for a, b in account.balances.items()} == expected
        filled = {order.order_id for order in account.orders.values() if order.executed}
        assert filled == {one.order_id for one in account.trades["BTCUSDT"]}
        there = set(account.orders)  # stored orders stay stored
        ledger.close()


def test_two_hundred_kills_lose_no_acknowledged_order(tmp_path: Path) -> None:
    program = Path(__file__).parents[2] / "support" / "ledger_killing.py"
    done = subprocess.run(
        [sys.executable, program, tmp_path, "200", "7"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kills, acknowledged = map(int, done.stdout.split())
    assert kills == 200 and acknowledged > 200


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE balances SET free = '10001' WHERE asset = 'USDT'", "1 USDT came from nowhere"),
        ("UPDATE balances SET free = '9999', locked = '1'", "locks another amount of USDT"),
        ("UPDATE balances SET free = 'much'", "damaged"),
        ("INSERT INTO orders VALUES (1, 'main', 'BTCUSDT', 'NEW', '{\"order_id\": ')", "damaged"),
        ("DROP TABLE house", "damaged"),
        ("PRAGMA user_version=9", "version 9"),
    ],
)
def test_a_ledger_with_inconsistent_balances_is_refused(
    tmp_path: Path, statement: str, words: str
) -> None:
    path = tmp_path / "l.db"
    opened(path).close()
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()
    with pytest.raises(PaperExchangeError, match=words):
        opened(path).load()


def test_a_ledger_of_version_1_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    connection = sqlite3.connect(path)
    connection.executescript(
        """
        PRAGMA application_id=1651273825;
        PRAGMA user_version=1;
        CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
        CREATE TABLE balances (asset TEXT PRIMARY KEY, free TEXT NOT NULL, locked TEXT NOT NULL)
            WITHOUT ROWID;
        CREATE TABLE orders (id INTEGER PRIMARY KEY, symbol TEXT NOT NULL, status TEXT NOT NULL,
            body TEXT NOT NULL);
        CREATE TABLE trades (id INTEGER PRIMARY KEY, symbol TEXT NOT NULL,
            order_id INTEGER NOT NULL, body TEXT NOT NULL);
        INSERT INTO meta VALUES ('venue', 'paper:a'), ('order', '1'), ('trade', '1'),
            ('execution', '2');
        INSERT INTO balances VALUES ('USDT', '9800', '0'), ('BTC', '1.998', '0');
        INSERT INTO orders VALUES (1, 'BTCUSDT', 'FILLED', '{"order_id":1,"client_order_id":"a",
            "symbol":"BTCUSDT","side":"BUY","type":"MARKET","time_in_force":"GTC","price":"0",
            "amount":"2","quote_amount":"0","executed":"2","cost":"200","locked":"0",
            "locked_asset":"USDT","status":"FILLED","created":1,"updated":1}');
        INSERT INTO trades VALUES (1, 'BTCUSDT', 1, '{"trade_id":1,"order_id":1,
            "symbol":"BTCUSDT","side":"BUY","price":"100","amount":"2","quote_amount":"200",
            "commission":"0.002","commission_asset":"BTC","time":1,"maker":false}');
        """
    )
    connection.close()
    for _ in range(2):
        ledger = opened(path)
        state = ledger.load()
        assert state.account("main").balance("BTC").free == Decimal("1.998")
        assert state.account("main").trades["BTCUSDT"][0].quote_amount == 200
        assert state.clearing["USDT"].deposited == 10_000
        assert (state.counters.order, state.counters.execution) == (1, 2)
        ledger.close()


async def test_simultaneous_orders_share_one_commit_and_its_failure(tmp_path: Path) -> None:
    market = SyntheticMarket(1)
    ledger = Ledger.open(tmp_path / "l.db", venue=market.venue, balances=BALANCES)
    engine = MatchingEngine(ledger, Commission(Decimal(0), Decimal(0)))
    feed = Feed(market, market.listing("BTC/USDT"), 4)
    feed.seek(1_767_571_200_000)

    async def order() -> int:
        done = await engine.place(feed, request(), feed.time)
        await engine.durable()
        return done.order.order_id

    assert await asyncio.gather(*(order() for _ in range(5))) == [1, 2, 3, 4, 5]
    # Changes that were not committed when the disk failed are undone.
    real = ledger._connection
    ledger._connection = FullDisk(real)  # type: ignore[assignment]
    failed = await asyncio.gather(*(order() for _ in range(3)), return_exceptions=True)
    assert all(isinstance(one, PaperExchangeError) for one in failed)
    ledger._connection = real
    assert list(engine.account.orders) == [1, 2, 3, 4, 5]
    assert await order() == 6
    assert list(ledger.load().account("main").orders) == [1, 2, 3, 4, 5, 6]
    ledger.close()
