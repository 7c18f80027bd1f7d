"""`Database`: one SQLite file per venue, and how it is opened, locked, written and read.

The write-ahead log allows any number of readers, in this process or another, beside the one writer.
Writes use two connections, because a connection is either durable or fast:

- *relaxed* (``synchronous=NORMAL``), for candles: a commit costs microseconds and survives the
  death of the process; after a power cut the newest candles may be gone, and are fetched again.
- *durable* (``synchronous=FULL``): a commit is on disk when it returns, and with it every commit
  before it, since the log is one file that is only appended to.

Orders and fills are committed relaxed too, and `Database.sync` puts them on disk before anything is
sent: one sync for many commits, in a thread, while others go on.

If the files are removed while they are open, the next read or write is refused: it would use a file
that has no name any more.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, Self

import apsw

from botlib.core.errors import (
    NotAStore,
    OutdatedStore,
    StoreError,
    StoreLocked,
    WrongVenue,
)
from botlib.core.files import make_private, private_descriptor, private_directory
from botlib.core.symbol import symbol_id
from botlib.store import changes, library_guard
from botlib.store.schema import APPLICATION_ID, SCHEMA_VERSION, create, upgrade
from botlib.venues.symbols import unified_symbol

logger = logging.getLogger(__name__)

BUSY_TIMEOUT: Final = 2_000
"""Longest wait in ms for another program's write to the same file."""

_MAGIC: Final = b"SQLite format 3\x00"


def stamped_venue(path: Path) -> str:
    """Return the venue whose candles and orders a database holds.

    Raises:
        NotAStore: the file is no database of botlib.
        StoreError: there is no such file, or it cannot be read.
    """
    try:
        exists = _is_store(path)
    except OSError as error:
        raise StoreError(f"Cannot open {str(path)!r}: {error.strerror}.") from error
    if not exists:
        raise StoreError(f"There is no database {str(path)!r} to read.")
    key = library_guard.enter(path)
    try:
        with _explained(path):
            connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            try:
                connection.set_busy_timeout(BUSY_TIMEOUT)
                row: Any = connection.execute("SELECT value FROM meta WHERE key = 'venue'")
                return str(row.fetchone()[0])
            finally:
                connection.close()
    finally:
        library_guard.leave(key)


def check_unlocked(path: Path) -> None:
    """Check that no process writes to a database, before work that would be in vain.

    Raises:
        StoreLocked: one does; the message says which.
    """
    if path.exists():
        file = _locked(path)
        fcntl.flock(file, fcntl.LOCK_UN)
        file.close()


