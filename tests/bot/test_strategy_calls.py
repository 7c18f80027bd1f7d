"""Strategies as a hand expects them: on, off, sold and forgotten, with what they earned."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import botlib as bl
from botlib.core.errors import InvalidInput
from botlib.views.dashboard import DashboardFeed


class Turns(bl.Strategy):
    """Enters on every even minute and leaves on every odd one, or stays in."""

    timeframes = ("1m",)
    stays: bool = False

    def signals(self, data: bl.Frames) -> bl.Signals:
        even = pd.Series(data.index.minute % 2 == 0, index=data.index)
        return bl.Signals(entry=even, exit=~even & (not self.stays))


def row(bot: Any, name: str) -> Any:
    return bot.strategies.set_index("name").loc[name]


def test_every_strategy_has_its_profit_by_day_and_by_round_trip(bot: Any) -> None:
    bot.trade(Turns(), "BTC/USDT", name="turns", order_cost=100)
    bot.trade(Turns(stays=True), "BTC/USDT", name="stays", order_cost=100)
    bot.wait("10m", progress=False)
    turns, stays = row(bot, "turns"), row(bot, "stays")
    trips = bot.round_trips("turns")
    finished = trips.dropna(subset="closed")
    assert turns["state"] == "working" and turns["trips"] == len(finished) >= 3
    assert turns["today"] == pytest.approx(trips["profit"].sum())
    assert turns["won"] == (finished["profit"] > 0).sum()
    assert stays["held"] > 0 and stays["trips"] == 0 and stays["profit"] != 0
    assert len(bot.round_trips()) == len(trips) + 1
    days = bot.daily_profit()
    assert days["turns"].sum() == pytest.approx(turns["today"]) and len(days) == 1
    shown = DashboardFeed(bot.aio.engine).state()["strategies"]["rows"]["turns"]
    assert shown["trips"] == turns["trips"] and shown["day"] == round(turns["today"], 2)
    assert shown["can"][0] == "strategy_off"


def test_a_strategy_is_stopped_started_sold_and_removed(bot: Any) -> None:
    said = bot.trade(Turns(stays=True), "BTC/USDT", name="mine", order_cost=100)
    assert repr(said) == said == "mine: Turns(stays=True) on BTC/USDT"  # a cell shows no quotes
    bot.trade(Turns(stays=True), "BTC/USDT", name="other", order_cost=100)
    bot.wait("3m", progress=False)
    assert bot.stop_strategy("mine").startswith("mine is stopped")
    assert row(bot, "mine")["state"] == "off" and row(bot, "mine")["held"] > 0
    assert row(bot, "mine")["detail"].endswith("what it holds stays, without a stop")
    asked = row(bot, "mine")["asked"]
    bot.wait("2m", progress=False)
    assert row(bot, "mine")["asked"] == asked
    assert bot.flatten("mine").startswith("sell ")
    assert row(bot, "mine")["held"] < 1e-4 and row(bot, "other")["held"] > 1e-4
    assert "could be sold" in bot.flatten("mine")
    bot.start_strategy("mine")
    bot.wait("3m", progress=False)
    assert row(bot, "mine")["state"] == "working" and row(bot, "mine")["held"] > 1e-4
    bot.remove_strategy("mine")
    assert list(bot.strategies["name"]) == ["other"]
    with pytest.raises(InvalidInput, match="no strategy 'mine' to start again"):
        bot.start_strategy("mine")
    with pytest.raises(InvalidInput, match="Did you mean 'other'"):
        bot.flatten("othr")


async def press(feed: DashboardFeed, action: str) -> tuple[bool, str]:
    return await feed.answer(action, "mine")


def test_the_dashboard_turns_a_strategy_off_and_on_and_sells(bot: Any) -> None:
    bot.trade(Turns(stays=True), "BTC/USDT", name="mine", order_cost=100)
    bot.wait("3m", progress=False)
    feed = DashboardFeed(bot.aio.engine)

    def shown() -> Any:
        return feed.state()["strategies"]["rows"]["mine"]

    assert shown()["can"] == ["strategy_off", "flatten"]
    assert bot._runtime.call(press(feed, "strategy_off"))[0]
    assert shown()["state"] == "off" and shown()["can"][0] == "strategy_on"
    done, words = bot._runtime.call(press(feed, "flatten"))
    assert done and words.startswith("sell ")
    assert bot._runtime.call(press(feed, "strategy_on")) == (True, "mine is asked again")
    assert shown()["can"] == ["strategy_off"] or shown()["held"] != "0"
    assert bot._runtime.call(press(feed, "strategy_error")) == (True, "no error so far")
