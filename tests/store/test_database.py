"""The database file: opening, locking, refusals, and what survives a killed process."""

from __future__ import annotations

import gc
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from botlib.core.errors import InvalidInput, NotAStore, StoreError, StoreLocked, WrongVenue
from botlib.store import CandleStorage, Database, OrderJournal, database_path, schema
from botlib.store.schema import SCHEMA_VERSION
from tests.support.earlier_databases import VERSIONS, add_fill, add_order, as_version
from tests.support.store_processes import line, process

VENUE = "paper:synthetic:seed=42"

WRITER = """
import sys
from decimal import Decimal
from botlib.core.model import Candle, CandleSource, OrderIntent, OrderType, Side
from botlib.store import CandleStorage, Database, OrderJournal
from botlib.trading.orders import TrackedOrder

def candle(index):
    return Candle(symbol="BTC/USDT", timeframe="1m", timestamp=index * 60_000, open=1.0, high=2.0,
                  low=0.5, close=1.5, volume=float(index), closed=True, source=CandleSource.STREAM)

def record_intent(index):
    intent = OrderIntent(client_order_id=f"intent-{index}", strategy="a", symbol="BTC/USDT",
                         side=Side.BUY, type=OrderType.MARKET, amount=Decimal("0.1"))
    journal.record_intents([TrackedOrder(intent=intent, created=1, sent=True)])

database = Database.open(sys.argv[1], "paper:synthetic:seed=42")
storage, journal = CandleStorage(database), OrderJournal(database)
"""

