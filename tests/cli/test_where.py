"""One root for data, by one rule: every command and every notebook finds the same directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.notebooks import write_notebook

pytestmark = pytest.mark.timeout(240)
CSV = "timestamp,open,high,low,close,volume\n" + "".join(
    f"{1_735_689_600_000 + 60_000 * n},1,2,0.5,1.5,3\n" for n in range(50)
)
CELL = """
import botlib as bl
bot = bl.connect(symbols="BTC/USDT", timeframes="1m", history=30, health={"port": 0},
                 paper={"lockstep": True, "start": "2026-01-05"})
print("candles in", bot.database)
print("research in", bl.research("synthetic-42").database)
bot.stop()
"""


def botlib(*words: str, cwd: Path, **variables: str) -> str:
    hidden = {"BOTLIB_HOME", "BOTLIB_DATA"}
    env = {name: value for name, value in os.environ.items() if name not in hidden} | variables
    run = subprocess.run(
        [sys.executable, "-m", "botlib", *words],
        cwd=cwd, env=env, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout + run.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder inside a project, with a file of candles beside it."""
    (tmp_path / "project" / "notebooks").mkdir(parents=True)
    (tmp_path / "project" / "pyproject.toml").write_text("")
    (tmp_path / "project" / "notebooks" / "BTCUSDT-1m.csv").write_text(CSV)
    return tmp_path / "project"


def test_where_names_the_directory_and_the_rule(project: Path, tmp_path: Path) -> None:
    inside, data = project / "notebooks", project / "data"
    out = botlib("where", cwd=inside)
    assert str(data) in out and f"of the project of {project / 'pyproject.toml'}" in out
    assert "not created yet" in out
    out = botlib("where", cwd=inside, BOTLIB_HOME=str(tmp_path / "home"))
    assert str(tmp_path / "home" / "data") in out and "the folder that BOTLIB_HOME names" in out
    for words in (("--data", "../mine", "where"), ("where", "--data", "../mine")):
        out = botlib(*words, cwd=inside, BOTLIB_HOME=str(tmp_path / "home"))
        assert str(project / "mine") in out and "named by --data" in out
    assert "belongs to no project" in botlib("where", cwd=tmp_path)


@pytest.mark.kernel
@pytest.mark.parametrize("rule", ["project", "home", "data"])
def test_commands_and_notebooks_use_one_directory(rule: str, project: Path, tmp_path: Path) -> None:
    inside, before = project / "notebooks", []
    variables, data = {}, project / "data"
    if rule == "home":
        variables, data = {"BOTLIB_HOME": str(tmp_path / "home")}, tmp_path / "home" / "data"
    elif rule == "data":
        before, data = ["--data", str(tmp_path / "other")], tmp_path / "other"
    botlib(*before, "import", "BTCUSDT-1m.csv", cwd=inside, **variables)
    assert (data / "tradingbot.db").is_file()
    assert "BTC/USDT" in botlib(*before, "report", cwd=inside, **variables)
    notebook = write_notebook(inside / "run.ipynb", CELL)
    out = botlib(*before, "run", str(notebook), cwd=inside, **variables)
    assert f"candles in {data}/paper/synthetic-42.db" in out, out
    assert f"research in {data}/paper/synthetic-42.db" in out
    assert list((data / "runs" / "run").glob("*.html"))
    out = botlib(*before, "where", cwd=inside, **variables)
    assert "tradingbot.db" in out and "paper/synthetic-42.db" in out
    made = {path.parent for path in tmp_path.rglob("*.db")}
    assert made == {data, data / "paper"}, "something was kept elsewhere"
