"""``botlib new strategy``: a file that works and a test that passes, from the first minute on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import botlib as bl
from botlib.cli import main
from botlib.strategy import Strategy
from tests.support.samples import market


def new(name: str, into: Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["new", "strategy", name, "--into", str(into)])
    return result.exit_code, result.output


def test_the_strategies_work_and_their_tests_pass_beside_the_notebooks(tmp_path: Path) -> None:
    shutil.copy(Path(bl.__file__).parents[1] / "pyproject.toml", tmp_path)
    for name, module, kind in [
        ("Breakout", "breakout", "Breakout"),
        ("my-first-try", "my_first_try", "MyFirstTry"),
        ("RSIBounce", "rsi_bounce", "RSIBounce"),
    ]:
        code, output = new(name, tmp_path / "notebooks")
        assert code == 0, output
        assert f"from {module} import {kind}" in output and f"strategy: {module}:{kind}" in output
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(bl.__file__).parents[1])])}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "notebooks"],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert run.returncode == 0 and "6 passed" in run.stdout, run.stdout


def test_a_configuration_names_the_file_and_trades_on_its_candles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert new("FromFile", tmp_path)[0] == 0
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    Path("bot.yaml").write_text(
        "symbols: [BTC/USDT]\ntimeframes: [15m]\n"
        "strategies: [{name: mine, strategy: 'from_file:FromFile', symbol: BTC/USDT}]\n"
    )
    checked = CliRunner().invoke(main, ["config", "bot.yaml"])
    assert checked.exit_code == 0 and "1 strategies" in checked.output, checked.output
    Path("other.yaml").write_text(Path("bot.yaml").read_text().replace("15m", "1m"))
    refused = CliRunner().invoke(main, ["config", "other.yaml"])
    assert refused.exit_code == 2 and "'mine' uses timeframe 15m" in refused.output
    outcome = bl.simulate("bot.yaml", run_for="12h", seed=7)
    assert outcome.summary.fills > 0, outcome


def test_names_that_cannot_be_are_refused(tmp_path: Path) -> None:
    for name, words in (("json", "Python has a module 'json'"), ("1st", "Cannot name"),
                        ("class", "Cannot name"), ("a b", "Cannot name")):  # fmt: skip
        code, output = new(name, tmp_path)
        assert code == 2 and words in output, (name, output)
    assert new("Mine", tmp_path)[0] == 0
    code, output = new("mine", tmp_path)
    assert code == 2 and "exist already" in output


def docstring_example() -> str:
    block = str(Strategy.__doc__).split("::\n", 1)[1].split("\n    ``Breakout(length=50)``")[0]
    return textwrap.dedent(block)


def readme_example() -> str:
    text = (Path(bl.__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    block = text.split("## A strategy of your own")[1].split("```python\n")[1].split("```")[0]
    return block.split("\nmarket = ")[0]


@pytest.mark.parametrize("example", [docstring_example, readme_example])
def test_the_example_is_complete_and_works(example: Callable[[], str]) -> None:
    names: dict[str, object] = {}
    exec(example(), names)
    kind = names["Breakout"]
    assert isinstance(kind, type) and issubclass(kind, Strategy)
    hours = market(600, step=0.004)
    strategy = kind(length=50, timeframes=("1h",))
    assert len(bl.backtest(strategy, hours).roundtrips) > 0
    assert bl.check(strategy, hours).ok
