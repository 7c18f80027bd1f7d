"""`read_rows`: reads every accepted file format into the same rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from botlib.core.errors import RecordingError
from botlib.core.text import formats
from botlib.store.files.report import ACCEPTED, VALUES

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ROWS: Final = 20_000_000
"""Most rows of a table; a month of seconds has 2.7 million."""

_ALIASES: Final = {
    "open_time": "timestamp",
    "opentime": "timestamp",
    "open time": "timestamp",
    "time": "timestamp",
    "date": "timestamp",
    "datetime": "timestamp",
    "interval": "timeframe",
}
_SCHEMA: Final = ("symbol", "timeframe", "timestamp", *VALUES)
# REST klines and the dumps: six columns of a candle, then close time, quote volume, trade count,
# two taker volumes and one that is unused.
_DUMP: Final = ("timestamp", *VALUES, "f6", "f7", "f8", "f9", "f10", "f11")
_HEADLESS: Final = {6: _DUMP[:6], 8: _SCHEMA, 12: _DUMP}
_QUOTED = re.compile(rb'(?<![^,\r\n])"([^",\r\n]*)"(?![^,\r\n])')
_ISO_TIME: Final = r"^\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?$"
_UTC_SUFFIX: Final = r"(Z| ?UTC|[+-]00:?00)$"


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleRows:
    """The rows of a file as read: -1 for an unreadable time, NaN for an unreadable value."""

    names: dict[str, pa.ChunkedArray]
    """The columns ``symbol`` and ``timeframe`` as texts, if the file has them."""
    timestamp: NDArray[np.int64]
    values: tuple[NDArray[np.float64], ...]
    broken: int = 0
    """Lines with the wrong number of cells."""
    cut: bool = False
    """Whether the text ends inside a line."""
    unfinished: int = 0
    """Lines left out because their end is missing."""


def read_rows(path: Path, raw: bytes, *, whole_lines: bool) -> CandleRows:
    """Read the content of a file in any of the accepted formats.

    Args:
        path: of the file, for messages.
        raw: its content, unpacked.
        whole_lines: leave out a last line without line end, whose last digits may be missing.

    Raises:
        RecordingError: the format is not accepted, or the file is damaged.
    """
    if raw[:4] == b"PAR1":
        return _columns(path, raw, "Parquet", _parquet)
    if raw[:6] == b"ARROW1" or raw[:4] == b"FEA1":
        return _columns(path, raw, "Feather", _feather)
    if raw.lstrip()[:1] in (b"[", b"{"):
        return _json_rows(path, raw)
    return _csv_rows(path, raw, whole_lines)


def _csv_rows(path: Path, raw: bytes, whole_lines: bool) -> CandleRows:
    import pyarrow as pa
    from pyarrow import csv

    if not raw.isascii():
        # Damaged bytes must affect their own cell only.
        raw = raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").encode()
    # Quotes around a whole cell are removed here: with a CSV reader that handles quotes, a stray
    # one would consume the rest of the file.
    raw = _QUOTED.sub(rb"\1", raw.lstrip())
    names, header = _layout(path, raw)
    cut = not raw.endswith((b"\n", b"\r"))
    # Further columns after those of the candle show that the candle is complete.
    dropped = cut and whole_lines and names[-1] in VALUES
    if dropped:
        raw = raw[: max(raw.rfind(b"\n"), raw.rfind(b"\r")) + 1]
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
        raise RecordingError(f"{str(path)!r} is not a readable CSV: {error}. {ACCEPTED}") from error
    return _rows(table, broken, cut=cut, unfinished=int(dropped))


def _layout(path: Path, raw: bytes) -> tuple[list[str], bool]:
    """Return the column names of a CSV, and whether its first line is a header."""
    line = raw[:65_536].splitlines()[0]
    names = _named(cell.strip() for cell in line.decode("utf-8", "replace").split(","))
    if set(names) & {"timestamp", *VALUES}:
        _require(path, names)
        return names, True
    if len(names) in _HEADLESS:
        return list(_HEADLESS[len(names)]), False
    raise RecordingError(
        f"{str(path)!r} has no header and {len(names)} columns in its first line, "
        f"which begins with {line[:60]!r}. {ACCEPTED}"
    )


def _named(names: Iterable[str]) -> list[str]:
    """Return column names with aliases replaced by the kit's names."""
    return [_ALIASES.get(name.lower(), name.lower()) for name in names]


def _require(path: Path, names: list[str]) -> None:
    absent = [name for name in ("timestamp", *VALUES) if names.count(name) != 1]
    if absent:
        raise RecordingError(
            f"{str(path)!r} has the columns {', '.join(names)}: "
            f"{', '.join(absent)} is missing or there twice. {ACCEPTED}"
        )


