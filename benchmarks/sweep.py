"""Sweeps beside plain vectorbt and backtesting.py: time, peak memory, and how they scale.

Every row is a process of its own on the same random candles; its time leaves imports and
compilation out but counts the start of worker processes, and its memory is the largest sum of the
resident sizes of that process and everything it started. ``BOTLIB_BENCH_FULL=1`` runs 10,000
combinations over a year of minutes (otherwise 400, on the same candles).

Aims: at least 20 times faster than plain vectorbt at a tenth of its memory; a year within 2 GB.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import psutil

ROOT: Final = Path(__file__).resolve().parents[1]
SAMPLE: Final = 0.02
LIMIT: Final = 3_600.0

CANDLES: Final = """
import json, os, sys, time
import numpy as np, pandas as pd

def candles(rows):
    dice = np.random.default_rng(7)
    close = 100 * np.exp(np.cumsum(dice.normal(0, 1e-3, rows)))
    opened = np.concatenate(([close[0]], close[:-1]))
    index = pd.date_range("2024-01-01", periods=rows, freq="min", unit="ms", name="timestamp")
    return pd.DataFrame({"open": opened, "high": np.maximum(opened, close),
        "low": np.minimum(opened, close), "close": close, "volume": np.ones(rows)}, index=index)
"""

STRATEGY: Final = """
from botlib.strategy import Signals, Strategy

class Cross(Strategy):
    fast: int = 10
    slow: int = 50

    def signals(self, data):
        fast, slow = data.indicator(f"sma({self.fast})"), data.indicator(f"sma({self.slow})")
        above, below = fast > slow, fast < slow
        return Signals(entry=above & ~above.shift(1, fill_value=False),
                       exit=below & ~below.shift(1, fill_value=False))
"""

OURS: Final = """
from botlib.backtesting import sweep
from cross import Cross

if __name__ == "__main__":
    rows, fast, slow, workers, memory, client = ARGUMENTS
    frame = candles(rows)
    begun = time.perf_counter()
    result = sweep(Cross, frame, fast=range(*fast), slow=range(*slow), memory=memory,
        where=lambda p: p["fast"] < p["slow"], workers=workers, client=client, progress=False)
    wall = time.perf_counter() - begun
    print(json.dumps({"s": wall, "combinations": len(result),
        "best": float(result.frame["sharpe"].iloc[0]).hex()}))
"""

PLAIN: Final = """
import warnings
warnings.simplefilter("ignore")
import vectorbt as vbt

def run(frame, windows, engine):
    fast, slow = vbt.MA.run_combs(frame["close"], windows, r=2, short_names=["fast", "slow"])
    entries = fast.ma_crossed_above(slow).vbt.signals.fshift(1)
    exits = fast.ma_crossed_below(slow).vbt.signals.fshift(1)
    portfolio = vbt.Portfolio.from_signals(frame["close"], entries, exits, price=frame["open"],
        fees=0.001, init_cash=10_000.0, freq="1min", engine=engine)
    return pd.DataFrame({"total_return": portfolio.total_return(),
        "sharpe": portfolio.sharpe_ratio(), "max_drawdown": portfolio.max_drawdown(),
        "trades": portfolio.trades.count()})

rows, windows, engine = ARGUMENTS
run(candles(500), [3, 5, 7], engine)
frame = candles(rows)
begun = time.perf_counter()
table = run(frame, np.arange(*windows), engine)
wall = time.perf_counter() - begun
print(json.dumps({"s": wall, "combinations": len(table),
    "best": float(table["sharpe"].max()).hex()}))
"""

BACKTESTING: Final = """
import multiprocessing, warnings
warnings.simplefilter("ignore")
from backtesting import Backtest, Strategy

def mean(values, length):
    return pd.Series(values).rolling(length).mean()

class Cross(Strategy):
    fast = 10
    slow = 50

    def init(self):
        self.quick = self.I(mean, self.data.Close, self.fast)
        self.lazy = self.I(mean, self.data.Close, self.slow)

    def next(self):
        if self.quick[-1] > self.lazy[-1] and self.quick[-2] <= self.lazy[-2]:
            self.buy()
        elif self.quick[-1] < self.lazy[-1] and self.quick[-2] >= self.lazy[-2]:
            self.position.close()