KEEP_WRITING = """
index = start = int(sys.argv[2])
while True:
    storage.write([candle(index)], now=1)
    record_intent(index)
    print(index, flush=True)
    index += 1
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "paper" / "synthetic-42.db"


@pytest.fixture
def made(path: Path) -> Path:
    """A database that is closed again, with one setting in it."""
    with Database.open(path, VENUE) as database:
        OrderJournal(database).set_state("kept", [1, 2])
    return path


@pytest.mark.parametrize(
    ("venue", "name"),
    [
        ("binance", "tradingbot.db"),
        ("paper:synthetic:seed=42", "paper/synthetic-42.db"),
        (
            "paper:recording:BTCUSDT-1m-20241130-20241229:0a1b2c3d",
            "paper/recording-BTCUSDT-1m-20241130-20241229-0a1b2c3d.db",
        ),
        ("paper:recording:a+1:" + "f" * 64, "paper/recording-a+1-ffffffff.db"),
        ("paper:recording:../../x:00000000", "paper/recording-.._.._x-00000000.db"),
        ("paper:mirror:binance", "paper/mirror-binance.db"),
        ("paper:mirror:binance@8123", "paper/mirror-binance-8123.db"),
        ("paper:mirror:binance/8123", "paper/mirror-binance@8123.db"),
        ("paper:synthetic:seed=42/second", "paper/synthetic-42@second.db"),
    ],
)
def test_each_venue_has_a_file_of_its_own(venue: str, name: str) -> None:
    assert database_path(Path("data"), venue) == Path("data") / name


@pytest.mark.parametrize(
    "venue",
    [
        *("", "kraken", "paper:synthetic:seed=../x", "paper:recording:a:b", "binance/../x"),
        *("paper:mirror:../x", "paper:mirror:binance/..", "paper:mirror:binance/a/b"),
    ],
)
def test_unknown_venues_have_no_path(venue: str) -> None:
    with pytest.raises(InvalidInput, match="Accepted: 'binance'"):
        database_path(Path("data"), venue)


def test_new_file_is_private_and_stamped(path: Path) -> None:
    with Database.open(path, VENUE) as database:
        OrderJournal(database).set_state("a", 1)
        files = [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", ".lock"))]
        assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * 4
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700
        assert VENUE in repr(database)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA application_id").fetchone() == (0x424F544C,)
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        meta = dict(other.execute("SELECT key, value FROM meta").fetchall())
    assert meta == {"schema": str(SCHEMA_VERSION), "venue": VENUE}


def test_existing_directories_keep_their_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    Database.open(tmp_path / "a.db", VENUE).close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_reopened_database_has_what_was_written(made: Path) -> None:
    with Database.open(made, VENUE) as database:
        assert OrderJournal(database).get_state("kept") == [1, 2]
    assert not made.with_name(made.name + "-wal").exists()


def test_empty_file_becomes_a_database(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.touch()
    with Database.open(path, VENUE) as database:
        assert OrderJournal(database).get_state("a") is None


def test_another_venue_is_refused_with_both_names(made: Path) -> None:
    before = made.read_bytes()
    for readonly in (False, True):
        with pytest.raises(WrongVenue) as caught:
            Database.open(made, "binance", readonly=readonly)
        assert VENUE in str(caught.value)
        assert "'binance'" in str(caught.value)
        assert "another data_directory" in str(caught.value)
    assert made.read_bytes() == before
    Database.open(made, VENUE).close()


def foreign_files(path: Path) -> Iterator[str]:
    """Write files that are no database of botlib, and yield the expected message of each."""
    path.write_text("symbol,timestamp,open\n" * 50)
    yield "no SQLite database"
    path.write_bytes(b"SQLite format 3\x00 and no more")
    yield "no SQLite database"
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE candles (symbol TEXT)")
        other.commit()
    yield "made by something else"


@pytest.mark.parametrize("readonly", [False, True])
def test_foreign_files_are_refused_untouched(tmp_path: Path, readonly: bool) -> None:
    path = tmp_path / "foreign.db"
    for words in foreign_files(path):
        before = (path.read_bytes(), path.stat().st_mtime_ns)
        with pytest.raises(NotAStore, match=words):
            Database.open(path, VENUE, readonly=readonly)
        assert (path.read_bytes(), path.stat().st_mtime_ns) == before
        assert [file.name for file in tmp_path.iterdir()] == ["foreign.db"]


def test_directory_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(NotAStore, match="it is no file"):
        Database.open(tmp_path, VENUE)


def test_damaged_pages_are_refused_untouched(path: Path) -> None:
    with process(
        WRITER + "storage.write(map(candle, range(5_000)), now=1); database.close()", path
    ) as child:
        assert child.wait() == 0
    whole = path.read_bytes()
    damaged = [
        whole[: len(whole) // 2],
        whole[:100] + b"\xff" * 4_000 + whole[4_100:],
        whole[: 12 * 4096] + bytes(range(256)) * 16 + whole[13 * 4096 :],
    ]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(NotAStore, match="is damaged"):
            Database.open(path, VENUE)
        assert path.read_bytes() == content
    path.write_bytes(whole)
    with Database.open(path, VENUE) as database:
        assert CandleStorage(database).counts() == {("BTC/USDT", "1m"): 5_000}


def test_damage_found_later_is_named_too(path: Path) -> None:
    with Database.open(path, VENUE) as database:
        OrderJournal(database).set_state("a", 1)
    path.write_bytes(path.read_bytes()[:8192])
    with pytest.raises(NotAStore, match="is damaged"):
        Database.open(path, VENUE, readonly=True).symbols()


def test_log_without_its_database_is_not_applied_to_a_new_one(made: Path) -> None:
    log = made.with_name(made.name + "-wal")
    log.write_bytes(b"left over")
    made.unlink()
    with pytest.raises(NotAStore, match=r"its log 'synthetic-42.db-wal' is there"):
        Database.open(made, VENUE)
    assert log.read_bytes() == b"left over"
    assert not made.exists()


def test_newer_schema_asks_for_an_update(made: Path) -> None:
    with closing(sqlite3.connect(made)) as other:
        newer = (str(SCHEMA_VERSION + 1),)
        other.execute("UPDATE meta SET value = ? WHERE key = 'schema'", newer)
        other.commit()
    with pytest.raises(StoreError, match=r"newer botlib .*Update botlib"):
        Database.open(made, VENUE)


@pytest.mark.parametrize("version", VERSIONS)
def test_earlier_schema_is_brought_up_to_date_by_a_writer(made: Path, version: int) -> None:
    as_version(made, version)
    with pytest.raises(StoreError, match=r"earlier botlib .*Open it once for writing"):
        Database.open(made, VENUE, readonly=True)
    for _ in range(2):
        with Database.open(made, VENUE) as database, database.reading() as connection:
            connection.execute("SELECT stop_price, market_time, role, facts FROM orders").fetchall()
            for table in ("order_events", "books", "halts", "days"):
                assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
            assert OrderJournal(database).get_state("kept") == [1, 2]
    Database.open(made, VENUE, readonly=True).close()


@pytest.mark.parametrize("version", VERSIONS)
def test_an_upgraded_database_has_the_tables_of_a_new_one(made: Path, version: int) -> None:
    def tables(path: Path) -> dict[str, set[tuple[object, ...]]]:
        with closing(sqlite3.connect(path)) as other:
            names = other.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            return {
                name: {row[1:] for row in other.execute(f"PRAGMA table_info({name})").fetchall()}
                for (name,) in names
            }

    new = tables(made)
    as_version(made, version)
    assert tables(made) != new
    Database.open(made, VENUE).close()
    assert tables(made) == new


def test_an_upgrade_that_is_interrupted_leaves_the_earlier_schema(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_version(made, 2)
    monkeypatch.setattr(schema, "_ORDER_PATH", "SELECT nothing FROM nowhere")
    with pytest.raises(StoreError, match="Nothing of this step was stored"):
        Database.open(made, VENUE)
    monkeypatch.undo()
    with closing(sqlite3.connect(made)) as other:
        assert other.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone() == ("2",)
        columns = {row[1] for row in other.execute("PRAGMA table_info(orders)")}
    assert not {"market_time", "role"} & columns
    Database.open(made, VENUE).close()


def test_orders_of_an_earlier_schema_get_the_market_time_of_their_first_fill(made: Path) -> None:
    as_version(made, 2)
    add_order(made, "a")
    add_order(made, "b")
    add_fill(made, 1, "a", timestamp=900)
    add_fill(made, 2, "a", timestamp=800)
    with Database.open(made, VENUE) as database:
        times = {one.client_order_id: one.market_time for one in OrderJournal(database).orders()}
    assert times == {"a": 800, "b": None}


@pytest.mark.parametrize("version", VERSIONS)
def test_orders_of_an_earlier_schema_keep_their_status_and_get_a_role(
    made: Path, version: int
) -> None:
    as_version(made, version)
    add_order(made, "in", venue_order_id="1", reason="entry")
    add_order(made, "out", venue_order_id="2", side="sell", reason="exit", status="canceled")
    add_order(made, "rule", side="sell", reason="stop_loss", status="rejected", filled="0")
    add_order(made, "hand", side="sell", strategy="by-hand", status="unknown", filled="0")
    add_order(made, "next", reason="entry", status="intent", filled="0")
    stop = {"side": "sell", "type": "stop_loss", "reason": "stop", "stop_price": "95"}
    if version > 1:
        add_order(made, "stop", venue_order_id="3", status="open", filled="0", **stop)
    with Database.open(made, VENUE) as database:
        journal = OrderJournal(database)
        found = {one.id: (one.role.value, one.status.value) for one in journal.tracked()}
        assert journal.differences() == []  # they have no events to differ from
        assert {one.client_order_id for one in journal.orders(unsettled=True)} == {
            "hand",
            "next",
            *(["stop"] if version > 1 else []),
        }
    expected = {
        "in": ("entry", "filled"),
        "out": ("exit", "canceled"),
        "rule": ("emergency", "rejected"),
        "hand": ("manual", "unknown"),
        "next": ("entry", "intent"),
    }
    assert found == expected | ({"stop": ("stop", "open")} if version > 1 else {})


def test_one_writer_per_file_in_one_process(made: Path) -> None:
    with Database.open(made, VENUE):
        with pytest.raises(StoreLocked, match="this very process"):
            Database.open(made, VENUE)
    Database.open(made, VENUE).close()


def test_one_writer_per_file_across_processes(made: Path) -> None:
    with process(WRITER + "print('open', flush=True); sys.stdin.read()", made) as child:
        assert line(child) == "open"
        with pytest.raises(StoreLocked, match=f"process {child.pid}.*readonly=True"):
            Database.open(made, VENUE)
        with Database.open(made, VENUE, readonly=True) as reader:
            assert OrderJournal(reader).get_state("kept") == [1, 2]
        child.kill()
        child.wait()
    Database.open(made, VENUE).close()


def test_refused_open_leaves_no_lock_behind(made: Path) -> None:
    with pytest.raises(WrongVenue):
        Database.open(made, "binance")
    Database.open(made, VENUE).close()


def test_readonly_reads_and_refuses_to_write(made: Path) -> None:
    with Database.open(made, VENUE, readonly=True) as reader:
        assert reader.readonly
        with pytest.raises(StoreError, match="open for reading only"):
            OrderJournal(reader).set_state("a", 1)
        with pytest.raises(StoreError, match="open for reading only"), reader.writing():
            pass
    assert not made.with_name(made.name + ".new").exists()


def test_readonly_creates_no_file(path: Path) -> None:
    with pytest.raises(StoreError, match="There is no database"):
        Database.open(path, VENUE, readonly=True)
    assert not path.parent.exists()


def test_use_of_a_closed_database_is_refused_with_the_reason(made: Path) -> None:
    database = Database.open(made, VENUE)
    database.close()
    database.close()
    with pytest.raises(StoreError, match="closed"):
        OrderJournal(database).get_state("kept")
    with pytest.raises(StoreError, match="closed"):
        OrderJournal(database).set_state("kept", 1)


def test_unreachable_paths_are_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="Not a directory"):
        Database.open(tmp_path / "file" / "a.db", VENUE)


def test_killed_writer_loses_nothing_that_it_acknowledged(path: Path) -> None:
    acknowledged, stored = -1, 0
    for _ in range(3):
        with process(WRITER + KEEP_WRITING, path, stored) as child:
            for _ in range(200):
                acknowledged = int(line(child))
            child.send_signal(signal.SIGKILL)
            assert child.stdout is not None
            rest = child.stdout.read().split("\n")
            # A line cut short was not received: it acknowledges nothing.
            acknowledged = int(rest[-2]) if len(rest) > 1 else acknowledged
        with Database.open(path, VENUE) as database:
            times = [item.timestamp for item in CandleStorage(database).candles("BTCUSDT", "1m")]
            intents = {order.client_order_id for order in OrderJournal(database).orders()}
        # One more of each may have been stored before its line was printed.
        assert times[: acknowledged + 1] == [i * 60_000 for i in range(acknowledged + 1)]
        assert {f"intent-{i}" for i in range(acknowledged + 1)} <= intents
        assert len(times) <= acknowledged + 2
        assert len(intents) <= acknowledged + 2
        # The next writer goes on after it: an order is never written down twice.
        stored = len(intents)


def test_process_killed_while_making_the_file_leaves_none(path: Path) -> None:
    code = "import os, sys, pathlib\npathlib.Path.replace = lambda *_: os._exit(9)\n"
    command = [sys.executable, "-c", code + WRITER, str(path)]
    assert subprocess.run(command, check=False).returncode == 9
    assert not path.exists()
    Database.open(path, VENUE).close()
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "synthetic-42.db",
        "synthetic-42.db.lock",
    ]


def test_full_disk_refuses_and_keeps_what_was_acknowledged(path: Path) -> None:
    code = """
