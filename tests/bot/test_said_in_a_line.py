"""What changes hands without being asked for is said in a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import botlib as bl
from botlib.core.errors import ConfigError

Connect = Callable[..., Any]


class Buys(bl.Strategy):
    """Holds from the first candle on."""

    timeframes = ("1m",)
    number: int = 1

    def signals(self, data: bl.Frames) -> bl.Signals:
        yes = pd.Series(True, index=data.index)
        return bl.Signals(entry=yes, exit=~yes)


@pytest.fixture
def connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    bots: list[Any] = []

    def call(**changes: Any) -> Any:
        settings: dict[str, Any] = {"symbols": "BTC/USDT", "timeframes": "1m", "history": 30}
        paper = {"lockstep": True, "start": "2026-01-05"}
        bots.append(bl.connect(**{**settings, "health": {"port": 0}, "paper": paper, **changes}))
        return bots[-1]

    yield call
    for bot in bots:
        bot.stop()


def test_a_bot_trades_nothing_until_it_is_told(connect: Connect) -> None:
    bot = connect()
    bot.wait("2h", progress=False)
    assert len(bot.strategies) == 0 and len(bot.orders()) == 0
    assert "No strategy trades: bot.trade(strategy, symbol" in bot._repr_html_()
    assert bot.health().healthy


def test_a_strategy_that_is_replaced_says_what_it_takes_over_and_what_is_lost(
    connect: Connect, capsys: pytest.CaptureFixture[str]
) -> None:
    bot = connect()
    bot.trade(Buys(stop_loss=0.05), "BTC/USDT", name="mine")
    assert capsys.readouterr().out == ""
    bot.wait("2m", progress=False)
    assert len(bot.aio.engine.orders.ledger.stops("BTC/USDT")) == 1
    bot.trade(Buys(number=2), "BTC/USDT", name="mine")
    said = capsys.readouterr().out
    assert "mine replaces Buys(stop_loss=0.05) on BTC/USDT." in said
    assert "mine takes over 0.0" in said
    assert "is taken away, as the new one has none" in said
    bot.trade(Buys(number=2), "BTC/USDT", name="mine")
    assert capsys.readouterr().out == ""  # the same again changes nothing
    bot.stop()
    # After a restart the name takes over what it held.
    bot = connect(history=40)
    capsys.readouterr()
    bot.trade(Buys(number=2), "BTC/USDT", name="mine")
    assert "mine takes over 0.0" in capsys.readouterr().out


def test_other_settings_say_which_and_what_ends_with_the_bot(
    connect: Connect, capsys: pytest.CaptureFixture[str]
) -> None:
    bot = connect()
    bot.trade(Buys(), "BTC/USDT", name="mine")

    @bot.task(interval="1h")
    async def look() -> None: ...

    capsys.readouterr()
    assert connect() is bot and capsys.readouterr().out == ""
    connect(risk={"max_order_cost": 500})
    said = capsys.readouterr().out
    assert said.startswith("Other settings (risk): the PAPER bot is replaced.")
    assert "until it is started again: mine." in said and "the tasks look." in said


def test_arming_without_a_file_is_refused_and_the_bot_stays(connect: Connect) -> None:
    bot = connect()
    with pytest.raises(ConfigError, match="configuration says 'mode: paper'"):
        connect(live=True)
    assert bot.aio.engine.started


def test_a_span_that_a_running_bot_clips_is_said(
    connect: Connect, capsys: pytest.CaptureFixture[str]
) -> None:
    bot = connect()
    bot.candles("BTC/USDT", "1m", until=bot.market_time())
    assert "asked for" not in capsys.readouterr().out
    bot.candles("BTC/USDT", "1m", until="2030-01-01")
    assert "asked for 2030-01-01" in capsys.readouterr().out
