"""From a candle file through a real exchange process and ccxt.pro into SQLite, bar for bar.

The sockets are cut on the way. What the file has must be in the database, and nothing else; what
the file lacks must be recorded as a hole.
"""

from __future__ import annotations

import asyncio
import csv
import gzip
import itertools
import math
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from botlib.core.bus import BusSubscription, EventBus
from botlib.core.model import CandleClosed
from botlib.core.symbol import symbol_id
from botlib.market_data import CandleStream
from botlib.paper import PAPER_API_KEY, PAPER_API_SECRET, PaperProcess
from botlib.store.candles import CandleStorage
from botlib.store.database import Database
from botlib.venues.binance.venue import BinanceExchange

MINUTE = 60_000
CUTS = 5

Row = tuple[int, float, float, float, float, float]


async def test_a_synthetic_recording_with_holes_arrives_bar_for_bar(tmp_path: Path) -> None:
    chance = random.Random(11)
    rows: list[Row] = []
    price = 60_000.0
    for number in range(4_000):
        start, price = price, round(price * (1 + chance.gauss(0, 0.001)), 2)
        high = round(max(start, price) + chance.random() * 20, 2)
        low = round(min(start, price) - chance.random() * 20, 2)
        # Two halts: a long one, and one that begins and ends inside five-minute candles.
        if not (300 <= number < 450 or 903 <= number < 911):
            volume = round(chance.random() * 9, 5)
            rows.append((1_700_000_100_000 + number * MINUTE, start, high, low, price, volume))
    await stream_and_compare(tmp_path, {"BTCUSDT": rows})


async def test_the_halts_of_april_2021_stay_holes(
    tmp_path: Path, recorded: Callable[[str], Path]
) -> None:
    start, end = 1_618_873_200_000, 1_619_344_800_000  # 2021-04-19 23:00 to 04-25 10:00
    files = {
        symbol: _window(recorded(f"candles/{symbol}-1m-20210402-20210514.csv.gz"), start, end)
        for symbol in ("BTCUSDT", "ETHUSDT")
    }
    storage_holes = await stream_and_compare(tmp_path, files)
    # 2021-04-20 02:00 to 04:29 and 2021-04-25 04:01 to 08:44.
    assert storage_holes == {
        symbol: [(1_618_884_000_000, 1_618_892_940_000), (1_619_323_260_000, 1_619_340_240_000)]
        for symbol in files
    }


async def stream_and_compare(
    tmp_path: Path, files: dict[str, list[Row]]
) -> dict[str, list[tuple[int, int]]]:
    """Stream candle files at full speed with the sockets cut; return the recorded holes."""
    arguments = ["--speed", "max"]
    for symbol, rows in files.items():
        arguments += ["--recording", str(_write(tmp_path / f"{symbol}-1m-part.csv", symbol, rows))]
    total = sum(map(len, files.values()))
    async with await PaperProcess.start(arguments) as process:
        path = tmp_path / "candles.db"
        database = Database.open(path, process.venue)
        try:
            published = await _stream(process, database, list(files), total)
            holes = {
                symbol: [(h.start, h.end) for h in CandleStorage(database).holes(symbol, "1m")]
                for symbol in files
            }
        finally:
            database.close()
    for symbol, rows in files.items():
        # Read by another client than the one that wrote.
        for timeframe, expected in (("1m", rows), ("5m", _five_minutes(rows))):
            stored = _stored(path, symbol, timeframe)
            assert [row[:5] for row in stored] == [row[:5] for row in expected]
            volumes = [row[5] for row in expected]
            # Sums of floats depend on their order.
            exact = timeframe == "1m"
            assert [row[5] for row in stored] == (volumes if exact else pytest.approx(volumes))
            assert published[symbol, timeframe] == [row[0] for row in expected]
        assert holes[symbol] == _holes(rows)
    return holes


async def _stream(
    process: PaperProcess, database: Database, symbols: list[str], total: int
) -> dict[tuple[str, str], list[int]]:
    """Stream until every candle has closed, while the sockets are cut."""
    published: dict[tuple[str, str], list[int]] = {}
    bus = EventBus()
    # A small queue: the market has to wait for its reader.
    inbox = bus.subscribe(CandleClosed, name="reader", maxsize=4_000)
    control = process.control()

    async def market_time() -> int:
        return int((await control.state())["market_time"])

    exchange = BinanceExchange(
        venue=process.venue,
        rest_url=process.url,
        keys=(PAPER_API_KEY, PAPER_API_SECRET),
        market_time=market_time,
    )
    stream = CandleStream(exchange, CandleStorage(database), bus)
    # In the first half: the market runs ahead of its reader by what the sockets hold.
    cuts = [total * (number + 1) // (2 * CUTS) for number in range(CUTS)]
    seen = 0
    try:
        for symbol in symbols:
            await stream.subscribe_candles(symbol, ["1m", "5m"], history=50)
        async with asyncio.timeout(100), asyncio.TaskGroup() as group:
            running = group.create_task(stream.run())
            while True:
                event = await _next(inbox)
                if event is None:
                    # After the last base candle the last higher ones close; then all is quiet.
                    if seen >= total and (await control.state())["ended"]:
                        break
                    continue
                candle = event.candle
                key = (symbol_id(candle.symbol), candle.timeframe)
                published.setdefault(key, []).append(candle.timestamp)
                seen += candle.timeframe == "1m"
                if cuts and seen >= cuts[0]:
                    struck = await control.fault("reset", target="streams")
                    if struck["struck"]:
                        cuts.pop(0)
            status = stream.status()
            running.cancel()
        assert cuts == []
        assert sum(c.reconnects for c in status.connections) >= CUTS
        assert status.revisions == status.bad_frames == 0
    finally:
        await exchange.close()
        await control.close()
    return published


async def _next(inbox: BusSubscription[CandleClosed]) -> CandleClosed | None:
    try:
        return await asyncio.wait_for(inbox.get(), 1.0)
    except TimeoutError:
        return None


def _window(path: Path, start: int, end: int) -> list[Row]:
    with gzip.open(path, "rt", newline="") as file:
        rows = [
            (
                int(r["timestamp"]),
                *(float(r[c]) for c in ("open", "high", "low", "close", "volume")),
            )
            for r in csv.DictReader(file)
        ]
    return [row for row in rows if start <= row[0] < end]  # type: ignore[misc]


def _write(path: Path, symbol: str, rows: list[Row]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow("symbol timeframe timestamp open high low close volume".split())
        writer.writerows((symbol, "1m", *row) for row in rows)
    return path


def _stored(path: Path, symbol: str, timeframe: str) -> list[Row]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return connection.execute(
            "SELECT timestamp, open, high, low, close, volume FROM candles "
            "WHERE symbol = ? AND timeframe = ? AND closed = 1 ORDER BY timestamp",
            (symbol, timeframe),
        ).fetchall()
    finally:
        connection.close()


def _five_minutes(rows: list[Row]) -> list[Row]:
    buckets: dict[int, list[Row]] = {}
    for row in rows:
        buckets.setdefault(row[0] - row[0] % (5 * MINUTE), []).append(row)
    return [
        (
            timestamp,
            part[0][1],
            max(row[2] for row in part),
            min(row[3] for row in part),
            part[-1][4],
            math.fsum(row[5] for row in part),
        )
        for timestamp, part in buckets.items()
    ]


def _holes(rows: list[Row]) -> list[tuple[int, int]]:
    return [
        (before[0] + MINUTE, after[0] - MINUTE)
        for before, after in itertools.pairwise(rows)
        if after[0] - before[0] > MINUTE
    ]
