"""Recorded candle files: read, checked, repaired where that is honest, refused where it is not.

Accepted are CSV, gzipped CSV, Parquet and the zips of Binance's public dumps; the content decides,
not the file name. Every repair is counted in the report. Holes are reported and never filled.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from botlib.clock import iso
from botlib.errors import InvalidInput, RecordingError
from botlib.symbol import symbol_id, unified_symbol
from botlib.timeframe import WEEK, open_time, timeframe_ms

if TYPE_CHECKING:
    import pyarrow as pa

MAX_BAD_SHARE: Final = 0.05
"""A file with a larger share of unusable rows is refused."""

_VALUES: Final = ("open", "high", "low", "close", "volume")
_ALIASES: Final = {
    "timestamp": "timestamp",
    "open_time": "timestamp",
    "opentime": "timestamp",
    "open time": "timestamp",
    "time": "timestamp",
    "symbol": "symbol",
    "timeframe": "timeframe",
    "interval": "timeframe",
    **{name: name for name in _VALUES},
}
_SCHEMA: Final = ("symbol", "timeframe", "timestamp", *_VALUES)
# REST klines and the dumps: six columns of a candle, then close time, quote volume, trade count,
# two taker volumes and one that is unused.
_DUMP: Final = ("timestamp", *_VALUES, "f6", "f7", "f8", "f9", "f10", "f11")
_HEADLESS: Final = {6: _DUMP[:6], 8: _SCHEMA, 12: _DUMP}
_NAME = re.compile(r"([A-Za-z0-9]+)-(\d+[a-zA-Z]+)(?=[-.]|$)")
_QUOTED = re.compile(rb'(?<![^,\r\n])"([^",\r\n]*)"(?![^,\r\n])')
_ACCEPTED: Final = (
    "Accepted: CSV, gzipped CSV, Parquet or a Binance dump zip, with the columns "
    "symbol, timeframe, timestamp (open time, ms), open, high, low, close, volume."
)
# Nothing was traded before 2009; microseconds of any later date are above 1e14 and ms far below.
_EARLIEST: Final = 1_230_768_000_000
_LATEST: Final = 4_102_444_800_000
_MICROSECONDS: Final = 100_000_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingReport:
    """What was found in a file and what was done about it. Counts are of rows."""

    path: str
    read: int
    """Rows in the file."""
    kept: int
    """Candles left."""
    microseconds: int = 0
    """Timestamps given in microseconds, brought to ms."""
    shifted: int = 0
    """Stamped at the close, moved to the open."""
    reordered: int = 0
    """Earlier than the row before them; all rows were sorted."""
    duplicates: int = 0
    """Exact repetitions, dropped."""
    conflicts: int = 0
    """Different candles for one open time; the last one in the file was kept."""
    unreadable: int = 0
    """Dropped: cells missing or not numbers, or a time outside 2009 to 2100."""
    off_grid: int = 0
    """Dropped: no candle of this timeframe opens or closes at that time."""
    impossible: int = 0
    """Dropped: not finite, not positive, or open or close outside low to high."""
    holes: tuple[tuple[int, int], ...] = ()
    """Missing stretches: open times of the first and the last missing candle."""
    missing: int = 0
    """Candles missing in all holes together."""
    cut: bool = False
    """The text ends inside a line, so that its last row may be incomplete."""

    @property
    def repairs(self) -> dict[str, int]:
        """The repairs made, by name, without those that were not needed."""
        counts = {
            "microsecond timestamps": self.microseconds,
            "close-time stamps shifted": self.shifted,
            "rows out of order": self.reordered,
            "duplicates dropped": self.duplicates,
            "conflicting rows, last kept": self.conflicts,
            "unreadable rows dropped": self.unreadable,
            "off-grid rows dropped": self.off_grid,
            "impossible rows dropped": self.impossible,
        }
        return {name: count for name, count in counts.items() if count}

    def __str__(self) -> str:
        parts = [f"{self.path}: {self.kept} candles from {self.read} rows"]
        parts += [f"{count} {name}" for name, count in self.repairs.items()]
        if self.holes:
            shown = ", ".join(
                f"{iso(first)} to {iso(last)}" if first != last else iso(first)
                for first, last in self.holes[:3]
            )
            more = f" and {len(self.holes) - 3} more" if len(self.holes) > 3 else ""
            parts.append(f"{self.missing} missing in {len(self.holes)} holes ({shown}{more})")
        if self.cut:
            parts.append("the last line has no line end and may be cut")
        return "; ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The candles of one symbol and timeframe: parallel arrays, ascending, without duplicates."""

    symbol: str
    timeframe: str
    timestamp: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    report: RecordingReport
    sha256: str
    """Of the file as it lies on disk, in hex."""

    def __len__(self) -> int:
        return len(self.timestamp)


