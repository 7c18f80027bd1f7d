"""What is left of a position and too little to be sold is dust, in every place alike."""

from __future__ import annotations

from typing import Any

from botlib.drill.strategy import Pulse
from botlib.views.dashboard import DashboardFeed


def test_positions_and_dashboard_agree_about_dust(bot: Any) -> None:
    bot.trade(Pulse(timeframes=("1m",), stop_loss=0.05), "BTC/USDT", name="pulse")
    for _ in range(10):
        bot.wait("1m", progress=False)
        if bot.positions["amount"].sum() > 0:
            break
    state = DashboardFeed(bot.aio.engine).state()
    assert state["positions"]["order"] == ["BTC/USDT"]
    assert bot.positions["dust"].tolist() == [0]
    bot.stop_strategy("pulse")
    bot.close_position("BTC/USDT")
    left = bot.positions.iloc[0]
    assert left["amount"] == 0 and 0 < left["dust"] < 1e-4
    state = DashboardFeed(bot.aio.engine).state()
    assert state["positions"]["order"] == [] and state["books"]["order"] == []
    assert bot.books.loc[0, "held"] == 0 and bot.books.loc[0, "dust"] == left["dust"]
    assert bot.strategies.loc[0, "held"] == 0
    assert "MISSING" not in bot.orders()._repr_html_() and "holds" not in bot.orders()._repr_html_()
