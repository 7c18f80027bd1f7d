"""The cell of a notebook that runs, and the names that a cell defined when it ran before."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cell:
    """One execution of a cell."""

    id: str
    execution: int


def _shell() -> Any:
    module = sys.modules.get("IPython")
    return module.get_ipython() if module is not None else None


def current_cell() -> Cell | None:
    """Return the cell that runs, None outside a notebook whose front end names its cells."""
    shell = _shell()
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return None
    parent = kernel.get_parent("shell") or {}
    cell = (parent.get("metadata") or {}).get("cellId")
    return Cell(str(cell), int(shell.execution_count)) if cell else None


class CellNames:
    """The names that each cell defined; those that a later run of it does not define are gone.

    Args:
        gone: called with them after the cell, from its thread.
    """

    def __init__(self, gone: Callable[[list[str]], None]) -> None:
        self._gone = gone
        self._names: dict[str, dict[str, int]] = {}
        """By cell, then by name: the execution that defined it last."""
        self._watching = False

    def add(self, cell: Cell, name: str) -> None:
        """Note that a cell defines a name."""
        for names in self._names.values():
            names.pop(name, None)  # it has moved here
        self._names.setdefault(cell.id, {})[name] = cell.execution
        if not self._watching:
            self._watching = True
            _shell().events.register("post_run_cell", self._after)

    def close(self) -> None:
        """Stop to watch the cells."""
        if self._watching:
            self._watching = False
            try:
                _shell().events.unregister("post_run_cell", self._after)
            except (AttributeError, ValueError):
                logger.debug("the cells were not watched any more")

    def _after(self, result: Any) -> None:
        cell = current_cell()
        if cell is None or not getattr(result, "success", True):
            return
        names = self._names.get(cell.id, {})
        gone = [name for name, execution in names.items() if execution < cell.execution]
        # A cell that defines none of its names was not run for them, such as one that was emptied.
        for name in gone:
            del names[name]
        if gone:
            self._gone(gone)
