"""One equity: every place shows the same figure for the same moment, and none without a price."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import botlib as bl
from botlib.core.text.formats import THIN
from botlib.views.dashboard import DashboardFeed

Connect = Callable[..., Any]


class Buys(bl.Strategy):
    """Holds from the first candle on."""

    timeframes = ("1m",)

    def signals(self, data: bl.Frames) -> bl.Signals:
        yes = pd.Series(True, index=data.index)
        return bl.Signals(entry=yes, exit=~yes)


@pytest.fixture
def connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    bots: list[Any] = []

    def call(**paper: Any) -> Any:
        settings = {"symbols": ["BTC/USDT"], "timeframes": ["1m"], "history": 30}
        pace = {"lockstep": True, "start": "2026-01-05", **paper}
        bots.append(bl.connect(**settings, strategies=[], health={"port": 0}, paper=pace))
        return bots[-1]

    yield call
    for bot in bots:
        bot.stop()


def shown(bot: Any) -> dict[str, str]:
    """Return the equity as each place shows it."""
    line = re.search(rf"([\d{THIN}]+\.\d\d) USDT", repr(bot))
    assert line is not None
    state = DashboardFeed(bot.aio.engine).state()
    return {
        "line": line[1].replace(THIN, ""),
        "dashboard": f"{state['account']['equity']:.2f}",
        "curve": f"{state['curve']['values'][-1]:.2f}",
        "summary": bot.summary().equity,
        "venue": f"{bot.equity():.2f}",
    }


def test_every_place_shows_the_same_equity_in_lockstep(connect: Connect) -> None:
    bot = connect()
    bot.trade(Buys(), "BTC/USDT", name="buys", order_cost=2_000)
    seen = set()
    for span in ("1m", "1m", "7m", "5h"):
        # Far quicker than the 30 s of wall time between two looks at the balances.
        bot.wait(span, progress=False)
        assert len(set(shown(bot).values())) == 1, shown(bot)
        seen.add(shown(bot)["line"])
    assert len(seen) == 4
    curve = bot.aio.engine.account.curve.values
    assert len(curve) > 100  # one value a candle, not one a look at the balances


def test_the_curve_of_a_bot_that_reconnects_does_not_begin_with_the_cash_alone(
    connect: Connect,
) -> None:
    bot = connect()
    bot.trade(Buys(), "BTC/USDT", name="buys", order_cost=2_000)
    bot.wait("10m", progress=False)
    bot.stop()
    again = connect(fee=0.0011)  # another setting, so that it is another bot
    curve = again.aio.engine.account.curve.values
    assert curve[0] > 9_900, "what is held has no price yet"
    assert float(again.summary().equity_start) > 9_900
    assert len(set(shown(again).values())) == 1
