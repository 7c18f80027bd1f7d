"""The change log of closed candles, kept by triggers, by which a cache knows whether it is current.

The triggers keep one row per symbol, timeframe and *bucket*, a time span of about 25 days. They are
part of the file: a change by any client, botlib or not, is recorded in the transaction that makes
it.

Two states of a bucket are equal if `Bucket.session` and `Bucket.version` are. The version counts
changes; the session is a random number, drawn each time a writer opens the file. The version alone
is not enough: a database that was restored from a copy, or lost its newest commits in a power cut,
continues from a lower number, and reaches the same one again with other candles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import apsw

SHIFT: Final = 31
"""A bucket is the open time in ms, shifted right by this many bits."""

BUCKET_MS: Final = 1 << SHIFT

# An append is a closed candle later than all that the bucket ever held. Any other change of a
# closed candle is a rewrite, after which a copy of the bucket cannot be extended.
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
-- A random number, drawn by every writer that opens the file.
CREATE TABLE sessions (id INTEGER NOT NULL) STRICT;
INSERT INTO sessions VALUES (random());

-- bucket: open time >> {SHIFT}. rewritten: the version of the last change that was not an append.
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
-- An open candle with which OR REPLACE replaces a closed one.
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
    """The number of changes made to it: at least the number of its candles."""
    rewritten: int
    """The version of the last change that was not an append."""

    @property
    def first(self) -> int:
        """Its first ms."""
        return self.number << SHIFT

    @property
    def last(self) -> int:
        """Its last ms."""
        return self.first + BUCKET_MS - 1


def begin(connection: apsw.Connection) -> None:
    """Start a writer's session, and the change log if the file has none yet."""
    if _logged(connection):
        connection.execute("UPDATE sessions SET id = random()")
    else:
        connection.execute(TABLES)


def buckets(
    connection: apsw.Connection, id_: str, timeframe: str, since: int, until: int
) -> list[Bucket] | None:
    """Return the buckets with candles between two times (ms), oldest first.

    Returns:
        None for a file without a change log, which no writer of this version has opened yet.
    """
    bindings = (id_, timeframe, since >> SHIFT, until >> SHIFT)
    try:
        rows: list[Any] = connection.execute(_BUCKETS, bindings).fetchall()
    except apsw.SQLError:
        if _logged(connection):
            raise
        return None
    return [Bucket(*row) for row in rows]


def _logged(connection: apsw.Connection) -> bool:
    query = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'changes'"
    return connection.execute(query).fetchone() is not None
