"""Whole trading frameworks trade on the paper exchange, each in an environment of its own.

`make conformance` creates the environments where it can and runs these tests. A framework that
cannot be installed is skipped with the reason that its installation gave.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.conformance.clients import run_session
from tests.support.paper_process import paper_exchange

MINUTE = 60_000
FLAT, FALLEN = 60_000.0, 58_000.0


def falling_market(folder: Path, now: int) -> Path:
    """Write a recording that is flat for a day until ``now`` (ms), and falls two minutes later."""
    first = now // MINUTE * MINUTE
    rows = ["timestamp,open,high,low,close,volume"]
    price = FLAT
    for number in range(-1_440, 180):
        opened, price = price, FLAT if number < 2 else FALLEN
        high, low = max(opened, price) + 2, min(opened, price) - 2
        rows.append(f"{first + number * MINUTE},{opened},{high},{low},{price},120.5")
    path = folder / "BTCUSDT-1m-falling.csv"
    path.write_text("\n".join(rows))
    return path


def test_freqtrade_trades_with_its_stop_on_the_exchange(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    now = time.time_ns() // 1_000_000
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now // 1_000))
    recording = falling_market(tmp_path, now)
    market = ("--recording", str(recording), "--start", moment, "--speed", "20")
    with paper_exchange(*market, balances=("USDT=1000000",)) as url:
        run_session("freqtrade", url, tmp_path, subtests, paused=True)


def test_nautilus_trader_recovers_its_user_stream(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    with paper_exchange("--speed", "1") as url:
        run_session("nautilus-trader", url, tmp_path, subtests)
