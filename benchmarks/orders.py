"""How quickly the order path acts, on the wire: over real sockets, with a durable journal.

A bot in a process of its own enters and leaves at every candle of a paper exchange in another one.
A proxy between the two notes when a closed candle, a fill and an order pass. A cell of the bot's
process sleeps, or computes in pure Python all the time. Of several short runs the least disturbed
is shown, the one with the lowest median.

Aims, p99: closed candle → order 10 ms, beside a busy cell 50 ms, with twenty symbols closing at
once 50 ms; fill → stop 20 ms. A start with 10,000 orders and 50,000 fills in the journal: 3 s.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import tempfile
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from benchmarks.measuring import BenchmarkError, Child, Row, Size, progress, result_of

SYMBOLS: Final = tuple(
    f"{base}/USDT"
    for base in (
        *("BTC", "ETH", "SOL", "BNB", "XRP", "ADA", "DOGE", "AVAX", "DOT", "LINK"),
        *("LTC", "UNI", "ATOM", "ETC", "XLM", "FIL", "APT", "ARB", "OP", "NEAR"),
    )
)
SEED: Final = 3
READY: Final = 120.0
"""Seconds a process has to be ready."""

SETTLED: Final = 2.0
"""Seconds of a run that are not counted: connections and caches are new."""

PUBLISHED: Final = (
    "nautilus_trader, published intervals: in-flight check every 2 s after 5 s, "
    "open orders every 5-10 s, positions every 30-60 s"
)


class Case(NamedTuple):
    """One situation: how many symbols close at once, how fast the market runs, and the aims."""

    symbols: int
    cell: str
    speed: float
    order_aim: float
    stop_aim: float


CASES: Final = (
    Case(1, "idle", 120, 10, 20),
    Case(1, "busy", 120, 50, 20),
    Case(len(SYMBOLS), "idle", 30, 50, 20),
    Case(len(SYMBOLS), "busy", 30, 50, 20),
)


class OrdersSize(NamedTuple):
    """Seconds of a run, runs of a case, and orders and fills in the journal of a start."""

    seconds: float
    runs: int
    orders: int
    fills: int
    cases: tuple[Case, ...]


USUAL: Final = OrdersSize(15, 3, 10_000, 50_000, CASES)
SMOKE: Final = OrdersSize(4, 1, 100, 500, (CASES[0], Case(3, "busy", 120, 50, 20)))

Note = list[object]


def measure(size: Size = Size.USUAL) -> list[Row]:
    """Return one row per latency and case, with its aim, and those of a start.

    Raises:
        BenchmarkError: a process ended or hung.
    """
    chosen = SMOKE if size is Size.SMOKE else USUAL
    rows = [_disk()]
    for case in chosen.cases:
        rows += asyncio.run(_best(case, chosen))
    rows += _starts(chosen)
    rows.append({"measured": PUBLISHED})
    return rows


# -- latencies


async def _best(case: Case, size: OrdersSize) -> list[Row]:
    """Return the rows of the least disturbed of several runs."""
    where = f"{case.symbols} symbol{'s' * (case.symbols > 1)} at once, cell {case.cell}"
    runs = []
    for number in range(size.runs):
        progress("orders", f"{where}, run {number + 1} of {size.runs}")
        runs.append(await _run(case, size.seconds))
    orders, stops = min(runs, key=lambda run: np.median(run[0]))
    return [
        _latency(f"closed candle -> order, {where}", orders, case.order_aim),
        _latency(f"fill -> stop, {where}", stops, case.stop_aim),
    ]


def _latency(what: str, seconds: Sequence[float], aim: float) -> Row:
    p50, p99 = (float(np.percentile(seconds, part)) * 1e3 for part in (50, 99))
    return {"measured": what, "p50 ms": p50, "p99 ms": p99, "count": len(seconds), "aim p99": aim}


async def _run(case: Case, seconds: float) -> tuple[list[float], list[float]]:
    """Return the seconds from closed candles to orders, and from fills to stops, of one run."""
    from botlib.paper import PaperOptions, PaperProcess
    from botlib.paper.market.market_clock import MarketPace

    symbols = SYMBOLS[: case.symbols]
    options = PaperOptions(
        seed=SEED,
        symbols=symbols,
        pace=MarketPace(case.speed),
        balances={"USDT": Decimal(10_000_000)},
    )
    async with await PaperProcess.start(options) as paper:
        notes = await asyncio.to_thread(_traded, paper.url, symbols, case.cell, seconds)
    orders, stops = latencies(notes)
    if not orders or not stops:
        raise BenchmarkError(f"The bot sent {len(orders)} orders and {len(stops)} stops.")
    return orders, stops


def _traded(venue: str, symbols: Sequence[str], cell: str, seconds: float) -> dict[str, list[Note]]:
    """Have a bot trade through a proxy; return what the proxy noted."""
    address = urlsplit(venue)
    arguments = ["-m", "benchmarks.orders_proxy", str(address.hostname), str(address.port)]
    with (
        tempfile.TemporaryDirectory(prefix="bench-orders-") as folder,
        Child("proxy", arguments) as proxy,
    ):
        port, notes_port = map(int, proxy.line(READY).split())
        bot = ["-m", "benchmarks.orders_bot", "trade", f"http://127.0.0.1:{port}"]
        words = [str(seconds + SETTLED), cell, *symbols]
        with Child("bot", [*bot, *words], environment=_surroundings(folder)) as child:
            child.line(READY)
            time.sleep(SETTLED)
            _notes(notes_port)
            time.sleep(seconds)
            notes = _notes(notes_port)
            child.result(READY)
        return notes


def _surroundings(folder: str) -> dict[str, str]:
    return {"PYTHONWARNINGS": "ignore", "BOTLIB_HOME": folder}


def _notes(port: int) -> dict[str, list[Note]]:
    """Return what the proxy has noted since it was last asked."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        parts = []
        while part := connection.recv(1 << 20):
            parts.append(part)
    found: dict[str, list[Note]] = json.loads(b"".join(parts))
    return found