def _parquet(raw: bytes) -> pa.Table:
    import pyarrow as pa
    from pyarrow import parquet

    rows = parquet.read_metadata(pa.BufferReader(raw)).num_rows
    if rows > MOST_ROWS:
        # A few kilobytes can say that one value is repeated for ever.
        raise OSError(
            f"it has {formats.count(rows)} rows, and at most {formats.count(MOST_ROWS)} are read"
        )
    return parquet.read_table(pa.BufferReader(raw))


def _feather(raw: bytes) -> pa.Table:
    import pyarrow as pa
    from pyarrow import feather

    return feather.read_table(pa.BufferReader(raw))


def _columns(path: Path, raw: bytes, format_: str, read: Callable[[bytes], pa.Table]) -> CandleRows:
    import pyarrow as pa

    try:
        table = read(raw)
        names = _named(table.column_names)
        _require(path, names)
        table = table.rename_columns(names).select([name for name in names if name in _SCHEMA])
        return _rows(table, 0)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise RecordingError(
            f"{str(path)!r} is damaged or cut short and is no readable {format_} file: {error}. "
            "Fetch or write it again."
        ) from error


def _json_rows(path: Path, raw: bytes) -> CandleRows:
    """Read a list of candles, each a list of six cells or, as REST answers, of twelve."""
    import orjson
    import pyarrow as pa

    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RecordingError(
            f"{str(path)!r} is damaged or cut short and is no readable JSON: {error}. "
            "Fetch or write it again."
        ) from error
    if not isinstance(found, list) or not found or not isinstance(found[0], list):
        raise RecordingError(
            f"{str(path)!r} is JSON, but no list of candles. Accepted: "
            "[[timestamp, open, high, low, close, volume], …] with open times in ms."
        )
    rows = [row for row in found if isinstance(row, list) and len(row) in (6, 12)]
    columns = {
        # As text, which preserves floats exactly, so a bad cell affects no other.
        name: pa.array(
            [None if row[place] is None else str(row[place]) for row in rows], pa.string()
        )
        for place, name in enumerate(_DUMP[:6])
    }
    return _rows(pa.table(columns), len(found) - len(rows))


def _rows(table: pa.Table, broken: int, *, cut: bool = False, unfinished: int = 0) -> CandleRows:
    import pyarrow as pa

    return CandleRows(
        names={
            name: table.column(name).cast(pa.string())
            for name in ("symbol", "timeframe")
            if name in table.schema.names
        },
        timestamp=_times(table.column("timestamp")),
        values=tuple(_numbers(table.column(name)) for name in VALUES),
        broken=broken,
        cut=cut,
        unfinished=unfinished,
    )


def _times(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return times as integers, -1 for a missing one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        # A timestamp with a zone holds its instant in UTC.
        column = column.cast(pa.timestamp("ms"), safe=False)
    try:
        return np.asarray(pc.fill_null(column.cast(pa.int64()), -1), np.int64)
    except pa.ArrowException:
        pass
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        texts = pc.replace_substring_regex(
            pc.utf8_trim_whitespace(column.cast(pa.string())), _UTC_SUFFIX, ""
        )
        dates = pc.match_substring_regex(texts, _ISO_TIME)
        if pc.any(dates).as_py():
            return _iso_times(texts, dates)
    # Because of a single bad cell some writers print all as floats, exact up to 2^53.
    numbers = _numbers(column)
    readable = np.isfinite(numbers) & (np.abs(numbers) < 2.0**53)
    return np.where(readable, numbers, -1).astype(np.int64)


def _iso_times(texts: pa.ChunkedArray, dates: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return texts such as ``2024-01-31 12:00`` as ms, -1 for a text that is no date."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.if_else(dates, texts, pa.scalar(None, pa.string()))
    try:
        times = texts.cast(pa.timestamp("us"))
    except pa.ArrowException:
        # Some have the form of a date but are none, such as the 31st of June.
        times = pa.array([_instant(text) for text in texts.to_pylist()], pa.timestamp("us"))
    times = pc.floor_temporal(times, unit="millisecond").cast(pa.timestamp("ms"))
    return np.asarray(pc.fill_null(times.cast(pa.int64()), -1), np.int64)


def _instant(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return numbers as the nearest float64, NaN for a missing one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        numbers = column.cast(pa.float64())
    except pa.ArrowException:
        texts = pc.utf8_trim_whitespace(column.cast(pa.string()))
        number = pc.match_substring_regex(texts, r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")
        numbers = pc.if_else(number, texts, pa.scalar(None, pa.string())).cast(pa.float64())
    return np.asarray(pc.fill_null(numbers, float("nan")), np.float64)
