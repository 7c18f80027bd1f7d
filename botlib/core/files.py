"""Files of the kit: private to their owner whatever the umask, and read within bounds.

Everything the kit writes is made here: files with the mode 0600, directories with 0700. Whatever it
reads by a path that someone gave is a regular file of a bounded size: a named pipe would hang the
reader, and a device would never end.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Any, Final

from botlib.core.text import formats
from botlib.core.text.masking import masked

FILE: Final = 0o600
DIRECTORY: Final = 0o700

LONGEST_NAME: Final = 100
"""Most characters of a name that `file_name` returns."""


def private_directory(path: Path) -> Path:
    """Create a directory and its missing parents for their owner alone; return the path.

    A directory that exists is left as it is.

    Raises:
        OSError: it cannot be created.
    """
    missing: list[Path] = []
    for folder in (path, *path.parents):
        if folder.is_dir():
            break
        missing.append(folder)
    for folder in reversed(missing):
        try:
            folder.mkdir(DIRECTORY)
        except FileExistsError:
            # Another process was faster.
            if not folder.is_dir():
                error = errno.ENOTDIR
                raise NotADirectoryError(error, os.strerror(error), str(folder)) from None
        else:
            # The umask may have taken more than the others' permissions.
            folder.chmod(DIRECTORY)
    return path


def take_from_others(path: Path) -> None:
    """Remove other users' rights to a directory of the kit's own; create it if it is missing.

    Raises:
        OSError: it cannot be created.
    """
    if open_to_others(private_directory(path)) and path.stat().st_uid == os.geteuid():
        path.chmod(DIRECTORY)


def open_private(path: Path, mode: str, *, buffering: int = -1) -> IO[Any]:
    """Open a file for writing that only its owner can read.

    Args:
        path: the file; its directory exists.
        mode: binary, such as ``"wb"``, ``"xb"`` or ``"a+b"``.
        buffering: as for `open`.

    Raises:
        OSError: it cannot be opened.
    """
    return open(path, mode, buffering=buffering, opener=private_descriptor)


def write_private(path: Path, content: bytes | str) -> Path:
    """Write a file that only its owner can read, in missing directories too; return the path.

    Raises:
        OSError: it cannot be written.
    """
    private_directory(path.parent)
    with open_private(path, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return path


def make_private(path: Path) -> None:
    """Create an empty file that only its owner can read, or remove others' rights to a file.

    A file that exists is not opened: closing a database gives up the locks that this process holds
    on it.

    Raises:
        OSError: it cannot be created.
    """
    try:
        os.close(private_descriptor(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        if open_to_others(path) and path.stat().st_uid == os.geteuid():
            path.chmod(FILE)


def private_descriptor(path: str, flags: int) -> int:
    """Open a file and return its descriptor; one that is created is its owner's alone.

    A file of the owner that others may read is taken from them.

    Args:
        path: the file.
        flags: as for `os.open`.

    Raises:
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, flags | os.O_CLOEXEC, FILE)
    try:
        status = os.fstat(descriptor)
        own = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        if own and stat.S_IMODE(status.st_mode) != FILE:
            os.fchmod(descriptor, FILE)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_regular(path: Path, most: int) -> bytes:
    """Return the content of a regular file.

    Args:
        path: the file.
        most: bytes; a larger file is not read.

    Raises:
        OSError: it is missing, no regular file or too large; ``strerror`` says which.
    """
    with _opened(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"too large, more than {formats.count(most)} bytes", str(path))
    return content


def read_start(path: Path, size: int) -> bytes:
    """Return the first bytes of a regular file.

    Raises:
        OSError: it is missing, or no regular file.
    """
    with _opened(path) as file:
        return file.read(size)


def _opened(path: Path) -> IO[bytes]:
    # Opening a named pipe would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        # Before a file is made of it, which would not close the descriptor of a directory.
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"{_kind(mode)}, no regular file", str(path))
    return os.fdopen(descriptor, "rb")


def _kind(mode: int) -> str:
    named = {stat.S_IFIFO: "a named pipe", stat.S_IFCHR: "a device", stat.S_IFDIR: "a directory"}
    return named.get(stat.S_IFMT(mode), "something else")


def open_to_others(path: Path) -> bool:
    """Return whether other users of the computer may read or write a file."""
    try:
        return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    except OSError:
        return False


def file_name(text: str) -> str:
    """Return a text as a part of a file's name: one that leads to no other directory."""
    return re.sub(r"[^\w.+-]+", "_", masked(text))[:LONGEST_NAME].lstrip(".-") or "_"


class PrivateLog(RotatingFileHandler):
    """A log file that only its owner can read, and so are those that it is rotated into."""

    def _open(self) -> Any:
        # A lone surrogate, which JSON can carry, would lose its line.
        return open(
            self.baseFilename,
            self.mode,
            encoding=self.encoding,
            errors="backslashreplace",
            opener=private_descriptor,
        )