def latencies(notes: dict[str, list[Note]]) -> tuple[list[float], list[float]]:
    """Return the seconds from closed candles to orders, and from fills to stops.

    An order at the market follows the newest close of its symbol, a stop the first news of the
    newest fill.
    """
    closed: dict[object, float] = {}
    filled: dict[object, tuple[object, float]] = {}
    orders, stops = [], []
    events = [
        *(("closed", *note) for note in notes["closed"]),
        *(("filled", *note) for note in notes["filled"]),
        *(("sent", *note) for note in notes["sent"]),
    ]
    for kind, moment, symbol, *rest in sorted(events, key=lambda event: float(str(event[1]))):
        now = float(str(moment))
        if kind == "closed":
            closed[symbol] = now
        elif kind == "filled" and filled.get(symbol, ("",))[0] != rest[0]:
            filled[symbol] = (rest[0], now)
        elif kind == "sent" and rest[0] == "MARKET" and symbol in closed:
            orders.append(now - closed[symbol])
        elif kind == "sent" and rest[0] == "STOP_LOSS" and symbol in filled:
            stops.append(now - filled[symbol][1])
    return orders, stops


def _disk() -> Row:
    """Return how long the disk takes to put 4 KiB of a file in place."""
    taken = []
    with tempfile.TemporaryFile() as file:
        for number in range(100):
            os.pwrite(file.fileno(), bytes(4096), 4096 * number)
            begun = time.perf_counter()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - begun)
    return _latency("one sync of this disk (each order waits for one)", taken, 0) | {"aim p99": ""}


# -- starts


def _starts(size: OrdersSize) -> list[Row]:
    """Return the rows of a start with a full journal, beside one with an empty one."""
    empty, first, full = (*_start(0, 0)[1:], *_start(size.orders, size.fills))
    what = f"start with {size.orders:,} orders and {size.fills:,} fills"
    return [
        {"measured": f"{what}, order path, s", "value": full["order path"], "aim": 3.0},
        {"measured": f"{what}, the first, which compares all, s", "value": first["order path"]},
        {"measured": f"{what}, whole bot, s", "value": full["bot"]},
        {"measured": "start with an empty journal, whole bot, s", "value": empty["bot"]},
        {
            "measured": f"{what}, memory more than with an empty journal, MiB",
            "value": (full["memory"] - empty["memory"]) / 2**20,
        },
    ]


def _start(orders: int, fills: int) -> list[dict[str, float]]:
    """Return the figures of the first and of the second start with a journal."""
    progress("orders", f"two starts with {orders:,} orders and {fills:,} fills")
    with tempfile.TemporaryDirectory(prefix="bench-orders-") as folder:
        arguments = ["-m", "benchmarks.orders_bot", "write", str(Path(folder) / "data")]
        result_of(
            "journal",
            [*arguments, str(SEED), str(orders), str(fills)],
            limit=READY,
            environment=_surroundings(folder),
        )
        return [
            result_of(
                "start",
                ["-m", "benchmarks.orders_bot", "start", str(SEED)],
                limit=READY,
                environment=_surroundings(folder),
            )
            for _ in range(2)
        ]
