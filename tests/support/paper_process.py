"""A paper exchange in a process of its own, started by the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paper_exchange() -> Iterator[str]:
    """Run an exchange with a deep book at speed 30, and yield its URL."""
    arguments = ["--speed", "30", "--depth", "spread=0.0002", "--watch-parent"]
    arguments += ["--balance", "USDT=1000000", "--balance", "BTC=10"]
    process = subprocess.Popen(
        [sys.executable, "-m", "botlib", "paper", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.terminate()
        assert process.wait(60) == 0