def read_recording(path: str | Path) -> Recording:
    """Read a candle file, repair what can be repaired honestly, and report it.

    A ``.CHECKSUM`` file beside it, as Binance publishes one with every dump, is verified.

    Raises:
        RecordingError: the file is missing, corrupt, not of candles, or more than
            `MAX_BAD_SHARE` of its rows cannot be used.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordingError(
            f"Cannot read the candle file {str(path)!r}: {error.strerror or error}. {_ACCEPTED}"
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    _verify_checksum(path, digest)
    name, raw = _unpack(path, content)
    parquet = raw[:4] == b"PAR1"
    rows = _parquet_rows(path, raw) if parquet else _csv_rows(path, raw)
    symbol, timeframe, belongs = _identity(path, name, rows)
    times, values, report = _clean(path, timeframe, rows, belongs)
    return Recording(
        symbol=symbol,
        timeframe=timeframe,
        timestamp=times,
        **dict(zip(_VALUES, values, strict=True)),
        report=replace(report, cut=not parquet and not raw.endswith((b"\n", b"\r"))),
        sha256=digest,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Rows as read: -1 for a time that cannot be read, NaN for a value that cannot."""

    names: dict[str, pa.ChunkedArray]
    timestamp: NDArray[np.int64]
    values: tuple[NDArray[np.float64], ...]
    broken: int = 0
    """Lines that have not the right number of cells."""


def _verify_checksum(path: Path, digest: str) -> None:
    beside = path.with_name(path.name + ".CHECKSUM")
    if not beside.exists():
        return
    expected = beside.read_text(encoding="utf-8", errors="replace").split()[:1]
    if expected != [digest]:
        raise RecordingError(
            f"{str(path)!r} does not match {beside.name}: its SHA-256 is {digest}, "
            f"expected {expected[0] if expected else 'nothing'}. Download both files again."
        )


def _unpack(path: Path, content: bytes) -> tuple[str, bytes]:
    """Return the name and the content of the file itself, of the gzip or of the zip's member."""
    try:
        if content[:2] == b"\x1f\x8b":
            name, raw = path.name, gzip.decompress(content)
        elif content[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                members = [info for info in archive.infolist() if not info.is_dir()]
                if len(members) != 1:
                    raise RecordingError(
                        f"{str(path)!r} holds {len(members)} files; a candle zip holds one. "
                        "Unpack it and give the file itself."
                    )
                name, raw = members[0].filename, archive.read(members[0])
        else:
            name, raw = path.name, content
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        # The zip module raises RuntimeError for an encrypted or unknown compression.
        raise RecordingError(
            f"{str(path)!r} is damaged or cut short and cannot be unpacked: {error}. "
            "Fetch it again."
        ) from error
    if not raw.strip():
        raise RecordingError(f"{str(path)!r} is empty. {_ACCEPTED}")
    return name, raw


def _csv_rows(path: Path, raw: bytes) -> _Rows:
    import pyarrow as pa
    from pyarrow import csv

    if not raw.isascii():
        # Damaged bytes spoil their own cell only.
        raw = raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").encode()
    # Quotes around a whole cell are taken off here: a reader that knows them would let a stray one
    # swallow the rest of the file.
    raw = _QUOTED.sub(rb"\1", raw.lstrip())
    names, header = _layout(path, raw)
    broken = 0

    def skip(_row: object) -> str:
        nonlocal broken
        broken += 1
        return "skip"

    wanted = [name for name in names if name in _SCHEMA]
    try:
        table = csv.read_csv(
            pa.BufferReader(raw),
            # One thread: the handler of broken lines counts.
            csv.ReadOptions(use_threads=False, column_names=names, skip_rows=int(header)),
            csv.ParseOptions(quote_char=False, invalid_row_handler=skip),
            csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), include_columns=wanted
            ),
        )
    except pa.ArrowException as error:
        raise RecordingError(
            f"{str(path)!r} is not a readable CSV: {error}. {_ACCEPTED}"
        ) from error
    return _rows(table, broken)


