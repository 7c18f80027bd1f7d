"""`export_parquet`: closed candles as a partitioned Parquet dataset that other tools read directly.

The layout is Hive's, one file per symbol, timeframe and year (UTC) of the open times::

    <target>/symbol=BTCUSDT/timeframe=1m/year=2024/candles.parquet

Columns: ``timestamp`` (the open time, timestamp[ms] without a zone, UTC), ``open``, ``high``,
``low``, ``close``, ``volume`` (float64), ascending by time; symbol, timeframe and year are in the
path. DuckDB: ``read_parquet('<target>/**/*.parquet', hive_partitioning=true)``; Polars:
``scan_parquet('<target>/**/*.parquet', hive_partitioning=True)``; Dask and pandas:
``read_parquet('<target>')``; Spark: ``spark.read.parquet('<target>')``. Only Spark
reads the ``1d`` of a dataset of nothing but daily candles as the number 1.0; it stays a text if
``spark.sql.sources.partitionColumnTypeInference.enabled`` is false, or if a schema is given.

Every file carries the venue and a digest of its candles. A file whose digest equals that of the
database is not written again, so an interrupted export continues where it stopped.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from botlib.core.errors import BotlibError, InvalidInput, StoreError, WrongVenue
from botlib.core.files import private_directory
from botlib.core.symbol import symbol_id
from botlib.core.text import formats
from botlib.core.text.cards import Tone, card, figures
from botlib.core.timeframe import timeframe_ms
from botlib.frames import COLUMNS
from botlib.store.atomic_files import draft, sweep
from botlib.store.candles import CandleStorage
from botlib.venues.symbols import unified_symbol

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

NAME: Final = "candles.parquet"

_OURS: Final = re.compile(rf"symbol=\w+/timeframe=\w+/year=-?\d+/{re.escape(NAME)}")
_LAYOUT: Final = b"1"
"""Part of the digest; a new value causes all files to be written again."""
_VENUE: Final = b"botlib.venue"
_DIGEST: Final = b"botlib.digest"
_ROWS: Final = 1 << 17
"""Candles in a row group, which a reader loads into memory at once."""

Progress = Callable[[int, int], None]
"""Called with the partitions done and their total."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """The result of an export, in partitions: one per symbol, timeframe and year."""

    target: str
    written: tuple[str, ...]
    """The partitions written, as paths below the target."""
    unchanged: int
    removed: tuple[str, ...]
    """The partitions removed because the database has no candles of that year any more."""
    candles: int
    """In all partitions that now exist of the symbols and timeframes requested."""
    size: int
    """Bytes written."""

    def __repr__(self) -> str:
        return f"<ExportReport {self}>"

    def _repr_html_(self) -> str:
        return card(
            self.target,
            figures(
                [
                    ("partitions written", len(self.written)),
                    ("unchanged", self.unchanged),
                    ("removed", len(self.removed)),
                    ("candles", formats.count(self.candles)),
                    ("MB written", formats.number(self.size / 1e6, 1)),
                ]
            ),
            tone=Tone.GOOD,
        )

    def __str__(self) -> str:
        parts = [f"{len(self.written)} partitions written", f"{self.unchanged} unchanged"]
        if self.removed:
            parts.append(f"{len(self.removed)} removed")
        parts += [
            f"{formats.count(self.candles)} candles",
            f"{formats.number(self.size / 1e6, 1)} MB written",
        ]
        return f"{self.target}: " + ", ".join(parts)


def export_parquet(
    storage: CandleStorage,
    target: str | Path,
    *,
    symbols: Iterable[str] | None = None,
    timeframes: Iterable[str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> ExportReport:
    """Update a partitioned Parquet dataset from the database.

    Each partition is replaced atomically: by a rename on a local disk, by one upload elsewhere.
    Partitions of other symbols and timeframes are not changed.

    Args:
        storage: the candles to export.
        target: a directory, or any URL that fsspec supports, such as ``s3://bucket/candles``.
        symbols: in either form; None is all that are stored.
        timeframes: None is all that are stored.
        storage_options: passed to fsspec, for object stores.
        progress: called after each partition.

    Raises:
        InvalidInput: a symbol or timeframe is not stored, or the URL cannot be used.
        WrongVenue: the dataset holds candles of another venue.
        StoreError: a partition was not made by botlib, or cannot be written. Those before it are
            complete.
    """
    dataset = _Dataset(str(target), storage.database.venue, storage_options)
    keys = _keys(storage, symbols, timeframes)
    dataset.check()
    wanted = [(*key, year) for key in keys for year in _years(storage, *key)]
    kept: dict[str, set[str]] = {_folder(*key): set() for key in keys}
    written: list[str] = []
    candles = size = 0
    for done, (symbol, timeframe, year) in enumerate(wanted, start=1):
        frame = storage.frame(symbol, timeframe, *_span(year))
        if len(frame):
            folder = _folder(symbol, timeframe)
            path = f"{folder}/year={year}/{NAME}"
            kept[folder].add(path)
            candles += len(frame)
            if new := dataset.update(path, frame):
                written.append(path)
                size += new
        if progress is not None:
            progress(done, len(wanted))
    return ExportReport(
        target=dataset.shown,
        written=tuple(written),
        unchanged=sum(map(len, kept.values())) - len(written),
        removed=tuple(
            path for folder, paths in kept.items() for path in dataset.prune(folder, paths)
        ),
        candles=candles,
        size=size,
    )


def _keys(
    storage: CandleStorage, symbols: Iterable[str] | None, timeframes: Iterable[str] | None
) -> list[tuple[str, str]]:
    stored = list(storage.counts())
    chosen = None if symbols is None else {unified_symbol(symbol) for symbol in _several(symbols)}
    lengths = None if timeframes is None else set(_several(timeframes))
    for timeframe in lengths or ():
        timeframe_ms(timeframe)
    keys = [
        (symbol, timeframe)
        for symbol, timeframe in stored
        if (chosen is None or symbol in chosen) and (lengths is None or timeframe in lengths)
    ]
    absent = sorted((chosen or set()) - {symbol for symbol, _ in keys})
    absent += sorted((lengths or set()) - {timeframe for _, timeframe in keys})
    if absent or not keys:
        what = ", ".join(absent) or "anything"
        there = ", ".join(f"{symbol} {timeframe}" for symbol, timeframe in stored) or "nothing"
        raise InvalidInput(
            f"Cannot export {what}: no closed candles of it are stored. Stored: {there}. "
            "Download or import them first."
        )
    return keys


def _several(names: Iterable[str]) -> Iterable[str]:
    return (names,) if isinstance(names, str) else names


def _years(storage: CandleStorage, symbol: str, timeframe: str) -> range:
    """Return the years from the oldest closed candle to the newest, both stored."""
    query = (
        "SELECT timestamp FROM candles WHERE symbol = ? AND timeframe = ? AND closed = 1 "
        "ORDER BY timestamp {} LIMIT 1"
    )
    key = (storage.database.id_of(symbol), timeframe)
    with storage.database.reading() as connection:
        ends: list[list[Any]] = [
            connection.execute(query.format(order), key).fetchall() for order in ("ASC", "DESC")
        ]
    oldest, newest = ends
    return range(_year(oldest[0][0]), _year(newest[0][0]) + 1) if oldest else range(0)


def _year(timestamp: int) -> int:
    return int(np.datetime64(timestamp, "ms").astype("datetime64[Y]").astype(int)) + 1970


def _span(year: int) -> tuple[int, int]:
    """Return the first and the last ms of a year, UTC."""
    first, after = (
        int(np.datetime64(f"{number:04}-01-01", "ms").astype(np.int64))
        for number in (year, year + 1)
    )
    return first, after - 1


def _folder(symbol: str, timeframe: str) -> str:
    return f"symbol={symbol_id(symbol)}/timeframe={timeframe}"


class _Dataset:
    """The directory or object store of a dataset. Paths are relative to it."""

    def __init__(self, target: str, venue: str, options: Mapping[str, Any] | None) -> None:
        from fsspec.core import url_to_fs
        from fsspec.implementations.local import LocalFileSystem

        self.shown = _without_password(target)
        try:
            self._files, root = url_to_fs(target, **(options or {}))
        except (ValueError, ImportError) as error:
            raise InvalidInput(
                f"Cannot export to {self.shown!r}: {error}. Accepted: a directory, or a URL of "
                "a file system fsspec knows; some, such as s3://, need a package of their own."
            ) from error
        self._root = str(root).rstrip("/")
        self._local = isinstance(self._files, LocalFileSystem)
        self._venue = venue.encode()

    def check(self) -> None:
        """Check the venue of the first file, if there is any: all files are of one venue.

        Raises:
            WrongVenue: it holds candles of another venue.
        """
        with self._explained("the first file"):
            for name in self._files.find(self._root):
                path = name[len(self._root) + 1 :]
                if _OURS.fullmatch(path) and self._marks(path):
                    break

    def update(self, path: str, frame: pd.DataFrame) -> int:
        """Write a partition unless it exists with the same content; return the bytes written."""
        digest = _digest(frame)
        with self._explained(path):
            marks = self._marks(path)
            if marks is not None and marks.get(_DIGEST) == digest:
                return 0
            return self._write(path, frame, {_VENUE: self._venue, _DIGEST: digest})

    def prune(self, folder: str, kept: set[str]) -> list[str]:
        """Remove the partitions of a folder that are not among those kept; return them."""
        removed = []
        with self._explained(folder):
            for name in sorted(self._files.find(f"{self._root}/{folder}")):
                path = name[len(self._root) + 1 :]
                if path not in kept and _OURS.fullmatch(path) and self._marks(path):
                    self._files.rm_file(name)
                    removed.append(path)
        return removed

    def _marks(self, path: str) -> dict[bytes, bytes] | None:
        """Return the metadata of a partition; None if it is absent or damaged."""
        import pyarrow
        import pyarrow.parquet

        try:
            with self._files.open(f"{self._root}/{path}", "rb") as file:
                marks = pyarrow.parquet.read_metadata(file).metadata or {}
        except FileNotFoundError:
            return None
        except (pyarrow.ArrowException, OSError) as error:
            logger.info("%s in %s is written again: %s", path, self.shown, error)
            return None
        if marks.get(_VENUE) is None:
            raise StoreError(
                f"{path} in {self.shown!r} was not made by botlib, and is left as it is. "
                "Choose another target, or move it away."
            )
        if marks[_VENUE] != self._venue:
            raise WrongVenue(
                f"{self.shown!r} holds candles of {marks[_VENUE].decode()!r}, not of "
                f"{self._venue.decode()!r}. Candles of different markets are never mixed: "
                "choose another target."
            )
        return dict(marks)

    def _write(self, path: str, frame: pd.DataFrame, marks: dict[bytes, bytes]) -> int:
        import pyarrow
        import pyarrow.parquet

        columns = {"timestamp": pyarrow.array(frame.index.to_numpy(), pyarrow.timestamp("ms"))}
        columns |= {name: pyarrow.array(frame[name].to_numpy()) for name in COLUMNS}
        table = pyarrow.table(columns).replace_schema_metadata(marks)
        content = io.BytesIO()
        pyarrow.parquet.write_table(table, content, compression="zstd", row_group_size=_ROWS)
        if self._local:
            place = Path(self._root, path)
            private_directory(place.parent)
            sweep(place.parent)
            with draft(place, durable=True) as file:
                file.write(content.getbuffer())
        else:
            # Object stores show an upload only when it is complete.
            self._files.pipe_file(f"{self._root}/{path}", content.getvalue())
        return content.getbuffer().nbytes

    @contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        try:
            yield
        except BotlibError:
            raise
        # Each file system raises its own errors.
        except Exception as error:
            raise StoreError(
                f"Cannot bring {path} in {self.shown!r} up to date: {error}. The partitions before "
                "it are complete; export again to go on from here."
            ) from error


def _digest(frame: pd.DataFrame) -> bytes:
    digest = hashlib.sha256(_LAYOUT)
    digest.update(np.ascontiguousarray(frame.index.to_numpy().view(np.int64)).data)
    for name in COLUMNS:
        digest.update(np.ascontiguousarray(frame[name].to_numpy()).data)
    return digest.hexdigest().encode()


def _without_password(target: str) -> str:
    return re.sub(r"(?<=://)[^/@]*@", "", target)
