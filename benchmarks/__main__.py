"""Run every benchmark, or those named: ``python -m benchmarks tasks ingest``.

``--smoke`` runs them in seconds, to show that they run; nothing is written then. ``--full`` (or
``BOTLIB_BENCH_FULL=1``) adds the rows that take many minutes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measuring import BenchmarkError, Row, Size
from botlib.core.text.tables import text_table

HERE = Path(__file__).parent
NAMES = (
    *("backtest", "chart", "check", "idle", "imports", "indicators", "ingest", "lateness"),
    *("mirror", "orders", "simulation", "storage", "sweep", "tasks", "tearsheet", "venue"),
)


def measure(name: str, size: Size) -> list[Row]:
    """Run one benchmark and return its rows.

    Raises:
        BenchmarkError: it could not be measured.
    """
    rows: list[Row] = importlib.import_module(f"benchmarks.{name}").measure(size)
    return rows


def table(name: str, rows: Sequence[Row]) -> str:
    """Return the rows of one benchmark as a table."""
    headers = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_text(row.get(key)) for key in headers] for row in rows]
    return f"\n{name}\n{text_table(headers, cells)}"


def write(results: dict[str, list[Row]], failed: dict[str, str]) -> Path:
    """Write the results with what they were measured on to a JSON file; return its path."""
    now = datetime.now(UTC)
    report = {
        "when": now.isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "results": results,
        "failed": failed,
    }
    path = HERE / "results" / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report, indent=1, default=str) + "\n")
    return path


def main(arguments: Sequence[str]) -> int:
    """Measure and print; return 1 if a benchmark failed, and go on with the others."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--smoke", action="store_true", help="take seconds and write no results")
    parser.add_argument("--full", action="store_true", help="add the rows that take many minutes")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"No benchmark {', '.join(unknown)}. Accepted: {', '.join(NAMES)}.")
    full = options.full or bool(os.environ.get("BOTLIB_BENCH_FULL"))
    size = Size.SMOKE if options.smoke else Size.FULL if full else Size.USUAL
    results: dict[str, list[Row]] = {}
    failed: dict[str, str] = {}
    for name in options.names or NAMES:
        try:
            results[name] = measure(name, size)
        except BenchmarkError as error:
            failed[name] = str(error)
            print(f"\n{name} failed. {error}", file=sys.stderr, flush=True)
        else:
            print(table(name, results[name]), flush=True)
    if size is not Size.SMOKE:
        print(f"\nWritten to {write(results, failed).relative_to(HERE.parent)}.")
    return 1 if failed else 0


def _text(value: object) -> object:
    return f"{value:,.3g}" if isinstance(value, float) and abs(value) < 1_000 else value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
