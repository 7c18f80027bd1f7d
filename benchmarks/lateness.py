"""How late a 50 ms task runs in a real kernel while a cell is busy.

The same tick runs on botlib's runtime thread and on the kernel's own main loop. A cell then sleeps,
spins, computes with pandas, imports vectorbt, backtests, checks, sweeps, walks forward, and runs
compiled code in the kernel itself. Aim: on the runtime thread no beat is later than 50 ms in any.

*held ms* is the longest lateness that the cell itself can have caused, since its thread computed
meanwhile; the rest of a lateness is that of a computer with too much to do.
"""

from __future__ import annotations

import asyncio
import tempfile
import textwrap
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.measuring import ROOT, BenchmarkError, Row, Size
from botlib.core.errors import EngineError
from botlib.drill.kernel import NotebookKernel

HOSTS: Final = ("runtime thread", "kernel main loop")

SETUP: Final = """
import asyncio, math, os, threading, time
os.chdir({root!r})
import numpy as np, pandas as pd
from botlib.runtime import get_runtime

rt = get_runtime()
late = {{"runtime thread": [], "kernel main loop": []}}

async def tick(beats):
    while True:
        due = time.monotonic() + 0.05
        await asyncio.sleep(0.05)
        beats.append(time.monotonic() - due)

cell = time.pthread_getcpuclockid(threading.main_thread().ident)
held = []

async def probe():
    while True:
        due, used = time.monotonic() + 0.005, time.clock_gettime(cell) + 0.005
        await asyncio.sleep(0.005)
        held.append(min(time.monotonic() - due, time.clock_gettime(cell) - used))

def figures(beats):
    beats = sorted(beats)
    at = lambda q: beats[max(0, math.ceil(q * len(beats)) - 1)] * 1e3
    return {{"beats": len(beats), "median ms": at(0.5), "p99 ms": at(0.99), "max ms": at(1)}}

rt.submit(tick(late["runtime thread"]))
rt.submit(probe())
main_tick = asyncio.get_running_loop().create_task(tick(late["kernel main loop"]))
rng = np.random.default_rng(1)
rows = {rows}
frame = pd.DataFrame({{
    "symbol": rng.integers(0, 50, rows),
    "price": rng.normal(0, 1, rows).cumsum(),
    "volume": rng.exponential(1, rows),
}})
await asyncio.sleep(1)
"""


class Job(NamedTuple):
    """What a cell does while the ticks are watched, and the data and compiled code it needs."""

    name: str
    code: str
    preparation: str = ""


def _quick(seconds: float) -> tuple[Job, ...]:
    return (
        Job(f"time.sleep({seconds:g})", f"time.sleep({seconds})"),
        Job(
            f"spin {seconds:g} s",
            f"""
            end = time.monotonic() + {seconds}
            while time.monotonic() < end:
                pass
            """,
        ),
        Job(
            "pandas groupby-rolling, quantile, sort",
            f"""
            end = time.monotonic() + {seconds * 0.8}
            while time.monotonic() < end:
                frame.groupby("symbol")["price"].rolling(50).mean()
                frame.groupby("symbol")["volume"].quantile([0.1, 0.5, 0.9])
                frame.sort_values(["symbol", "price"])
            """,
        ),
    )


def _research(rows: int) -> tuple[Job, ...]:
    """Return what research does over so many candles, from the first call of a kernel on."""
    return (
        Job(
            f"the first backtest, {rows:,} candles",
            """
            from botlib.backtesting import backtest
            from botlib.strategies import TrendCross
            result = backtest(TrendCross(fast=10, slow=50, timeframes=("1m",)), candles)
            assert len(result.stats()) and len(result.roundtrips)
            """,
            f"""
            steps = 20_000 * np.exp(np.cumsum(rng.normal(0, 5e-4, {rows})))
            candles = pd.DataFrame(
                {{"open": steps, "high": steps, "low": steps, "close": steps, "volume": 1e6}},
                index=pd.date_range("2024-01-01", periods={rows}, freq="min", unit="ms"))
            """,
        ),
        Job(
            f"lots and a trailing stop, {rows:,} candles",
            """
            result = backtest(Trailing(fast=10, slow=50, timeframes=("1m",)), candles,
                              market=market, order_cost=1_000.0)
            assert len(result.stats()) and len(result._repr_html_()) and result.plot()
            """,
            """
            from decimal import Decimal
            from botlib.core.market import Market
            class Trailing(TrendCross):
                trailing_stop: float = 0.02
            market = Market(
                symbol="BTC/USDT", id="BTCUSDT", base="BTC", quote="USDT", tick=Decimal("0.01"),
                step=Decimal("0.00001"), min_amount=Decimal("0.00001"), min_cost=Decimal(5))
            """,
        ),
        Job(
            f"check, {rows:,} candles",
            """
            from botlib.backtesting import check
            check(TrendCross(fast=10, slow=50, timeframes=("1m",)), candles)
            """,
        ),
        Job(
            "walk_forward, 6 windows",
            """
            from botlib.backtesting import walk_forward
            walk_forward(TrendCross, part, train=len(part) // 4, test=len(part) // 8,
                         fast=range(5, 8), slow=range(20, 23), progress=False)
            """,
            "part = candles.iloc[:100_000]",
        ),
    )


