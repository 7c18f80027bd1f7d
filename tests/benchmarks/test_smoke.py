"""Every benchmark runs in its smoke size."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES, main, measure, table
from benchmarks.measuring import BenchmarkError, Size

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = {"__init__", "__main__", "measuring"}


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.browser] * (name == "chart")) for name in NAMES],
)
def test_a_benchmark_runs_in_its_smoke_size(name: str) -> None:
    rows = measure(name, Size.SMOKE)
    assert rows and all(rows)
    assert table(name, rows).startswith(f"\n{name}\n")
    if reasons := [str(row["skipped"]) for row in rows if "skipped" in row]:
        pytest.skip("; ".join(reasons))


def test_every_benchmark_is_named() -> None:
    modules = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - SUPPORT
    assert set(NAMES) == {name for name in modules if "_" not in name}


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--smoke", "ingestion"])
    assert ended.value.code == 2
    assert "No benchmark ingestion. Accepted: backtest, chart" in capsys.readouterr().err


def test_a_benchmark_that_fails_is_reported_and_the_next_one_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(name: str, size: Size) -> list[dict[str, object]]:
        assert size is Size.SMOKE
        if name == "tasks":
            raise BenchmarkError("The process 'botlib, 100 tasks' ended with code 1.")
        return [{"figure": 1.5}]

    results = set((ROOT / "benchmarks" / "results").glob("*"))
    monkeypatch.setattr("benchmarks.__main__.measure", measured)
    assert main(["--smoke", "tasks", "venue"]) == 1
    captured = capsys.readouterr()
    assert "tasks failed. The process 'botlib, 100 tasks' ended with code 1." in captured.err
    assert "venue\n" in captured.out and "Written" not in captured.out
    assert set((ROOT / "benchmarks" / "results").glob("*")) == results
