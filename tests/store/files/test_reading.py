"""Reading candle files: formats, repairs, refusals."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import feather, parquet

from botlib.core.clock import utc
from botlib.core.errors import RecordingError
from botlib.core.timeframe import MINUTE
from botlib.store.files import Recording, read_recording

T0 = 1_733_007_600_000
HEADER = "symbol,timeframe,timestamp,open,high,low,close,volume\n"
VALUES = ("open", "high", "low", "close", "volume")
NAME = "BTCUSDT-1m-2024-12.csv"
NOW = 1_800_000_000_000

Row = tuple[int, float, float, float, float, float]


def candles(count: int, start: int = T0) -> list[Row]:
    rows = []
    for i in range(count):
        price = 96_000.0 + i * 0.37 + 0.01
        rows.append(
            (
                start + i * MINUTE,
                round(price, 2),
                round(price + 5.1, 2),
                round(price - 4.3, 2),
                round(price + 0.2, 2),
                0.1 + i / 1_000,
            )
        )
    return rows


def text(rows: list[Row], *, named: bool = True) -> str:
    prefix = "BTCUSDT,1m," if named else ""
    return "".join(prefix + ",".join(map(repr, row)) + "\n" for row in rows)


def dump(rows: list[Row], factor: int = 1) -> str:
    """Return rows as Binance's dumps have them: twelve columns, no header."""
    return "".join(
        f"{t * factor},{o},{h},{low},{c},{v},{(t + MINUTE) * factor - 1},1.5,7,0.5,0.7,0\n"
        for t, o, h, low, c, v in rows
    )


def got(recording: Recording) -> list[Row]:
    columns = [recording.timestamp, *(getattr(recording, name) for name in VALUES)]
    return list(zip(*(column.tolist() for column in columns), strict=True))


def written(folder: Path, content: str | bytes, name: str = NAME) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def zipped(content: str, member: str = NAME) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
    return buffer.getvalue()


@pytest.mark.recorded
@pytest.mark.parametrize(
    ("name", "rows", "holes", "missing"),
    [
        ("BTCUSDT-1m-20241130-20241229", 41_761, 0, 0),
        ("BTCUSDT-15m-20231231-20241229", 34_945, 0, 0),
        ("BTCUSDT-1m-20210402-20210514", 61_272, 2, 434),
        ("BURGERUSDT-1m-20210402-20210514", 20_678, 0, 0),
        ("ETHUSDT-1h-20191204-20251102", 51_815, 15, 32),
        ("BTCUSDT-1d-20240727-20260725", 729, 0, 0),
    ],
)
def test_recorded_files_are_read_to_the_last_digit(
    recorded: Callable[[str], Path], name: str, rows: int, holes: int, missing: int
) -> None:
    path = recorded(f"candles/{name}.csv.gz")
    recording = read_recording(path)
    assert (len(recording), len(recording.report.holes)) == (rows, holes)
    assert recording.report.missing == missing
    assert recording.report.repairs == {}
    assert recording.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    with gzip.open(path, "rt") as lines:
        expected = [
            (int(row["timestamp"]), *(float(row[key]) for key in VALUES))
            for row in csv.DictReader(lines)
        ]
    assert got(recording) == expected


