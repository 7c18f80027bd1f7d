"""The columnar cache equals SQL despite any change of the database or of its files."""

from __future__ import annotations

import os
import random
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pandas.testing import assert_frame_equal

from botlib.core.model import Candle
from botlib.core.timeframe import HOUR, MINUTE
from botlib.frames import candle_frame
from botlib.store import CandleStorage, Database
from botlib.store.cache.candle_cache import CacheCounters, stored_columns
from botlib.store.changes import BUCKET_MS, SHIFT
from tests.support.samples import candle
from tests.support.store_processes import line, process

VENUE = "paper:synthetic:seed=1"
FIRST = 800 << SHIFT
START = FIRST - FIRST % HOUR + HOUR
"""The first whole hour of a bucket."""


def minutes(first: int, count: int, close: float = 1.5) -> list[Candle]:
    return [candle(START + i * MINUTE, close + i) for i in range(first, first + count)]


def truth(
    database: Database,
    since: int | None = None,
    until: int | None = None,
    limit: int | None = None,
    key: tuple[str, str] = ("BTCUSDT", "1m"),
) -> pd.DataFrame:
    """Return the result of plain SQL."""
    with database.reading() as connection:
        rows: list[Any] = connection.execute(
            "SELECT timestamp, open, high, low, close, volume FROM candles WHERE closed = 1 "
            "AND symbol = ? AND timeframe = ? ORDER BY timestamp",
            key,
        ).fetchall()
    rows = [
        row
        for row in rows
        if (since is None or row[0] >= since) and (until is None or row[0] <= until)
    ]
    rows = rows if limit is None else rows[max(0, len(rows) - limit) :]
    return candle_frame([row[0] for row in rows], [row[1:] for row in rows])


def figures(storage: CandleStorage) -> dict[str, int]:
    found: CacheCounters = storage._cache.figures
    return {name: getattr(found, name) for name in found.__slots__ if getattr(found, name)}


def files(database: Database) -> list[Path]:
    return sorted(database.path.with_name(database.path.name + ".cache").rglob("*.columns"))


@pytest.fixture
def filled(storage: CandleStorage) -> CandleStorage:
    """Three thousand candles in each of two buckets."""
    storage.write(minutes(0, 3_000), now=1)
    following = START + BUCKET_MS - BUCKET_MS % MINUTE
    storage.write([candle(following + i * MINUTE, 2.5) for i in range(3_000)], now=1)
    return storage


def test_frame_from_files_is_the_frame_of_the_database(
    database: Database, filled: CandleStorage
) -> None:
    expected = truth(database)
    assert len(expected) == 6_000
    assert_frame_equal(filled.frame("BTC/USDT", "1m"), expected)
    assert figures(filled) == {"built": 2}
    assert_frame_equal(filled.frame("BTC/USDT", "1m"), expected)
    assert figures(filled) == {"built": 2, "read": 2}
    assert len(files(database)) == 2


def test_frame_has_the_documented_form_and_may_be_changed_by_its_reader(
    filled: CandleStorage,
) -> None:
    for _ in range(2):
        frame = filled.frame("BTC/USDT", "1m")
        assert list(frame.columns) == ["open", "high", "low", "close", "volume"]
        assert set(frame.dtypes) == {np.dtype(np.float64)}
        assert (frame.index.name, frame.index.dtype) == ("timestamp", np.dtype("datetime64[ms]"))
        assert frame["close"].to_numpy().flags.c_contiguous
        frame.loc[:, "close"] = -1.0
        frame.iloc[0, 0] = -1.0
    assert (filled.frame("BTC/USDT", "1m").to_numpy() > 0).all()


def test_ranges_and_limits_across_buckets(database: Database, filled: CandleStorage) -> None:
    middle = truth(database).index.astype("int64")
    since, until = int(middle[500]), int(middle[5_500])
    for arguments in [
        (since, until),
        (since, None),
        (None, until),
        (since + 1, until - 1),
        (None, None, 2_500),
        (None, None, 4_000),
        (None, until, 4_000),
        (None, until, 2_501),
        (None, int(middle[3_009]), 2_500),
        (since, until, 4_900),
        (None, START - 1),
        (until * 2, None),
        (-(2**63), 2**63 - 1, 2**63 - 1),
    ]:
        assert_frame_equal(filled.frame("BTC/USDT", "1m", *arguments), truth(database, *arguments))
    assert figures(filled)["read"] > 8