if __name__ == "__main__":
    rows, fast, slow = ARGUMENTS
    frame = candles(rows).rename(columns=str.capitalize)
    test = Backtest(frame, Cross, cash=10_000_000, commission=0.001)
    begun = time.perf_counter()
    _, heat = test.optimize(fast=range(*fast), slow=range(*slow), maximize="Sharpe Ratio",
        constraint=lambda p: p.fast < p.slow, return_heatmap=True)
    print(json.dumps({"s": time.perf_counter() - begun, "combinations": len(heat)}))
"""


def measure(full: bool | None = None) -> list[dict[str, object]]:
    """Return one row per way to sweep."""
    if full is None:
        full = bool(os.environ.get("BOTLIB_BENCH_FULL"))
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        (here / "cross.py").write_text(STRATEGY)
        pairs = (100_000, (2, 40), (2, 40))
        rows = [
            _row("botlib, 2 processes", here, OURS, (*pairs, 2, "1GB", None)),
            _row("botlib, 1 process", here, OURS, (*pairs, 1, "1GB", None)),
            _row("vectorbt, numba", here, PLAIN, (100_000, (2, 40), "numba")),
            _row("vectorbt, rust", here, PLAIN, (100_000, (2, 40), "rust")),
            _row("backtesting.py", here, BACKTESTING, (100_000, (2, 40, 13), (2, 40, 13))),
        ]
        side = 100 if full else 20
        year = (525_600, (5, 5 + side), (150, 150 + side))
        rows += [
            _row("botlib, 1 process, 2GB", here, OURS, (*year, 1, "2GB", None)),
            _row("botlib, 2 processes, 2GB", here, OURS, (*year, 2, "2GB", None)),
            _on_cluster("botlib, Dask, 2 workers", here, year),
        ]
    for row in rows:
        same = [r for r in rows if r["candles"] == row["candles"]]
        row["times as fast"] = float(str(row["per s"])) / min(float(str(r["per s"])) for r in same)
    return rows


def _row(
    name: str, here: Path, script: str, arguments: tuple[object, ...], *, more: tuple[int, ...] = ()
) -> dict[str, object]:
    path = here / "measured.py"
    path.write_text(CANDLES + f"\nARGUMENTS = {arguments!r}\n" + script)
    with subprocess.Popen(
        [sys.executable, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(here), str(ROOT)))},
    ) as process:
        peak = 0
        deadline = time.monotonic() + LIMIT
        while process.poll() is None:
            peak = max(peak, _resident(process.pid) + sum(_resident(pid) for pid in more))
            if time.monotonic() > deadline:
                process.kill()
            time.sleep(SAMPLE)
        out, err = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{name} failed:\n{err[-2_000:]}")
    found = json.loads(out.splitlines()[-1])
    return {
        "how": name,
        "candles": arguments[0],
        "combinations": found["combinations"],
        "s": found["s"],
        "per s": found["combinations"] / found["s"],
        "peak MB": peak / 1e6,
        "best sharpe": found.get("best", "–"),
    }


def _on_cluster(name: str, here: Path, year: tuple[object, ...]) -> dict[str, object]:
    file = here / "scheduler.json"
    local = ["--host", "127.0.0.1", "--no-dashboard"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(here), str(ROOT)))}

    def dask(*arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments, "--scheduler-file", str(file), *local],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )

    processes = [dask("scheduler", "--port", "0")]
    try:
        processes += [dask("worker", "--nthreads", "1", "--no-nanny") for _ in range(2)]
        deadline = time.monotonic() + 60
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(SAMPLE)
        address = json.loads(file.read_text())["address"]
        pids = tuple(process.pid for process in processes)
        return _row(name, here, OURS, (*year, None, "2GB", address), more=pids)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _resident(pid: int) -> int:
    total = 0
    try:
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            total += each.memory_info().rss
    except psutil.Error:
        pass
    return total