def _layout(path: Path, raw: bytes) -> tuple[list[str], bool]:
    """Return the column names of a CSV, and whether its first line is a header."""
    line = raw[:65_536].splitlines()[0]
    cells = [cell.strip().lower() for cell in line.decode("utf-8", "replace").split(",")]
    names = [_ALIASES.get(cell, cell) for cell in cells]
    if set(names) & {"timestamp", *_VALUES}:
        _require(path, names)
        return names, True
    if len(cells) in _HEADLESS:
        return list(_HEADLESS[len(cells)]), False
    raise RecordingError(
        f"{str(path)!r} has no header and {len(cells)} columns in its first line, "
        f"which begins with {line[:60]!r}. {_ACCEPTED}"
    )


def _require(path: Path, names: list[str]) -> None:
    absent = [name for name in ("timestamp", *_VALUES) if names.count(name) != 1]
    if absent:
        raise RecordingError(
            f"{str(path)!r} has the columns {', '.join(names)}: "
            f"{', '.join(absent)} is missing or there twice. {_ACCEPTED}"
        )


def _parquet_rows(path: Path, raw: bytes) -> _Rows:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(pa.BufferReader(raw))
        names = [_ALIASES.get(name.lower(), name.lower()) for name in table.column_names]
        _require(path, names)
        table = table.rename_columns(names).select([name for name in names if name in _SCHEMA])
    except (pa.ArrowException, OSError) as error:
        raise RecordingError(
            f"{str(path)!r} is damaged or cut short and is no readable Parquet file: {error}. "
            "Fetch or write it again."
        ) from error
    return _rows(table, 0)


def _rows(table: pa.Table, broken: int) -> _Rows:
    return _Rows(
        names={
            name: table.column(name)
            for name in ("symbol", "timeframe")
            if name in table.schema.names
        },
        timestamp=_times(table.column("timestamp")),
        values=tuple(_numbers(table.column(name)) for name in _VALUES),
        broken=broken,
    )