@pytest.mark.recorded
def test_the_exchange_halts_of_april_2021_are_holes(recorded: Callable[[str], Path]) -> None:
    report = read_recording(recorded("candles/BTCUSDT-1m-20210402-20210514.csv.gz")).report
    assert report.holes == (
        (1_618_884_000_000, 1_618_892_940_000),
        (1_619_323_260_000, 1_619_340_240_000),
    )
    assert "2021-04-20 02:00:00 to 2021-04-20 04:29:00" in str(report)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("any name.csv", HEADER + text(candles(50))),
        ("any name.csv", text(candles(50))),
        (NAME, "timestamp,open,high,low,close,volume\n" + text(candles(50), named=False)),
        (NAME, text(candles(50), named=False)),
        (NAME, "\ufeff" + HEADER + text(candles(50)).replace("\n", "\r\n")),
        (NAME, "\n\n" + HEADER + text(candles(50)).replace("\n", "\r")),
        (NAME, HEADER + text(candles(50)).replace("BTCUSDT,1m,", '"BTCUSDT","1m",')),
        (NAME, "Open_Time,Open,High,Low,Close,Volume,note\n"
         + text(candles(50), named=False).replace("\n", ",x\n")),
        ("a.csv.gz", gzip.compress((HEADER + text(candles(50))).encode())),
        ("BTCUSDT-1m-2024-12.zip", zipped(dump(candles(50)))),
        ("renamed.zip", zipped(dump(candles(50), factor=1_000))),
        (
            "BTCUSDT-1m-2024-12.zip",
            zipped("open_time,open,high,low,close,volume,close_time,quote_volume,count,"
                   "taker_buy_volume,taker_buy_quote_volume,ignore\n" + dump(candles(50))),
        ),
    ],
)  # fmt: skip
def test_every_accepted_layout_gives_the_same_candles(
    tmp_path: Path, name: str, content: str | bytes
) -> None:
    recording = read_recording(written(tmp_path, content, name))
    assert (recording.symbol, recording.timeframe) == ("BTC/USDT", "1m")
    assert got(recording) == candles(50)
    assert not recording.report.cut


@pytest.mark.parametrize("unit", ["int", "ms", "ns"])
def test_parquet_with_numbers_or_timestamps(tmp_path: Path, unit: str) -> None:
    rows = candles(50)
    columns = dict(zip(("timestamp", *VALUES), map(list, zip(*rows, strict=True)), strict=True))
    times = pa.array(columns.pop("timestamp"))
    if unit != "int":
        times = times.cast(pa.timestamp("ms")).cast(pa.timestamp(unit))
    path = tmp_path / "BTCUSDT-1m.parquet"
    parquet.write_table(pa.table({"timestamp": times, **columns}), path)
    assert got(read_recording(path)) == rows


def test_feather_as_freqtrade_writes_it(tmp_path: Path) -> None:
    rows = candles(50)
    columns = dict(zip(("date", *VALUES), map(list, zip(*rows, strict=True)), strict=True))
    dates = pa.array(columns.pop("date")).cast(pa.timestamp("ms", "UTC"))
    path = tmp_path / "BTC_USDT-1m.feather"
    for compression in ("lz4", "uncompressed"):
        feather.write_feather(pa.table({"date": dates, **columns}), path, compression=compression)
        recording = read_recording(path)
        assert (recording.symbol, recording.timeframe) == ("BTC/USDT", "1m")
        assert got(recording) == rows
        assert recording.report.repairs == {}


@pytest.mark.parametrize("packed", [False, True])
def test_json_as_freqtrade_writes_it(tmp_path: Path, packed: bool) -> None:
    rows = candles(50)
    content = json.dumps(rows).encode()
    name = "BTC_USDT-1m.json" + (".gz" if packed else "")
    path = written(tmp_path, gzip.compress(content) if packed else content, name)
    assert got(read_recording(path)) == rows


def test_json_as_the_venue_answers_is_read_and_its_damaged_rows_dropped(tmp_path: Path) -> None:
    rows = candles(60)
    answer = [
        [t, *map(repr, (o, h, low, c, v)), t + MINUTE - 1, "1.5", 7, "0.5", "0.7", "0"]
        for t, o, h, low, c, v in rows
    ]
    answer[10][2] = None
    answer[20] = "nonsense"  # type: ignore[call-overload]
    answer[30][4] = True
    recording = read_recording(written(tmp_path, json.dumps(answer), "BTCUSDT-1m.json"))
    assert got(recording) == [row for i, row in enumerate(rows) if i not in (10, 20, 30)]
    assert recording.report.repairs == {"unreadable rows dropped": 3}


