"""`CandleCache`: the columnar cache beside the database; a year of 1m candles in milliseconds.

It is the directory ``<database>.cache``, with one file per symbol, timeframe and bucket, and may be
removed at any time. It is never trusted over SQLite. Each file names the change of the database at
which it was written; the transaction that reads a range also reads the present change of each
bucket (`botlib.store.changes`). A file at the same change is used. A file of a bucket to which
candles were only appended since is extended by them. Any other bucket is read from SQLite, and its
file rewritten.

Any number of processes may use one cache at once: files are replaced completely, and every reader
compares them with its own view of the database.
"""

from __future__ import annotations

import itertools
import logging
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import apsw
import numpy as np

from botlib.core.files import private_directory
from botlib.core.timeframe import timeframe_ms
from botlib.store import atomic_files, changes
from botlib.store.cache import segments
from botlib.store.cache.segments import Columns, Segment
from botlib.store.changes import Bucket
from botlib.store.database import Database

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

logger = logging.getLogger(__name__)

SMALL: Final = 2_000
"""Largest number of candles that SQLite reads as fast as the cache."""

FEW: Final = 500
"""Largest number of candles in a bucket that gets no file, such as one of 2h candles."""

WORTH_SAVING: Final = 256
"""Number of candles appended to a bucket after which its file is written again."""

_RANGE: Final = (
    "SELECT timestamp, open, high, low, close, volume FROM candles WHERE symbol = ? "
    "AND timeframe = ? AND timestamp BETWEEN ? AND ? AND closed = 1 "
    "ORDER BY timestamp {order} LIMIT ?"
)


@dataclass(slots=True, kw_only=True)
class CacheCounters:
    """The activity of a cache since its storage was made, in files."""

    read: int = 0
    """Used as they were."""
    extended: int = 0
    """Used, and extended by the candles appended since."""
    built: int = 0
    """Read from SQLite instead: absent, outdated or damaged."""
    damaged: int = 0
    """Found truncated, changed or misplaced; included in `built`."""
    unsaved: int = 0
    """Not written: the directory is read-only, or the disk is full. No data is lost."""


@dataclass(slots=True)
class _Part:
    """A bucket being read into a frame: the candles of a file, then those from SQLite."""

    bucket: Bucket
    path: Path
    key: str
    segment: Segment | None = None
    columns: Columns = field(default_factory=lambda: np.empty((segments.COLUMNS, 0), np.int64))
    place: Columns = field(default_factory=lambda: np.empty((segments.COLUMNS, 0), np.int64))
    """The view of the result that receives its candles."""
    damaged: str = ""
    """Why the file cannot be used."""

    @property
    def rows(self) -> int:
        return (self.segment.rows if self.segment else 0) + len(self.columns[0])


