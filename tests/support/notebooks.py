"""Small notebooks for the tests of headless runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}

WAIT = """\
import signal, threading
stopped = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stopped.set())
print("waiting")
while not stopped.wait(0.05):
    pass
"""
"""A cell that waits until a SIGTERM handler in the kernel releases it."""

IGNORES_SIGTERM = """\
import signal, time
signal.signal(signal.SIGTERM, lambda *_: None)
print("waiting")
while True:
    time.sleep(0.05)
"""
"""A cell that only an interrupt or a kill ends."""

IGNORES_INTERRUPT = """\
import signal, time
signal.signal(signal.SIGTERM, lambda *_: None)
signal.signal(signal.SIGINT, lambda *_: None)
print("waiting")
while True:
    time.sleep(0.05)
"""
"""A cell that only a kill ends."""


def write_notebook(
    path: Path,
    *cells: str,
    parameters: str | None = None,
    kernel: dict[str, str] | None = KERNEL,
) -> Path:
    """Write a notebook of code cells, a tagged parameters cell first, and return its path."""
    nodes: list[Any] = [nbformat.v4.new_code_cell(source) for source in cells]
    if parameters is not None:
        nodes.insert(0, nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    metadata = {} if kernel is None else {"kernelspec": kernel}
    nbformat.write(nbformat.v4.new_notebook(cells=nodes, metadata=metadata), path)
    return path