def test_small_reads_and_small_histories_make_no_files(
    database: Database, storage: CandleStorage
) -> None:
    storage.write(minutes(0, 400), now=1)
    assert len(storage.frame("BTC/USDT", "1m")) == 400
    storage.write(minutes(400, 3_000), now=1)
    assert len(storage.frame("BTC/USDT", "1m", limit=2_000)) == 2_000
    assert len(storage.frame("BTC/USDT", "1m", START, START + 99 * MINUTE)) == 100
    assert files(database) == []
    assert figures(storage) == {}


def test_appended_candles_extend_a_file(database: Database, filled: CandleStorage) -> None:
    filled.frame("BTC/USDT", "1m")
    before = [file.stat().st_ino for file in files(database)]
    last = int(truth(database).index[-1].value // 10**6)
    filled.write([candle(last + MINUTE)], now=1)
    filled.write([candle(last + 2 * MINUTE, closed=False)], now=1)
    frame = filled.frame("BTC/USDT", "1m")
    assert len(frame) == 6_001
    assert_frame_equal(frame, truth(database))
    assert figures(filled) == {"built": 2, "read": 1, "extended": 1}
    assert [file.stat().st_ino for file in files(database)] == before
    filled.write([candle(last + i * MINUTE) for i in range(2, 400)], now=1)
    assert_frame_equal(filled.frame("BTC/USDT", "1m"), truth(database))
    assert figures(filled) == {"built": 2, "read": 2, "extended": 2}
    after = [file.stat().st_ino for file in files(database)]
    assert after[0] == before[0]
    assert after[1] != before[1]
    filled.frame("BTC/USDT", "1m")
    assert figures(filled) == {"built": 2, "read": 4, "extended": 2}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE candles SET close = 2 WHERE timestamp = {0}",
        "DELETE FROM candles WHERE timestamp = {0}",
        "UPDATE candles SET closed = 0 WHERE timestamp = {0}",
        "UPDATE candles SET timestamp = timestamp + 1 WHERE timestamp = {0}",
        "UPDATE OR REPLACE candles SET timestamp = {1} WHERE timestamp = {0}",
        "INSERT OR REPLACE INTO candles VALUES "
        "('BTCUSDT', '1m', {0}, 1, 2, 1, 2, 1, 1, 'stream', 1, NULL)",
        "INSERT OR REPLACE INTO candles VALUES "
        "('BTCUSDT', '1m', {0}, 1, 2, 1, 2, 1, 0, 'stream', 1, NULL)",
        "DELETE FROM candles WHERE timestamp = {1}; INSERT INTO candles VALUES "
        "('BTCUSDT', '1m', {1}, 1, 2, 1, 2, 1, 1, 'stream', 1, NULL)",
        "DELETE FROM candles",
    ],
)
def test_any_change_by_any_client_is_seen(filled: CandleStorage, change: str) -> None:
    """Triggers record changes by botlib and by any other SQL client."""
    database = filled.database
    before = filled.frame("BTC/USDT", "1m")
    times = before.index.astype("int64")
    with database.writing() as connection:
        connection.execute(change.format(times[1_000], times[2_999]))
    expected = truth(database)
    assert not expected.equals(before)
    for _ in range(2):
        assert_frame_equal(filled.frame("BTC/USDT", "1m"), expected)
    if change != "DELETE FROM candles":
        assert figures(filled) == {"built": 3, "read": 3}


def test_revision_rebuilds_only_its_bucket(database: Database, filled: CandleStorage) -> None:
    filled.frame("BTC/USDT", "1m")
    assert filled.write([candle(START, 7.0)], now=2).revised == 1
    assert filled.frame("BTC/USDT", "1m")["close"].iloc[0] == 7.0
    assert figures(filled) == {"built": 3, "read": 1}


def test_late_candle_in_the_middle_is_no_append(database: Database, storage: CandleStorage) -> None:
    storage.write(minutes(0, 1_000) + minutes(1_001, 2_000), now=1)
    storage.frame("BTC/USDT", "1m")
    storage.write(minutes(1_000, 1), now=1)
    storage.write(minutes(3_001, 1), now=1)
    assert_frame_equal(storage.frame("BTC/USDT", "1m"), truth(database))
    assert figures(storage) == {"built": 2}


