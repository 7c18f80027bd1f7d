"""What `import botlib` costs beside `import ccxt.pro` and `import vectorbt`.

Each import runs in a fresh interpreter, whose own start-up is not counted. Aim: 0.15 s, and none of
the heavy libraries loaded.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
MODULES: Final = ("botlib", "ccxt.pro", "vectorbt")
HEAVY: Final = ("ccxt", "vectorbt", "pandas", "pandas_ta", "papermill", "plotly", "dask")
TIMES: Final = 5

CODE: Final = """
import sys, time
begun = time.perf_counter()
import {module}
taken = time.perf_counter() - begun
print(taken, *sorted(set({heavy!r}) & set(sys.modules)))
"""


def run(module: str) -> tuple[float, list[str]]:
    """Import ``module`` in a fresh process; return seconds and the heavy modules it loaded."""
    code = CODE.format(module=module, heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    taken, *heavy = done.stdout.split()
    return float(taken), heavy


def measure(times: int = TIMES) -> list[dict[str, object]]:
    """Return one row per module: best of ``times`` in seconds, ratio to botlib, heavy modules."""
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


if __name__ == "__main__":
    for row in measure():
        print(json.dumps(row))
