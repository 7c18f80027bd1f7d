"""The Parquet export: the same candles for every reader, only changed and complete files."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal

from botlib.core.errors import InvalidInput, StoreError, UnknownTimeframe, WrongVenue
from botlib.core.model import Candle
from botlib.core.timeframe import DAY, HOUR, MINUTE
from botlib.store import CandleStorage, Database
from botlib.store.files.export import export_parquet
from tests.support import samples

NEW_YEAR = 1_704_067_200_000
"""2024-01-01."""

_serial = itertools.count()


def candle(timestamp: int, close: float = 1.5, **changes: Any) -> Candle:
    # A volume whose last digit is lost where anything rounds.
    return samples.candle(timestamp, close, **{"volume": 0.1 + 0.2} | changes)


@pytest.fixture
def filled(storage: CandleStorage) -> CandleStorage:
    """Minutes around a new year, and days and another symbol beside them."""
    storage.write((candle(NEW_YEAR + i * MINUTE, 500 + i / 3) for i in range(-300, 700)), now=1)
    storage.write([candle(NEW_YEAR + 700 * MINUTE, closed=False)], now=1)
    storage.write((candle(NEW_YEAR + i * DAY, 9.0, timeframe="1d") for i in range(5)), now=1)
    storage.write((candle(NEW_YEAR + i * HOUR, symbol="1INCH/USDT") for i in range(9)), now=1)
    return storage


@pytest.fixture(params=["local", "memory"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "local":
        yield str(tmp_path / "data set" / "candles")
        return
    url = f"memory://export-{next(_serial)}/candles"
    yield url
    fsspec.filesystem("memory").rm(url, recursive=True)


PARTITIONS = (
    "symbol=1INCHUSDT/timeframe=1m/year=2024/candles.parquet",
    "symbol=BTCUSDT/timeframe=1m/year=2023/candles.parquet",
    "symbol=BTCUSDT/timeframe=1m/year=2024/candles.parquet",
    "symbol=BTCUSDT/timeframe=1d/year=2024/candles.parquet",
)


def listed(target: str) -> list[str]:
    files, root = fsspec.core.url_to_fs(target)
    return sorted(name.removeprefix(f"{root}/") for name in files.find(root))


def read(target: str, partition: str) -> pd.DataFrame:
    with fsspec.open(f"{target}/{partition}", "rb") as file:
        return pq.ParquetFile(file).read().to_pandas().set_index("timestamp")


def test_partitions_hold_the_frames_of_the_database(filled: CandleStorage, target: str) -> None:
    done: list[tuple[int, int]] = []
    report = export_parquet(filled, target, progress=lambda *counts: done.append(counts))
    assert report.written == PARTITIONS
    assert (report.unchanged, report.removed, report.candles) == (0, (), 1_014)
    assert listed(target) == sorted(PARTITIONS)
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    minutes = filled.frame("BTC/USDT", "1m")
    parts = [read(target, partition) for partition in PARTITIONS[1:3]]
    assert [len(part) for part in parts] == [300, 700]
    assert_frame_equal(pd.concat(parts), minutes)
    assert_frame_equal(read(target, PARTITIONS[3]), filled.frame("BTC/USDT", "1d"))
    assert report.size == sum(
        fsspec.core.url_to_fs(target)[0].size(f"{target}/{name}") for name in PARTITIONS
    )
    assert str(report).startswith(
        f"{target}: 4 partitions written, 0 unchanged, 1\u2009014 candles"
    )


def test_only_changed_partitions_are_written_again(filled: CandleStorage, target: str) -> None:
    export_parquet(filled, target)
    again = export_parquet(filled, target)
    assert (again.written, again.unchanged, again.size) == ((), 4, 0)
    filled.write([candle(NEW_YEAR + 700 * MINUTE)], now=2)
    assert export_parquet(filled, target).written == (PARTITIONS[2],)
    filled.write([candle(NEW_YEAR - MINUTE, 7.0)], now=2)
    report = export_parquet(filled, target)
    assert (report.written, report.unchanged) == ((PARTITIONS[1],), 3)
    assert read(target, PARTITIONS[1])["close"].iloc[-1] == 7.0


def test_interrupted_export_continues_where_it_stopped(filled: CandleStorage, target: str) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_parquet(filled, target, progress=interrupt)
    assert listed(target) == sorted(PARTITIONS[:2])
    assert export_parquet(filled, target).written == PARTITIONS[2:]


def test_damaged_partition_is_written_again(filled: CandleStorage, target: str) -> None:
    export_parquet(filled, target)
    files, root = fsspec.core.url_to_fs(target)
    whole = files.cat_file(f"{root}/{PARTITIONS[1]}")
    for content in (b"", whole[:-9], whole[: len(whole) // 2], b"PAR1" * 9, bytes(len(whole))):
        files.pipe_file(f"{root}/{PARTITIONS[1]}", content)
        assert export_parquet(filled, target).written == (PARTITIONS[1],)
    assert len(read(target, PARTITIONS[1])) == 300


def test_selection_does_not_change_other_partitions(filled: CandleStorage, target: str) -> None:
    report = export_parquet(filled, target, symbols="btcusdt", timeframes=["1d"])
    assert report.written == PARTITIONS[3:]
    assert export_parquet(filled, target, symbols=["1INCH/USDT"]).written == PARTITIONS[:1]
    assert listed(target) == sorted([PARTITIONS[0], PARTITIONS[3]])


def test_years_that_are_gone_are_removed(filled: CandleStorage, target: str) -> None:
    export_parquet(filled, target)
    with filled.database.writing() as connection:
        connection.execute("DELETE FROM candles WHERE timestamp < ?", (NEW_YEAR,))
    files, root = fsspec.core.url_to_fs(target)
    files.pipe_file(f"{root}/symbol=BTCUSDT/timeframe=1m/notes.txt", b"mine")
    assert export_parquet(filled, target, timeframes="1d").removed == ()
    report = export_parquet(filled, target)
    assert (report.removed, report.written, report.unchanged) == ((PARTITIONS[1],), (), 3)
    assert listed(target) == sorted(
        [PARTITIONS[0], *PARTITIONS[2:], "symbol=BTCUSDT/timeframe=1m/notes.txt"]
    )
    assert "1 removed" in str(report)


def test_years_without_candles_between_others_have_no_file(
    storage: CandleStorage, target: str
) -> None:
    storage.write([candle(NEW_YEAR), candle(NEW_YEAR + 900 * DAY)], now=1)
    report = export_parquet(storage, target)
    assert [path.split("/")[2] for path in report.written] == ["year=2024", "year=2026"]
    assert export_parquet(storage, target).unchanged == 2


def test_dataset_of_another_venue_is_refused(
    filled: CandleStorage, target: str, tmp_path: Path
) -> None:
    export_parquet(filled, target, symbols="BTC/USDT")
    before = {name: read(target, name) for name in listed(target)}
    with Database.open(tmp_path / "other.db", "binance") as other:
        storage = CandleStorage(other)
        storage.write([candle(NEW_YEAR, symbol="ETH/USDT")], now=1)
        with pytest.raises(WrongVenue, match=r"'paper:synthetic:seed=1', not of 'binance'"):
            export_parquet(storage, target)
    assert {name: read(target, name) for name in listed(target)}.keys() == before.keys()


def test_parquet_of_another_origin_is_not_changed(filled: CandleStorage, target: str) -> None:
    files, root = fsspec.core.url_to_fs(target)
    files.makedirs(f"{root}/{PARTITIONS[1]}".rpartition("/")[0])
    with files.open(f"{root}/{PARTITIONS[1]}", "wb") as file:
        pd.DataFrame({"a": [1]}).to_parquet(file)
    with pytest.raises(StoreError, match="was not made by botlib"):
        export_parquet(filled, target)
    assert list(pq.read_table(files.open(f"{root}/{PARTITIONS[1]}")).column_names) == ["a"]


def test_unknown_symbols_are_refused_before_anything_is_written(
    filled: CandleStorage, database: Database, tmp_path: Path
) -> None:
    target = tmp_path / "out"
    with pytest.raises(InvalidInput, match=r"Cannot export ETH/USDT: .*Stored: 1INCH/USDT 1m"):
        export_parquet(filled, target, symbols=["BTC/USDT", "ETH/USDT"])
    with pytest.raises(InvalidInput, match="Cannot export 4h"):
        export_parquet(filled, target, timeframes=["4h", "1m"])
    with pytest.raises(UnknownTimeframe):
        export_parquet(filled, target, timeframes=["1x"])
    with pytest.raises(InvalidInput, match=r"Cannot export to 'nowhere://x'"):
        export_parquet(filled, "nowhere://user:password@x")
    with database.writing() as connection:
        connection.execute("DELETE FROM candles")
    with pytest.raises(InvalidInput, match=r"Cannot export anything: .*Stored: nothing"):
        export_parquet(filled, target)
    assert not target.exists()


def test_full_or_unwritable_disk_keeps_what_is_done(
    filled: CandleStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    export_parquet(filled, target)
    filled.write([candle(NEW_YEAR - MINUTE, 7.0)], now=2)
    replace = Path.replace

    def full(self: Path, to: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StoreError, match=r"year=2023.*No space left.*export again"):
        export_parquet(filled, target)
    monkeypatch.setattr(Path, "replace", replace)
    assert listed(str(target)) == sorted(PARTITIONS)
    assert read(str(target), PARTITIONS[1])["close"].iloc[-1] != 7.0
    assert export_parquet(filled, target).written == (PARTITIONS[1],)
    with pytest.raises(StoreError, match="Not a directory"):
        (tmp_path / "file").touch()
        export_parquet(filled, tmp_path / "file" / "out")


def test_local_files_are_their_owners_alone_and_temporary_files_are_removed(
    filled: CandleStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_parquet(filled, tmp_path)
    path = tmp_path / PARTITIONS[1]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    left = path.with_name("_candles.parquet.1-ab.new")
    left.touch()
    os.utime(left, (1, 1))
    filled.write([candle(NEW_YEAR - MINUTE, 7.0)], now=2)
    export_parquet(filled, tmp_path)
    assert [file.name for file in path.parent.iterdir()] == ["candles.parquet"]


SUM = 9 * 1.5 + 5 * 9.0 + sum(500 + i / 3 for i in range(-300, 700))


@pytest.fixture
def exported(filled: CandleStorage, tmp_path: Path) -> Path:
    target = tmp_path / "candles"
    export_parquet(filled, target)
    return target


def test_duckdb_reads_it(exported: Path) -> None:
    import duckdb

    with duckdb.connect() as connection:
        dataset = f"read_parquet('{exported}/**/*.parquet', hive_partitioning = true)"
        rows = connection.execute(
            f"SELECT symbol, timeframe, year, count(*), min(timestamp)::VARCHAR FROM {dataset} "
            "GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        ).fetchall()
        total = connection.execute(f"SELECT sum(close) FROM {dataset}").fetchone()
    assert [row[:4] for row in rows] == [
        ("1INCHUSDT", "1m", 2024, 9),
        ("BTCUSDT", "1d", 2024, 5),
        ("BTCUSDT", "1m", 2023, 300),
        ("BTCUSDT", "1m", 2024, 700),
    ]
    assert rows[2][4] == "2023-12-31 19:00:00"
    assert total is not None
    assert total[0] == pytest.approx(SUM)


def test_polars_reads_it(exported: Path) -> None:
    import polars

    frame = polars.scan_parquet(f"{exported}/**/*.parquet", hive_partitioning=True).collect()
    assert frame["close"].sum() == pytest.approx(SUM)
    assert frame.schema["timestamp"] == polars.Datetime("ms")
    minutes = frame.filter(polars.col("symbol") == "BTCUSDT", polars.col("timeframe") == "1m")
    assert minutes.height == 1_000
    assert minutes.filter(polars.col("year") == 2023).height == 300
    assert polars.read_parquet(exported, hive_partitioning=True).height == 1_014


# Dask 2026.8 still says inplace= to pandas 3.1.
@pytest.mark.filterwarnings("ignore:The inplace keyword:pandas.errors.Pandas4Warning")
def test_dask_and_pandas_read_it(exported: Path) -> None:
    import dask.dataframe

    frame = dask.dataframe.read_parquet(str(exported))
    chosen = frame[(frame["symbol"] == "BTCUSDT") & (frame["timeframe"] == "1m")]
    assert len(chosen) == 1_000
    assert frame["close"].sum().compute() == pytest.approx(SUM)
    whole = pd.read_parquet(exported, filters=[("timeframe", "==", "1d")])
    assert whole["timestamp"].dtype == np.dtype("datetime64[ms]")
    assert set(whole["symbol"]) == {"BTCUSDT"}


SPARK = """
import json, sys
from pyspark.sql import SparkSession

builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
session = builder.config("spark.driver.memory", "512m").getOrCreate()
frame = session.read.parquet(sys.argv[1])
minutes = frame.filter("symbol = 'BTCUSDT' and timeframe = '1m' and year = 2023")
oldest = minutes.orderBy("timestamp").first()["timestamp"]
total = frame.groupBy().sum("close").first()[0]
print(json.dumps([frame.dtypes, frame.count(), minutes.count(), str(oldest), total]))
session.stop()
"""


def test_spark_reads_it(exported: Path) -> None:
    # Of 500 MB and in need of Java, it is not among the requirements.
    pytest.importorskip("pyspark", reason="pyspark is not installed")
    command = [sys.executable, "-c", SPARK, str(exported)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=240)
    types, rows, minutes, oldest, total = json.loads(answer.stdout.splitlines()[-1])
    assert types == [
        ["timestamp", "timestamp_ntz"],
        *([name, "double"] for name in ("open", "high", "low", "close", "volume")),
        ["symbol", "string"],
        ["timeframe", "string"],
        ["year", "int"],
    ]
    assert (rows, minutes, oldest) == (1_014, 300, "2023-12-31 19:00:00")
    assert total == pytest.approx(SUM)


def test_recorded_year_comes_back_bar_for_bar(
    recorded: Callable[[str], Path], storage: CandleStorage, tmp_path: Path
) -> None:
    """Read with the cache, and again without it."""
    table = pd.read_csv(recorded("candles/BTCUSDT-15m-20231231-20241229.csv.gz"))
    storage.write(
        (
            candle(
                row.timestamp,
                timeframe="15m",
                open=row.open,
                high=row.high,
                low=row.low,
                close=row.close,
                volume=row.volume,
            )
            for row in table.itertuples()
        ),
        now=1,
    )
    first = export_parquet(storage, tmp_path / "a")
    assert storage._cache.figures.built > 10
    shutil.rmtree(storage.database.path.with_name("store.db.cache"))
    export_parquet(storage, tmp_path / "b")
    for name in first.written:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    back = pd.concat([read(str(tmp_path / "a"), name) for name in first.written])
    assert list(back.index.astype("int64")) == list(table["timestamp"])
    assert (back.to_numpy() == table[list(back.columns)].to_numpy()).all()
