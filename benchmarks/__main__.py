"""Run every benchmark, or those named: ``python -m benchmarks tasks ingest``."""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botlib.core.tables import text_table

HERE = Path(__file__).parent
NAMES = (
    *("backtest", "chart", "idle", "imports", "indicators", "ingest"),
    *("lateness", "simulation", "storage", "sweep", "tasks", "venue"),
)
Rows = list[dict[str, object]]


def names() -> list[str]:
    """Return the names of all benchmarks."""
    return list(NAMES)


def show(name: str, rows: Rows) -> None:
    """Print the rows of one benchmark as a table."""
    headers = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_text(row.get(key)) for key in headers] for row in rows]
    print(f"\n{name}\n{text_table(headers, cells)}", flush=True)


def main(wanted: list[str]) -> int:
    """Measure, print, and write one JSON file."""
    known = names()
    unknown = [name for name in wanted if name not in known]
    if unknown:
        print(f"No benchmark {', '.join(unknown)}. There are: {', '.join(known)}.")
        return 2
    results: dict[str, Any] = {}
    for name in wanted or known:
        results[name] = importlib.import_module(f"benchmarks.{name}").measure()
        show(name, results[name])
    now = datetime.now(UTC)
    report = {
        "when": now.isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "results": results,
    }
    path = HERE / "results" / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report, indent=1, default=str) + "\n")
    print(f"\nWritten to {path.relative_to(HERE.parent)}.")
    return 0


def _text(value: object) -> object:
    return f"{value:,.3g}" if isinstance(value, float) and abs(value) < 1_000 else value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
