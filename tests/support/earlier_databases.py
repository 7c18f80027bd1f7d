"""Databases as earlier versions left them: their schema, and the orders they stored."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

_SINCE_4: Final = (
    *(f"ALTER TABLE orders DROP COLUMN {name}" for name in ("role", "entry", "sequence")),
    *(f"ALTER TABLE orders DROP COLUMN {name}" for name in ("list_id", "facts")),
    *(f"DROP TABLE {name}" for name in ("order_events", "books", "halts", "days")),
)
_SINCE: Final = {
    4: _SINCE_4,
    3: ("ALTER TABLE orders DROP COLUMN market_time",),
    2: ("ALTER TABLE orders DROP COLUMN stop_price",),
}

VERSIONS: Final = (1, 2, 3)
"""The schemas before the present one."""


def as_version(path: Path, version: int) -> None:
    """Turn a closed database of the present schema, without orders, into one of an earlier."""
    with closing(sqlite3.connect(path)) as connection:
        for later in sorted(_SINCE, reverse=True):
            if later > version:
                for statement in _SINCE[later]:
                    connection.execute(statement)
        connection.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (str(version),))
        connection.commit()


def add_order(path: Path, client_order_id: str, **changes: Any) -> None:
    """Store an order as an earlier version did; columns that it did not have are left out."""
    values: dict[str, Any] = {
        "client_order_id": client_order_id,
        "venue_order_id": None,
        "strategy": "trend",
        "symbol": "BTCUSDT",
        "side": "buy",
        "type": "market",
        "amount": "5",
        "price": None,
        "status": "filled",
        "filled": "5",
        "cost": "500",
        "created": 7,
        "updated": 7,
        "message": "",
        "signal_timestamp": None,
        "reason": "",
        "stop_price": None,
        "market_time": None,
    }
    values |= changes
    with closing(sqlite3.connect(path)) as connection:
        known = {row[1] for row in connection.execute("PRAGMA table_info(orders)")}
        values = {name: value for name, value in values.items() if name in known}
        _insert(connection, "orders", values)


def add_fill(path: Path, trade_id: int, client_order_id: str, **changes: Any) -> None:
    """Store a fill as an earlier version did."""
    values: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "trade_id": trade_id,
        "venue_order_id": f"v{trade_id}",
        "client_order_id": client_order_id,
        "side": "buy",
        "price": "100",
        "amount": "5",
        "fee": "0.005",
        "fee_asset": "BTC",
        "timestamp": 7,
        "maker": 0,
    }
    with closing(sqlite3.connect(path)) as connection:
        _insert(connection, "fills", values | changes)


def _insert(connection: sqlite3.Connection, table: str, values: dict[str, Any]) -> None:
    connection.execute("INSERT OR IGNORE INTO symbols VALUES ('BTCUSDT', 'BTC/USDT')")
    names, places = ", ".join(values), ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", tuple(values.values()))
    connection.commit()
