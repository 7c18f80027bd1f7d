"""The schema of a database: its tables, upgrades of earlier versions, and new files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import apsw

from botlib.core.files import make_private
from botlib.store import changes

APPLICATION_ID: Final = 0x424F544C
"""``BOTL``, the application id that SQLite stores in the header of every file."""

SCHEMA_VERSION: Final = 4

_TABLES: Final = """
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID, STRICT;

-- The unified form cannot be derived from the id alone if the quote asset is an unusual one.
CREATE TABLE symbols (
    id TEXT PRIMARY KEY,
    symbol TEXT NOT NULL UNIQUE
) WITHOUT ROWID, STRICT;

-- timestamp: open time, ms, UTC. first_seen, revised: ms, UTC.
CREATE TABLE candles (
    symbol TEXT NOT NULL REFERENCES symbols (id),
    timeframe TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    open REAL NOT NULL,
    high REAL NOT NULL,
    low REAL NOT NULL,
    close REAL NOT NULL,
    volume REAL NOT NULL,
    closed INTEGER NOT NULL CHECK (closed IN (0, 1)),
    source TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    revised INTEGER,
    PRIMARY KEY (symbol, timeframe, timestamp)
) WITHOUT ROWID, STRICT;

-- The values of closed candles before they were revised.
CREATE TABLE revisions (
    id INTEGER PRIMARY KEY,
    symbol TEXT NOT NULL,
    timeframe TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    revised INTEGER NOT NULL,
    open REAL NOT NULL,
    high REAL NOT NULL,
    low REAL NOT NULL,
    close REAL NOT NULL,
    volume REAL NOT NULL,
    source TEXT NOT NULL
) STRICT;

-- Candles that the venue itself does not have, from open time start to open time finish.
CREATE TABLE holes (
    symbol TEXT NOT NULL REFERENCES symbols (id),
    timeframe TEXT NOT NULL,
    start INTEGER NOT NULL,
    finish INTEGER NOT NULL CHECK (finish >= start),
    cause TEXT NOT NULL,
    marked INTEGER NOT NULL,
    PRIMARY KEY (symbol, timeframe, start)
) WITHOUT ROWID, STRICT;

-- Prices and amounts are decimals, kept as text. created, updated: wall time; market_time: the
-- market's when it was sent, NULL if an earlier version did not store it.
CREATE TABLE orders (
    client_order_id TEXT PRIMARY KEY,
    venue_order_id TEXT,
    strategy TEXT NOT NULL,
    symbol TEXT NOT NULL REFERENCES symbols (id),
    side TEXT NOT NULL,
    type TEXT NOT NULL,
    amount TEXT NOT NULL,
    price TEXT,
    status TEXT NOT NULL,
    filled TEXT NOT NULL,
    cost TEXT NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    message TEXT NOT NULL,
    signal_timestamp INTEGER,
    reason TEXT NOT NULL,
    stop_price TEXT,
    market_time INTEGER,
    role TEXT NOT NULL DEFAULT 'entry',
    entry TEXT,
    sequence INTEGER NOT NULL DEFAULT 0,
    list_id TEXT,
    facts TEXT NOT NULL DEFAULT '{}'
) WITHOUT ROWID, STRICT;
CREATE INDEX orders_by_status ON orders (status);

CREATE TABLE fills (
    symbol TEXT NOT NULL REFERENCES symbols (id),
    trade_id INTEGER NOT NULL,
    venue_order_id TEXT NOT NULL,
    client_order_id TEXT,
    side TEXT NOT NULL,
    price TEXT NOT NULL,
    amount TEXT NOT NULL,
    fee TEXT NOT NULL,
    fee_asset TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    maker INTEGER NOT NULL CHECK (maker IN (0, 1)),
    PRIMARY KEY (symbol, trade_id)
) WITHOUT ROWID, STRICT;

