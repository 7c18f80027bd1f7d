"""What an idle bot costs: one symbol at three timeframes, at the market's own pace.

Beside it a process that has only imported ccxt.pro and pandas and loaded the markets. Both run
against a paper exchange of their own, whose cost is not counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

WATCHED = 60.0
"""Seconds the idle bot is watched for."""

_COMMON = """
import json, os, sys, time, psutil
me = psutil.Process()

def report(seconds):
    before = sum(me.cpu_times()[:2])
    begun = time.monotonic()
    time.sleep(seconds)
    spent = sum(me.cpu_times()[:2]) - before
    share = spent / (time.monotonic() - begun)
    print(json.dumps({"cpu": share, "rss": me.memory_info().rss}), flush=True)
"""

_BASELINE = (
    _COMMON
    + """
import asyncio
import ccxt.pro, pandas
from botlib.paper import PaperProcess

async def main():
    async with await PaperProcess.start(["--seed", "3"]) as paper:
        web = paper.url
        api = {"public": web + "/api/v3", "private": web + "/api/v3", "v1": web + "/api/v1"}
        venue = ccxt.pro.binance({
            "urls": {"api": api},
            "options": {"fetchMarkets": {"types": ["spot"]}, "fetchMargins": False,
                        "fetchCurrencies": False, "defaultType": "spot"},
        })
        await venue.load_markets()
        report(2)
        await venue.close()

asyncio.run(main())
"""
)

_BOT = (
    _COMMON
    + """
import botlib as bl
bot = bl.connect(symbols=["BTC/USDT"], timeframes=["1m", "5m", "15m"], paper={"seed": 3})
time.sleep(5)
report(float(sys.argv[1]))
bot.stop()
"""
)


def measure() -> list[dict[str, object]]:
    """Return CPU share of one core and memory in MB of both, with the ratio of memory."""
    baseline = _run(_BASELINE)
    bot = _run(_BOT, str(WATCHED))
    return [
        {
            "process": "ccxt.pro and pandas imported, markets loaded",
            "CPU share %": 100 * baseline["cpu"],
            "memory MB": baseline["rss"] / 1e6,
            "memory ratio": 1.0,
        },
        {
            "process": "idle bot, one symbol, 1m 5m 15m, speed 1",
            "CPU share %": 100 * bot["cpu"],
            "memory MB": bot["rss"] / 1e6,
            "memory ratio": bot["rss"] / baseline["rss"],
        },
    ]


def _run(code: str, *arguments: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        out = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=directory,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
    figures: dict[str, float] = json.loads(out.stdout.splitlines()[-1])
    return figures
