"""How late a 50 ms task runs in a real kernel while a cell is busy.

The same tick runs on botlib's runtime thread and, beside it, on the kernel's own main loop. A cell
then sleeps, spins, computes with pandas, imports vectorbt, sweeps in worker processes, and runs
compiled code in the kernel itself. Aim: on the runtime thread no beat is later than 100 ms in the
first three, nor during a sweep.
"""

from __future__ import annotations

import json
import textwrap
import time
from pathlib import Path
from typing import Any, Final

from jupyter_client.manager import start_new_kernel

ROOT: Final = Path(__file__).resolve().parents[1]
LIMIT: Final = 180.0

SETUP: Final = """
import asyncio, json, math, time
import numpy as np, pandas as pd
from botlib.runtime import get_runtime

rt = get_runtime()
late = {"runtime thread": [], "kernel main loop": []}

async def tick(beats):
    while True:
        due = time.monotonic() + 0.05
        await asyncio.sleep(0.05)
        beats.append(time.monotonic() - due)

def figures(beats):
    beats = sorted(beats)
    at = lambda q: beats[max(0, math.ceil(q * len(beats)) - 1)] * 1e3
    return {"beats": len(beats), "median ms": at(0.5), "p99 ms": at(0.99), "max ms": at(1)}

rt.submit(tick(late["runtime thread"]))
main_tick = asyncio.get_running_loop().create_task(tick(late["kernel main loop"]))
rng = np.random.default_rng(1)
rows = 2_000_000
frame = pd.DataFrame({
    "symbol": rng.integers(0, 50, rows),
    "price": rng.normal(0, 1, rows).cumsum(),
    "volume": rng.exponential(1, rows),
})
await asyncio.sleep(1)
"""

JOBS: Final = {
    "time.sleep(5)": "time.sleep(5)",
    "spin 5 s": """
        end = time.monotonic() + 5
        while time.monotonic() < end:
            pass
    """,
    "pandas groupby-rolling, quantile, sort": """
        end = time.monotonic() + 4
        while time.monotonic() < end:
            frame.groupby("symbol")["price"].rolling(50).mean()
            frame.groupby("symbol")["volume"].quantile([0.1, 0.5, 0.9])
            frame.sort_values(["symbol", "price"])
    """,
    "import vectorbt": "import vectorbt",
    "a sweep, 703 × 100,000 candles": """
        from botlib.backtesting import sweep
        from botlib.strategies import TrendCross
        result = sweep(TrendCross, candles, fast=range(2, 40), slow=range(2, 40),
                       where=lambda p: p["fast"] < p["slow"], progress=False)
        assert len(result) == 703
    """,
    "vectorbt's grid in the cell, numba": "grid(candles, range(2, 30))",
    "a compiled loop in the cell, numba": "loop(1_500_000_000)",
}

PREPARATION: Final = {
    "a sweep, 703 × 100,000 candles": """
        steps = np.exp(np.cumsum(rng.normal(0, 1e-3, 100_000)))
        candles = pd.DataFrame(
            {"open": steps, "high": steps, "low": steps, "close": steps, "volume": 1.0},
            index=pd.date_range("2024-01-01", periods=100_000, freq="min", unit="ms"))
    """,
    "vectorbt's grid in the cell, numba": """
        from botlib.backtesting.vectorbt_setup import load_vectorbt
        vbt = load_vectorbt()
        def grid(frame, windows):
            fast, slow = vbt.MA.run_combs(frame["close"], list(windows), r=2)
            return vbt.Portfolio.from_signals(
                frame["close"], fast.ma_crossed_above(slow), fast.ma_crossed_below(slow),
                fees=0.001, freq="1min", engine="numba").sharpe_ratio(engine="numba")
        grid(candles.head(500), [2, 3, 4])
    """,
    "a compiled loop in the cell, numba": """
        from numba import njit
        @njit
        def loop(n):
            total = 0.0
            for i in range(n):
                total += i % 7
            return total
        loop(10)
    """,
}
"""What a job needs before it is measured: data, and compiled code."""

CLEAR: Final = """
await asyncio.sleep(0.3)
stalls = len(rt.stalls)
for beats in late.values():
    beats.clear()
begun = time.monotonic()
"""

READ: Final = """
wall = time.monotonic() - begun
await asyncio.sleep(0.3)
where = [f"{s.seconds:.2f} s {s.where}" for s in rt.stalls[stalls:]]
print(json.dumps({"wall": wall, "stalls": where, **{k: figures(v) for k, v in late.items()}}))
"""


class Kernel:
    """A kernel with a client that runs one cell after the other."""

    def __init__(self) -> None:
        self.manager, self.client = start_new_kernel(cwd=str(ROOT))

    def run(self, code: str) -> str:
        """Run a cell and return what it printed.

        Raises:
            RuntimeError: the cell failed.
        """
        text: list[str] = []

        def take(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                text.append(message["content"]["text"])

        reply = self.client.execute_interactive(
            textwrap.dedent(code), timeout=LIMIT, output_hook=take, allow_stdin=False
        )
        if reply["content"]["status"] != "ok":
            raise RuntimeError("\n".join(reply["content"].get("traceback", ["the cell failed"])))
        return "".join(text)

    def close(self) -> None:
        """End the kernel."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def measure() -> list[dict[str, object]]:
    """Return one row per job and loop: median, p99 and max lateness in ms."""
    rows: list[dict[str, object]] = []
    kernel = Kernel()
    try:
        kernel.run(SETUP)
        for job, code in JOBS.items():
            kernel.run(PREPARATION.get(job, ""))
            kernel.run(CLEAR)
            kernel.run(code)
            figures = json.loads(kernel.run(READ))
            for host in ("runtime thread", "kernel main loop"):
                rows.append(
                    {
                        "while a cell does": job,
                        "tick on": host,
                        "wall s": round(figures["wall"], 1),
                        **{name: round(value, 1) for name, value in figures[host].items()},
                        "stalls": figures["stalls"] if host == "runtime thread" else [],
                    }
                )
    finally:
        kernel.close()
    return rows


if __name__ == "__main__":
    started = time.monotonic()
    for row in measure():
        print(json.dumps(row))
    print(f"{time.monotonic() - started:.1f} s")
