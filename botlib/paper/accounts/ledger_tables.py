"""The tables of a ledger, and the migration from an earlier version."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from typing import Final

from botlib.paper.accounts.orders import PaperTrade
from botlib.paper.accounts.state import ClearingBalance

SCHEMA_VERSION: Final = 2

_ADDED: Final = """
CREATE TABLE balances (account TEXT NOT NULL, asset TEXT NOT NULL, free TEXT NOT NULL,
    locked TEXT NOT NULL, PRIMARY KEY (account, asset)) WITHOUT ROWID;
CREATE TABLE trades (id INTEGER NOT NULL, order_id INTEGER NOT NULL, account TEXT NOT NULL,
    symbol TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (id, order_id)) WITHOUT ROWID;
CREATE TABLE accounts (name TEXT PRIMARY KEY, burns_bnb INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE lists (id INTEGER PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE prevented (id INTEGER PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE house (asset TEXT PRIMARY KEY, market TEXT NOT NULL, fees TEXT NOT NULL,
    deposited TEXT NOT NULL) WITHOUT ROWID;
"""

SCHEMA: Final = (
    """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE orders (id INTEGER PRIMARY KEY, account TEXT NOT NULL DEFAULT 'main',
    symbol TEXT NOT NULL, status TEXT NOT NULL, body TEXT NOT NULL);
"""
    + _ADDED
)


def migrate(connection: sqlite3.Connection) -> None:
    """Convert a ledger of version 1, which had one account, to the present version."""
    run = connection.execute
    run("BEGIN IMMEDIATE")
    try:
        run("ALTER TABLE balances RENAME TO old_balances")
        run("ALTER TABLE trades RENAME TO old_trades")
        run("ALTER TABLE orders ADD COLUMN account TEXT NOT NULL DEFAULT 'main'")
        for statement in _ADDED.split(";"):
            if statement.strip():
                run(statement)
        run("INSERT INTO balances SELECT 'main', asset, free, locked FROM old_balances")
        run("INSERT INTO trades SELECT id, order_id, 'main', symbol, body FROM old_trades")
        _insert_clearing(connection)
        run(
            "INSERT INTO meta SELECT 'counters', json_object('order', o, 'trade', t, "
            "'execution', e) FROM (SELECT "
            "CAST(ifnull((SELECT value FROM meta WHERE key = 'order'), 0) AS INTEGER) AS o, "
            "CAST(ifnull((SELECT value FROM meta WHERE key = 'trade'), 0) AS INTEGER) AS t, "
            "CAST(ifnull((SELECT value FROM meta WHERE key = 'execution'), 0) AS INTEGER) AS e)"
        )
        run("DROP TABLE old_balances")
        run("DROP TABLE old_trades")
        run(f"PRAGMA user_version={SCHEMA_VERSION}")
    except BaseException:
        run("ROLLBACK")
        raise
    run("COMMIT")


def _insert_clearing(connection: sqlite3.Connection) -> None:
    """Write the clearing balances, computed from the stored trades."""
    market: dict[str, Decimal] = {}
    fees: dict[str, Decimal] = {}
    bodies = connection.execute(
        "SELECT t.body, json_extract(o.body, '$.locked_asset') FROM trades t "
        "JOIN orders o ON o.id = t.order_id"
    ).fetchall()
    for body, given in bodies:
        trade = PaperTrade.load(body)
        buys = trade.side == "BUY"
        received = trade.commission_asset
        paid, got = (
            (trade.quote_amount, trade.amount) if buys else (trade.amount, trade.quote_amount)
        )
        market[given] = market.get(given, Decimal(0)) + paid
        market[received] = market.get(received, Decimal(0)) - got
        fees[received] = fees.get(received, Decimal(0)) + trade.commission
    owned = {
        asset: Decimal(free) + Decimal(locked)
        for asset, free, locked in connection.execute("SELECT asset, free, locked FROM balances")
    }
    for asset in owned.keys() | market.keys():
        clearing = ClearingBalance(market.get(asset, Decimal(0)), fees.get(asset, Decimal(0)))
        deposited = owned.get(asset, Decimal(0)) + clearing.market + clearing.fees
        connection.execute(
            "INSERT INTO house VALUES (?, ?, ?, ?)",
            (asset, str(clearing.market), str(clearing.fees), str(deposited)),
        )
