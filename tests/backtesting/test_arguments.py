"""Arguments of research calls: a wrong one is named, and a bot, a lab and `bl` have the same."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import botlib as bl
from botlib.backtesting import compare
from botlib.backtesting.significance.overfitting import overfitting
from botlib.bot import Bot
from botlib.core.errors import BotlibError, ConfigError, InvalidInput
from botlib.indicators import warmup
from botlib.lab import Lab
from tests.support.backtests import flat, wandering

FRAME = wandering(300)
SERIES = pd.Series(np.arange(5_000.0))
TREND = bl.TrendCross(fast=3, slow=8, timeframes=("1m",))
CALLS: dict[Callable[..., Any], dict[str, Any]] = {
    bl.backtest: {"strategy": TREND, "data": FRAME},
    bl.check: {"strategy": TREND, "data": FRAME},
    bl.sweep: {"strategy": bl.TrendCross, "data": FRAME, "timeframes": "1m", "fast": [3]},
    bl.cross_validate: {
        "strategy": bl.TrendCross,
        "data": FRAME,
        "timeframes": "1m",
        "fast": [3],
    },
    bl.walk_forward: {
        "strategy": bl.TrendCross,
        "data": FRAME,
        "timeframes": "1m",
        "fast": [3],
        "train": 100,
        "test": 50,
    },
}


def refusal(call: Callable[..., Any], arguments: dict[str, Any]) -> str:
    with pytest.raises(BotlibError) as caught:
        call(**arguments)
    return str(caught.value)


def checked_names(call: Callable[..., Any], *others: str) -> list[str]:
    parameters = inspect.signature(call).parameters.values()
    named = [one.name for one in parameters if one.kind is not one.VAR_KEYWORD]
    return [name for name in named if name not in ("self", *others)]


def test_a_callable_metric_is_refused_with_the_names_of_metrics() -> None:
    message = refusal(bl.sweep, {**CALLS[bl.sweep], "metric": max})
    assert message.startswith("metric is the function max. Accepted: one of total_return, ")
    assert "sharpe" in message


def test_a_series_of_fees_is_refused_by_its_name_and_size() -> None:
    message = refusal(bl.backtest, {**CALLS[bl.backtest], "fee": SERIES})
    assert message.startswith("fee is a Series of 5\u2009000 values. Accepted: a fraction")


def test_a_series_as_a_stop_is_refused_without_its_values() -> None:
    message = refusal(bl.TrendCross, {"stop_loss": SERIES})
    assert message == (
        "TrendCross.stop_loss must be float or None, not a Series of 5\u2009000 values."
    )


def test_unknown_columns_of_signals_are_refused_with_those_there_are() -> None:
    flags = pd.Series([True])
    message = refusal(bl.Signals, {"entry": flags, "exits": flags})
    assert message.startswith("Signals has no column 'exits'. Accepted: Signals(entry=..., exit=")
    assert message.endswith("Did you mean 'exit'?")
    assert refusal(bl.Signals, {"entry": flags}).startswith("Signals lacks exit.")
    with pytest.raises(ConfigError, match="by name, not a Series of 1 values"):
        bl.Signals(flags, flags)  # type: ignore[misc]


def test_candles_by_symbol_are_refused_with_how_to_give_one_symbol() -> None:
    for call in (bl.backtest, bl.sweep):
        message = refusal(call, {**CALLS[call], "data": {"ETH/USDT": FRAME}})
        assert message.startswith("The key 'ETH/USDT' (str) of the candles is no timeframe.")
        assert "data['ETH/USDT'], and symbol='ETH/USDT'" in message


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_every_argument_of_a_wrong_type_is_named_in_one_line(call: Callable[..., Any]) -> None:
    for name in checked_names(call, "strategy", "data"):
        message = refusal(call, {**CALLS[call], name: SERIES})
        assert name in message and "Series" in message, message
        assert "Accepted: " in message or "not " in message, message
        assert "\n" not in message and "dtype" not in message, message


def test_a_misspelt_argument_is_refused_with_the_right_one() -> None:
    message = refusal(bl.backtest, {**CALLS[bl.backtest], "slipage": 0.1})
    assert message.startswith("backtest has no argument 'slipage'. Accepted: strategy, data, ")
    assert message.endswith("Did you mean 'slippage'?")


def test_the_calls_around_a_backtest_name_what_is_wrong(tmp_path: Path) -> None:
    result = bl.backtest(TREND, FRAME, symbol="BTC/USDT")
    assert refusal(compare, {"result": 1, "fills": []}).startswith("result is 1 (int). Accepted: ")
    message = refusal(compare, {"result": result, "fills": [1]})
    assert message.startswith("fills is 1 (int). Accepted: ")
    assert refusal(overfitting, {"returns": "all"}).startswith("returns is 'all' (str). Accepted:")
    assert "trials is 'all' (str)" in refusal(
        overfitting, {"returns": np.ones((4, 2)), "trials": "all"}
    )
    assert refusal(warmup, {"spec": SERIES}).startswith("An indicator is a text, not a Series of")
    assert "tolerance is '1%' (str)" in refusal(warmup, {"spec": "ema(9)", "tolerance": "1%"})
    assert refusal(result.report, {"path": 1}).startswith("path is 1 (int). Accepted: a path")
    assert refusal(result.plot, {"candles": "all"}).startswith("candles is 'all' (str).")
    assert refusal(result.tearsheet, {"bench": None}).startswith("tearsheet has no argument")


@pytest.mark.parametrize("name", ["backtest", "sweep", "walk_forward", "cross_validate", "check"])
def test_a_bot_a_lab_and_botlib_take_the_same_arguments(name: str) -> None:
    free, lab, bot = getattr(bl, name), getattr(Lab, name), getattr(Bot, name)
    # Where candles come from: a frame and its symbol, or a symbol and a span of what is stored.
    ours = set(checked_names(free)) - {"data", "symbol"}
    theirs = set(checked_names(lab)) - {"since", "until", "symbol"}
    # A strategy object has timeframes of its own.
    assert ours == theirs
    assert inspect.signature(bot) == inspect.signature(lab)
    assert ("timeframes" in ours) == (name not in ("backtest", "check"))


def test_a_lab_refuses_wrong_arguments_before_it_reads_candles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    lab = bl.research()
    usual = {"symbol": "BTC/USDT", "timeframe": "1h", "timeframes": ("1h",), "target": "x"}
    calls: list[Callable[..., Any]] = [lab.candles, lab.frames, lab.chart, lab.experiments]
    calls += [lab.market, lab.stored_candles, lab.data_report, lab.export]
    for call in calls:
        given = {name: usual[name] for name in checked_names(call) if name in usual}
        for name in checked_names(call):
            message = refusal(call, {**given, name: SERIES})
            assert message.startswith(f"{name} is a Series of 5\u2009000 values. Accepted: "), (
                message
            )
    for one in (lab.backtest, lab.check):
        for name in checked_names(one, "strategy", "start"):
            message = refusal(one, {"strategy": TREND, "symbol": "BTC/USDT", name: SERIES})
            assert message.startswith(f"{name} is a Series of 5\u2009000 values. Accepted: "), (
                message
            )
    assert "has no argument 'slipage'" in refusal(
        lab.backtest, {"strategy": TREND, "symbol": "BTC/USDT", "slipage": 0.1}
    )
    with pytest.raises(InvalidInput, match=r"venue is 1 \(int\)\. Accepted: "):
        bl.research(1)  # type: ignore[arg-type]


def test_a_text_is_one_timeframe_and_numbers_of_numpy_are_numbers() -> None:
    found = bl.sweep(
        bl.TrendCross,
        flat(*range(100, 160)),
        timeframes="1m",
        fast=[2, 3],
        slow=8,
        fee=np.float64(0.001),
        workers=0,
        progress=False,
    )
    assert len(found) == 2