CREATE TABLE state (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID, STRICT;
"""

_ORDER_PATH: Final = """
-- The events of orders, in the order they became known; rows are never changed. The table orders is
-- the sum of these events. recorded: wall time, ms; market_time: ms.
CREATE TABLE order_events (
    id INTEGER PRIMARY KEY,
    client_order_id TEXT NOT NULL,
    recorded INTEGER NOT NULL,
    market_time INTEGER,
    source TEXT NOT NULL,
    event TEXT NOT NULL
) STRICT;
CREATE INDEX order_events_by_order ON order_events (client_order_id, id);

-- The target of each strategy in a symbol, and the protection of its position, as JSON.
CREATE TABLE books (
    strategy TEXT NOT NULL,
    symbol TEXT NOT NULL REFERENCES symbols (id),
    want TEXT,
    protection TEXT NOT NULL,
    released INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    PRIMARY KEY (strategy, symbol)
) WITHOUT ROWID, STRICT;

-- Halts of entries, which last until a person ends them. began, ended: wall time, ms.
CREATE TABLE halts (
    id INTEGER PRIMARY KEY,
    reason TEXT NOT NULL,
    source TEXT NOT NULL,
    symbol TEXT,
    began INTEGER NOT NULL,
    ended INTEGER,
    ended_because TEXT
) STRICT;

-- Equity and booked profit at the first moment of a UTC day (ms), in quote units.
CREATE TABLE days (
    day INTEGER PRIMARY KEY,
    equity TEXT NOT NULL,
    profit TEXT NOT NULL
) STRICT;
"""

# Of fills and orders that are not in memory; a database without them is only slower.
_INDEXES: Final = """
CREATE INDEX IF NOT EXISTS fills_by_order ON fills (client_order_id);
CREATE INDEX IF NOT EXISTS orders_by_venue_order ON orders (symbol, venue_order_id);
"""

# Roles of orders of earlier versions, derived from their other columns.
_ROLES: Final = """
UPDATE orders SET role = CASE
    WHEN stop_price IS NOT NULL THEN 'stop'
    WHEN reason IN ('stop_loss', 'take_profit') THEN 'emergency'
    WHEN strategy = 'by-hand' THEN 'manual'
    WHEN side = 'sell' THEN 'exit'
    ELSE 'entry' END
"""

_ORDER_COLUMNS: Final = (
    "role TEXT NOT NULL DEFAULT 'entry'",
    "entry TEXT",
    "sequence INTEGER NOT NULL DEFAULT 0",
    "list_id TEXT",
    "facts TEXT NOT NULL DEFAULT '{}'",
)

# The market time of old orders is that of their first fill.
_MARKET_TIMES: Final = """
UPDATE orders SET market_time = (
    SELECT min(timestamp) FROM fills WHERE fills.client_order_id = orders.client_order_id
)
"""


def upgrade(connection: apsw.Connection) -> None:
    """Upgrade a database of an earlier version, inside the caller's transaction."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    version = SCHEMA_VERSION if row is None else int(row[0])
    if version < 2:
        connection.execute("ALTER TABLE orders ADD COLUMN stop_price TEXT")
    if version < 3:
        connection.execute("ALTER TABLE orders ADD COLUMN market_time INTEGER")
        connection.execute(_MARKET_TIMES)
    if version < 4:
        for column in _ORDER_COLUMNS:
            connection.execute(f"ALTER TABLE orders ADD COLUMN {column}")
        connection.execute(_ROLES)
        connection.execute(_ORDER_PATH)
    connection.execute(_INDEXES)
    if version < SCHEMA_VERSION:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (str(SCHEMA_VERSION),))


def create(path: Path, venue: str) -> None:
    """Create a database for ``venue`` at ``path``, completely or not at all.

    It is built under another name and renamed when it is complete, so a process that is killed
    meanwhile leaves nothing that looks like a database.
    """
    draft = path.with_name(path.name + ".new")
    for leftover in (draft, path.with_name(draft.name + "-journal")):
        leftover.unlink(missing_ok=True)
    make_private(draft)
    connection = apsw.Connection(str(draft), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.execute("BEGIN")
        connection.execute(_TABLES)
        connection.execute(_ORDER_PATH)
        connection.execute(_INDEXES)
        connection.execute(changes.TABLES)
        connection.executemany(
            "INSERT INTO meta VALUES (?, ?)",
            [("schema", str(SCHEMA_VERSION)), ("venue", venue)],
        )
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
        # Stored in the file's header: every later connection, of any client, uses it.
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()
    draft.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
