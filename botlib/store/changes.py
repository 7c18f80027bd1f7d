"""Which closed candles changed: noted by the database itself, so that a cache can tell its age.

Triggers keep one row per symbol, timeframe and *bucket*, a stretch of about 25 days. They are part
of the file: a change made by any client, botlib or not, is noted in the transaction that makes it.

Two states of a bucket are the same where `Bucket.session` and `Bucket.version` are. The version
counts changes; the session is drawn anew each time a writer opens the file. Counting alone would
not do: a database that was restored from a copy, or lost its newest commits in a power cut, counts
on from a lower number, and reaches the same one again with other candles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import apsw

SHIFT: Final = 31
"""A bucket is the open time in ms, shifted right by this many bits."""

BUCKET_MS: Final = 1 << SHIFT

# An append is a closed candle behind all that the bucket ever held. Everything else that touches a
# closed candle is a rewrite, after which a copy of the bucket cannot be merely extended.
_NOTE: Final = """
    INSERT INTO changes VALUES (
        NEW.symbol, NEW.timeframe, NEW.timestamp >> {shift}, (SELECT id FROM sessions),
        1, 0, NEW.timestamp
    ) ON CONFLICT DO UPDATE SET
        session = excluded.session,
        version = version + 1,
        rewritten = iif(excluded.last > last, rewritten, version + 1),
        last = max(last, excluded.last);
"""
_REWRITE: Final = """
    UPDATE changes SET
        session = (SELECT id FROM sessions), version = version + 1, rewritten = version + 1
    WHERE symbol = {row}.symbol AND timeframe = {row}.timeframe
        AND bucket = {row}.timestamp >> {shift} AND last >= {row}.timestamp;
"""

TABLES: Final = f"""
-- Drawn by every writer that opens the file.
CREATE TABLE sessions (id INTEGER NOT NULL) STRICT;
INSERT INTO sessions VALUES (random());

-- bucket: open time >> {SHIFT}. rewritten: the version of the last change that was no append.
-- last: the newest open time of a closed candle the bucket ever held.
CREATE TABLE changes (
    symbol TEXT NOT NULL,
    timeframe TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    session INTEGER NOT NULL,
    version INTEGER NOT NULL,
    rewritten INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (symbol, timeframe, bucket)
) WITHOUT ROWID, STRICT;
INSERT INTO changes
    SELECT
        symbol, timeframe, timestamp >> {SHIFT}, (SELECT id FROM sessions),
        count(*), 0, max(timestamp)
    FROM candles WHERE closed = 1 GROUP BY 1, 2, 3;

CREATE TRIGGER candle_closed AFTER INSERT ON candles WHEN NEW.closed = 1 BEGIN
    {_NOTE.format(shift=SHIFT)}
END;
-- An open candle that OR REPLACE puts in the place of a closed one.
CREATE TRIGGER candle_opened AFTER INSERT ON candles WHEN NEW.closed = 0 BEGIN
    {_REWRITE.format(shift=SHIFT, row="NEW")}
END;
CREATE TRIGGER candle_moved AFTER UPDATE OF symbol, timeframe, timestamp ON candles
WHEN NEW.closed = 0 BEGIN
    {_REWRITE.format(shift=SHIFT, row="NEW")}
END;
CREATE TRIGGER candle_updated AFTER UPDATE ON candles WHEN NEW.closed = 1 BEGIN
    {_NOTE.format(shift=SHIFT)}
END;
CREATE TRIGGER candle_changed AFTER UPDATE ON candles WHEN OLD.closed = 1 BEGIN
    {_REWRITE.format(shift=SHIFT, row="OLD")}
END;
CREATE TRIGGER candle_removed AFTER DELETE ON candles WHEN OLD.closed = 1 BEGIN
    {_REWRITE.format(shift=SHIFT, row="OLD")}
END;
"""

_BUCKETS: Final = (
    "SELECT bucket, session, version, rewritten FROM changes "
    "WHERE symbol = ? AND timeframe = ? AND bucket BETWEEN ? AND ? ORDER BY bucket"
)


@dataclass(frozen=True, slots=True)
class Bucket:
    """The state of the closed candles of one bucket."""

    number: int
    session: int
    version: int
    """How many changes were made to it: at least as many as it holds candles."""
    rewritten: int
    """The version of the last change that was no append."""

    @property
    def first(self) -> int:
        """The first ms that belongs to it."""
        return self.number << SHIFT

    @property
    def last(self) -> int:
        """The last ms that belongs to it."""
        return self.first + BUCKET_MS - 1


def begin(connection: apsw.Connection) -> None:
    """Start a session of a writer; in a file that notes no changes yet, start noting them."""
    if _noted(connection):
        connection.execute("UPDATE sessions SET id = random()")
    else:
        connection.execute(TABLES)


def buckets(
    connection: apsw.Connection, id_: str, timeframe: str, since: int, until: int
) -> list[Bucket] | None:
    """Return the buckets with candles between two times, oldest first; None if not noted.

    A file that no writer of this version has opened yet notes no changes.
    """
    bindings = (id_, timeframe, since >> SHIFT, until >> SHIFT)
    try:
        rows: list[Any] = connection.execute(_BUCKETS, bindings).fetchall()
    except apsw.SQLError:
        if _noted(connection):
            raise
        return None
    return [Bucket(*row) for row in rows]


def _noted(connection: apsw.Connection) -> bool:
    query = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'changes'"
    return connection.execute(query).fetchone() is not None
