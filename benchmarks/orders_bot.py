"""The bots of the benchmark of orders: one that trades at every candle, and one that only starts.

``trade URL SECONDS CELL SYMBOL...`` trades on a paper exchange, beside a cell that is idle or busy;
``write FOLDER SEED ORDERS FILLS`` writes a journal, and ``start SEED`` starts a bot with it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pandas as pd
import psutil

import botlib as bl
from botlib.core.model import Fill, OrderIntent, OrderRole, OrderStatus, OrderType, Side
from botlib.execution import OrderPath
from botlib.frames import Frames
from botlib.paper import PaperOptions, PaperProcess
from botlib.store import Database, OrderJournal, database_path
from botlib.strategy import Signals, Strategy
from botlib.trading.books import BookKey
from botlib.trading.orders import EventKind, OrderEvent, TrackedOrder, transition
from botlib.trading.sales import client_order_id

SYMBOL: Final = "BTC/USDT"
BOT: Final = "0b0b0b"
START: Final = 1_767_225_600_000
MINUTE: Final = 60_000
RISK: Final = {
    "max_order_cost": 1_000,
    "max_exposure": 10_000_000,
    "max_daily_loss": 1_000_000,
    "max_open_orders": 1_000,
    "max_orders_per_minute": 100_000,
}


class EveryCandle(Strategy):
    """Enters on every other candle, and leaves on the one after it."""

    timeframes = ("1m",)
    stop_loss = 0.2

    def signals(self, data: Frames) -> Signals:
        """Return the signals; the mean stands for what a strategy computes."""
        close = data.frame["close"]
        minutes = data.frame.index.to_numpy().astype("datetime64[m]").astype(int)
        even = pd.Series(minutes % 2 == 0, index=data.frame.index)
        known = close.rolling(30).mean().notna()
        return Signals(entry=known & even, exit=known & ~even)


def connect(url: str, symbols: list[str]) -> Any:
    """Start a bot on a paper exchange."""
    return bl.connect(
        symbols=symbols,
        timeframes=["1m"],
        strategies=[],
        history=60,
        health={"port": 0},
        paper={"url": url},
        risk=RISK,
    )


def trade(url: str, seconds: float, cell: str, symbols: list[str]) -> None:
    """Trade; print a line when it has begun, and the figures of the bot at the end."""
    bot = connect(url, symbols)
    for number, symbol in enumerate(symbols):
        bot.trade(EveryCandle(), symbol, name=f"every-{number}", order_cost=500)
    print("ready", flush=True)
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if cell == "busy":
            sum(range(1_000))
        else:
            time.sleep(min(left, 0.5))
    orders = bot.aio.engine.orders
    bot.stop()
    print(json.dumps({"sent": orders.sent, "fills": orders.fills}), flush=True)


def write(folder: Path, seed: int, orders: int, fills: int) -> None:
    """Write a journal of ended orders, each filled in parts, with all their events."""
    venue = f"paper:synthetic:seed={seed}"
    with Database.open(database_path(folder, venue), venue) as database:
        journal = OrderJournal(database)
        journal.set_state("bot_id", BOT)
        parts = max(1, fills // orders) if orders else 0
        for number in range(orders):
            _write_order(journal, number, parts)
    print(json.dumps({"orders": orders, "fills": orders * parts}), flush=True)


def _write_order(journal: OrderJournal, number: int, parts: int) -> None:
    buys, time_ = number % 2 == 0, START + number * MINUTE
    key, entry = BookKey("every", SYMBOL), number - number % 2
    role = OrderRole.ENTRY if buys else OrderRole.EXIT
    name = client_order_id(BOT, key, "1m", number, role.value)
    amount = Decimal(parts) / 1_000
    order = TrackedOrder(
        intent=OrderIntent(
            client_order_id=name,
            strategy=key.strategy,
            symbol=SYMBOL,
            side=Side.BUY if buys else Side.SELL,
            type=OrderType.MARKET,
            amount=amount,
            signal_timestamp=time_ - MINUTE,
            reason=role.value,
            role=role,
            entry=None if buys else client_order_id(BOT, key, "1m", entry, "entry"),
        ),
        created=time_,
        market_time=time_,
        sent=True,
    )
    journal.record_intents([order])
    journal.save_fills(list(_fills(order, number, parts)))
    for part in (0, parts):
        event = OrderEvent(
            kind=EventKind.REPORTED,
            status=OrderStatus.FILLED if part else OrderStatus.OPEN,
            filled=Decimal(part) / 1_000,
            cost=Decimal(part) / 10,
            venue_order_id=str(number + 1),
        )
        order = transition(order, event, at=time_)
        journal.record(order, event, now=time_, market_time=time_, source="answer")


def _fills(order: TrackedOrder, number: int, parts: int) -> Iterator[Fill]:
    for part in range(parts):
        yield Fill(
            symbol=SYMBOL,
            trade_id=number * parts + part + 1,
            venue_order_id=str(number + 1),
            client_order_id=order.id,
            side=order.intent.side,
            price=Decimal(100),
            amount=Decimal("0.001"),
            fee=Decimal("0.0001"),
            fee_asset="USDT",
            timestamp=order.created + part,
            maker=False,
        )


def start(seed: int) -> None:
    """Start a bot with the journal that is there; print seconds and bytes of memory."""
    paper = asyncio.run(PaperProcess.start(PaperOptions(seed=seed, symbols=(SYMBOL,))))
    taken: list[float] = []
    start_path = OrderPath.start

    async def timed(self: OrderPath, symbols: Any) -> Any:
        begun = time.perf_counter()
        try:
            return await start_path(self, symbols)
        finally:
            taken.append(time.perf_counter() - begun)

    OrderPath.start = timed  # type: ignore[method-assign]
    begun = time.perf_counter()
    try:
        bot = connect(paper.url, [SYMBOL])
        whole = time.perf_counter() - begun
        memory = psutil.Process().memory_info().rss
        bot.stop()
    finally:
        asyncio.run(paper.stop())
    print(json.dumps({"bot": whole, "order path": taken[0], "memory": memory}), flush=True)


def main(what: str, *words: str) -> None:
    """Do what the first word says."""
    if what == "trade":
        url, seconds, cell, *symbols = words
        trade(url, float(seconds), cell, symbols)
    elif what == "write":
        folder, *numbers = words
        write(Path(folder), *map(int, numbers))
    else:
        start(int(words[0]))


if __name__ == "__main__":
    main(*sys.argv[1:])
