"""The schema of an experiment book: its tables, its version, and new files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import apsw

from botlib.core.errors import NotAStore, StoreError

APPLICATION_ID: Final = 0x424F5445
"""``BOTE``, the application id that SQLite stores in the header of the file."""

SCHEMA_VERSION: Final = 1

_TABLES: Final = """
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID, STRICT;

-- One row per run. recorded: wall time; first, last: open times of the traded candles; all ms, UTC.
-- trials: combinations of the run; independent: how many independent ones they are worth.
-- parameters, terms, figures: JSON objects. times (int64, ms), equity (float64): the curve.
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    recorded INTEGER NOT NULL,
    kind TEXT NOT NULL,
    strategy TEXT NOT NULL,
    code TEXT NOT NULL,
    data TEXT NOT NULL,
    venue TEXT NOT NULL,
    symbol TEXT NOT NULL,
    timeframe TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    candles INTEGER NOT NULL,
    metric TEXT NOT NULL,
    trials INTEGER NOT NULL,
    independent REAL NOT NULL,
    cash REAL NOT NULL,
    parameters TEXT NOT NULL,
    terms TEXT NOT NULL,
    figures TEXT NOT NULL,
    times BLOB NOT NULL,
    equity BLOB NOT NULL
) STRICT;

-- What was tried on: the code of a strategy, and candles.
CREATE TABLE stretches (
    id INTEGER PRIMARY KEY,
    strategy TEXT NOT NULL,
    code TEXT NOT NULL,
    data TEXT NOT NULL,
    venue TEXT NOT NULL,
    symbol TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    UNIQUE (code, data, venue, symbol)
) STRICT;

-- Every combination ever tried on a stretch, once, with the run that was the first to try it.
-- sharpe: per year, NULL if it has none.
CREATE TABLE trials (
    stretch INTEGER NOT NULL REFERENCES stretches (id),
    key BLOB NOT NULL,
    run INTEGER NOT NULL REFERENCES runs (id),
    sharpe REAL,
    PRIMARY KEY (stretch, key)
) WITHOUT ROWID, STRICT;
"""


def prepare(connection: apsw.Connection, path: Path) -> None:
    """Check that a file is an experiment book of this version; make one of an empty file.

    Several processes may do so at the same time: the tables are created in one transaction.

    Raises:
        NotAStore: it is another database, which is left as it is.
        StoreError: it was made by a newer version.
    """
    if not _version(connection, path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if not _version(connection, path):
                connection.execute(_TABLES)
                connection.execute("INSERT INTO meta VALUES ('schema', ?)", (str(SCHEMA_VERSION),))
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _version(connection: apsw.Connection, path: Path) -> int:
    """Return the version of the schema, 0 for an empty file."""
    mark: Any = connection.execute("PRAGMA application_id").fetchone()
    tables: Any = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not tables[0] and not mark[0]:
        return 0
    if mark[0] != APPLICATION_ID:
        raise NotAStore(
            f"{str(path)!r} is no experiment book, but an SQLite database made by something else. "
            "It was left as it is. Move it away."
        )
    row: Any = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    version = int(row[0])
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{str(path)!r} was made by a newer botlib (schema {version}, this one knows "
            f"{SCHEMA_VERSION}). Update botlib to use it."
        )
    return version
