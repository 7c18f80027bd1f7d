"""Files that appear whole or not at all: written beside their place, then moved there.

A draft's name starts with an underscore, so that tools which read whole directories pass it over.
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
"""The age in seconds at which a draft belongs to a process that was killed."""


@contextmanager
def draft(path: Path, *, durable: bool, mode: int = 0o600) -> Iterator[IO[bytes]]:
    """Give a file that takes the place of ``path`` when the block ends without an error.

    Args:
        durable: force it to disk first. Otherwise a power cut may leave it empty or torn.
        mode: the permissions of the file, less what the umask takes.

    Raises:
        OSError: it could not be written. What was at ``path`` is still there.
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
    """Remove the drafts that killed processes left in a directory."""
    for left in directory.glob(f"_*{SUFFIX}"):
        with suppress(FileNotFoundError):
            # Files carry the time of the machine's own clock.
            if time.time() - left.lstat().st_mtime > ABANDONED:
                left.unlink()