@pytest.mark.parametrize(
    "form",
    [
        "{:%Y-%m-%d %H:%M:%S}", "{:%Y-%m-%dT%H:%M}Z", "{:%Y-%m-%d %H:%M:%S}+00:00",
        "{:%Y-%m-%d %H:%M:%S.%f} UTC",
    ],
)  # fmt: skip
def test_times_may_be_iso_texts(tmp_path: Path, form: str) -> None:
    rows = candles(50)
    lines = [f"{form.format(utc(row[0]))},{','.join(map(repr, row[1:]))}" for row in rows]
    lines[7] = lines[7].replace("2024-1", "2024-4")
    content = "Date,Open,High,Low,Close,Volume\n" + "\n".join(lines) + "\n"
    recording = read_recording(written(tmp_path, content))
    assert got(recording) == rows[:7] + rows[8:]
    assert recording.report.repairs == {"unreadable rows dropped": 1}


def test_a_candle_that_forms_now_is_refused_and_those_of_the_future_too(tmp_path: Path) -> None:
    rows = candles(60)
    path = written(tmp_path, text(rows))
    close = rows[-1][0] + MINUTE
    assert got(read_recording(path, now=close)) == rows
    one_less = read_recording(path, now=close - 1)
    assert got(one_less) == rows[:-1]
    assert one_less.report.repairs == {"unfinished rows dropped": 1}
    assert "1 unfinished rows dropped" in str(one_less.report)
    early = read_recording(path, now=rows[-3][0])
    assert got(early) == rows[:-3]
    assert early.report.repairs == {"unfinished rows dropped": 1, "rows of the future dropped": 2}
    with pytest.raises(RecordingError, match=r"refused: 11 of 60 rows .*1 unfinished, 10 in the f"):
        read_recording(path, now=rows[-11][0])
    assert got(read_recording(path)) == rows  # where every candle counts as final


def test_a_file_written_while_its_last_candle_formed_ends_before_it(tmp_path: Path) -> None:
    rows = candles(60)
    path = written(tmp_path, text(rows))
    for after, kept in ((0, 59), (MINUTE - 1, 59), (MINUTE, 60), (-1, 60)):
        stamp = (rows[-1][0] + after) * 1_000_000
        os.utime(path, ns=(stamp, stamp))
        assert len(read_recording(path, now=NOW)) == kept
    assert len(read_recording(path)) == 60


def test_a_truncated_last_line_is_refused_if_only_final_candles_count(tmp_path: Path) -> None:
    rows = candles(60)
    whole = text(rows)
    path = written(tmp_path, whole[:-2])
    assert len(read_recording(path)) == 60
    recording = read_recording(path, now=NOW)
    assert got(recording) == rows[:-1]
    assert recording.report.repairs == {"unfinished rows dropped": 1}
    # The columns behind those of the candle show that it is whole.
    assert got(read_recording(written(tmp_path, dump(rows)[:-1]), now=NOW)) == rows
    with pytest.raises(RecordingError, match="Empty CSV file"):
        read_recording(written(tmp_path, text(rows[:1])[:-1]), now=NOW)


@pytest.mark.parametrize(
    "name", ["BTC_USDT_USDT-1h-futures.feather", "BTC_USDT-8h-funding_rate.json", "X-1h-mark.csv"]
)
def test_candles_of_derivatives_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecordingError, match="would be mistaken"):
        read_recording(written(tmp_path, text(candles(9), named=False), name))


def test_a_checksum_may_be_in_capitals(tmp_path: Path) -> None:
    path = written(tmp_path, text(candles(9)))
    digest = hashlib.sha256(path.read_bytes()).hexdigest().upper()
    written(tmp_path, f"{digest}  {NAME}\n", NAME + ".CHECKSUM")
    assert len(read_recording(path)) == 9


