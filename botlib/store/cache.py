"""The columnar cache beside the database: a year of 1m candles in milliseconds.

It lies in ``<database>.cache``, one file per symbol, timeframe and bucket, and may be removed at
any time. It is never trusted over SQLite. Each file says which change of the database it stands
for; in the transaction that reads a range, the database says which change each bucket is at
(`botlib.store.changes`). A file at the same change is taken. One to which candles were only
appended since is extended by these. Anything else is read from SQLite, and written anew.

Any number of processes use one cache at once: files are replaced whole, and it does not matter
which of two is there, since every reader compares it with its own view of the database.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import apsw
import numpy as np

from botlib.store import changes, segments
from botlib.store.changes import Bucket
from botlib.store.database import Database
from botlib.store.segments import Columns, Segment
from botlib.timeframe import timeframe_ms

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

logger = logging.getLogger(__name__)

SMALL: Final = 2_000
"""A range of up to so many candles SQLite reads as quickly."""

FEW: Final = 500
"""A bucket with up to so many candles, as one of 2h has, is not worth a file."""

WORTH_SAVING: Final = 256
"""So many candles are appended to a bucket before its file is written again."""

ABANDONED: Final = 60.0
"""The age in seconds at which an unfinished file belongs to a process that was killed."""

_RANGE: Final = (
    "SELECT timestamp, open, high, low, close, volume FROM candles WHERE symbol = ? "
    "AND timeframe = ? AND timestamp BETWEEN ? AND ? AND closed = 1 "
    "ORDER BY timestamp {order} LIMIT ?"
)


@dataclass(slots=True, kw_only=True)
class CacheFigures:
    """What the cache did since its storage was made, in files."""

    read: int = 0
    """Taken as they were."""
    extended: int = 0
    """Taken, and completed by the candles appended since."""
    built: int = 0
    """Read from SQLite instead: absent, out of date or damaged."""
    damaged: int = 0
    """Found to be cut, changed or out of place; part of `built`."""
    unsaved: int = 0
    """Not written: the directory refused it, or the disk is full. Nothing is lost by that."""


class CandleCache:
    """The cache of one database."""

    def __init__(self, database: Database) -> None:
        self.directory = database.path.with_name(database.path.name + ".cache")
        self.figures = CacheFigures()
        self._swept: set[Path] = set()
        self._lock = threading.Lock()

    def worth(self, timeframe: str, since: int, until: int, limit: int | None) -> bool:
        """Tell whether a read of closed candles may be large enough for the cache."""
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
        """Return closed candles, oldest first; None where the database notes no changes.

        Args:
            connection: inside the transaction whose view of the database counts.
            since: first open time in ms.
            until: last open time in ms.
            limit: only the newest so many.
        """
        buckets = changes.buckets(connection, id_, timeframe, since, until)
        if buckets is None:
            return None
        parts: list[Columns] = [np.empty((segments.COLUMNS, 0), dtype=np.int64)]
        rows = 0
        for bucket in reversed(buckets):
            part = self._bucket(connection, id_, timeframe, bucket)
            first, end = np.searchsorted(part[0], (since, until + 1))
            parts.append(part[:, first:end])
            rows += int(end - first)
            if limit is not None and rows >= limit:
                break
        whole = np.concatenate(parts[::-1], axis=1)
        return whole if limit is None else whole[:, max(0, rows - limit) :]

    def _bucket(
        self, connection: apsw.Connection, id_: str, timeframe: str, bucket: Bucket
    ) -> Columns:
        if bucket.version <= FEW:
            return stored_columns(connection, id_, timeframe, bucket.first, bucket.last)
        path = self.directory / f"{id_}-{timeframe}" / f"{bucket.number}.columns"
        key = f"{id_} {timeframe} {bucket.number}"
        try:
            segment = segments.read(path, key)
        except segments.Damaged as error:
            logger.debug("%s is read from the database again: %s", path, error)
            segment = None
            self._count("damaged")
        ours = segment is not None and segment.session == bucket.session
        if segment is not None and ours and segment.version == bucket.version:
            self._count("read")
            return segment.columns
        if segment is not None and ours and bucket.rewritten <= segment.version < bucket.version:
            known = segment.columns
            # No bucket holds times so low that there is none below.
            after = int(known[0, -1]) if known.shape[1] else bucket.first - 1
            new = stored_columns(connection, id_, timeframe, after + 1, bucket.last)
            columns = np.concatenate([known, new], axis=1)
            self._count("extended")
            if new.shape[1] >= WORTH_SAVING:
                self._save(path, key, Segment(bucket.session, bucket.version, columns))
            return columns
        columns = stored_columns(connection, id_, timeframe, bucket.first, bucket.last)
        self._count("built")
        # A younger file than this view of the database is left to those who see more.
        if not (segment is not None and ours and segment.version > bucket.version):
            self._save(path, key, Segment(bucket.session, bucket.version, columns))
        return columns

    def _save(self, path: Path, key: str, segment: Segment) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._sweep(path.parent)
            segments.save(path, key, segment)
        except OSError as error:
            logger.debug("%s could not be written: %s", path, error)
            self._count("unsaved")

    def _sweep(self, directory: Path) -> None:
        """Remove what killed processes left unfinished, once per directory."""
        if directory in self._swept:
            return
        self._swept.add(directory)
        for draft in directory.glob(f"*{segments.DRAFT}"):
            # Files carry the time of the machine's own clock.
            with suppress(FileNotFoundError):
                if time.time() - draft.lstat().st_mtime > ABANDONED:
                    draft.unlink()

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
    """Read closed candles from SQLite, oldest first. The arguments are those of the cache."""
    query = _RANGE.format(order="ASC" if limit is None else "DESC")
    # A limit of -1 is none.
    bindings = (id_, timeframe, since, until, -1 if limit is None else limit)
    rows: Any = connection.execute(query, bindings)
    # Twice as quick as a list of rows, and a fifth of its memory. Times in ms are exact.
    cells = np.fromiter(itertools.chain.from_iterable(rows), np.float64).reshape(-1, 6)
    if limit is not None:
        cells = cells[::-1]
    columns = np.empty((segments.COLUMNS, len(cells)), dtype=np.int64)
    columns[0] = cells[:, 0]
    columns[1:].view(np.float64)[:] = cells[:, 1:].T
    return columns


def columns_frame(columns: Columns) -> pd.DataFrame:
    """Make a candle frame of columns, without copying them: the columns belong to it then."""
    import pandas as pd

    from botlib.frames import COLUMNS

    index = pd.DatetimeIndex(columns[0].view("datetime64[ms]"), name="timestamp")
    values = columns[1:].view(np.float64)
    return pd.DataFrame(values.T, index=index, columns=list(COLUMNS), copy=False)