SLOW: Final = (
    *_research(525_600),
    Job("import vectorbt", "import vectorbt"),
    Job(
        "a sweep, 703 × 100,000 candles",
        """
        from botlib.backtesting import sweep
        result = sweep(TrendCross, part, fast=range(2, 40), slow=range(2, 40),
                       where=lambda p: p["fast"] < p["slow"], progress=False)
        assert len(result) == 703
        """,
    ),
    Job(
        "vectorbt's grid in the cell, numba",
        "grid(part, range(2, 30))",
        """
        from botlib.backtesting.vectorbt_setup import load_vectorbt
        vbt = load_vectorbt()
        def grid(frame, windows):
            fast, slow = vbt.MA.run_combs(frame["close"], list(windows), r=2)
            return vbt.Portfolio.from_signals(
                frame["close"], fast.ma_crossed_above(slow), fast.ma_crossed_below(slow),
                fees=0.001, freq="1min", engine="numba").sharpe_ratio(engine="numba")
        grid(part.head(500), [2, 3, 4])
        """,
    ),
    Job(
        "a compiled loop in the cell, numba",
        "loop(1_500_000_000)",
        """
        from numba import njit
        @njit
        def loop(n):
            total = 0.0
            for i in range(n):
                total += i % 7
            return total
        loop(10)
        """,
    ),
)

CLEAR: Final = """
await asyncio.sleep(0.3)
stalls = len(rt.stalls)
for beats in (*late.values(), held):
    beats.clear()
begun = time.monotonic()
"""

READ: Final = """
wall = time.monotonic() - begun
await asyncio.sleep(0.3)
stalled = [f"{s.seconds:.2f} s {s.where}" for s in rt.stalls[stalls:]]
read = {"wall": wall, "held": max(held) * 1e3, "stalls": stalled}
read |= {k: figures(v) for k, v in late.items()}
"""


def measure(size: Size = Size.USUAL) -> list[Row]:
    """Return one row per job and loop: median, p99 and max lateness in ms.

    Raises:
        BenchmarkError: a cell failed or hung, or the kernel died.
    """
    smoke = size is Size.SMOKE
    jobs = (*_quick(0.5), *_research(3_000)) if smoke else (*_quick(5.0), *SLOW)
    try:
        return asyncio.run(_measure(jobs, 20_000 if smoke else 2_000_000))
    except EngineError as error:
        raise BenchmarkError(str(error)) from error


async def _measure(jobs: tuple[Job, ...], rows: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="bench-lateness-") as directory:
        kernel = NotebookKernel(Path(directory), "lateness")
        try:
            await kernel.start()
            await kernel.run(SETUP.format(root=str(ROOT), rows=rows))
            return [row for job in jobs for row in await _rows(kernel, job)]
        finally:
            await kernel.close()


async def _rows(kernel: NotebookKernel, job: Job) -> list[Row]:
    for cell in (job.preparation, CLEAR, job.code):
        await kernel.run(textwrap.dedent(cell))
    figures: dict[str, Any] = await kernel.run(READ, "read")
    return [
        {
            "while a cell does": job.name,
            "tick on": host,
            "wall s": round(figures["wall"], 1),
            **{name: round(value, 1) for name, value in figures[host].items()},
            "held ms": round(max(figures["held"], 0.0), 1) if host == HOSTS[0] else "",
            "stalls": figures["stalls"] if host == HOSTS[0] else [],
        }
        for host in HOSTS
    ]
