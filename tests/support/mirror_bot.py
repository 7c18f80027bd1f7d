"""A bot in a process of its own, on a mirror that others share: ``URL ACCOUNT FAST SLOW``."""

from __future__ import annotations

import json
import sys
import time

import botlib as bl

LIMIT = 150.0


def main(url: str, account: str, fast: int, slow: int) -> None:
    """Trade until three fills, wait for a line on stdin, and print what was traded."""
    bot = bl.connect(
        symbols=["BTC/USDT"],
        timeframes=["1m"],
        history=60,
        strategies=[
            {
                "name": "trend",
                "strategy": "TrendCross",
                "symbol": "BTC/USDT",
                "parameters": {"fast": fast, "slow": slow},
            }
        ],
        health={"port": 0},
        paper={"url": url, "account": account, "balances": {"USDT": 5_000}},
    )
    end = time.monotonic() + LIMIT
    while bot.aio.engine.orders.fills < 3 and time.monotonic() < end:
        time.sleep(0.1)
    sys.stdout.write("traded\n")
    sys.stdout.flush()
    sys.stdin.readline()
    engine = bot.aio.engine
    found = {
        "venue": engine.venue,
        "kind": engine.kind,
        "database": engine.database,
        "orders": sorted(bot.orders()["client_order_id"]),
        "fills": len(bot.fills()),
    }
    bot.stop()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
