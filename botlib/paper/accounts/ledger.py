"""The accounts on disk: every acknowledged change is stored, and no change is stored in part.

The ledger is one SQLite file, which one connection locks exclusively. A change is acknowledged
after it is on disk (write-ahead log, ``synchronous=FULL``); changes at the same time share one
commit. The file names its market, so that the accounts of one market never trade on another.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Final

import orjson

from botlib.core.errors import PaperExchangeError, WrongVenue
from botlib.core.files import make_private, private_directory
from botlib.paper.accounts.account import PaperBalance
from botlib.paper.accounts.archive import INDEXES, LedgerReader
from botlib.paper.accounts.ledger_file import (
    APPLICATION_ID,
    check_file_type,
    connect,
    damage_text,
)
from botlib.paper.accounts.ledger_tables import SCHEMA, SCHEMA_VERSION, migrate
from botlib.paper.accounts.orders import OrderList, PaperOrder, PaperTrade, PreventedMatch
from botlib.paper.accounts.state import ClearingBalance, IdCounters, VenueState, audit
from botlib.paper.accounts.transaction import Transaction
from botlib.paper.market.halts import SymbolState
from botlib.paper.protocol.params import DEFAULT_ACCOUNT

logger = logging.getLogger(__name__)

_SYMBOL: Final = "symbol:"
"""Prefix of the keys of symbol states in the table ``meta``."""
_GROUP: Final = "group:"
"""Prefix of the keys of trade groups there, followed by the account."""
_PUBLIC_KEY: Final = "public_key:"
"""Prefix of the keys of Ed25519 public keys there, followed by a number and the account."""


class Ledger:
    """The file with all accounts of a venue, or a database in memory.

    Attributes:
        path: the file, None for a ledger in memory.
        on_flush: called after the written changes were committed.
        on_failed_flush: called after the changes since the last `flush` were lost.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path | None) -> None:
        self.path = path
        self.on_failed_flush: Callable[[], None] = lambda: None
        self.on_flush: Callable[[], None] = lambda: None
        self._connection = connection
        self._writing = False
        self._waiters: list[asyncio.Future[None]] = []

    @classmethod
    def open(cls, path: Path | None, *, venue: str, balances: Mapping[str, Decimal]) -> Ledger:
        """Open a ledger, or create one.

        Args:
            path: file of the ledger, None for a ledger in memory.
            venue: name of the market that the ledger must belong to.
            balances: balances of the default account in a new ledger, by asset.

        Raises:
            WrongVenue: the ledger belongs to another market.
            PaperExchangeError: the file is damaged, no ledger, or in use. It is left as it is.
        """
        if path is None:
            ledger = cls(connect(":memory:"), None)
            ledger._create_tables(venue, balances)
            return ledger
        try:
            private_directory(path.parent)
            if not path.exists():
                cls._create_file(path, venue, balances)
            check_file_type(path)
            make_private(path)
            ledger = cls(connect(str(path)), path)
            try:
                ledger._check_contents(venue)
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
        except (sqlite3.DatabaseError, ValueError) as error:
            # Bytes that are no text are no error of the database's own.
            raise PaperExchangeError(damage_text(path, str(error))) from None
        except OSError as error:
            raise PaperExchangeError(
                f"Cannot open the paper ledger {path}: {error.strerror or error}."
            ) from None
        return ledger

    @classmethod
    def _create_file(cls, path: Path, venue: str, balances: Mapping[str, Decimal]) -> None:
        # Created under another name and then renamed, so that a crash leaves no partial file.
        new = path.with_name(f"{path.name}.new")
        new.unlink(missing_ok=True)
        make_private(new)
        with closing(sqlite3.connect(new, isolation_level=None)) as connection:
            cls(connection, new)._create_tables(venue, balances)
        new.replace(path)

    def _create_tables(self, venue: str, balances: Mapping[str, Decimal]) -> None:
        run = self._connection.execute
        run(f"PRAGMA application_id={APPLICATION_ID}")
        run(f"PRAGMA user_version={SCHEMA_VERSION}")
        run("BEGIN IMMEDIATE")
        for statement in (SCHEMA + INDEXES).split(";"):
            if statement.strip():
                run(statement)
        self._set("venue", venue)
        for asset, amount in balances.items():
            run("INSERT INTO balances VALUES (?, ?, ?, '0')", (DEFAULT_ACCOUNT, asset, str(amount)))
        self._put_clearing(
            {asset: ClearingBalance(deposited=amount) for asset, amount in balances.items()}
        )
        run("COMMIT")

    def _check_contents(self, venue: str) -> None:
        run = self._connection.execute
        version = run("PRAGMA user_version").fetchone()[0]
        if version not in (1, SCHEMA_VERSION):
            raise PaperExchangeError(
                f"The paper ledger {self.path} has version {version}; this botlib reads versions "
                f"1 to {SCHEMA_VERSION}. Use the botlib that made it, or another path."
            )
        found = run("PRAGMA quick_check").fetchone()[0]
        if found != "ok":
            raise PaperExchangeError(damage_text(self.path, found))
        stamped = self._get("venue")
        if stamped != venue:
            raise WrongVenue(
                f"The paper ledger {self.path} belongs to {stamped!r}, not to {venue!r}. "
                "Start that market, or give this one a ledger of its own."
            )
        if version == 1:
            migrate(self._connection)

    @property
    def market_time(self) -> int:
        """Last written market time, ms; 0 before the first."""
        return int(self._get("market_time") or 0)

    def load(self) -> VenueState:
        """Load the state of the venue as it was last written.

        Raises:
            PaperExchangeError: it cannot be read, or its balances do not add up.
        """
        try:
            state = self._read_state()
        except (ValueError, ArithmeticError, TypeError, KeyError, sqlite3.DatabaseError) as error:
            raise PaperExchangeError(damage_text(self.path, str(error))) from None
        wrong = audit(state)
        if wrong:
            raise PaperExchangeError(damage_text(self.path, wrong))
        self._create_indexes()
        return state

    def _create_indexes(self) -> None:
        """Create the indexes that a ledger of an earlier botlib does not have."""
        try:
            for statement in INDEXES.split(";"):
                self._connection.execute(statement)
        except sqlite3.Error as error:
            raise PaperExchangeError(self._write_error(error)) from error

    def _read_state(self) -> VenueState:
        run = self._connection.execute
        state = VenueState(LedgerReader(self._connection))
        for account, asset, free, locked in run(
            "SELECT account, asset, free, locked FROM balances"
        ):
            balance = PaperBalance(Decimal(free), Decimal(locked))
            state.account(account).balances[asset] = balance
        for name, burns in run("SELECT name, burns_bnb FROM accounts"):
            state.account(name).burns_bnb = bool(burns)
        for (body,) in run("SELECT body FROM orders ORDER BY id"):
            order = PaperOrder.load(body)
            state.put_order(order)
            owner = state.account(order.account)
            owner.orders.evict()
            owner.updated = max(owner.updated, order.updated)
        for (body,) in run("SELECT body FROM trades ORDER BY id, order_id"):
            state.put_trade(PaperTrade.load(body))
        for (body,) in run("SELECT body FROM lists ORDER BY id"):
            found = OrderList.load(body)
            state.lists.put(found.list_id, found)
            state.lists.evict()
        for (body,) in run("SELECT body FROM prevented ORDER BY id"):
            match = PreventedMatch.load(body)
            state.prevented.put(match.match_id, match)
            state.prevented.evict()
        for asset, *amounts in run("SELECT asset, market, fees, deposited FROM house"):
            state.clearing[asset] = ClearingBalance(*map(Decimal, amounts))
        for (body,) in run("SELECT value FROM meta WHERE key GLOB ?", (f"{_SYMBOL}*",)):
            symbol_state = SymbolState.load(body)
            state.symbols[symbol_state.symbol] = symbol_state
        for key, group in run("SELECT key, value FROM meta WHERE key GLOB ?", (f"{_GROUP}*",)):
            if int(group) >= 0:
                state.groups[key.removeprefix(_GROUP)] = int(group)
        state.counters = IdCounters(**orjson.loads(self._get("counters") or "{}"))
        return state

    # -- writing

    def write(self, transaction: Transaction) -> None:
        """Write a transaction, which is on disk after `flush` or `durable`.

        Raises:
            PaperExchangeError: it cannot be written; no part of it was.
        """
        run = self._connection.execute
        try:
            if not self._writing:
                run("BEGIN IMMEDIATE")
                self._writing = True
            run("SAVEPOINT change")
            try:
                self._put_records(transaction)
            except sqlite3.Error:
                run("ROLLBACK TO change")
                raise
            finally:
                run("RELEASE change")
        except sqlite3.Error as error:
            raise PaperExchangeError(self._write_error(error)) from error
        if self.path is None:
            self.flush()

    def flush(self) -> None:
        """Commit what was written, and wake up the callers of `durable`.

        Raises:
            PaperExchangeError: the commit failed; the changes since the last commit are lost.
        """
        if not self._writing:
            return
        waiting, self._waiters = self._waiters, []
        self._writing = False
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            failure = PaperExchangeError(self._write_error(error))
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_exception(failure)
            self.on_failed_flush()
            raise failure from error
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
        self.on_flush()

    async def durable(self) -> None:
        """Wait until what was written so far is on disk.

        Callers that wait at the same time share one commit.

        Raises:
            PaperExchangeError: the commit failed; the changes since the last commit are lost.
        """
        if not self._writing:
            return
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        if not self._waiters:
            # Committed after the callbacks that are ready now, so that other requests can join.
            loop.call_soon(loop.call_soon, self._flush_shared)
        self._waiters.append(waiter)
        await waiter

    def _flush_shared(self) -> None:
        try:
            self.flush()
        except PaperExchangeError as error:
            logger.error("%s", error)

    def _put_records(self, transaction: Transaction) -> None:
        many = self._connection.executemany
        if transaction.balances:
            rows = [
                (account, asset, str(balance.free), str(balance.locked))
                for (account, asset), balance in transaction.balances.items()
            ]
            many("REPLACE INTO balances (account, asset, free, locked) VALUES (?, ?, ?, ?)", rows)
        if transaction.orders:
            bodies = [
                (one.order_id, one.account, one.symbol, one.status, one.dump().decode())
                for one in transaction.orders.values()
            ]
            many(
                "REPLACE INTO orders (id, account, symbol, status, body) VALUES (?, ?, ?, ?, ?)",
                bodies,
            )
        if transaction.trades:
            many(
                "INSERT INTO trades (id, order_id, account, symbol, body) VALUES (?, ?, ?, ?, ?)",
                [
                    (one.trade_id, one.order_id, one.account, one.symbol, body)
                    for one, body in zip(transaction.trades, transaction.stored_trades, strict=True)
                ],
            )
        for found in transaction.lists.values():
            body = (found.list_id, found.dump().decode())
            self._connection.execute("REPLACE INTO lists VALUES (?, ?)", body)
        for match in transaction.prevented:
            body = (match.match_id, match.dump().decode())
            self._connection.execute("REPLACE INTO prevented VALUES (?, ?)", body)
        for name, burns in transaction.burns.items():
            self._connection.execute("REPLACE INTO accounts VALUES (?, ?)", (name, int(burns)))
        for state in transaction.symbols.values():
            self._set(f"{_SYMBOL}{state.symbol}", state.dump().decode())
        for name, group in transaction.groups.items():
            self._set(f"{_GROUP}{name}", group)
        self._put_clearing(transaction.clearing)
        counters = transaction.counters.dump()
        many(
            "REPLACE INTO meta VALUES (?, ?)",
            [("counters", counters), ("market_time", str(transaction.time))],
        )

    def _put_clearing(self, clearing: Mapping[str, ClearingBalance]) -> None:
        self._connection.executemany(
            "REPLACE INTO house (asset, market, fees, deposited) VALUES (?, ?, ?, ?)",
            [
                (asset, str(one.market), str(one.fees), str(one.deposited))
                for asset, one in clearing.items()
            ],
        )

    def save_time(self, market_time: int) -> None:
        """Write the present market time (ms).

        Raises:
            PaperExchangeError: it cannot be written.
        """
        try:
            self._set("market_time", market_time)
        except sqlite3.Error as error:
            raise PaperExchangeError(self._write_error(error)) from error
        self.flush()

    def save_public_key(self, account: str, public_key: str) -> None:
        """Write the Ed25519 public key (PEM) of an account.

        Raises:
            PaperExchangeError: it cannot be written.
        """
        try:
            known = self.public_keys()
            if (account, public_key) not in known:
                self._set(f"{_PUBLIC_KEY}{len(known)}:{account}", public_key)
        except sqlite3.Error as error:
            raise PaperExchangeError(self._write_error(error)) from error
        self.flush()

    def public_keys(self) -> list[tuple[str, str]]:
        """Return the accounts and their Ed25519 public keys (PEM)."""
        rows = self._connection.execute(
            "SELECT key, value FROM meta WHERE key GLOB ? ORDER BY key", (f"{_PUBLIC_KEY}*",)
        )
        return [(key.split(":", 2)[2], str(value)) for key, value in rows]

    def _write_error(self, error: sqlite3.Error) -> str:
        return (
            f"The paper ledger {self.path} cannot be written: {error}. "
            "Check the disk; the action had no effect."
        )

    def close(self) -> None:
        """Commit what was written and close the file."""
        with closing(self._connection):
            self.flush()

    def _set(self, key: str, value: object) -> None:
        self._connection.execute("REPLACE INTO meta VALUES (?, ?)", (key, str(value)))

    def _get(self, key: str) -> str | None:
        row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])
