"""The file of a ledger: how it is opened, locked and recognized."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from botlib.core.errors import PaperExchangeError
from botlib.core.files import read_start

APPLICATION_ID: Final = 0x626C7061
"""SQLite's application id of a ledger."""


def connect(target: str) -> sqlite3.Connection:
    """Open a database that no other connection can use, and return the connection.

    Args:
        target: path of the file, or ``:memory:``.
    """
    connection = sqlite3.connect(target, isolation_level=None, timeout=0.5)
    try:
        # The first access locks the file until it is closed: one exchange per ledger.
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        # A page cache of 512 kB, so that memory does not grow with the ledger for weeks.
        connection.execute("PRAGMA cache_size=-512")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def check_file_type(path: Path) -> None:
    """Check that a file is a ledger.

    Raises:
        PaperExchangeError: it is not.
    """
    # Read from the header, since SQLite would write to any file that it opens.
    header = read_start(path, 100)
    if not header.startswith(b"SQLite format 3\0"):
        raise PaperExchangeError(damage_text(path, "it is no SQLite database"))
    if header[68:72] != APPLICATION_ID.to_bytes(4, "big"):
        raise PaperExchangeError(
            f"{path} was not made by the paper exchange and is left as it is. Give another path."
        )


def damage_text(path: Path | None, reason: str) -> str:
    """Return the error message about a damaged ledger."""
    return (
        f"The paper ledger {path} is damaged ({reason}) and is left as it is. "
        "Move it away to start with a new one."
    )
