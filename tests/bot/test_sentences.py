"""Mistakes of a first hour are answered by a sentence that says what to write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import botlib as bl
from botlib.bot.names import unknown_name
from botlib.config import Settings
from botlib.core.errors import BotlibError, ConfigError
from tests.support.samples import market

HOURS = market(300)
CLASS: Any = bl.TrendCross
OBJECT: Any = bl.TrendCross(fast=7)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bl.backtest(CLASS, HOURS), "not the class TrendCross. Make one: TrendCross("),
        (lambda: bl.check(CLASS, HOURS), "not the class TrendCross"),
        (lambda: bl.simulate(strategies=CLASS), "not the class TrendCross"),
        (lambda: bl.backtest("x", HOURS), "a strategy such as bl.TrendCross(fast=10"),  # type: ignore[arg-type]
        (lambda: bl.sweep(OBJECT, HOURS, fast=[1]), "sweep takes the class TrendCross, since"),
        (
            lambda: bl.walk_forward(OBJECT, HOURS, train=9, test=9, fast=[1]),
            "walk_forward takes the class TrendCross",
        ),
        (lambda: bl.TrendCross(10, 30), "given by name: TrendCross(fast=10, slow=30)"),
    ],
)
def test_a_class_for_an_object_and_the_reverse(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        call()
    assert words in str(refused.value)


def test_one_symbol_and_one_timeframe_need_no_list() -> None:
    settings = Settings().override({"symbols": "BTC/USDT", "timeframes": "5m"})
    assert (settings.symbols, settings.timeframes) == (("BTC/USDT",), ("5m",))


def test_settings_are_refused_without_words_of_their_library() -> None:
    with pytest.raises(ConfigError) as refused:
        Settings().override({"symbols": 5, "timeframes": "1x"})
    text = str(refused.value)
    assert "Pydantic" not in text and "default factory" not in text
    assert "symbols: accepted is a list; received 5" in text and "'1x'" in text
    with pytest.raises(ConfigError, match=r"started by bot.trade\(strategy, symbol"):
        Settings().override({"strategies": [bl.TrendCross(timeframes=("1m",))]})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("buy", "bot.trade(strategy, symbol"),
        ("sell", "bot.close_position(symbol) sells"),
        ("create_order", "bot.orders() lists"),
        ("balance", "bot.equity()"),
        ("candels", "Did you mean 'candles'?"),
    ],
)
def test_a_bot_says_what_to_use_in_place_of_a_name_it_has_not(name: str, words: str) -> None:
    error = unknown_name(name, ["candles", "trade"])
    assert words in str(error) and isinstance(error, BotlibError)
    assert isinstance(error, AttributeError)  # so that hasattr() and getattr() go on to work
