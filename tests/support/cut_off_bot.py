"""A bot that is killed after an order is journaled and before its request leaves.

Run as a program of its own: ``cut_off_bot.py URL DIRECTORY ROLE``. It buys on the paper exchange at
the address, and kills itself (``kill -9``) in place of the first request for an order of the role.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Never
from unittest.mock import patch

from botlib.config import Settings
from botlib.core.model import OrderIntent
from botlib.engine import Orchestrator
from botlib.paper import PaperControl
from botlib.trading.stops import StopRules
from botlib.venues.base import OrderReport
from botlib.venues.binance.venue import BinanceExchange
from tests.support.order_stage import SETTINGS, Trader


def settings(url: str, directory: Path) -> Settings:
    """Return the settings of the bot, and of the one that comes after it."""
    changes = {"paper": {"url": url}, "data_directory": directory}
    return Settings().override(SETTINGS).override(changes)


async def buy_until_killed(url: str, directory: Path, role: str) -> Never:
    """Buy, and be killed before an order of a role is sent."""
    place = BinanceExchange.place_order

    async def place_order(self: BinanceExchange, intent: OrderIntent) -> OrderReport:
        if intent.role == role:
            os.kill(os.getpid(), signal.SIGKILL)
        return await place(self, intent)

    with patch.object(BinanceExchange, "place_order", place_order):
        engine = Orchestrator(settings(url, directory))
        await engine.start()
        trader = Trader(engine, PaperControl(url), ["cut-off"])
        engine.orders.register(*trader.key, StopRules(stop_loss=0.05))
        await trader.until(engine.parts.executions.connected.is_set)
        trader.signal()
        await asyncio.Event().wait()
        raise AssertionError("the bot was not killed")


if __name__ == "__main__":
    asyncio.run(buy_until_killed(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