class CandleCache:
    """The cache of one database."""

    def __init__(self, database: Database) -> None:
        self.directory = database.path.with_name(database.path.name + ".cache")
        self.figures = CacheCounters()
        self._swept: set[Path] = set()
        self._lock = threading.Lock()

    def worth(self, timeframe: str, since: int, until: int, limit: int | None) -> bool:
        """Return whether a read of closed candles may be large enough for the cache."""
        candles = (until - since) // timeframe_ms(timeframe) + 1
        return (candles if limit is None else min(candles, limit)) > SMALL

    def columns(
        self,
        connection: apsw.Connection,
        id_: str,
        timeframe: str,
        since: int,
        until: int,
        limit: int | None,
    ) -> Columns | None:
        """Return closed candles, oldest first; None if the database has no change log.

        Args:
            connection: inside the transaction whose view of the database is returned.
            since: first open time in ms.
            until: last open time in ms.
            limit: most candles returned, the newest ones.
        """
        waiting = changes.buckets(connection, id_, timeframe, since, until)
        if waiting is None:
            return None
        parts: list[_Part] = []
        with ExitStack() as files:
            while True:
                # The newest bucket may hold candles after the range, so it is not counted.
                while waiting and (limit is None or sum(p.rows for p in parts[1:]) < limit):
                    parts.append(self._part(connection, id_, timeframe, waiting.pop(), files))
                whole = self._filled(parts)
                if not any(part.damaged for part in parts):
                    break
                for part in parts:
                    if part.damaged:
                        self._build(connection, id_, timeframe, part)
            self._settle(parts)
        first = int(np.searchsorted(whole[0], since))
        end = int(np.searchsorted(whole[0], until, side="right"))
        return whole[:, first if limit is None else max(first, end - limit) : end]

    def _part(
        self,
        connection: apsw.Connection,
        id_: str,
        timeframe: str,
        bucket: Bucket,
        files: ExitStack,
    ) -> _Part:
        """Open the file of a bucket and read what follows it, or read all from SQLite."""
        path = self.directory / f"{id_}-{timeframe}" / f"{bucket.number}.columns"
        part = _Part(bucket, path, f"{id_} {timeframe} {bucket.number}")
        if bucket.version <= FEW:
            part.columns = stored_columns(connection, id_, timeframe, bucket.first, bucket.last)
            return part
        try:
            segment = Segment.open(path, part.key)
        except segments.DamagedSegment as error:
            part.damaged = str(error)
        else:
            if segment is not None:
                files.callback(segment.close)
                same = segment.session == bucket.session
                if not bucket.first <= segment.last <= bucket.last:
                    part.damaged = "its header does not fit its place"
                elif same and bucket.rewritten <= segment.version <= bucket.version:
                    part.segment = segment
        if part.segment is None:
            self._build(connection, id_, timeframe, part)
        elif part.segment.version < bucket.version:
            after = part.segment.last + 1
            part.columns = stored_columns(connection, id_, timeframe, after, bucket.last)
        return part

    def _build(self, connection: apsw.Connection, id_: str, timeframe: str, part: _Part) -> None:
        """Read a bucket from SQLite and write its file."""
        if part.damaged:
            logger.debug("%s is read from the database again: %s", part.path, part.damaged)
            self._count("damaged")
        bucket = part.bucket
        part.segment, part.damaged = None, ""
        part.columns = stored_columns(connection, id_, timeframe, bucket.first, bucket.last)
        self._count("built")
        self._save(part, part.columns)

    def _filled(self, parts: list[_Part]) -> Columns:
        """Return the candles of all parts, which are newest first; damaged parts are marked."""
        whole = np.empty((segments.COLUMNS, sum(part.rows for part in parts)), dtype=np.int64)
        end = whole.shape[1]
        for part in parts:
            start = end - part.rows
            part.place = whole[:, start:end]
            middle = end - part.columns.shape[1]
            whole[:, middle:end] = part.columns
            if part.segment is not None:
                try:
                    part.segment.read(whole[:, start:middle])
                except segments.DamagedSegment as error:
                    part.damaged = str(error)
            end = start
        return whole

    def _settle(self, parts: list[_Part]) -> None:
        """Count the files used, and rewrite those to which many candles were appended."""
        for part in parts:
            if part.segment is None:
                continue
            appended = part.columns.shape[1]
            self._count("extended" if appended else "read")
            if appended >= WORTH_SAVING:
                self._save(part, part.place)

    def _save(self, part: _Part, columns: Columns) -> None:
        bucket, directory = part.bucket, part.path.parent
        if not columns.shape[1]:
            return
        try:
            private_directory(directory)
            if directory not in self._swept:
                self._swept.add(directory)
                atomic_files.sweep(directory)
            segments.save(part.path, part.key, bucket.session, bucket.version, columns)
        except OSError as error:
            logger.debug("%s could not be written: %s", part.path, error)
            self._count("unsaved")

    def _count(self, figure: str) -> None:
        with self._lock:
            setattr(self.figures, figure, getattr(self.figures, figure) + 1)


def stored_columns(
    connection: apsw.Connection,
    id_: str,
    timeframe: str,
    since: int,
    until: int,
    limit: int | None = None,
) -> Columns:
    """Read closed candles from SQLite, oldest first. The arguments are those of `columns`."""
    query = _RANGE.format(order="ASC" if limit is None else "DESC")
    # In SQLite a limit of -1 is none.
    bindings = (id_, timeframe, since, until, -1 if limit is None else limit)
    rows: Any = connection.execute(query, bindings)
    # Twice as fast as a list of rows, with a fifth of its memory. Times in ms are exact.
    cells = np.fromiter(itertools.chain.from_iterable(rows), np.float64).reshape(-1, 6)
    if limit is not None:
        cells = cells[::-1]
    columns = np.empty((segments.COLUMNS, len(cells)), dtype=np.int64)
    columns[0] = cells[:, 0]
    columns[1:].view(np.float64)[:] = cells[:, 1:].T
    return columns


def columns_frame(columns: Columns) -> pd.DataFrame:
    """Return a candle frame on the columns, which are not copied."""
    import pandas as pd

    from botlib.frames import COLUMNS

    index = pd.DatetimeIndex(columns[0].view("datetime64[ms]"), name="timestamp")
    values = columns[1:].view(np.float64)
    return pd.DataFrame(values.T, index=index, columns=list(COLUMNS), copy=False)
