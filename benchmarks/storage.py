"""A year of 1m candles read into a frame, and one candle appended, next to other stores.

Every store keeps its own copy of the same 525,600 candles and is read in a process of its own. A
read ends with a frame of the same shape: float64 columns and a tz-naive index. One of its columns
is summed, so that a store which maps its files has to read them. `fresh` is the first read of a
process, imports done and files in the page cache of the system; `warm` the median of many. One
candle is appended at a time, as each store offers it: botlib flushes it to disk (`durable`) or to
the system (as a running stream does), ArcticDB to the system; the floor is a bare write of 4 KiB
with fsync to the same disk.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from benchmarks.measuring import Row, Size, absent, result_of, skipped

if TYPE_CHECKING:
    import pandas as pd

START: Final = 1_704_067_200_000
MINUTE: Final = 60_000
LIMIT: Final = 300.0
"""Seconds for the process of one store."""

Read = Callable[[], "pd.DataFrame"]


class StorageSize(NamedTuple):
    """How many candles are stored, and how often they are read and appended to."""

    candles: int
    reads: int
    slow_reads: int
    appends: int


SIZES: Final = {
    Size.SMOKE: StorageSize(candles=3_000, reads=3, slow_reads=2, appends=5),
    Size.USUAL: StorageSize(candles=525_600, reads=21, slow_reads=5, appends=200),
}
ARCTIC: Final = "ArcticDB (LMDB)"


def measure(size: Size = Size.USUAL) -> list[Row]:
    """Return one row per store: fresh and warm read in ms, and one append in ms."""
    chosen = Size.SMOKE if size is Size.SMOKE else Size.USUAL
    stores = SMOKE_STORES if chosen is Size.SMOKE else tuple(STORES)
    reason = absent("arcticdb")
    read: dict[str, dict[str, float]] = {}
    appended: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-storage-") as name:
        _run("make", "", chosen, name)
        for store in stores:
            if store != ARCTIC or not reason:
                read[store] = _run("read", store, chosen, name)
        for store in APPENDING:
            if store != ARCTIC or not reason:
                appended[store] = _run("append", store, chosen, name)
    rows: list[Row] = []
    for store, figures in read.items():
        row: Row = {"store": store, "fresh ms": figures["fresh"], "warm ms": figures["warm"]}
        row["best ms"] = figures["best"]
        if not reason:
            row["times ArcticDB, warm"] = figures["warm"] / read[ARCTIC]["warm"]
        rows.append(row)
    rows += [
        {"store": f"append: {store}", "warm ms": figures["warm"], "best ms": figures["best"]}
        for store, figures in appended.items()
    ]
    if reason:
        rows.append(skipped("store", ARCTIC, reason))
    return rows


def _run(action: str, store: str, size: Size, directory: str) -> dict[str, float]:
    arguments = ["-m", "benchmarks.storage", action, store, size.value, directory]
    figures: dict[str, float] = result_of(f"{action} {store}".strip(), arguments, limit=LIMIT)
    return figures


def _candles(candles: int) -> pd.DataFrame:
    """Return a random walk with prices of two decimals, one candle a minute."""
    import numpy as np

    from botlib.frames import candle_frame

    chance = np.random.default_rng(7)
    close = np.round(40_000 * np.exp(np.cumsum(chance.normal(0, 5e-4, candles))), 2)
    opened = np.concatenate([[40_000.0], close[:-1]])
    high = np.round(np.maximum(opened, close) * 1.0002, 2)
    low = np.round(np.minimum(opened, close) * 0.9998, 2)
    volume = np.round(chance.exponential(12.0, candles), 5)
    times = START + MINUTE * np.arange(candles)
    return candle_frame(times, np.column_stack([opened, high, low, close, volume]))


def _make(directory: Path, candles: int) -> dict[str, float]:
    """Write the copy of every store."""
    from botlib.store import Database

    frame = _candles(candles)
    rows = zip(frame.index.astype("int64").tolist(), *_lists(frame), strict=True)
    with Database.open(directory / "botlib.db", "binance") as database:
        database.register("BTC/USDT")
        with database.writing() as connection:
            connection.executemany(
                "INSERT INTO candles VALUES ('BTCUSDT', '1m', ?, ?, ?, ?, ?, ?, 1, 'import', 0, "
                "NULL)",
                rows,
            )
    frame.to_parquet(directory / "candles.parquet")
    frame.reset_index().to_feather(directory / "lz4.feather", compression="lz4")
    frame.reset_index().to_feather(directory / "plain.feather", compression="uncompressed")
    if not absent("arcticdb"):
        import arcticdb

        arctic = arcticdb.Arctic(f"lmdb://{directory / 'arctic'}?map_size=2GB")
        arctic.create_library("candles").write("BTCUSDT-1m", frame)
    return {}


def _lists(frame: pd.DataFrame) -> list[list[float]]:
    return [frame[name].tolist() for name in frame.columns]


def _botlib(directory: Path) -> Read:
    from botlib.store import CandleStorage, Database

    database = Database.open(directory / "botlib.db", "binance", readonly=True)
    storage = CandleStorage(database)
    return lambda: storage.frame("BTC/USDT", "1m")


def _botlib_reopened(directory: Path) -> Read:
    from botlib.store import CandleStorage, Database

    def read() -> pd.DataFrame:
        with Database.open(directory / "botlib.db", "binance", readonly=True) as database:
            return CandleStorage(database).frame("BTC/USDT", "1m")

    return read


def _botlib_without_cache(directory: Path) -> Read:
    read = _botlib(directory)

    def uncached() -> pd.DataFrame:
        shutil.rmtree(directory / "botlib.db.cache", ignore_errors=True)
        return read()

    return uncached


def _botlib_research(directory: Path) -> Read:
    import botlib as bl

    data = directory / "research"
    data.mkdir(exist_ok=True)
    if not (data / "tradingbot.db").exists():
        shutil.copy(directory / "botlib.db", data / "tradingbot.db")
    return lambda: bl.research(data_directory=data).candles("BTC/USDT", "1m", since="365d")


def _read_sql(directory: Path) -> Read:
    import sqlite3

    import pandas as pd

    connection = sqlite3.connect(directory / "botlib.db")

    def read() -> pd.DataFrame:
        frame = pd.read_sql(
            "SELECT timestamp, open, high, low, close, volume FROM candles "
            "WHERE symbol = 'BTCUSDT' AND timeframe = '1m' AND closed = 1 ORDER BY timestamp",
            connection,
            index_col="timestamp",
        )
        frame.index = frame.index.astype("datetime64[ms]")
        return frame

    return read


def _parquet(directory: Path) -> Read:
    import pandas as pd

    return lambda: pd.read_parquet(directory / "candles.parquet")


def _feather(name: str) -> Callable[[Path], Read]:
    def prepared(directory: Path) -> Read:
        import pandas as pd

        return lambda: pd.read_feather(directory / name).set_index("timestamp")

    return prepared


def _arctic(directory: Path) -> Read:
    import arcticdb

    library = arcticdb.Arctic(f"lmdb://{directory / 'arctic'}?map_size=2GB")["candles"]

    def read() -> pd.DataFrame:
        frame: pd.DataFrame = library.read("BTCUSDT-1m").data
        return frame

    return read


STORES: Final[dict[str, Callable[[Path], Read]]] = {
    "botlib, cache absent": _botlib_without_cache,
    "botlib": _botlib,
    "botlib, database opened for each read": _botlib_reopened,
    "botlib, bl.research() for each read": _botlib_research,
    ARCTIC: _arctic,
    "Feather, uncompressed": _feather("plain.feather"),
    "Feather, lz4": _feather("lz4.feather"),
    "Parquet (pandas)": _parquet,
    "SQLite, pandas read_sql": _read_sql,
}
SLOW: Final = ("botlib, cache absent", "SQLite, pandas read_sql")
SMOKE_STORES: Final = ("botlib, cache absent", "botlib", ARCTIC, "Feather, lz4")


def _time_reads(store: str, directory: Path, size: StorageSize) -> dict[str, float]:
    times = size.slow_reads if store in SLOW else size.reads
    # Imports that pandas makes on the first frame do not count for the store.
    import pandas as pd

    pd.DataFrame({"a": [1.0]}, index=pd.DatetimeIndex(["2024-01-01"]))
    read = STORES[store](directory)
    taken = []
    for _ in range(times):
        gc.collect()
        begun = time.perf_counter()
        frame = read()
        total = float(frame["close"].sum())
        taken.append((time.perf_counter() - begun) * 1e3)
        assert (len(frame), total > 0) == (size.candles, True)
        assert str(frame.index.dtype).startswith("datetime64["), frame.index.dtype
        del frame
    return {"fresh": taken[0], "warm": statistics.median(taken[1:]), "best": min(taken)}


def _append_botlib(durable: bool) -> Callable[[Path], Callable[[int], Any]]:
    def prepared(directory: Path) -> Callable[[int], Any]:
        from botlib.core.model import Candle, CandleSource
        from botlib.store import CandleStorage, Database

        database = Database.open(directory / "botlib.db", "binance")
        storage = CandleStorage(database)
        newest = storage.last_closed("BTC/USDT", "1m") or START

        def append(index: int) -> None:
            candle = Candle(
                symbol="BTC/USDT",
                timeframe="1m",
                timestamp=newest + (index + 1) * MINUTE,
                open=1.0,
                high=2.0,
                low=0.5,
                close=1.5,
                volume=1.0,
                closed=True,
                source=CandleSource.STREAM,
            )
            report = storage.write([candle], now=1, durable=durable)
            assert report.closed == 1

        return append

    return prepared


def _append_arctic(directory: Path) -> Callable[[int], Any]:
    import arcticdb

    from botlib.frames import candle_frame

    library = arcticdb.Arctic(f"lmdb://{directory / 'arctic'}?map_size=2GB")["candles"]
    newest = int(library.tail("BTCUSDT-1m", 1).data.index[-1].timestamp() * 1_000)

    def append(index: int) -> None:
        time_ = newest + (index + 1) * MINUTE
        library.append("BTCUSDT-1m", candle_frame([time_], [1.0, 2.0, 0.5, 1.5, 1.0]))

    return append


def _append_floor(directory: Path) -> Callable[[int], Any]:
    descriptor = os.open(directory / "floor", os.O_WRONLY | os.O_CREAT)
    page = bytes(4096)

    def append(index: int) -> None:
        os.write(descriptor, page)
        os.fsync(descriptor)

    return append


APPENDING: Final[dict[str, Callable[[Path], Callable[[int], Any]]]] = {
    "botlib, durable": _append_botlib(durable=True),
    "botlib, as a stream writes": _append_botlib(durable=False),
    ARCTIC: _append_arctic,
    "floor: 4 KiB and fsync": _append_floor,
}


def _time_appends(store: str, directory: Path, size: StorageSize) -> dict[str, float]:
    append = APPENDING[store](directory)
    taken = []
    for index in range(size.appends):
        begun = time.perf_counter()
        append(index)
        taken.append((time.perf_counter() - begun) * 1e3)
    return {"warm": statistics.median(taken), "best": min(taken)}


def _main(action: str, store: str, size: StorageSize, directory: Path) -> dict[str, float]:
    if action == "make":
        return _make(directory, size.candles)
    if action == "read":
        return _time_reads(store, directory, size)
    return _time_appends(store, directory, size)


if __name__ == "__main__":
    action, store, size, directory = sys.argv[1:]
    print(json.dumps(_main(action, store, SIZES[Size(size)], Path(directory))))
