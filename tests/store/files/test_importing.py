"""Imports of candle files: stored candles win, damage is reported, other files continue."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botlib.core.errors import InvalidInput, StoreError, StoreLocked
from botlib.core.model import Candle, CandleSource
from botlib.core.timeframe import MINUTE
from botlib.store import CandleStorage, Database
from botlib.store.files.importing import import_files, import_into
from botlib.store.inventory import inventory

T0 = 1_735_689_000_000  # 2024-12-31 23:50: the dumps change to microseconds ten minutes later
NOW = T0 + 10_000 * MINUTE

Row = tuple[int, float, float, float, float, float]


@dataclass
class Store:
    """A database to import into."""

    storage: CandleStorage

    def rows(self, symbol: str = "BTCUSDT", timeframe: str = "1m") -> list[Row]:
        """Return the closed candles that are stored."""
        return [
            (c.timestamp, c.open, c.high, c.low, c.close, c.volume)
            for c in self.storage.candles(symbol, timeframe)
        ]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Database.open(tmp_path / "candles.db", "binance") as database:
        yield Store(CandleStorage(database))


def candles(count: int, start: int = T0) -> list[Row]:
    rows = []
    for i in range(count):
        price = 96_000 + (start - T0) / MINUTE * 0.37 + i * 0.37
        prices = (price, price + 5.1, price - 4.3, price + 0.2)
        o, h, low, c = (round(value, 2) for value in prices)
        rows.append((start + i * MINUTE, o, h, low, c, 0.1 + i / 1_000))
    return rows


def text(rows: list[Row]) -> str:
    return "".join(",".join(map(repr, row)) + "\n" for row in rows)


def dump(folder: Path, name: str, rows: list[Row], *, header: bool = False) -> Path:
    """Write rows as Binance publishes them: a zip with its checksum, microseconds since 2025."""
    lines = ["open_time,open,high,low,close,volume,close_time,quote_volume,count,a,b,ignore\n"]
    for t, o, h, low, c, v in rows:
        factor = 1_000 if t >= 1_735_689_600_000 else 1
        lines.append(
            f"{t * factor},{o},{h},{low},{c},{v},{(t + MINUTE) * factor - 1},1.5,7,0.5,0.7,0\n"
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.csv", "".join(lines[0 if header else 1 :]))
    path = folder / f"{name}.zip"
    path.write_bytes(buffer.getvalue())
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    (folder / f"{name}.zip.CHECKSUM").write_text(f"{digest}  {name}.zip\n")
    return path


def written(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def test_dumps_of_two_months_with_their_checksums(tmp_path: Path, store: Store) -> None:
    rows = candles(500)
    files = [
        dump(tmp_path, "BTCUSDT-1m-2024-12", rows[:10]),
        dump(tmp_path, "BTCUSDT-1m-2025-01", rows[10:], header=True),
        tmp_path / "BTCUSDT-1m-2024-12.zip.CHECKSUM",  # as a shell's wildcard gives it
    ]
    report = import_files(files, store.storage, now=NOW)
    assert store.rows() == rows
    assert [file.inserted for file in report.files] == [10, 490]
    assert report.files[1].recording is not None
    assert report.files[1].recording.repairs == {"microsecond timestamps": 490}
    assert report.files[0].sha256 == hashlib.sha256(files[0].read_bytes()).hexdigest()
    assert inventory(store.storage)[0].sources == {"import": 500}
    again = import_files(files, store.storage, now=NOW)
    assert (again.inserted, again.conflicts, again.failed) == (0, 0, [])
    assert [file.unchanged for file in again.files] == [10, 490]


def test_every_format_gives_the_same_candles(tmp_path: Path, store: Store) -> None:
    rows = candles(60)
    frame = pd.DataFrame(rows, columns=["date", "open", "high", "low", "close", "volume"])
    frame["date"] = pd.to_datetime(frame["date"], unit="ms", utc=True)
    feather, parquet = tmp_path / "BTC_USDT-1m.feather", tmp_path / "BTCUSDT-1m.parquet"
    frame.to_feather(feather)
    frame.set_index("date").to_parquet(parquet)
    files = [
        feather,
        parquet,
        written(tmp_path / "BTC_USDT-1m.json", json.dumps(rows)),
        written(tmp_path / "BTCUSDT-1m.csv", text(rows)),
    ]
    report = import_files(files, store.storage, now=NOW)
    assert [file.error for file in report.files] == [""] * 4
    assert [file.inserted for file in report.files] == [60, 0, 0, 0]
    assert [file.unchanged for file in report.files] == [0, 60, 60, 60]
    assert store.rows() == rows


def test_a_corrupt_file_does_not_stop_the_others(tmp_path: Path, store: Store) -> None:
    rows = candles(60)
    changed = dump(tmp_path, "ETHUSDT-1m-2024-12", rows)
    changed.write_bytes(changed.read_bytes()[:-1] + b"\x01")
    files = [
        written(tmp_path / "BTCUSDT-1m-a.csv", text(rows[:20])),
        written(tmp_path / "BTCUSDT-1m-b.csv", "nonsense"),
        changed,
        tmp_path / "nowhere.csv",
        tmp_path,
        written(tmp_path / "BTCUSDT-1m-c.csv", text(rows[20:])),
    ]
    report = import_files(files, store.storage, now=NOW)
    assert store.rows() == rows
    assert [bool(file.error) for file in report.files] == [False, True, True, True, True, False]
    assert [file.path for file in report.failed] == files[1:5]
    shown = str(report)
    assert "does not match ETHUSDT-1m-2024-12.zip.CHECKSUM" in shown
    assert "Cannot read the candle file" in shown
    assert "BTCUSDT-1m-b.csv" in report._repr_html_()


def test_every_damage_is_counted_for_its_file(tmp_path: Path, store: Store) -> None:
    rows = candles(200)
    lines = text(rows).splitlines()
    lines[10], lines[11] = lines[11], lines[10]
    lines[20] = lines[20].replace(str(rows[20][0]), str(rows[20][0] + 17_000))
    lines[30] = f"{rows[30][0]},100,90,95,100,1"
    lines[40] = f"{rows[40][0]},oops,90,95,100,1"
    lines += [lines[50], f"{rows[60][0] + MINUTE - 1},{','.join(map(repr, rows[60][1:]))}"]
    lines.append(f"{NOW - MINUTE // 2},1,2,1,2,3")
    path = written(tmp_path / "BTCUSDT-1m.csv", "\n".join(lines) + "\n")
    report = import_files(path, store.storage, now=NOW)
    assert report.files[0].recording is not None
    assert report.files[0].recording.repairs == {
        "close-time stamps shifted": 1,
        "rows out of order": 2,
        "duplicates dropped": 2,
        "unreadable rows dropped": 1,
        "off-grid rows dropped": 2,
        "impossible rows dropped": 1,
    }
    assert store.rows() == [row for i, row in enumerate(rows) if i not in (20, 30, 40)]
    assert "1 impossible rows dropped" in str(report)
    # A file proves nothing about the venue.
    assert store.storage.holes() == []


def test_a_candle_that_forms_is_not_imported(tmp_path: Path, store: Store) -> None:
    rows = candles(60)
    path = written(tmp_path / "BTCUSDT-1m.csv", text(rows))
    report = import_files(path, store.storage, now=rows[-1][0] + MINUTE - 1)
    assert store.rows() == rows[:-1]
    assert "1 unfinished rows dropped" in str(report)
    assert import_files(path, store.storage, now=rows[-1][0] + MINUTE).inserted == 1


@pytest.mark.parametrize("source", [CandleSource.STREAM, CandleSource.REST, CandleSource.IMPORT])
def test_stored_candles_win_unless_overwrite_is_given(
    tmp_path: Path, store: Store, source: CandleSource
) -> None:
    rows = candles(60)
    other = [(*row[:5], 77.0) for row in rows[10:15]]
    store.storage.write([as_candle(row, source) for row in other], now=NOW)
    path = written(tmp_path / "BTCUSDT-1m.csv", text(rows))
    report = import_files(path, store.storage, now=NOW)
    assert store.rows() == rows[:10] + other + rows[15:]
    assert (report.inserted, report.conflicts, report.files[0].revised) == (55, 5, 0)
    assert "stored candles differ, left as they are: 2025-01-01 00:00:00" in str(report)
    assert "and 2 more" in str(report)
    believed = import_files(path, store.storage, now=NOW, overwrite=True)
    assert store.rows() == rows
    assert (believed.inserted, believed.conflicts, believed.files[0].revised) == (0, 0, 5)
    assert "stored candles differ, replaced" in str(believed)
    assert inventory(store.storage)[0].revisions == 5


def test_an_open_candle_is_closed_by_a_file(tmp_path: Path, store: Store) -> None:
    rows = candles(3)
    forming = as_candle((*rows[1][:5], 0.01), CandleSource.STREAM, closed=False)
    store.storage.write([forming], now=NOW)
    report = import_files(written(tmp_path / "BTCUSDT-1m.csv", text(rows)), store.storage, now=NOW)
    assert store.rows() == rows
    assert (report.inserted, report.conflicts) == (3, 0)


def test_an_imported_candle_removes_its_known_hole(tmp_path: Path, store: Store) -> None:
    rows = candles(30)
    store.storage.mark_hole("BTC/USDT", "1m", rows[5][0], rows[8][0], cause="test", now=NOW)
    import_files(written(tmp_path / "BTCUSDT-1m.csv", text(rows[:7])), store.storage, now=NOW)
    assert [(hole.start, hole.end) for hole in store.storage.holes()] == [(rows[7][0], rows[8][0])]


def test_nothing_to_import_is_an_error(tmp_path: Path, store: Store) -> None:
    with pytest.raises(InvalidInput, match="No candle file is given"):
        import_files([tmp_path / "a.zip.CHECKSUM"], store.storage, now=NOW)


def test_an_interrupted_import_is_repeated(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botlib.store.files.importing.CHUNK", 100)
    rows = candles(1_000)
    path = written(tmp_path / "BTCUSDT-1m.csv", text(rows))
    steps: list[tuple[int, int]] = []

    def interrupt(*step: int) -> None:
        steps.append(step)  # type: ignore[arg-type]
        if len(steps) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_files(path, store.storage, now=NOW, progress=interrupt)
    assert store.rows() == rows[:300]
    report = import_files(path, store.storage, now=NOW, progress=lambda *s: steps.append(s))
    assert (report.inserted, report.files[0].unchanged) == (700, 300)
    assert store.rows() == rows
    size = path.stat().st_size
    assert steps[-1] == (size, size)
    assert steps[3:] == sorted(steps[3:])


def test_a_full_disk_is_reported_and_keeps_what_was_stored(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botlib.store.files.importing.CHUNK", 100)
    rows = candles(1_000)
    write = store.storage.write

    def full(part: list[Candle], *, now: int) -> object:
        if part[0].timestamp >= rows[500][0]:
            raise StoreError("database or disk is full")
        return write(part, now=now)

    monkeypatch.setattr(store.storage, "write", full)
    report = import_files(written(tmp_path / "BTCUSDT-1m.csv", text(rows)), store.storage, now=NOW)
    assert report.failed[0].inserted == 500
    assert "disk is full" in str(report)
    assert store.rows() == rows[:500]


def test_import_into_opens_the_database_of_the_venue(tmp_path: Path) -> None:
    rows = candles(30)
    path = written(tmp_path / "BTCUSDT-1m.csv", text(rows))
    assert import_into(tmp_path / "data", [path]).inserted == 30
    with Database.open(tmp_path / "data" / "tradingbot.db", "binance") as database:
        assert CandleStorage(database).counts() == {("BTC/USDT", "1m"): 30}
        with pytest.raises(StoreLocked, match="is being written"):
            import_into(tmp_path / "data", [path])


@pytest.mark.recorded
def test_a_recorded_month_arrives_bar_for_bar(
    store: Store, recorded: Callable[[str], Path]
) -> None:
    path = recorded("candles/BURGERUSDT-1m-20210402-20210514.csv.gz")
    report = import_files([path], store.storage, now=NOW)
    with gzip.open(path, "rt", newline="") as file:
        expected = [
            (
                int(row["timestamp"]),
                *(float(row[name]) for name in ("open", "high", "low", "close", "volume")),
            )
            for row in csv.DictReader(file)
        ]
    assert store.rows("BURGERUSDT") == expected
    assert report.inserted == len(expected) == 20_678


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_any_overlap_of_files_and_stored_candles_follows_the_rules(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    rows = candles(40)
    folder = tmp_path_factory.mktemp("overlap")
    stored = data.draw(st.sets(st.integers(0, 39)), label="stored")
    changed = data.draw(st.sets(st.sampled_from(sorted(stored))) if stored else st.just(set()))
    overwrite = data.draw(st.booleans(), label="overwrite")
    pieces = data.draw(
        st.lists(st.sets(st.integers(0, 39), min_size=1), min_size=1, max_size=3), label="files"
    )
    truth = {i: (*rows[i][:5], 88.0) if i in changed else rows[i] for i in stored}
    files = []
    for number, piece in enumerate(pieces):
        order = data.draw(st.permutations(sorted(piece)))
        content = text([rows[i] for i in order])
        files.append(written(folder / f"BTCUSDT-1m-{number}.csv", content))
    with Database.open(folder / "candles.db", "binance") as database:
        storage = CandleStorage(database)
        storage.write([as_candle(row, CandleSource.STREAM) for row in truth.values()], now=NOW)
        report = import_files(files, storage, now=NOW, overwrite=overwrite)
        # A file of which every candle is two minutes apart is refused: it may be of 2m candles.
        taken = [p for p, f in zip(pieces, report.files, strict=True) if not f.error]
        for piece in taken:
            for i in piece:
                truth[i] = rows[i] if overwrite else truth.get(i, rows[i])
        found = storage.candles("BTC/USDT", "1m")
    assert [(c.timestamp, c.open, c.high, c.low, c.close, c.volume) for c in found] == [
        truth[i] for i in sorted(truth)
    ]
    assert report.inserted == len(truth) - len(stored)


def as_candle(row: Row, source: CandleSource, *, closed: bool = True) -> Candle:
    return Candle(
        symbol="BTC/USDT",
        timeframe="1m",
        timestamp=row[0],
        open=row[1],
        high=row[2],
        low=row[3],
        close=row[4],
        volume=row[5],
        closed=closed,
        source=source,
    )
