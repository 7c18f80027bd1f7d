"""CPU and memory of an idle bot: one symbol at three timeframes, at the speed of the market.

The baseline is a process that has only imported ccxt.pro and pandas and loaded the markets. Both
use a paper exchange of their own, whose cost is not counted.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from benchmarks.measuring import Row, Size, result_of

WATCHED: Final = 60.0
BASELINE_WATCHED: Final = 2.0
SETTLED: Final = 5.0
"""Seconds the idle bot and the baseline are watched for, and those given to the bot before."""

LIMIT: Final = 300.0
"""Seconds for each process."""

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
        report(float(sys.argv[1]))
        await venue.close()

asyncio.run(main())
"""
)

_BOT = (
    _COMMON
    + """
import botlib as bl
bot = bl.connect(symbols=["BTC/USDT"], timeframes=["1m", "5m", "15m"], paper={"seed": 3})
bot.trade(bl.TrendCross(timeframes=("1m",)), "BTC/USDT", name="trend-btc")
time.sleep(float(sys.argv[2]))
report(float(sys.argv[1]))
bot.stop()
"""
)


def measure(size: Size = Size.USUAL) -> list[Row]:
    """Return CPU share of one core and memory in MB of both, with the ratio of memory."""
    part = 0.1 if size is Size.SMOKE else 1.0
    baseline = _run("baseline", _BASELINE, BASELINE_WATCHED * part)
    watched = 1.0 if size is Size.SMOKE else WATCHED
    bot = _run("idle bot", _BOT, watched, SETTLED * part)
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


def _run(name: str, code: str, *spans: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="bench-idle-") as directory:
        figures: dict[str, float] = result_of(
            name,
            ["-c", code, *map(str, spans)],
            limit=LIMIT,
            environment={"PYTHONWARNINGS": "ignore", "BOTLIB_HOME": directory},
            folder=Path(directory),
        )
    return figures