import resource
from botlib.core.errors import StoreError
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
index = 0
try:
    while True:
        record_intent(index)
        index += 1
except StoreError as error:
    print(index, error, flush=True)
    print(len(journal.orders()), flush=True)
"""
    with process(WRITER + code, path) as child:
        count, _, reason = line(child).partition(" ")
        assert "Nothing of this step was stored" in reason
        assert line(child) == count
    assert int(count) > 10
    with Database.open(path, VENUE) as database:
        assert len(OrderJournal(database).orders()) == int(count)


def test_other_clients_read_while_a_run_writes(path: Path) -> None:
    query = "SELECT COUNT(*), COUNT(DISTINCT timestamp) FROM candles WHERE symbol='BTCUSDT'"
    with process(WRITER + KEEP_WRITING, path, 0) as child:
        line(child)
        seen = []
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as other:
            for _ in range(50):
                before = int(line(child))
                count, distinct = other.execute(query).fetchone()
                assert count == distinct > before
                seen.append(count)
        assert seen == sorted(seen)
        if client := shutil.which("sqlite3"):
            before = int(line(child))
            answer = subprocess.run([client, path, query], capture_output=True, check=True)
            assert int(answer.stdout.decode().split("|")[0]) > before
        assert child.poll() is None


def test_reader_sees_one_snapshot_and_does_not_block_the_writer(made: Path) -> None:
    with Database.open(made, VENUE) as database, Database.open(made, VENUE, readonly=True) as other:
        journal = OrderJournal(database)
        journal.set_state("a", 1)
        query = "SELECT value FROM state WHERE key = 'a'"
        with other.reading() as connection:
            assert connection.execute(query).fetchone() == ("1",)
            journal.set_state("a", 2)
            assert connection.execute(query).fetchone() == ("1",)
        assert OrderJournal(other).get_state("a") == 2


def test_a_lock_of_another_program_is_named(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botlib.store.database.BUSY_TIMEOUT", 20)
    code = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1])
other.execute("BEGIN IMMEDIATE")
print("begun", flush=True)
sys.stdin.read()
"""
    with Database.open(made, VENUE) as database:
        journal = OrderJournal(database)
        command = [sys.executable, "-c", code, str(made)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other:
            assert line(other) == "begun"
            with pytest.raises(StoreError, match="held by another program"):
                journal.set_state("a", 1)
            other.communicate()
        journal.set_state("a", 1)
        assert journal.get_state("a") == 1


def test_second_sqlite_library_in_the_process_is_refused(made: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(made)
    names = [str(made), made, bytes(made), str(link), f"file:{made}?mode=ro"]
    with Database.open(made, VENUE) as database, Database.open(made, VENUE, readonly=True):
        for name in names:
            with pytest.raises(StoreError, match="is open in this process"):
                sqlite3.connect(name, uri=True)
        sqlite3.connect(":memory:").close()
        sqlite3.connect(tmp_path / "other.db").close()
        database.close()
        with pytest.raises(StoreError, match="is open in this process"):
            sqlite3.connect(made)
    sqlite3.connect(made).close()


def test_garbage_collected_database_is_no_longer_guarded(made: Path) -> None:
    with pytest.warns(ResourceWarning, match="unclosed file"):
        database = Database.open(made, VENUE)
        del database
        gc.collect()
    sqlite3.connect(made).close()
    Database.open(made, VENUE).close()


def test_removed_log_is_noticed_and_nothing_acknowledged_is_lost(made: Path) -> None:
    with Database.open(made, VENUE) as database, Database.open(made, VENUE, readonly=True) as other:
        journal = OrderJournal(database)
        journal.set_state("before", 1)
        for end in ("-wal", "-shm"):
            made.with_name(made.name + end).unlink()
        for use in (database, other):
            with pytest.raises(StoreError, match="or its log was moved away"):
                OrderJournal(use).get_state("before")
        with pytest.raises(StoreError, match="or its log was moved away"):
            journal.set_state("after", 2)
        database.close()
    with Database.open(made, VENUE) as database:
        journal = OrderJournal(database)
        assert [journal.get_state(key) for key in ("kept", "before", "after")] == [[1, 2], 1, None]


def test_database_moved_away_during_a_run_stops_it(made: Path) -> None:
    moved = made.with_name("moved.db")
    with Database.open(made, VENUE) as database, Database.open(made, VENUE, readonly=True) as other:
        made.rename(moved)
        with pytest.raises(StoreError, match="was moved away"):
            OrderJournal(database).set_state("a", 1)
        with pytest.raises(StoreError, match="was moved away"):
            OrderJournal(other).get_state("kept")
        moved.rename(made)
        OrderJournal(database).set_state("a", 1)
        assert OrderJournal(other).get_state("a") == 1


def test_threads_share_one_database(made: Path) -> None:
    with Database.open(made, VENUE) as database:
        journal = OrderJournal(database)
        errors: list[BaseException] = []

        def work(name: str) -> None:
            try:
                for index in range(60):
                    journal.set_state(name, index)
                    assert journal.get_state(name) == index
                    with database.writing() as connection:
                        connection.execute(
                            "INSERT INTO state VALUES (?, '1')", (f"{name}-{index}",)
                        )
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(f"thread-{i}",)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        with database.reading() as connection:
            rows = connection.execute("SELECT count(*) FROM state").fetchone()
        assert rows == (1 + 4 + 4 * 60,)


def test_error_inside_a_transaction_rolls_it_back(made: Path) -> None:
    with Database.open(made, VENUE) as database:
        for durable in (False, True):
            with pytest.raises(KeyError), database.writing(durable=durable) as connection:
                connection.execute("DELETE FROM state")
                raise KeyError("x")
        assert OrderJournal(database).get_state("kept") == [1, 2]


def test_closed_database_is_unlocked_although_a_forked_child_lives(made: Path) -> None:
    code = """
import os
child = os.fork()
if child == 0:
    sys.stdin.read()
    os._exit(0)
database.close()
Database.open(sys.argv[1], "paper:synthetic:seed=42").close()
print("free", flush=True)
"""
    command = [sys.executable, "-c", WRITER + code, str(made)]
    # The child reads until its standard input ends, which is when this block does.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert line(child) == "free"


def test_link_in_place_of_the_lock_is_not_followed(made: Path, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("kept")
    lock = made.with_name(made.name + ".lock")
    lock.unlink()
    lock.symlink_to(target)
    with pytest.raises(StoreError, match="Cannot open"):
        Database.open(made, VENUE)
    assert target.read_text() == "kept"
