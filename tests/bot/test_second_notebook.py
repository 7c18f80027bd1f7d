"""A second notebook on a paper market that has a bot already is told what to take."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import botlib as bl

pytestmark = pytest.mark.timeout(240)
SETTINGS: dict[str, Any] = {
    "symbols": "BTC/USDT",
    "timeframes": "1m",
    "history": 30,
    "health": {"port": 0},
}
OTHER = """
import sys, json, botlib as bl
changes = json.loads(sys.argv[1])
try:
    bot = bl.connect(symbols="BTC/USDT", timeframes="1m", history=30, health={"port": 0}, **changes)
except bl.BotlibError as error:
    print(error)
else:
    print(repr(bot))
    bot.stop()
"""


def other(changes: str = "{}") -> str:
    run = subprocess.run(
        [sys.executable, "-c", OTHER, changes], capture_output=True, text=True, timeout=120
    )
    return run.stdout.strip() or run.stderr


def test_a_second_bot_on_a_market_is_told_to_take_another_seed_or_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    bot = bl.connect(**SETTINGS)
    try:
        began = time.monotonic()
        said = other()
        took = time.monotonic() - began
        assert f"(process {os.getpid()}) trades on paper:synthetic:seed=42 already" in said
        assert "bl.connect(paper={'seed': 43})" in said and "ledger" not in said
        url = bot.aio.engine.paper.url
        assert f"bl.connect(paper={{'url': '{url}', 'account': 'second'}})" in said
        # Both ways that it names are open.
        assert other('{"paper": {"seed": 43}}').startswith("PAPER · paper:synthetic:seed=43")
        joined = other(f'{{"paper": {{"url": "{url}", "account": "second"}}}}')
        assert joined.startswith("PAPER · paper:synthetic:seed=42/second · connected"), joined
        assert took < 60
    finally:
        bot.stop()
    assert other().startswith("PAPER · paper:synthetic:seed=42 · connected")