def test_symbols_and_timeframes_are_kept_apart(storage: CandleStorage) -> None:
    storage.write(minutes(0, 2_500), now=1)
    storage.write([candle(START + i * MINUTE, 9.0, symbol="ETH/USDT") for i in range(2_500)], now=1)
    storage.write([candle(START + i * HOUR, 8.0, timeframe="1h") for i in range(2_500)], now=1)
    for _ in range(2):
        assert storage.frame("BTC/USDT", "1m")["close"].iloc[7] == 8.5
        assert set(storage.frame("ETH/USDT", "1m")["close"]) == {9.0}
        hours = storage.frame("BTC/USDT", "1h")
        assert len(hours) == 2_500
        assert set(hours["close"]) == {8.0}


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)


def damages(path: Path, other: Path) -> Iterator[str]:
    """Damage a file in several ways, one after the other."""
    size = path.stat().st_size
    for place in (*range(0, 56, 3), 4_000, size // 2, size - 1):
        flip(path, place)
        yield f"byte {place}"
    whole = path.read_bytes()
    for length in (0, 20, 47, 48, size // 2, size - 8):
        path.write_bytes(whole[:length])
        yield f"cut to {length}"
    path.write_bytes(whole + b"more")
    yield "longer"
    path.write_bytes(bytes(size))
    yield "zeros"
    path.write_bytes(whole[: size // 2] + bytes(size - size // 2))
    yield "zeros at the end"
    path.write_bytes(whole[:48] + whole[56:64] + whole[48:56] + whole[64:])
    yield "swapped values"
    path.write_bytes(other.read_bytes())
    yield "another's content"
    path.unlink()
    path.symlink_to(other)
    yield "a link"
    path.unlink()
    os.mkfifo(path)
    yield "a pipe"


def test_damaged_files_are_detected_and_replaced(database: Database, filled: CandleStorage) -> None:
    expected = filled.frame("BTC/USDT", "1m")
    path, other = files(database)
    good = path.read_bytes()
    for number, damage in enumerate(damages(path, other), start=1):
        assert_frame_equal(filled.frame("BTC/USDT", "1m"), expected)
        assert path.read_bytes() == good, damage
        built = filled._cache.figures.built
        assert built == 2 + number, damage
    # A header that names another change is only out of date.
    assert filled._cache.figures.damaged >= number - 8


def test_removed_cache_is_rebuilt(database: Database, filled: CandleStorage) -> None:
    expected = filled.frame("BTC/USDT", "1m")
    cache = files(database)[0].parent.parent
    shutil.rmtree(cache)
    assert_frame_equal(filled.frame("BTC/USDT", "1m"), expected)
    files(database)[0].unlink()
    assert_frame_equal(filled.frame("BTC/USDT", "1m"), expected)
    assert len(files(database)) == 2
    assert figures(filled) == {"built": 5, "read": 1}
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in files(database)} == {0o600}


def test_cache_that_cannot_be_written_costs_only_time(
    database: Database, filled: CandleStorage
) -> None:
    database.path.with_name(database.path.name + ".cache").write_text("in the way")
    for _ in range(2):
        assert_frame_equal(filled.frame("BTC/USDT", "1m"), truth(database))
    assert figures(filled) == {"built": 4, "unsaved": 4}


def test_readers_use_and_create_the_same_files(database: Database, filled: CandleStorage) -> None:
    with Database.open(database.path, VENUE, readonly=True) as other:
        reader = CandleStorage(other)
        assert_frame_equal(reader.frame("BTC/USDT", "1m"), truth(database))
        assert figures(reader) == {"built": 2}
        assert_frame_equal(filled.frame("BTC/USDT", "1m"), truth(database))
        assert figures(filled) == {"read": 2}


def test_reader_of_an_older_snapshot_uses_no_newer_file(
    database: Database, filled: CandleStorage
) -> None:
    expected = truth(database)
    with Database.open(database.path, VENUE, readonly=True) as other:
        reader = CandleStorage(other)
        with other.reading() as connection:
            assert connection.execute("SELECT count(*) FROM candles").fetchone() == (6_000,)
            filled.write(minutes(3_000, 5), now=1)
            filled.write([candle(START, 7.0)], now=1)
            filled.frame("BTC/USDT", "1m")
            columns = reader._cache.columns(connection, "BTCUSDT", "1m", 0, 2**62, None)
        assert columns is not None
        assert list(columns[0]) == list(expected.index.astype("int64"))
        assert list(columns[4].view(np.float64)) == list(expected["close"])
    assert_frame_equal(filled.frame("BTC/USDT", "1m"), truth(database))


def append_and_read(path: Path, count: int, close: float) -> None:
    """Run a writer that appends candles one by one, reads them all, and ends."""
    with Database.open(path, VENUE) as database:
        storage = CandleStorage(database)
        first = len(truth(database))
        for one in minutes(first, count, close):
            storage.write([one], now=1)
        assert_frame_equal(storage.frame("BTC/USDT", "1m"), truth(database))


def test_restored_copy_does_not_use_files_of_commits_it_has_lost(tmp_path: Path) -> None:
    """The same number of changes, from the same state, to other candles."""
    path, copy = tmp_path / "a.db", tmp_path / "copy.db"
    append_and_read(path, 2_500, 1.0)
    shutil.copy(path, copy)
    append_and_read(path, 300, 2.0)
    shutil.copy(copy, path)
    append_and_read(path, 300, 3.0)
    shutil.copy(copy, path)
    with Database.open(path, VENUE, readonly=True) as database:
        storage = CandleStorage(database)
        assert_frame_equal(storage.frame("BTC/USDT", "1m"), truth(database))
        assert len(storage.frame("BTC/USDT", "1m")) == 2_500
    append_and_read(path, 301, 4.0)


def test_new_database_in_place_of_an_old_one_ignores_its_files(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    append_and_read(path, 2_500, 1.0)
    path.unlink()
    append_and_read(path, 2_500, 2.0)


def forget_changes(path: Path) -> None:
    """Turn a database into one of a version without a change log."""
    with Database.open(path, VENUE) as database, database.writing() as connection:
        for name in ("closed", "opened", "moved", "updated", "changed", "removed"):
            connection.execute(f"DROP TRIGGER candle_{name}")
        connection.execute("DROP TABLE changes; DROP TABLE sessions")


def test_database_without_a_change_log_is_read_from_sqlite_until_it_has_one(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    append_and_read(path, 2_500, 1.0)
    forget_changes(path)
    shutil.rmtree(tmp_path / "a.db.cache")
    with Database.open(path, VENUE, readonly=True) as database:
        storage = CandleStorage(database)
        assert_frame_equal(storage.frame("BTC/USDT", "1m"), truth(database))
        assert (files(database), figures(storage)) == ([], {})
    append_and_read(path, 10, 2.0)
    with Database.open(path, VENUE) as database:
        storage = CandleStorage(database)
        assert len(storage.frame("BTC/USDT", "1m")) == 2_510
        assert figures(storage) == {"read": 1}


def test_temporary_files_of_killed_processes_are_removed(
    database: Database, filled: CandleStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.frame("BTC/USDT", "1m")
    left = files(database)[0].with_name("_1.columns.99-abcd.new")
    left.write_bytes(b"half")
    again = CandleStorage(database)
    files(database)[0].unlink()
    again.frame("BTC/USDT", "1m")
    assert left.exists()
    monkeypatch.setattr("botlib.store.atomic_files.ABANDONED", -10.0)
    again = CandleStorage(database)
    files(database)[0].unlink()
    again.frame("BTC/USDT", "1m")
    assert not left.exists()


def test_durable_write_is_stored(storage: CandleStorage) -> None:
    assert storage.write([candle(START)], now=1, durable=True).closed == 1
    assert len(storage.frame("BTC/USDT", "1m")) == 1


PREAMBLE = f"""
import sys
from botlib.core.model import Candle, CandleSource
from botlib.store import CandleStorage, Database

START, VENUE = {START}, {VENUE!r}

def candle(index):
    return Candle(symbol="BTC/USDT", timeframe="1m", timestamp=START + index * 60_000, open=1.0,
                  high=2.0, low=0.5, close=1.5, volume=float(index), closed=True,
                  source=CandleSource.STREAM)

"""

WRITE = """
index = int(sys.argv[2])
with Database.open(sys.argv[1], VENUE) as database:
    storage = CandleStorage(database)
    while index < int(sys.argv[3]):
        storage.write([candle(i) for i in range(index, index + 7)], now=1)
        index += 7
        print(index, flush=True)
"""

READ = """
with Database.open(sys.argv[1], VENUE, readonly=True) as database:
    storage = CandleStorage(database)
    known = 0
    while known < int(sys.argv[2]):
        frame = storage.frame("BTC/USDT", "1m")
        assert list(frame["volume"]) == list(range(len(frame))), frame
        assert list(frame.index.astype("int64")) == [START + i * 60_000 for i in range(len(frame))]
        assert len(frame) >= known and len(frame) % 7 == 0, (known, len(frame))
        known = len(frame)
        print(known, flush=True)
    print(storage._cache.figures, flush=True)
"""

REBUILD = """
import shutil, pathlib
with Database.open(sys.argv[1], VENUE, readonly=True) as database:
    while True:
        CandleStorage(database).frame("BTC/USDT", "1m")
        print("read", flush=True)
        shutil.rmtree(sys.argv[1] + ".cache", ignore_errors=True)
"""


def test_two_processes_read_while_one_writes(tmp_path: Path) -> None:
    path, end = tmp_path / "a.db", 7_000
    with process(PREAMBLE + WRITE, path, 0, 2_800) as first:
        assert first.wait() == 0
    with process(PREAMBLE + READ, path, end) as one, process(PREAMBLE + READ, path, end) as other:
        # Both have begun before the writer does.
        assert (line(one), line(other)) == ("2800", "2800")
        with process(PREAMBLE + WRITE, path, 2_800, end) as writer:
            for child in (writer, one, other):
                assert child.stdout is not None
                said = child.stdout.read().splitlines()
                assert child.wait() == 0, said[-3:]
                if child is not writer:
                    assert "damaged=0, unsaved=0" in said[-1]


def test_killed_readers_and_writers_leave_a_correct_cache(tmp_path: Path) -> None:
    path, end = tmp_path / "a.db", 2_100
    chance = random.Random(5)
    with process(PREAMBLE + WRITE, path, 0, end) as first:
        assert first.wait() == 0
    for _ in range(2):
        with (
            process(PREAMBLE + WRITE, path, end, 10**6) as writer,
            process(PREAMBLE + REBUILD, path) as reader,
            process(PREAMBLE + READ, path, 10**6) as other,
        ):
            for child in (writer, reader, other):
                assert line(child)
            for _ in range(chance.randrange(1, 12)):
                assert line(reader) == "read"
            for child in chance.sample([writer, reader, other], 3):
                child.send_signal(signal.SIGKILL)
            for child in (writer, reader, other):
                assert child.wait() == -signal.SIGKILL
        with Database.open(path, VENUE, readonly=True) as database:
            storage = CandleStorage(database)
            for _ in range(2):
                assert_frame_equal(storage.frame("BTC/USDT", "1m"), truth(database))
            assert storage._cache.figures.damaged == 0
            end = len(truth(database))


class Machine(RuleBasedStateMachine):
    """All ways to change a database or its cache, and two readers that compare with SQL."""

    @initialize()
    def open(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.path = self.directory / "a.db"
        self.chance = random.Random(1)
        self.writer = Database.open(self.path, VENUE)
        self.reader = Database.open(self.path, VENUE, readonly=True)
        self.storages = [CandleStorage(self.writer), CandleStorage(self.reader)]
        self.copied = False

    def teardown(self) -> None:
        if hasattr(self, "writer"):
            self.reader.close()
            self.writer.close()
            shutil.rmtree(self.directory)

    def write(self, candles: Iterable[Candle]) -> None:
        self.storages[0].write(candles, now=1)

    places = st.integers(0, 40)
    """Half a day each: three buckets."""

    def at(self, place: int) -> int:
        return START + place * 43_200_000

    @rule(place=places, count=st.integers(1, 5), close=st.integers(1, 9), closed=st.booleans())
    def candles(self, place: int, count: int, close: int, closed: bool) -> None:
        self.write(
            candle(self.at(place) + i * MINUTE, float(close), closed=closed, volume=float(close))
            for i in range(count)
        )

    @rule(count=st.integers(1, 6))
    def append(self, count: int) -> None:
        last = self.storages[0].last_closed("BTC/USDT", "1m") or START
        self.write(candle(last + i * MINUTE, 3.0) for i in range(1, count + 1))

    @rule(place=places, offset=st.integers(0, 4), what=st.sampled_from(["DELETE", "OPEN", "SET"]))
    def edit(self, place: int, offset: int, what: str) -> None:
        query = {
            "DELETE": "DELETE FROM candles WHERE timestamp = ?",
            "OPEN": "UPDATE candles SET closed = 1 - closed WHERE timestamp = ?",
            "SET": "UPDATE candles SET close = close + 1 WHERE timestamp >= ?",
        }[what]
        with self.writer.writing() as connection:
            connection.execute(query, (self.at(place) + offset * MINUTE,))

    @rule(place=places, other=places, closed=st.integers(0, 1))
    def replace(self, place: int, other: int, closed: int) -> None:
        with self.writer.writing() as connection:
            connection.execute("INSERT OR IGNORE INTO symbols VALUES ('BTCUSDT', 'BTC/USDT')")
            connection.execute(
                "INSERT OR REPLACE INTO candles VALUES "
                "('BTCUSDT', '1m', ?, 1, 2, 1, 2, 1, ?, 'stream', 1, NULL)",
                (self.at(place), closed),
            )
            connection.execute(
                "UPDATE OR REPLACE candles SET timestamp = ? WHERE timestamp = ?",
                (self.at(other), self.at(place)),
            )

    @rule()
    def undone(self) -> None:
        with pytest.raises(KeyError), self.writer.writing() as connection:
            connection.execute("UPDATE candles SET close = close + 5")
            raise KeyError

    @rule()
    def lose_cache(self) -> None:
        shutil.rmtree(self.directory / "a.db.cache", ignore_errors=True)

    @precondition(lambda self: bool(files(self.writer)))
    @rule(data=st.data(), how=st.sampled_from(["flip", "cut", "swap", "remove", "clear"]))
    def damage(self, data: st.DataObject, how: str) -> None:
        path, other = (data.draw(st.sampled_from(files(self.writer))) for _ in range(2))
        content = path.read_bytes()
        if how == "flip":
            flip(path, data.draw(st.integers(0, len(content) - 1)) if content else 0)
        elif how == "cut":
            path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
        elif how == "swap":
            path.write_bytes(other.read_bytes())
            other.write_bytes(content)
        elif how == "remove":
            path.unlink()
        else:
            path.write_bytes(bytes(len(content)))

    def close_all(self) -> None:
        self.reader.close()
        self.writer.close()

    def open_all(self) -> None:
        self.writer = Database.open(self.path, VENUE)
        self.reader = Database.open(self.path, VENUE, readonly=True)
        self.storages = [CandleStorage(self.writer), CandleStorage(self.reader)]

    @rule()
    def restart(self) -> None:
        self.close_all()
        self.open_all()

    @rule()
    def copy(self) -> None:
        self.close_all()
        shutil.copy(self.path, self.directory / "copy.db")
        self.copied = True
        self.open_all()

    @precondition(lambda self: self.copied)
    @rule()
    def restore(self) -> None:
        self.close_all()
        shutil.copy(self.directory / "copy.db", self.path)
        self.open_all()

    @invariant()
    def frames_are_what_sql_says(self) -> None:
        if not hasattr(self, "storages"):
            return
        at = [None, *(self.at(self.chance.randrange(41)) for _ in range(2))]
        since, until = self.chance.choice(at), self.chance.choice(at)
        limit = self.chance.choice([None, None, 0, 1, 3, 8, 10**6])
        storages = self.chance.sample(self.storages, 2)
        for storage in storages:
            frame = storage.frame("BTC/USDT", "1m", since, until, limit)
            assert_frame_equal(frame, truth(self.writer, since, until, limit))
            assert_frame_equal(storage.frame("BTC/USDT", "1m"), truth(self.writer))


def test_frames_always_equal_what_sql_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SMALL", -1), ("FEW", 0), ("WORTH_SAVING", 3)):
        monkeypatch.setattr(f"botlib.store.cache.candle_cache.{name}", value)
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=20, stateful_step_count=20, deadline=None)
    )


def test_read_without_the_cache_returns_the_newest(
    database: Database, filled: CandleStorage
) -> None:
    with database.reading() as connection:
        columns = stored_columns(connection, "BTCUSDT", "1m", 0, 2**62, 3)
    assert list(columns[0]) == list(truth(database, limit=3).index.astype("int64"))