def _times(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return times as whole numbers, -1 where there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ms"), safe=False)
    try:
        return np.asarray(pc.fill_null(column.cast(pa.int64()), -1), np.int64)
    except pa.ArrowException:
        # A single bad cell makes some writers print all of them as floats, exact up to 2^53.
        numbers = _numbers(column)
        readable = np.isfinite(numbers) & (np.abs(numbers) < 2.0**53)
        return np.where(readable, numbers, -1).astype(np.int64)


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return numbers as the nearest float64, NaN where there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        numbers = column.cast(pa.float64())
    except pa.ArrowException:
        texts = pc.utf8_trim_whitespace(column.cast(pa.string()))
        number = pc.match_substring_regex(texts, r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")
        numbers = pc.if_else(number, texts, pa.scalar(None, pa.string())).cast(pa.float64())
    return np.asarray(pc.fill_null(numbers, float("nan")), np.float64)


def _identity(path: Path, name: str, rows: _Rows) -> tuple[str, str, NDArray[np.bool_]]:
    """Return symbol, timeframe, and which rows carry them, from the columns or the file name."""
    match = _NAME.match(Path(name).name) or _NAME.match(path.name)
    named = dict(zip(("symbol", "timeframe"), match.groups(), strict=True)) if match else {}
    found: dict[str, str] = {}
    belongs = np.ones(len(rows.timestamp), np.bool_)
    for key in ("symbol", "timeframe"):
        if key in rows.names and len(belongs):
            found[key], same = _majority(path, key, rows.names[key])
            belongs &= same
        elif key in named:
            found[key] = named[key]
        else:
            raise RecordingError(
                f"{str(path)!r} does not say its {key}: it has no such column, and its name does "
                "not begin like 'BTCUSDT-1m-'. Rename it so, or add the column."
            )
    try:
        symbol, timeframe = unified_symbol(found["symbol"]), found["timeframe"]
        timeframe_ms(timeframe)
    except InvalidInput as error:
        raise RecordingError(f"{str(path)!r} cannot be used: {error}") from error
    said = (named.get("symbol", "").upper(), named.get("timeframe"))
    if match and said != (symbol_id(symbol), timeframe):
        raise RecordingError(
            f"{str(path)!r} holds {symbol_id(symbol)} {timeframe} by its columns but "
            f"{said[0]} {said[1]} by its name. Rename it."
        )
    return symbol, timeframe, belongs


def _majority(path: Path, key: str, column: pa.ChunkedArray) -> tuple[str, NDArray[np.bool_]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.fill_null(column.cast(pa.string()), "")
    counts = sorted(
        ((item["counts"], item["values"]) for item in pc.value_counts(texts).to_pylist()),
        reverse=True,
    )
    if counts[0][0] < (1 - MAX_BAD_SHARE) * len(texts):
        raise RecordingError(
            f"{str(path)!r} mixes several values of {key}: "
            f"{', '.join(repr(value) for _, value in counts[:5])}. Give one file for each."
        )
    return counts[0][1], np.asarray(pc.equal(texts, counts[0][1]), np.bool_)


def _clean(
    path: Path, timeframe: str, rows: _Rows, belongs: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], list[NDArray[np.float64]], RecordingReport]:
    """Return the sound rows in order, without duplicates, and what was done about the others."""
    length = timeframe_ms(timeframe)
    origin = open_time(WEEK, timeframe)
    micro = rows.timestamp >= _MICROSECONDS
    times = np.where(micro, rows.timestamp // 1000, rows.timestamp)
    o, h, low, c, v = rows.values
    readable = belongs & (times >= _EARLIEST) & (times <= _LATEST)
    readable &= ~np.isnan(np.stack(rows.values)).any(axis=0)
    at_close = readable & ((times + 1 - origin) % length == 0)
    times = np.where(at_close, times + 1 - length, times)
    on_grid = readable & ((times - origin) % length == 0)
    possible = (low > 0) & (low <= np.minimum(o, c)) & (np.maximum(o, c) <= h) & (v >= 0)
    usable = on_grid & possible & np.isfinite(h) & np.isfinite(v)
    read = len(times) + rows.broken
    report = RecordingReport(
        path=str(path),
        read=read,
        kept=int(usable.sum()),
        microseconds=int((micro & usable).sum()),
        shifted=int((at_close & usable).sum()),
        unreadable=rows.broken + int((~readable).sum()),
        off_grid=int((readable & ~on_grid).sum()),
        impossible=int((on_grid & ~usable).sum()),
    )
    bad = read - report.kept
    if bad > MAX_BAD_SHARE * read or not report.kept:
        raise RecordingError(
            f"{str(path)!r} is refused: {bad} of {read} rows cannot be used as {timeframe} candles "
            f"({report.unreadable} unreadable, {report.off_grid} at a time no candle opens, "
            f"{report.impossible} impossible); at most {MAX_BAD_SHARE:.0%} is repaired. {_ACCEPTED}"
        )
    times, values = times[usable], [value[usable] for value in rows.values]
    order, keep, duplicates, conflicts = _unique(times, values)
    reordered = int(np.count_nonzero(np.diff(times) < 0))
    times, values = times[order][keep], [value[order][keep] for value in values]
    steps = np.diff(times)
    if len(times) > 2 and steps.min() > length:
        raise RecordingError(
            f"{str(path)!r} is said to hold {timeframe} candles, but they are at least "
            f"{steps.min() // 1000} s apart. Correct its name or its timeframe column."
        )
    gaps = np.flatnonzero(steps > length)
    return (
        times,
        values,
        replace(
            report,
            kept=len(times),
            reordered=reordered,
            duplicates=duplicates,
            conflicts=conflicts,
            holes=tuple((int(times[i]) + length, int(times[i + 1]) - length) for i in gaps),
            missing=int((steps[gaps] // length - 1).sum()),
        ),
    )


def _unique(
    times: NDArray[np.int64], values: list[NDArray[np.float64]]
) -> tuple[NDArray[np.intp], NDArray[np.bool_], int, int]:
    """Return the order by time, which rows of it to keep, and how many repeat and contradict."""
    order = np.argsort(times, kind="stable")
    same_time = np.diff(times[order]) == 0
    keep = np.append(~same_time, True)
    # Every dropped row is compared with the one that is kept: the last in the file of its time.
    kept = np.flatnonzero(keep)[np.searchsorted(np.flatnonzero(keep), np.flatnonzero(~keep))]
    dropped = np.flatnonzero(~keep)
    equal = np.ones(len(dropped), np.bool_)
    for value in values:
        equal &= value[order][dropped] == value[order][kept]
    return order, keep, int(equal.sum()), int((~equal).sum())
