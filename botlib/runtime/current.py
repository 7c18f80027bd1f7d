"""The single runtime of a process."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from botlib.core.files import open_private
from botlib.core.text.masking import masked
from botlib.runtime.hooks import Hooks, stop_with_parent
from botlib.runtime.thread import Runtime

HEADLESS: Final = "BOTLIB_HEADLESS"
"""Environment variable set by a headless run, whose kernel has to end with its parent."""

LEFT_OVER: Final = "BOTLIB_LEFT_OVER"
"""Environment variable with the file of a headless run for what a stop could not do."""

NEVER_WORKED: Final = "BOTLIB_NEVER_WORKED"
"""Environment variable with the file of a headless run for strategies that did nothing."""

_SLOT: Final = "_botlib_runtime"


def get_runtime(*, watch_parent: bool = False) -> Runtime:
    """Return the runtime of this process; start it and install its hooks at the first call.

    The runtime outlives the modules: cells that run again, `importlib.reload` and a second import
    find the same thread. A closed runtime is replaced by a new one.

    Args:
        watch_parent: whether the process stops and ends when its parent dies, for headless runs.
    """
    slot = _slot()
    with slot.lock:
        runtime: Runtime | None = slot.runtime
        if runtime is None or runtime.closed:
            runtime = slot.runtime = Runtime()
            slot.watching = False
        slot.hooks.install()
        if watch_parent and not slot.watching:
            slot.watching = True
            runtime.submit(stop_with_parent(runtime, os.getppid()))
        return runtime


def report_left_over(sentences: Sequence[str]) -> None:
    """Write what a stop could not do to the file of a headless run, if this is one."""
    _report(LEFT_OVER, sentences)


def report_never_worked(sentences: Sequence[str]) -> None:
    """Write which strategies did nothing to the file of a headless run, if this is one."""
    _report(NEVER_WORKED, sentences)


def _report(variable: str, sentences: Sequence[str]) -> None:
    name = os.environ.get(variable)
    if name and sentences:
        with contextlib.suppress(OSError), open_private(Path(name), "ab") as file:
            file.writelines(f"{masked(words)}\n".encode() for words in sentences)


def _slot() -> Any:
    # In `sys`, because a module attribute is lost when the module is imported again.
    pid = os.getpid()
    slot = vars(sys).get(_SLOT)
    if slot is None or slot.pid != pid:  # the lock of a forked child may be held for ever
        fresh = SimpleNamespace(pid=pid, lock=threading.Lock(), runtime=None, watching=False)
        fresh.hooks = Hooks(lambda: fresh.runtime)
        if slot is not None:
            vars(sys).pop(_SLOT, None)
        slot = vars(sys).setdefault(_SLOT, fresh)
    return slot
