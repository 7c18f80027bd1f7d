"""A strategy that fails is seen at once: in the cell, the bot, its health and its run."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import nbformat
import pytest
from click.testing import CliRunner

import botlib as bl
from botlib.cli import main
from botlib.core.text.cards import Tone
from tests.support.notebooks import write_notebook

STRATEGY = """
class Late(bl.Strategy):
    timeframes = ("1m",)
    broken = False

    def signals(self, data):
        if Late.broken:
            data.frame["rsi"]  # the line that is shown
        never = data.frame["close"] < 0
        return bl.Signals(entry=never, exit=never)
"""
CONNECT = """
import botlib as bl
bot = bl.connect(
    symbols=["BTC/USDT"], timeframes=["1m"], history=30, strategies=[], health={"port": 0},
    paper={"lockstep": True, "start": "2026-01-05"},
)
"""
BREAK = "Late.broken = True\nbot.wait(180, progress=False)"


class Breaking(bl.Strategy):
    """Fails from the moment on at which it is told to."""

    timeframes = ("1m",)

    def __init__(self) -> None:
        super().__init__()
        self.broken = False

    def signals(self, data: bl.Frames) -> bl.Signals:
        if self.broken:
            raise ValueError("out of ideas")
        never = data.frame["close"] < 0
        return bl.Signals(entry=never, exit=never)


def health_page(bot: Any) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"{bot.url}/health") as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_failing_strategy_is_red_wherever_the_bot_is_seen(
    bot: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    strategy = Breaking()
    bot.trade(strategy, "BTC/USDT", name="mine")
    assert health_page(bot)[0] == 200 and "unhealthy" not in repr(bot)
    strategy.broken = True
    bot.wait(180, progress=False)
    words = "the strategy 'mine' is failing: 3 candles in a row since 2026-01-05 00:0"
    assert f"unhealthy: {words}" in repr(bot)
    assert "ValueError: out of ideas" in bot._repr_html_() and "unhealthy" in bot._repr_html_()
    status, page = health_page(bot)
    assert status == 503 and any(reason.startswith(words) for reason in page["reasons"])
    assert page["strategies"][0]["state"] == "failing" and page["strategies"][0]["count"] == 3
    assert bot.strategies["state"].tolist() == ["failing"]
    card = bot.strategies._repr_html_()
    assert re.search(f"color:{Tone.BAD}[^>]*>failing<", card), card
    assert "min-width:16em" in card  # the reason is a sentence, not a column of words
    assert "out of ideas" in bot.strategies["detail"][0]
    told = capsys.readouterr().err
    assert told.count("ValueError: out of ideas") == 1 and "in signals" in told
    bot.stop()
    summary = bot.summary()
    assert "strategy mine" in str(summary) and "failing" in str(summary) and not summary.healthy


def test_a_strategy_whose_entries_are_refused_is_yellow(bot: Any) -> None:
    class Always(bl.Strategy):
        timeframes = ("1m",)

        def signals(self, data: bl.Frames) -> bl.Signals:
            yes = data.frame["close"] > 0
            return bl.Signals(entry=yes, exit=~yes)

    bot.kill("a person said so")
    bot.trade(Always(), "BTC/USDT", name="mine")
    bot.wait(120, progress=False)
    warning = bot.health().warnings[0]
    assert "the strategy 'mine' is refused: 2 entries in a row" in warning
    assert "a person said so" in warning and warning in bot._repr_html_().replace("&#x27;", "'")


@pytest.mark.kernel
@pytest.mark.timeout(240)
def test_a_run_in_which_a_strategy_never_worked_fails_and_told_so_in_its_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    cells = (CONNECT, STRATEGY, "bot.trade(Late(), 'BTC/USDT', name='mine')", BREAK, "bot.stop()")
    notebook = write_notebook(tmp_path / "run.ipynb", *cells)
    result = CliRunner().invoke(main, ["run", str(notebook)])
    assert result.exit_code == 1, result.output
    assert "A strategy never worked: the strategy 'mine' is failing: 3 candles" in result.output
    assert "FAILED after" in result.output and "ended well" not in result.output
    (executed,) = (tmp_path / "data" / "runs" / "run").glob("*.ipynb")
    outputs = nbformat.read(executed, as_version=4).cells[3].outputs
    told = "".join(one.text for one in outputs if one.output_type == "stream")
    assert "The strategy 'mine' failed on the candle of BTC/USDT 1m of 2026-01-05 00:0" in told
    assert "Cell In[2], line 7, in signals" in told and "# the line that is shown" in told
    assert "KeyError: 'rsi'" in told and "botlib/" not in told
    assert told.count("KeyError") == 1
