"""The command, as a user types it: real processes, real notebooks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAPER_TRADING = ROOT / "notebooks" / "04_paper_trading.ipynb"


def botlib(*arguments: str, cwd: Path, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "botlib", *arguments],
        cwd=cwd,
        env={**os.environ, "BOTLIB_HOME": str(cwd)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_help_names_every_command(tmp_path: Path) -> None:
    out = botlib("--help", cwd=tmp_path).stdout
    assert all(f"  {name} " in out for name in ("paper", "run", "config"))
    assert "--seed" in botlib("paper", "--help", cwd=tmp_path).stdout


def test_the_example_configuration_is_valid_and_mistakes_are_reported(tmp_path: Path) -> None:
    example = botlib("config", "--example", cwd=tmp_path)
    assert example.returncode == 0
    path = tmp_path / "bot.yaml"
    path.write_text(example.stdout)
    checked = botlib("config", "bot.yaml", cwd=tmp_path)
    assert checked.returncode == 0 and "is sound: paper" in checked.stdout
    path.write_text(example.stdout.replace("timeframes:", "timeframe:", 1))
    wrong = botlib("config", "bot.yaml", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "Did you mean 'timeframes'" in wrong.stderr or "did you mean" in wrong.stderr.lower()


def test_a_headless_run_prints_its_summary_and_keeps_its_files(tmp_path: Path) -> None:
    out = botlib("run", str(PAPER_TRADING), "--name", "try", "-p", "RUN_FOR", "2h", cwd=tmp_path)
    assert out.returncode == 0, out.stderr
    for line in ("tasks registered", "candles ETH/USDT 15m", "final equity", "worst loop lag"):
        assert line in out.stdout
    assert "synthetic: not real prices" in out.stdout
    notebook = next((tmp_path / "data" / "runs" / "try").glob("*.ipynb"))
    assert notebook.with_suffix(".html").stat().st_size > 50_000
    assert f"{notebook.relative_to(tmp_path)}" in out.stdout
    assert (tmp_path / "data" / "paper" / "synthetic-42.db").is_file()


def test_a_recorded_run(tmp_path: Path, recorded: Callable[[str], Path]) -> None:
    path = recorded("candles/BTCUSDT-1m-20241130-20241229.csv.gz")
    out = botlib(
        "run", str(PAPER_TRADING), "-p", "RUN_FOR", "6h", "-p", "RECORDED", str(path), cwd=tmp_path
    )
    assert out.returncode == 0, out.stderr
    assert "paper:recording:BTCUSDT-1m-20241130-20241229:" in out.stdout
    assert "(6.0 h)" in out.stdout


def test_sigterm_stops_a_headless_run_in_order(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "botlib", "run", str(PAPER_TRADING), "-p", "RUN_FOR", "9999d"],
        cwd=tmp_path,
        env={**os.environ, "BOTLIB_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        log = tmp_path / "data" / "logs" / "botlib.log"
        deadline = time.monotonic() + 60
        while not (log.is_file() and "entry" in log.read_text()):  # the strategies are at work
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "final equity" in out  # the last cells ran
    notebook = next((tmp_path / "data" / "runs").rglob("*.ipynb"))
    executed = nbformat.read(notebook, as_version=4)
    assert executed.metadata.papermill.stop_signal == "SIGTERM"
    assert "Registered 9 tasks" in log.read_text()


def test_an_impossible_run_is_refused_before_it_starts(tmp_path: Path) -> None:
    missing = botlib("run", "nothing.ipynb", cwd=tmp_path)
    assert missing.returncode == 2 and "no notebook nothing.ipynb" in missing.stderr
    unknown = botlib("run", str(PAPER_TRADING), "-p", "RUN_FRO", "2h", cwd=tmp_path)
    assert unknown.returncode == 2 and "RUN_FOR" in unknown.stderr
    assert not (tmp_path / "data" / "runs").exists()


def test_a_missing_recording_fails_the_run_with_the_reason(tmp_path: Path) -> None:
    out = botlib("run", str(PAPER_TRADING), "-p", "RECORDED", "none.csv.gz", cwd=tmp_path)
    assert out.returncode == 1
    assert "none.csv.gz" in out.stderr


@pytest.mark.parametrize("seed", [1])
def test_the_paper_exchange_prints_its_address(tmp_path: Path, seed: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "botlib", "paper", "--seed", str(seed)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", ready["url"])
        assert ready["venue"] == "paper:synthetic:seed=1"
    finally:
        process.terminate()
        assert process.wait(60) == 0
        process.stdout.close()  # type: ignore[union-attr]


def test_candles_are_downloaded_reported_and_exported(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "botlib", "paper", "--seed", "5"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        download = ("download", "BTC/USDT", "1h", "--since", "10d", "--paper", url)
        first = botlib(*download, cwd=tmp_path)
        assert first.returncode == 0, first.stderr
        assert re.search(r"2(39|40) candles stored", first.stdout)
        assert "nothing is missing" in botlib(*download, cwd=tmp_path).stdout
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()  # type: ignore[union-attr]
    venue = ("--venue", "paper:synthetic:seed=5")
    assert "100\u2009%" in botlib("report", *venue, cwd=tmp_path).stdout
    named = botlib("report", "--venue", "synthetic-5", cwd=tmp_path)
    assert "100\u2009%" in named.stdout, named.stderr
    assert "1 partitions written" in botlib("export", "out", *venue, cwd=tmp_path).stdout
    exported = next((tmp_path / "out").rglob("*.parquet"))
    copy = tmp_path / "BTCUSDT-1h.parquet"
    copy.write_bytes(exported.read_bytes())
    imported = botlib("import", copy.name, cwd=tmp_path)
    assert imported.returncode == 0, imported.stdout + imported.stderr
    assert "BTC/USDT" in botlib("report", cwd=tmp_path).stdout


def test_an_unreadable_file_is_refused_and_the_others_are_imported(tmp_path: Path) -> None:
    (tmp_path / "ETHUSDT-1h.csv").write_text("nonsense\n")
    (tmp_path / "BTCUSDT-1h.csv").write_text(
        "symbol,timeframe,timestamp,open,high,low,close,volume\n"
        + "".join(f"BTCUSDT,1h,{1735689600000 + n * 3600000},1,2,1,2,3\n" for n in range(5))
    )
    out = botlib("import", "ETHUSDT-1h.csv", "BTCUSDT-1h.csv", cwd=tmp_path)
    assert out.returncode == 2
    assert "others are imported" in out.stderr
    assert "5" in botlib("report", "BTCUSDT", cwd=tmp_path).stdout


HOURS = "symbol,timeframe,timestamp,open,high,low,close,volume\n" + "".join(
    f"BTCUSDT,1h,{1735689600000 + n * 3600000},1,2,1,2,3\n" for n in range(5)
)


@pytest.mark.parametrize("named", [False, True], ids=["found upward", "named by BOTLIB_HOME"])
def test_candles_and_runs_are_those_of_the_project_from_any_folder(
    tmp_path: Path, named: bool
) -> None:
    inner, home = tmp_path / "notebooks" / "deep", tmp_path / "elsewhere"
    inner.mkdir(parents=True)
    home.mkdir()
    (tmp_path / "pyproject.toml").touch()
    (inner / "BTCUSDT-1h.csv").write_text(HOURS)
    environment = {name: value for name, value in os.environ.items() if name != "BOTLIB_HOME"}
    environment |= {"BOTLIB_HOME": str(home)} if named else {}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "botlib", *arguments],
            cwd=inner,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    assert call("import", "BTCUSDT-1h.csv").returncode == 0
    data = (home if named else tmp_path) / "data"
    assert (data / "tradingbot.db").is_file()
    assert not (inner / "data").exists()
    assert "BTC/USDT" in call("report").stdout
    assert "1 partitions written" in call("export", "out").stdout
    assert (inner / "out").is_dir()
    run = call("run", str(PAPER_TRADING), "-p", "RUN_FOR", "10m")
    assert run.returncode == 0, run.stderr
    assert list((data / "runs").rglob("*.html"))
    assert not (inner / "data").exists()


def test_a_misspelt_span_is_reported(tmp_path: Path) -> None:
    out = botlib("export", "out", cwd=tmp_path)
    assert out.returncode == 2 and "tradingbot.db" in out.stderr