@pytest.mark.parametrize(
    ("column", "cell"), [("open", [1.0]), ("date", [1]), ("symbol", ["a"]), ("open", b"\xff")]
)
def test_columns_of_another_kind_are_refused(tmp_path: Path, column: str, cell: object) -> None:
    columns = dict(zip(("date", *VALUES), map(list, zip(*candles(9), strict=True)), strict=True))
    path = tmp_path / "BTC_USDT-1m.parquet"
    parquet.write_table(pa.table({**columns, column: [cell] * 9}), path)
    with pytest.raises(RecordingError, match="no readable Parquet"):
        read_recording(path)


def test_microseconds_are_recognised_row_by_row(tmp_path: Path) -> None:
    rows = candles(60)
    content = dump(rows[:40]) + dump(rows[40:], factor=1_000)
    recording = read_recording(written(tmp_path, content))
    assert got(recording) == rows
    assert recording.report.repairs == {"microsecond timestamps": 20}


@pytest.mark.parametrize("factor", [1, 1_000])
def test_close_time_stamps_are_moved_to_the_open(tmp_path: Path, factor: int) -> None:
    rows = candles(60)
    stamped = [((row[0] + MINUTE) * factor - 1, *row[1:]) for row in rows]
    recording = read_recording(written(tmp_path, text(stamped)))
    assert got(recording) == rows
    assert recording.report.shifted == 60


def test_rows_out_of_order_are_sorted(tmp_path: Path) -> None:
    rows = candles(60)
    recording = read_recording(written(tmp_path, text(rows[:20] + rows[40:] + rows[20:40])))
    assert got(recording) == rows
    assert recording.report.repairs == {"rows out of order": 1}


def test_duplicates_are_dropped_and_of_conflicting_rows_the_last_is_kept(tmp_path: Path) -> None:
    rows = candles(60)
    changed = (*rows[7][:5], 99.5)
    recording = read_recording(written(tmp_path, text([*rows, rows[3], rows[3], changed])))
    assert got(recording) == [*rows[:7], changed, *rows[8:]]
    assert (recording.report.duplicates, recording.report.conflicts) == (2, 1)
    assert recording.report.read == 63
    assert "1 conflicting rows, last kept" in str(recording.report)


@pytest.mark.parametrize(
    ("spoilt", "counted"),
    [
        ("{t},oops,3,1,2,5", "unreadable"),
        ("{t},,3,1,2,5", "unreadable"),
        ("{t},nan,3,1,2,5", "unreadable"),
        ("soon,2,3,1,2,5", "unreadable"),
        ("0,2,3,1,2,5", "unreadable"),
        ('{t},"2,3,1,2,5', "unreadable"),
        ('{t},2,3,1,2,5"', "unreadable"),
        ("{t},2,3", "unreadable"),
        ("{t},2,3,1,2,5,6,7", "unreadable"),
        ("{t}500000,2,3,1,2,5", "unreadable"),
        ("{off},2,3,1,2,5", "off_grid"),
        ("{t},2,1,3,2,5", "impossible"),
        ("{t},2,3,1,3.5,5", "impossible"),
        ("{t},0.5,3,1,2,5", "impossible"),
        ("{t},3.5,3,1,2,5", "impossible"),
        ("{t},2,3,1,0.5,5", "impossible"),
        ("{t},2,3,0,2,5", "impossible"),
        ("{t},-2,3,-3,2,5", "impossible"),
        ("{t},2,inf,1,2,5", "impossible"),
        ("{t},2,3,1,2,-5", "impossible"),
    ],
)
def test_a_damaged_row_is_dropped_counted_and_leaves_a_hole(
    tmp_path: Path, spoilt: str, counted: str
) -> None:
    rows = candles(60)
    lines = text(rows, named=False).splitlines()
    time = rows[30][0]
    lines[30] = spoilt.format(t=time, off=time + 17_000)
    recording = read_recording(written(tmp_path, "\n".join(lines) + "\n"))
    assert got(recording) == rows[:30] + rows[31:]
    assert getattr(recording.report, counted) == 1
    assert sum(recording.report.repairs.values()) == 1
    assert recording.report.holes == ((time, time),)
    assert (recording.report.read, recording.report.kept) == (60, 59)


