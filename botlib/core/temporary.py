"""Temporary directories that are removed later if their process was killed before it could."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

_NAME: Final = re.compile(r"botlib-[a-z]+-(\d+)-")


def temporary_directory(purpose: str, within: Path | None = None) -> Path:
    """Create and return a directory for this process; those of processes that ended are removed.

    Args:
        purpose: a word of its name.
        within: the directory in which it is created; None is the system's.
    """
    parent = Path(tempfile.gettempdir()) if within is None else within
    remove_abandoned(parent)
    return Path(tempfile.mkdtemp(prefix=f"botlib-{purpose}-{os.getpid()}-", dir=parent))


def remove_abandoned(parent: Path) -> None:
    """Remove the directories of processes that have ended."""
    for path in parent.glob("botlib-*"):
        named = _NAME.match(path.name)
        if named is not None and not runs(int(named[1])) and path.stat().st_uid == os.getuid():
            shutil.rmtree(path, ignore_errors=True)


def runs(pid: int) -> bool:
    """Return whether a process runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
