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

from botlib.core.files import open_private

SUFFIX: Final = ".new"

ABANDONED: Final = 60.0
"""Age in seconds from which a temporary file belongs to a process that was killed."""


@contextmanager
def draft(path: Path, *, durable: bool) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces ``path`` when the block ends without an error.

    Only its owner can read it.

    Args:
        path: the file to be written.
        durable: sync it to disk first. Otherwise a power cut may leave it empty or incomplete.

    Raises:
        OSError: it could not be written. The old file at ``path`` is unchanged.
    """
    name = path.with_name(f"_{path.name}.{os.getpid()}-{os.urandom(4).hex()}{SUFFIX}")
    opened = open_private(name, "xb")
    try:
        with opened as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
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
