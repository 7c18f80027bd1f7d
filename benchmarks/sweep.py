"""Sweeps next to plain vectorbt, raptorbt and backtesting.py: time, memory, and how they scale.

Every row is a process of its own on the same random candles; its time excludes imports and
compilation and includes the start of worker processes, and its memory is the largest sum of the
resident sizes of that process and its descendants. The full size runs 10,000 combinations
over a year of minutes (otherwise 400, on the same candles).

Aims: at least 20 times faster than plain vectorbt at a tenth of its memory; a year within 2 GB.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from benchmarks.measuring import POLL, ROOT, BenchmarkError, Child, Row, Size, absent, skipped

LIMIT: Final = 3_600.0
"""Seconds for one sweep."""

CLUSTER_LIMIT: Final = 60.0
"""Seconds in which the scheduler of the cluster has to be there."""

Span = tuple[int, ...]


class SweepSize(NamedTuple):
    """What is swept: the peers' candles and windows, and the year's."""

    candles: int
    windows: Span
    sparse: Span
    """Windows for backtesting.py, which takes minutes for all of them."""
    year: tuple[int, Span, Span]


def _year(side: int) -> tuple[int, Span, Span]:
    return 525_600, (5, 5 + side), (150, 150 + side)


SIZES: Final = {
    Size.SMOKE: SweepSize(3_000, (2, 6), (2, 6, 2), (3_000, (5, 7), (20, 22))),
    Size.USUAL: SweepSize(100_000, (2, 40), (2, 40, 13), _year(20)),
    Size.FULL: SweepSize(100_000, (2, 40), (2, 40, 13), _year(100)),
}

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
from botlib.backtesting.costs import Costs
from cross import Cross

if __name__ == "__main__":
    rows, fast, slow, workers, memory, client = ARGUMENTS
    frame = candles(rows)
    begun = time.perf_counter()
    result = sweep(Cross, frame, fast=range(*fast), slow=range(*slow), memory=memory,
        costs=Costs.none(fee=0.001), order_cost="all",
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

RAPTOR: Final = """
os.environ["RAPTORBT_NO_VERSION_CHECK"] = "1"
import raptorbt

rows, windows = ARGUMENTS
frame = candles(rows)
config = raptorbt.BacktestConfig(
    initial_capital=10_000.0, fees=0.001, fill_timing="next_bar_open", periods_per_year=525_600.0
)
begun = time.perf_counter()
means = {n: frame["close"].rolling(n).mean().to_numpy() for n in range(*windows)}
items = []
for fast in range(*windows):
    for slow in range(fast + 1, windows[1]):
        above, below = means[fast] > means[slow], means[fast] < means[slow]
        enter = above & ~np.append(False, above[:-1])
        leave = below & ~np.append(False, below[:-1])
        items.append(raptorbt.BatchSingleItem(f"{fast}-{slow}", enter, leave))
columns = [frame[name].to_numpy() for name in ("open", "high", "low", "close", "volume")]
found = raptorbt.batch_single_backtest(
    frame.index.as_unit("ns").asi8, *columns, items, config=config
)
best = max(result.metrics.sharpe_ratio for _, result in found)
wall = time.perf_counter() - begun
print(json.dumps({"s": wall, "combinations": len(found), "best": float(best).hex()}))
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


def measure(size: Size = Size.USUAL) -> list[Row]:
    """Return one row per way to sweep."""
    candles, windows, sparse, year = SIZES[size]
    with tempfile.TemporaryDirectory(prefix="bench-sweep-") as name:
        here = Path(name)
        (here / "cross.py").write_text(STRATEGY)
        pairs = (candles, windows, windows)
        rows = [_row("botlib, 2 processes", here, OURS, (*pairs, 2, "1GB", None))]
        if size is not Size.SMOKE:
            rows.append(_row("botlib, 1 process", here, OURS, (*pairs, 1, "1GB", None)))
            rows.append(_row("vectorbt, numba", here, PLAIN, (candles, windows, "numba")))
        rows.append(_row("vectorbt, rust", here, PLAIN, (candles, windows, "rust")))
        if size is Size.SMOKE:
            pass  # Its package is in no lock.
        elif reason := absent("raptorbt"):
            rows.append(skipped("how", "raptorbt", reason))
        else:
            rows.append(_row("raptorbt, all cores", here, RAPTOR, (candles, windows)))
        if reason := absent("backtesting"):
            rows.append(skipped("how", "backtesting.py", reason))
        else:
            rows.append(_row("backtesting.py", here, BACKTESTING, (candles, sparse, sparse)))
        if size is not Size.SMOKE:
            rows.append(_row("botlib, 1 process, 2GB", here, OURS, (*year, 1, "2GB", None)))
            rows.append(_row("botlib, 2 processes, 2GB", here, OURS, (*year, 2, "2GB", None)))
        rows.append(_on_cluster("botlib, Dask, 2 workers", here, year))
    for row in rows:
        if "per s" in row:
            same = [float(str(r["per s"])) for r in rows if r.get("candles") == row["candles"]]
            row["times as fast"] = float(str(row["per s"])) / min(same)
    return rows


def _row(
    name: str, here: Path, script: str, arguments: tuple[object, ...], *, more: tuple[int, ...] = ()
) -> Row:
    path = here / "measured.py"
    path.write_text(CANDLES + f"\nARGUMENTS = {arguments!r}\n" + script)
    peak = 0
    with Child(name, [str(path)], environment=_environment(here)) as child:

        def sample() -> None:
            nonlocal peak
            peak = max(peak, _resident(child.pid) + sum(_resident(pid) for pid in more))

        found = child.result(LIMIT, sample)
    return {
        "how": name,
        "candles": arguments[0],
        "combinations": found["combinations"],
        "s": found["s"],
        "per s": found["combinations"] / found["s"],
        "peak MB": peak / 1e6,
        "best sharpe": found.get("best", "–"),
    }


def _on_cluster(name: str, here: Path, year: tuple[int, Span, Span]) -> Row:
    file = here / "scheduler.json"

    def dask(*arguments: str) -> Child:
        local = ["--scheduler-file", str(file), "--host", "127.0.0.1", "--no-dashboard"]
        return Child(
            f"dask {arguments[0]}",
            ["-m", "dask", *arguments, *local],
            environment=_environment(here),
        )

    with (
        dask("scheduler", "--port", "0") as scheduler,
        dask("worker", "--nthreads", "1", "--no-nanny") as first,
        dask("worker", "--nthreads", "1", "--no-nanny") as second,
    ):
        deadline = time.monotonic() + CLUSTER_LIMIT
        while not file.exists():
            if time.monotonic() > deadline:
                raise BenchmarkError(f"No Dask scheduler was ready within {CLUSTER_LIMIT:g} s.")
            time.sleep(POLL)
        address = json.loads(file.read_text())["address"]
        pids = (scheduler.pid, first.pid, second.pid)
        return _row(name, here, OURS, (*year, None, "2GB", address), more=pids)


def _environment(here: Path) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join((str(here), str(ROOT)))}


def _resident(pid: int) -> int:
    total = 0
    try:
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            total += each.memory_info().rss
    except psutil.Error:
        pass
    return total
