"""The time of `import botlib` next to `import ccxt.pro` and `import vectorbt`.

Each import runs in a fresh interpreter, whose own start-up is not counted. Aim: 0.15 s, and none of
the heavy libraries loaded.
"""

from __future__ import annotations

from typing import Final

from benchmarks.measuring import Row, Size, result_of

MODULES: Final = ("botlib", "ccxt.pro", "vectorbt")
HEAVY: Final = ("ccxt", "vectorbt", "pandas", "pandas_ta", "papermill", "plotly", "dask")
TIMES: Final = 5
LIMIT: Final = 120.0
"""Seconds for one import."""

CODE: Final = """
import json, sys, time
begun = time.perf_counter()
import {module}
taken = time.perf_counter() - begun
print(json.dumps([taken, sorted(set({heavy!r}) & set(sys.modules))]))
"""


def run(module: str) -> tuple[float, list[str]]:
    """Import ``module`` in a fresh process; return seconds and the heavy modules it loaded."""
    code = CODE.format(module=module, heavy=HEAVY)
    taken, heavy = result_of(f"import {module}", ["-c", code], limit=LIMIT)
    return taken, heavy


def measure(size: Size = Size.USUAL) -> list[Row]:
    """Return one row per module: best time in seconds, ratio to botlib, heavy modules."""
    times = 1 if size is Size.SMOKE else TIMES
    best: dict[str, float] = {}
    loaded: dict[str, list[str]] = {}
    for module in MODULES:
        runs = [run(module) for _ in range(times)]
        best[module] = min(taken for taken, _ in runs)
        loaded[module] = runs[0][1]
    return [
        {
            "import": module,
            "best s": round(best[module], 3),
            "times botlib": round(best[module] / best["botlib"], 1),
            "heavy modules loaded": loaded[module],
        }
        for module in MODULES
    ]
