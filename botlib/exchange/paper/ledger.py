"""The account on disk: whatever was acknowledged is there, and nothing is there in part.

One SQLite file, one connection that holds it exclusively. Every action is one transaction, and the
call returns after the disk has it (write-ahead log, ``synchronous=FULL``). The file is stamped with
its market: an account of one market never trades on another.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Final

from botlib.errors import PaperExchangeError, WrongVenue
from botlib.exchange.paper.account import Account, Balance, Counters, Draft
from botlib.exchange.paper.orders import PaperOrder, PaperTrade

APPLICATION_ID: Final = 0x626C7061
SCHEMA_VERSION: Final = 1

_SCHEMA: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE balances (asset TEXT PRIMARY KEY, free TEXT NOT NULL, locked TEXT NOT NULL)
    WITHOUT ROWID;
CREATE TABLE orders (id INTEGER PRIMARY KEY, symbol TEXT NOT NULL, status TEXT NOT NULL,
    body TEXT NOT NULL);
CREATE TABLE trades (id INTEGER PRIMARY KEY, symbol TEXT NOT NULL, order_id INTEGER NOT NULL,
    body TEXT NOT NULL);
"""


class Ledger:
    """An account's file; without a path it lives in memory and ends with the process."""

    def __init__(self, connection: sqlite3.Connection, path: Path | None) -> None:
        self._connection = connection
        self.path = path

    @classmethod
    def open(cls, path: Path | None, *, venue: str, balances: Mapping[str, Decimal]) -> Ledger:
        """Open a ledger, or make one with the given balances.

        Raises:
            WrongVenue: it belongs to another market.
            PaperExchangeError: it is damaged, of another kind, or in use. It is left as it is.
        """
        if path is None:
            ledger = cls(_connect(":memory:"), None)
            ledger._create(venue, balances)
            return ledger
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not path.exists():
                cls._make(path, venue, balances)
            _check_kind(path)
            ledger = cls(_connect(str(path)), path)
            try:
                ledger._check(venue)
            except BaseException:
                ledger.close()
                raise
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise PaperExchangeError(
                    f"The paper ledger {path} is in use by another paper exchange. "
                    "Stop that one, or give this one a ledger of its own."
                ) from None
            raise PaperExchangeError(f"Cannot open the paper ledger {path}: {error}.") from None
        except sqlite3.DatabaseError as error:
            raise PaperExchangeError(_damaged(path, str(error))) from None
        except OSError as error:
            raise PaperExchangeError(
                f"Cannot open the paper ledger {path}: {error.strerror or error}."
            ) from None
        return ledger

    @classmethod
    def _make(cls, path: Path, venue: str, balances: Mapping[str, Decimal]) -> None:
        # Made under another name and moved into place whole: a crash leaves no half of it.
        new = path.with_name(f"{path.name}.new")
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        with closing(sqlite3.connect(new, isolation_level=None)) as connection:
            cls(connection, new)._create(venue, balances)
        new.replace(path)

    def _create(self, venue: str, balances: Mapping[str, Decimal]) -> None:
        run = self._connection.execute
        run(f"PRAGMA application_id={APPLICATION_ID}")
        run(f"PRAGMA user_version={SCHEMA_VERSION}")
        run("BEGIN IMMEDIATE")
        for statement in _SCHEMA.split(";"):
            if statement.strip():
                run(statement)
        self._set("venue", venue)
        for asset, amount in balances.items():
            run("INSERT INTO balances VALUES (?, ?, '0')", (asset, str(amount)))
        run("COMMIT")

    def _check(self, venue: str) -> None:
        run = self._connection.execute
        version = run("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            raise PaperExchangeError(
                f"The paper ledger {self.path} has version {version}; this botlib reads version "
                f"{SCHEMA_VERSION}. Use the botlib that made it, or another path."
            )
        found = run("PRAGMA quick_check").fetchone()[0]
        if found != "ok":
            raise PaperExchangeError(_damaged(self.path, found))
        stamped = self._get("venue")
        if stamped != venue:
            raise WrongVenue(
                f"The paper ledger {self.path} belongs to {stamped!r}, not to {venue!r}. "
                "Start that market, or give this one a ledger of its own."
            )

    @property
    def market_time(self) -> int:
        """The market time last written, in ms; 0 before the first."""
        return int(self._get("market_time") or 0)

    def load(self) -> Account:
        """Return the account as it was last written."""
        run = self._connection.execute
        try:
            balances = {
                asset: Balance(Decimal(free), Decimal(locked))
                for asset, free, locked in run("SELECT asset, free, locked FROM balances")
            }
            orders = [
                PaperOrder.load(body) for (body,) in run("SELECT body FROM orders ORDER BY id")
            ]
            trades = [
                PaperTrade.load(body) for (body,) in run("SELECT body FROM trades ORDER BY id")
            ]
            counters = Counters(
                order=int(self._get("order") or 0),
                trade=int(self._get("trade") or 0),
                execution=int(self._get("execution") or 0),
            )
        except (ValueError, ArithmeticError, TypeError, KeyError, sqlite3.DatabaseError) as error:
            raise PaperExchangeError(_damaged(self.path, str(error))) from None
        return Account(balances, orders, trades, counters)

    def commit(self, draft: Draft) -> None:
        """Write a draft in one transaction; it is on disk when this returns.

        Raises:
            PaperExchangeError: the disk does not take it; nothing of it was written.
        """
        try:
            self._write(draft)
        except sqlite3.Error as error:
            raise PaperExchangeError(
                f"The paper ledger {self.path} cannot be written: {error}. "
                "Check the disk; the action had no effect."
            ) from error

    def _write(self, draft: Draft) -> None:
        with self._connection as run:
            run.execute("BEGIN IMMEDIATE")
            run.executemany(
                "REPLACE INTO balances VALUES (?, ?, ?)",
                [
                    (asset, str(balance.free), str(balance.locked))
                    for asset, balance in draft.balances.items()
                ],
            )
            run.executemany(
                "REPLACE INTO orders VALUES (?, ?, ?, ?)",
                [
                    (order.order_id, order.symbol, order.status, order.dump().decode())
                    for order in draft.orders.values()
                ],
            )
            run.executemany(
                "INSERT INTO trades VALUES (?, ?, ?, ?)",
                [
                    (trade.trade_id, trade.symbol, trade.order_id, trade.dump().decode())
                    for trade in draft.trades
                ],
            )
            self._set("order", draft.counters.order)
            self._set("trade", draft.counters.trade)
            self._set("execution", draft.counters.execution)
            self._set("market_time", draft.time)

    def save_time(self, market_time: int) -> None:
        """Write how far the market has come (ms).

        Raises:
            PaperExchangeError: the disk does not take it.
        """
        try:
            self._set("market_time", market_time)
        except sqlite3.Error as error:
            raise PaperExchangeError(
                f"The paper ledger {self.path} cannot be written: {error}. Check the disk."
            ) from error

    def close(self) -> None:
        """Close the file; everything is written already."""
        with closing(self._connection):
            pass

    def _set(self, key: str, value: object) -> None:
        self._connection.execute("REPLACE INTO meta VALUES (?, ?)", (key, str(value)))

    def _get(self, key: str) -> str | None:
        row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])


def _connect(target: str) -> sqlite3.Connection:
    connection = sqlite3.connect(target, isolation_level=None, timeout=0.5)
    try:
        # The lock is taken with the first access and kept: one exchange to a ledger.
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _check_kind(path: Path) -> None:
    # Read off the header, since SQLite itself would write to whatever it opens.
    with path.open("rb") as file:
        header = file.read(100)
    if not header.startswith(b"SQLite format 3\0"):
        raise PaperExchangeError(_damaged(path, "it is no SQLite database"))
    if header[68:72] != APPLICATION_ID.to_bytes(4, "big"):
        raise PaperExchangeError(
            f"{path} was not made by the paper exchange and is left as it is. Give another path."
        )


def _damaged(path: Path | None, reason: str) -> str:
    return (
        f"The paper ledger {path} is damaged ({reason}) and is left as it is. "
        "Move it away to start with a new one."
    )
