"""A guard against a second SQLite library on a file that is open in this process.

SQLite separates programs by POSIX locks, which belong to a whole process. Python's own ``sqlite3``
is another copy of SQLite than the one botlib writes with. In the same process it sees none of
botlib's locks, and truncates the shared index while it is in use: the process dies of a bus error,
or the log that is being written is removed. From another process the same call is safe. A user of a
notebook may well try it, so it is refused with an explanation.

The register is shared by the whole process because the locks are.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from botlib.core.errors import StoreError

FileKey = tuple[int, int]
"""Device and inode of a file."""

_open_files: Final[Counter[FileKey]] = Counter()
_hooked: Final[list[bool]] = []


def enter(path: Path) -> FileKey:
    """Register an open file of botlib, and return its key for `leave`."""
    if not _hooked:
        # An audit hook sees every caller, and cannot be removed.
        sys.addaudithook(_watch)
        _hooked.append(True)
    status = path.stat()
    key = (status.st_dev, status.st_ino)
    _open_files[key] += 1
    return key


def leave(key: FileKey) -> None:
    """Unregister a file that botlib has closed."""
    _open_files[key] -= 1
    if _open_files[key] <= 0:
        del _open_files[key]


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "sqlite3.connect" and _open_files:
        name = arguments[0]
        if any(key in _open_files for key in _keys(name)):
            raise StoreError(
                f"{name!r} is open in this process, where a second SQLite library would break its "
                "locks. Read it with CandleStorage.frame or Database.reading, or use sqlite3 in "
                "another process."
            )


def _keys(name: Any) -> list[FileKey]:
    """Return the keys of the file that a name means, read as a path and as a URI."""
    try:
        path = os.fsdecode(name)
    except TypeError:
        return []
    keys = []
    for candidate in (path, unquote(urlsplit(path).path) if path.startswith("file:") else ""):
        try:
            status = Path(candidate).stat() if candidate else None
        except (OSError, ValueError):
            status = None
        if status is not None:
            keys.append((status.st_dev, status.st_ino))
    return keys
