"""Kill a matching engine at random, again and again, and check what its ledger stored.

Run as a program of its own: ``ledger_killing.py DIRECTORY KILLS SEED``. It forks the engines, so
that none starts an interpreter, and prints the numbers of kills and of acknowledged orders.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from decimal import Decimal
from pathlib import Path

from botlib.paper.accounts.commission import Commission
from botlib.paper.accounts.ledger import Ledger
from botlib.paper.accounts.state import audit
from botlib.paper.market.feed import Feed
from botlib.paper.market.synthetic import SyntheticMarket
from botlib.paper.matching.engine import MatchingEngine
from botlib.paper.matching.requests import OrderRequest
from tests.support.finished import finished

T0 = 1_767_571_200_000
MARKET = SyntheticMarket(3)
CLIENTS = 4
KILLS_PER_LEDGER = 20
"""Kills per ledger."""


def open_ledger(path: Path) -> Ledger:
    return Ledger.open(path, venue=MARKET.venue, balances={"USDT": Decimal(10**8)})


async def client(engine: MatchingEngine, feed: Feed, pipe: int, side: str) -> None:
    kind = "LIMIT" if side == "SELL" else "MARKET"
    while True:
        request = OrderRequest(
            side="BUY",
            type=kind,
            time_in_force="GTC",
            price=feed.last_price - 100 if kind == "LIMIT" else None,
            amount=Decimal("0.001"),
            quote_amount=None,
            client_order_id=None,
        )
        order = finished(engine.place(feed, request, feed.time)).order
        await engine.durable()
        os.write(pipe, b"%d\n" % order.order_id)
        if order.open:
            finished(engine.cancel(feed, order, None, feed.time))
            await engine.durable()


async def trade(path: Path, pipe: int) -> None:
    fee = Decimal("0.001")
    engine = MatchingEngine(open_ledger(path), Commission(fee, fee))
    feed = Feed(MARKET, MARKET.listing("BTC/USDT"), 4)
    feed.seek(T0)
    sides = ("BUY", "SELL")
    await asyncio.gather(*(client(engine, feed, pipe, sides[n % 2]) for n in range(CLIENTS)))


def kill_one_engine(path: Path, rng: random.Random) -> set[int]:
    """Start an engine, kill it while it trades, and return the acknowledged orders."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            asyncio.run(trade(path, writing))
        finally:
            os._exit(1)
    os.close(writing)
    acknowledged_now = b""
    if rng.random() < 0.8:
        acknowledged_now = os.read(reading, 65_536)  # the first orders were acknowledged
    time.sleep(rng.random() * 0.008)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"the engine ended by itself: {status}"
    while more := os.read(reading, 65_536):
        acknowledged_now += more
    os.close(reading)
    # Every line is written in one piece.
    return {int(line) for line in acknowledged_now.splitlines()}


def check(path: Path, acknowledged: set[int]) -> None:
    ledger = open_ledger(path)
    state = ledger.load()
    orders = state.account("main").orders
    missing = acknowledged - orders.keys()
    assert not missing, f"acknowledged and lost: {sorted(missing)}"
    assert not audit(state)
    assert list(orders) == list(range(1, len(orders) + 1)), "an order is there without another"
    trades = state.account("main").trades.get("BTCUSDT", ())
    traded = {one.order_id: one.amount for one in trades}
    for order in orders.values():
        assert order.executed == traded.get(order.order_id, 0)
    ledger.close()


def main(directory: Path, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    # The first candles are built once, before the first fork.
    Feed(MARKET, MARKET.listing("BTC/USDT"), 4).seek(T0)
    total = 0
    for first in range(0, kills, KILLS_PER_LEDGER):
        path = directory / f"{first}.db"
        acknowledged: set[int] = set()
        for number in range(KILLS_PER_LEDGER):
            acknowledged_now = kill_one_engine(path, rng)
            assert not acknowledged_now & acknowledged, "an id was given out twice"
            acknowledged |= acknowledged_now
            if number % 5 == 4:
                check(path, acknowledged)
        total += len(acknowledged)
    sys.stdout.write(f"{kills} {total}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
