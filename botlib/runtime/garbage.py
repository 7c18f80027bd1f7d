"""Full garbage collections beside live work: none walks through what an import has made.

Python's collector of reference cycles holds the GIL while it walks through all objects that can be
part of one: tenths of a second in a kernel, several times during the import of a large library. It
passes over what is *frozen*. A frozen object is freed when nothing refers to it, as ever, but not
as a part of a cycle.
"""

from __future__ import annotations

import gc
import sys
import threading
from typing import Any, Final

_IMPORTING: Final = "<frozen importlib._bootstrap>"
_YOUNGEST: Final = 0
"""The generation of what was made just now."""

_lock = threading.Lock()
_holders = 0


def hold() -> None:
    """Freeze what there is, and later what imports make.

    Each call needs a `release`.
    """
    global _holders
    with _lock:
        _holders += 1
        if _holders == 1:
            gc.callbacks.append(_leave_out)
    gc.freeze()


def release() -> None:
    """Undo a `hold`; after the last one everything is collected again."""
    global _holders
    with _lock:
        _holders -= 1
        if not _holders:
            gc.callbacks.remove(_leave_out)
            gc.unfreeze()


def freeze() -> None:
    """Freeze what there is, if anybody holds."""
    if _holders:
        gc.freeze()


def settle() -> None:
    """Collect everything, what is frozen too, which takes tenths of a second."""
    gc.unfreeze()
    gc.collect()
    freeze()


def _leave_out(phase: str, info: dict[str, Any]) -> None:
    """Freeze everything when more than the youngest is to be collected within an import.

    Nothing is left to this collection, and little to the full one that follows the import. The
    cycles that an import drops are few.
    """
    if phase != "start" or info["generation"] == _YOUNGEST:
        return
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING:
            gc.freeze()
            return
        frame = frame.f_back  # type: ignore[assignment]