class Database:
    """The open database of one venue, made by `Database.open`; a context manager that closes it.

    It may be used from several threads: writes wait for each other, reads never wait.
    """

    def __init__(self, path: Path, venue: str, lock: IO[str] | None) -> None:
        self.path = path
        self.venue = venue
        self._file_lock = lock
        self._write_lock = threading.RLock()
        self._idle: list[apsw.Connection] = []
        self._writers: tuple[apsw.Connection, apsw.Connection] | None = None
        self._ids: dict[str, str] = {}
        self._log = path.with_name(path.name + "-wal")
        self._files: tuple[int, int] | None = None
        self._closed = False
        self._leave: weakref.finalize[..., Database] | None = None

    @classmethod
    def open(cls, path: str | Path, venue: str, *, readonly: bool = False) -> Database:
        """Open the database of ``venue`` at ``path``; create it first if there is none.

        Args:
            path: the file. New directories get the mode 0700, a new file 0600.
            venue: the origin of its candles and orders; stamped into a new file.
            readonly: open it for reads only, beside any writer; the file must exist.

        Raises:
            StoreLocked: another process, or another part of this one, writes to it.
            WrongVenue: it belongs to another venue.
            NotAStore: it was not made by botlib, or is damaged. It is not changed.
            StoreError: it cannot be opened, or was made by a newer version.
        """
        path = Path(path)
        try:
            exists = _is_store(path)
            if readonly and not exists:
                raise StoreError(
                    f"There is no database {str(path)!r} to read. A run makes it when it starts."
                )
            lock = None if readonly else _locked(path)
        except OSError as error:
            raise StoreError(f"Cannot open {str(path)!r}: {error.strerror}.") from error
        database = cls(path, venue, lock)
        try:
            with _explained(path):
                # Checked again under the lock: no other process can be creating it now.
                if not exists and not _is_store(path):
                    create(path, venue)
                if not readonly:
                    # Earlier versions, and copies, left it to the umask.
                    make_private(path)
                database._leave = weakref.finalize(
                    database, library_guard.leave, library_guard.enter(path)
                )
                database._check()
                if not readonly:
                    database._writers = (database._writer("NORMAL"), database._writer("FULL"))
                database._files = database._files_there()
            if not readonly:
                with database.writing(durable=True) as connection:
                    upgrade(connection)
                    changes.begin(connection)
        except BaseException:
            database.close()
            raise
        return database

    @property
    def readonly(self) -> bool:
        """Whether it can only be read."""
        return self._file_lock is None

    def close(self) -> None:
        """Close all connections and release the lock. Closing twice does nothing."""
        with self._write_lock:
            self._closed = True
            self._close_connections()
            if self._leave is not None:
                self._leave()
            if self._file_lock is not None and not self._file_lock.closed:
                # Explicitly, since a forked child may hold a copy of the descriptor.
                fcntl.flock(self._file_lock, fcntl.LOCK_UN)
                self._file_lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "read-only" if self.readonly else "open"
        return f"<Database {str(self.path)!r} of {self.venue}, {state}>"

    @contextmanager
    def writing(self, *, durable: bool = False) -> Iterator[apsw.Connection]:
        """Open a transaction on a connection, committed at the end or rolled back on an error."""
        with self._write_lock, _explained(self.path):
            if self._writers is None:
                reason = "closed" if self._closed else "open for reading only"
                raise StoreError(f"{str(self.path)!r} cannot be written: it is {reason}.")
            self._refuse_removed()
            connection = self._writers[durable]
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # After some errors, such as a full disk, SQLite has rolled back by itself.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def sync(self) -> None:
        """Return when every commit so far is on disk, relaxed ones included; no write waits for it.

        Raises:
            StoreError: the log cannot be synced, or is gone.
        """
        if self._closed:
            raise StoreError(f"{str(self.path)!r} cannot be synced: it is closed.")
        self._refuse_removed()
        try:
            descriptor = os.open(self._log, os.O_RDONLY)
            try:
                _sync_data(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StoreError(f"Cannot sync {str(self._log)!r}: {error.strerror}.") from error

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """Open a read transaction, which sees the commits up to its first query."""
        if self._closed:
            raise StoreError(f"{str(self.path)!r} cannot be read: it is closed.")
        self._refuse_removed()
        with _explained(self.path):
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._reader()
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if self._closed:
                    connection.close()
                else:
                    self._idle.append(connection)

    def id_of(self, symbol: str) -> str:
        """Return the id under which a symbol is stored, without registering it."""
        return self._ids.get(symbol) or symbol_id(unified_symbol(symbol))

    def register(self, symbol: str) -> str:
        """Return the id under which a symbol is stored, and register it if it is new.

        Raises:
            StoreError: another symbol already has this id.
        """
        known = self._ids.get(symbol)
        if known is not None:
            return known
        unified = unified_symbol(symbol)
        id_ = symbol_id(unified)
        with self.writing(durable=True) as connection:
            row = connection.execute("SELECT symbol FROM symbols WHERE id = ?", (id_,)).fetchone()
            if row is None:
                connection.execute("INSERT INTO symbols VALUES (?, ?)", (id_, unified))
            elif row[0] != unified:
                raise StoreError(
                    f"{unified} and {row[0]} are both stored as {id_!r}. "
                    "Give one of them a data_directory of its own."
                )
        self._ids[symbol] = id_
        return id_

    def symbols(self) -> dict[str, str]:
        """Return the unified symbol of every id in use."""
        with self.reading() as connection:
            rows: list[Any] = connection.execute("SELECT id, symbol FROM symbols").fetchall()
        return dict(rows)

    def _connect(self, flags: int) -> apsw.Connection:
        connection = apsw.Connection(str(self.path), flags=flags)
        connection.set_busy_timeout(BUSY_TIMEOUT)
        return connection

    def _close_connections(self) -> None:
        if self._writers is not None:
            try:
                # Checkpoints the log into the file, even while others have it open.
                self._writers[0].execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            except apsw.Error as error:
                logger.warning("Could not checkpoint the log of %s: %s", self.path, error)
        # The last connection removes the log, which a reading one may not.
        for connection in (*self._idle, *(self._writers or ())):
            connection.close()
        self._idle.clear()
        self._writers = None

    def _files_there(self) -> tuple[int, int]:
        """Return the inodes of the database and its log, 0 for a missing one."""
        return _inode(self.path), _inode(self._log)

    def _refuse_removed(self) -> None:
        if self._files is not None and self._files != self._files_there():
            raise StoreError(
                f"{str(self.path)!r} or its log was moved away, removed or replaced while it was "
                "open. Stop everything that uses it, put back what was moved, and start again."
            )

    def _reader(self) -> apsw.Connection:
        connection = self._connect(apsw.SQLITE_OPEN_READONLY)
        # The first query opens or creates the log.
        connection.execute("SELECT 1 FROM meta").fetchall()
        return connection

    def _writer(self, synchronous: str) -> apsw.Connection:
        connection = self._connect(apsw.SQLITE_OPEN_READWRITE)
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA foreign_keys = ON")
        # A log that grew during a long read is truncated to this many bytes.
        connection.execute("PRAGMA journal_size_limit = 16777216")
        connection.execute("SELECT 1 FROM meta").fetchall()
        return connection

    def _check(self) -> None:
        """Raise an error for a database of another venue, of a newer version, or a damaged one."""
        with self.reading() as connection:
            # About 2 ms per MB: acceptable before the first write, not before every read.
            if not self.readonly:
                verdict: Any = connection.execute("PRAGMA quick_check(1)").fetchone()
                if verdict != ("ok",):
                    raise _damaged(self.path, verdict[0])
            rows: list[Any] = connection.execute("SELECT key, value FROM meta").fetchall()
        meta: dict[str, str] = dict(rows)
        version = meta.get("schema", "")
        if not version.isdigit():
            raise _damaged(self.path, "it does not say its version")
        if int(version) > SCHEMA_VERSION:
            raise StoreError(
                f"{str(self.path)!r} was made by a newer botlib (schema {version}, this one knows "
                f"{SCHEMA_VERSION}). Update botlib to open it."
            )
        if self.readonly and int(version) < SCHEMA_VERSION:
            raise OutdatedStore(
                f"{str(self.path)!r} was made by an earlier botlib (schema {version}, this one "
                f"reads {SCHEMA_VERSION}). Open it once for writing, as any run does: that "
                "brings it up to date."
            )
        if meta.get("venue") != self.venue:
            raise WrongVenue(
                f"{str(self.path)!r} belongs to the venue {meta.get('venue')!r}, not to "
                f"{self.venue!r}. Candles of different markets are never mixed: "
                "choose another data_directory, or move the file away."
            )


FROM_THE_VENUE: Final = (
    "Restore a copy, or move it away with its '-wal' file and start again: candles are then "
    "fetched again, and a new journal of orders begins. What the venue has is shown by "
    "bot.reconciliation, open orders of the old journal as those of another bot: entries stay "
    "halted until you have cancelled or sold what you do not want, and call bot.rearm()."
)
"""How to go on without a database, by what the venue knows."""

_sync_data = getattr(os, "fdatasync", os.fsync)


def _inode(path: Path) -> int:
    try:
        return os.stat(path).st_ino  # noqa: PTH116 (called at every write, takes half the time)
    except FileNotFoundError:
        return 0


def _is_store(path: Path) -> bool:
    """Return whether the file at ``path`` is a database of botlib, by its bytes alone."""
    try:
        status = path.stat()
    except FileNotFoundError:
        status = None
    if status is None or (stat.S_ISREG(status.st_mode) and status.st_size == 0):
        # SQLite would apply an orphaned log to any new file of this name.
        for suffix in ("-wal", "-journal"):
            log = path.with_name(path.name + suffix)
            if log.exists() and log.stat().st_size:
                raise NotAStore(
                    f"{str(path)!r} is gone, but its log {log.name!r} is there. Put the database "
                    "back, or move the log away; both are left as they are."
                )
        return False
    if not stat.S_ISREG(status.st_mode):
        raise _foreign(path, "it is no file")
    with path.open("rb") as file:
        header = file.read(100)
    if len(header) < 100 or not header.startswith(_MAGIC):
        raise _foreign(path, "it is no SQLite database")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise _foreign(path, "it is an SQLite database made by something else")
    return True


def _locked(path: Path) -> IO[str]:
    """Lock ``path`` and return the lock file; the lock lasts while it is open."""
    private_directory(path.parent)
    name = path.with_name(path.name + ".lock")
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    file = os.fdopen(private_descriptor(str(name), flags), "r+", encoding="ascii", errors="replace")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = file.read(20).strip()
        file.close()
        raise StoreLocked(
            f"{str(path)!r} is being written by {_named(holder)}, and only one may. Stop that one "
            "first, or open the database with readonly=True."
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _named(holder: str) -> str:
    """Return a process in words: its number, and its command if it can be read."""
    if holder == str(os.getpid()):
        return "this very process"
    import psutil

    try:
        words = psutil.Process(int(holder)).cmdline()
    except (ValueError, psutil.Error):
        return f"process {holder or '?'}"
    # Of the arguments only the program or module: a secret may be among the others.
    names = [Path(word).name for word in words[:1]]
    if words[1:2] == ["-m"]:
        names += words[2:3]
    elif words[1:] and not words[1].startswith("-"):
        names.append(Path(words[1]).name)
    return f"process {holder} ({' '.join(names)})" if names else f"process {holder}"


def _foreign(path: Path, reason: str) -> NotAStore:
    return NotAStore(
        f"{str(path)!r} is not a database of botlib: {reason}. It was left as it is. "
        "Move it away, or choose another data_directory."
    )


def _damaged(path: Path, detail: object) -> NotAStore:
    return NotAStore(f"{str(path)!r} is damaged ({detail}). It was left as it is. {FROM_THE_VENUE}")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Convert errors of SQLite into errors of botlib."""
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise _damaged(path, error) from error
    except apsw.BusyError as error:
        raise StoreError(
            f"{str(path)!r} is held by another program. Close what writes to it and try again."
        ) from error
    except apsw.Error as error:
        raise StoreError(f"{str(path)!r}: {error}. Nothing of this step was stored.") from error
