"""A paper exchange in a process of its own, started by the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

BALANCES = ("USDT=1000000", "BTC=10")


@contextmanager
def paper_exchange(*market: str, balances: Sequence[str] = BALANCES) -> Iterator[str]:
    """Run an exchange with a deep book, and yield its URL.

    Args:
        market: words of ``botlib paper``; by default speed 30.
        balances: what the account owns.
    """
    arguments = [*(market or ("--speed", "30")), "--depth", "spread=0.0002", "--watch-parent"]
    for balance in balances:
        arguments += ["--balance", balance]
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
