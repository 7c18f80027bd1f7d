"""Atomic files: written completely under a temporary name, then renamed.

The temporary name starts with an underscore, so tools that read whole directories ignore it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

SUFFIX: Final = ".new"

ABANDONED: Final = 60.0
"""Age in seconds from which a temporary file belongs to a process that was killed."""


@contextmanager
def draft(path: Path, *, durable: bool, mode: int = 0o600) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces ``path`` when the block ends without an error.

    Args:
        path: the file to be written.
        durable: sync it to disk first. Otherwise a power cut may leave it empty or incomplete.
        mode: the permissions of the file, reduced by the umask.

    Raises:
        OSError: it could not be written. The old file at ``path`` is unchanged.
    """
    name = path.with_name(f"_{path.name}.{os.getpid()}-{os.urandom(4).hex()}{SUFFIX}")
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(descriptor)
        name.replace(path)
    except BaseException:
        name.unlink(missing_ok=True)
        raise


def sweep(directory: Path) -> None:
    """Remove the temporary files that killed processes left in a directory."""
    for left in directory.glob(f"_*{SUFFIX}"):
        with suppress(FileNotFoundError):
            # Times of files come from the computer's clock.
            if time.time() - left.lstat().st_mtime > ABANDONED:
                left.unlink()