def test_zero_volume_is_a_candle(tmp_path: Path) -> None:
    rows = [(*row[:5], 0.0) for row in candles(30)]
    assert got(read_recording(written(tmp_path, text(rows)))) == rows


def test_a_row_of_another_symbol_is_dropped(tmp_path: Path) -> None:
    lines = text(candles(60)).replace("BTCUSDT", "BTCUSDX", 1)
    recording = read_recording(written(tmp_path, HEADER + lines))
    assert (recording.symbol, recording.report.unreadable) == ("BTC/USDT", 1)


def test_a_missing_line_end_is_reported(tmp_path: Path) -> None:
    recording = read_recording(written(tmp_path, text(candles(30))[:-3]))
    assert recording.report.cut
    assert "may be cut" in str(recording.report)


def test_the_checksum_beside_a_file_is_verified(tmp_path: Path) -> None:
    path = written(tmp_path, zipped(dump(candles(30))), "BTCUSDT-1m-2024-12.zip")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    beside = tmp_path / "BTCUSDT-1m-2024-12.zip.CHECKSUM"
    beside.write_text(f"{digest}  BTCUSDT-1m-2024-12.zip\n")
    assert len(read_recording(path)) == 30
    beside.write_text(f"{'0' * 64}  BTCUSDT-1m-2024-12.zip\n")
    with pytest.raises(RecordingError, match="does not match"):
        read_recording(path)


GZIPPED = gzip.compress((HEADER + text(candles(300))).encode())
ZIPPED = zipped(dump(candles(300)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (NAME, b"", "is empty"),
        (NAME, b"\n \n", "is empty"),
        (NAME, HEADER, "0 of 0 rows"),
        (NAME, b"\x00\xff\xfe" * 500, "no header and 1 columns"),
        (NAME, "a,b,c\n1,2,3\n", "no header and 3 columns"),
        (NAME, "timestamp,open,high,low,volume\n1,2,3,4,5\n", "close is missing"),
        ("a.csv.gz", GZIPPED[:-20], "damaged or cut short"),
        ("a.csv.gz", GZIPPED[:500] + b"\xaa" + GZIPPED[501:], "damaged or cut short"),
        ("a.zip", ZIPPED[:-50], "damaged or cut short"),
        ("a.zip", ZIPPED[:300] + b"\xaa\x55" + ZIPPED[302:], "damaged or cut short"),
        ("a.parquet", b"PAR1" + bytes(200), "no readable Parquet"),
        ("a.feather", b"ARROW1" + bytes(200), "no readable Feather"),
        ("a.feather", b"FEA1" + bytes(200), "no readable Feather"),
        ("a.json", json.dumps(candles(9))[:-20], "no readable JSON"),
        ("a.json", '{"code":-1121,"msg":"Invalid symbol."}', "no list of candles"),
        ("a.json", "[]", "no list of candles"),
        ("BTC_USDT-1m.json", "[[1,2,3]]", "1 of 1 rows"),
        ("prices.csv", text(candles(9), named=False), "does not say its symbol"),
        ("BTCUSDT-7m-x.csv", text(candles(9), named=False), "Unknown timeframe '7m'"),
        ("FOOBAR-1m.csv", text(candles(9), named=False), "Cannot read 'FOOBAR'"),
        ("ETHUSDT-1m.csv", HEADER + text(candles(9)), "Rename it"),
        ("BTCUSDT-5m.csv", HEADER + text(candles(9)), "Rename it"),
        ("a.csv", text(candles(9)) + text(candles(9)).replace("BTC", "ETH"), "mixes several"),
        (NAME, text(candles(80)[::5]), "at least 300 s apart"),
        ("BTCUSDT-5m.csv", text(candles(80), named=False), "64 at a time no candle opens"),
        (NAME, "".join(text([(*row[:2], 1.0, *row[3:])]) for row in candles(9)), "9 impossible"),
        (NAME, text(candles(9)).replace("1733", "2024-12-01 1733"), "9 unreadable"),
    ],
)
def test_a_file_that_cannot_be_repaired_is_refused(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(RecordingError, match=message):
        read_recording(written(tmp_path, content, name))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="Cannot read the candle file"):
        read_recording(tmp_path / "nowhere.csv")
    with pytest.raises(RecordingError, match="Cannot read the candle file"):
        read_recording(tmp_path)


