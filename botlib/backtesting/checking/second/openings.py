"""`Openings`: the files and addresses that are opened while something runs."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from typing import Final, Self

import botlib

_CODE: Final = (".py", ".pyc", ".so", ".pyd")
_SYSTEM: Final = ("/proc/", "/sys/", "/etc/", "/usr/", "/dev/null", "/dev/urandom")
_MOST: Final = 10


class Openings:
    """The names of what is opened for reading inside a ``with`` block of this process.

    Python tells of its own openings only: a library that reads a file in C is not seen. The hook
    behind it stays for the life of the process.
    """

    def __init__(self) -> None:
        self._found: dict[str, None] = {}
        self._listens = False
        paths = sysconfig.get_paths()
        homes = {
            *(paths[name] for name in ("stdlib", "purelib", "platlib")),
            sys.prefix,
            sys.base_prefix,
        }
        homes.add(str(Path(botlib.__file__).parent))
        self._homes = (*homes, *_SYSTEM)
        sys.addaudithook(self._hear)

    def __enter__(self) -> Self:
        self._listens = True
        return self

    def __exit__(self, *_: object) -> None:
        self._listens = False

    @property
    def names(self) -> tuple[str, ...]:
        """What was opened: paths, and addresses as host and port."""
        return tuple(self._found)

    def _hear(self, event: str, given: tuple[object, ...]) -> None:
        if not self._listens or len(self._found) >= _MOST:
            return
        if event == "open":
            path, mode = str(given[0]), str(given[1] or "r")
            reads = "r" in mode and not isinstance(given[0], int)
            if (
                reads
                and not path.endswith(_CODE)
                and "__pycache__" not in path
                and not path.startswith(self._homes)
            ):
                self._found[path] = None
        elif event == "sqlite3.connect":
            self._found[str(given[0])] = None
        elif event == "socket.connect":
            self._found[f"the address {given[1]}"] = None