def test_a_zip_of_two_files_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "two.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "1")
        archive.writestr("b.csv", "2")
    with pytest.raises(RecordingError, match="holds 2 files"):
        read_recording(path)


def test_only_a_small_share_of_bad_rows_is_repaired(tmp_path: Path) -> None:
    lines = text(candles(100), named=False).splitlines()
    for index in range(5):
        lines[index * 10] = "x,1,1,1,1,1"
    assert len(read_recording(written(tmp_path, "\n".join(lines)))) == 95
    lines[77] = "x,1,1,1,1,1"
    with pytest.raises(RecordingError, match="6 of 100 rows"):
        read_recording(written(tmp_path, "\n".join(lines)))


finite = st.floats(1e-8, 1e9, allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(finite, finite, finite, finite, finite), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_floats_survive_exactly(
    tmp_path_factory: pytest.TempPathFactory, values: list[tuple[float, ...]]
) -> None:
    rows: list[Row] = [
        (T0 + i * MINUTE, o, max(o, h, low, c), min(o, h, low, c), c, v)
        for i, (o, h, low, c, v) in enumerate(values)
    ]
    path = written(tmp_path_factory.mktemp("floats"), text(rows))
    assert got(read_recording(path)) == rows


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_shuffled_repeated_and_shifted_file_is_read_completely(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    rows = candles(30)
    again = data.draw(st.lists(st.sampled_from(rows), max_size=10))
    shuffled = data.draw(st.permutations([*rows, *again]))
    stamps = data.draw(st.lists(st.sampled_from([0, MINUTE - 1]), min_size=40, max_size=40))
    content = text([(row[0] + by, *row[1:]) for row, by in zip(shuffled, stamps, strict=False)])
    recording = read_recording(written(tmp_path_factory.mktemp("damage"), content))
    assert got(recording) == rows
    assert recording.report.duplicates == len(again)
    assert recording.report.conflicts == 0


def contents() -> list[bytes]:
    """Return the same candles in every format."""
    rows = candles(60)
    plain = (HEADER + text(rows)).encode()
    columns = dict(zip(("date", *VALUES), map(list, zip(*rows, strict=True)), strict=True))
    found = [plain, gzip.compress(plain), json.dumps(rows).encode()]
    for write in (parquet.write_table, feather.write_feather):
        buffer = io.BytesIO()
        write(pa.table(columns), buffer)
        found.append(buffer.getvalue())
    return found


CONTENTS = contents()


@given(st.sampled_from(CONTENTS), st.integers(0, 9_000), st.binary(max_size=6), st.integers(0, 6))
@settings(max_examples=250, deadline=None)
def test_a_damaged_file_is_refused_or_gives_sound_candles(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, at: int, scrap: bytes, gone: int
) -> None:
    at %= len(content)
    content = content[:at] + scrap + content[at + gone :]
    path = written(tmp_path_factory.mktemp("scrap"), content, "BTCUSDT-1m.any")
    try:
        recording = read_recording(path)
    except RecordingError:
        return
    assert len(recording) >= 0.9 * 60
    assert (np.diff(recording.timestamp) > 0).all()
    assert (recording.timestamp % MINUTE == 0).all()
    for name in ("open", "close"):
        values = getattr(recording, name)
        assert ((recording.low <= values) & (values <= recording.high)).all()
    assert (recording.low > 0).all()
    assert np.isfinite(recording.high).all()
