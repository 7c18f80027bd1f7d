"""The condition of a strategy: derived from its work, never green while nothing works."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from botlib.core.errors import ConfigError, InvalidInput
from botlib.core.text.cards import Tone
from botlib.engine import Orchestrator
from botlib.engine.strategies.condition import StrategyCondition, StrategyState
from botlib.frames import Frames
from botlib.strategies import TrendCross
from botlib.strategy import Signals, Strategy

MakeEngine = Callable[..., Awaitable[Orchestrator]]
MINUTE = 60


class Scripted(Strategy):
    """Does what its attribute ``act`` says."""

    timeframes = ("1m",)
    need: int = 0

    def __init__(self, act: str = "quiet", **parameters: Any) -> None:
        super().__init__(**parameters)
        self.act = act

    @property
    def warmup(self) -> int:
        return self.need

    def signals(self, data: Frames) -> Any:
        if self.act == "raise":
            raise ValueError("no such column: rsi")  # the line that is shown
        if self.act == "series":
            return data.frame["close"] > 0
        never = pd.Series(False, index=data.frame.index)
        last = pd.Series(data.frame.index == data.frame.index[-1], index=data.frame.index)
        return Signals(entry=last if self.act == "enter" else never, exit=never)


def condition(engine: Orchestrator, name: str = "mine") -> StrategyCondition:
    return next(one for one in engine.health().strategies if one.name == name)


async def started(make: MakeEngine, act: str = "quiet", **changes: Any) -> tuple[Any, Scripted]:
    engine = await make(strategies=[], **changes)
    strategy = Scripted(act)
    await engine.trade(strategy, "BTC/USDT", name="mine")
    return engine, strategy


async def test_a_strategy_that_raises_on_every_candle_makes_the_bot_unhealthy(
    make_engine: MakeEngine,
) -> None:
    engine, strategy = await started(make_engine)
    assert engine.health().healthy
    strategy.act = "raise"
    await engine.wait(3 * MINUTE)
    found, health = condition(engine), engine.health()
    assert (found.state, found.count, found.tone) == (StrategyState.FAILING, 3, Tone.BAD)
    assert not health.healthy and "ValueError: no such column: rsi" in str(health.reasons)
    assert "3 candles in a row since 2026-01-05 00:" in found.detail
    assert engine.status()["strategies"][0]["state"] == "failing"
    strategy.act = "quiet"
    await engine.wait(MINUTE)
    assert condition(engine).state is StrategyState.QUIET and engine.health().healthy


async def test_the_first_failure_is_told_with_the_own_lines_of_the_strategy(
    make_engine: MakeEngine,
) -> None:
    told: list[str] = []
    engine, strategy = await started(make_engine, tell=told.append)
    strategy.act = "raise"
    await engine.wait(3 * MINUTE)
    assert len(told) == 1
    line = (
        inspect.getsource(Scripted)
        .split("\n")
        .index('            raise ValueError("no such column: rsi")  # the line that is shown')
        + inspect.getsourcelines(Scripted)[1]
    )
    assert f'test_condition.py, line {line}, in signals\n    raise ValueError("no such' in told[0]
    assert told[0].endswith("ValueError: no such column: rsi")
    assert told[0].count(", line ") == 1 and "botlib/" not in told[0]
    assert "the candle of BTC/USDT 1m of 2026-01-05 00:" in told[0]


@pytest.mark.parametrize(
    ("act", "words"),
    [
        ("raise", "ValueError: no such column: rsi"),
        ("series", "must return Signals(entry=..., exit=...), not Series"),
    ],
)
async def test_a_strategy_that_cannot_work_is_refused_when_it_is_started(
    make_engine: MakeEngine, act: str, words: str
) -> None:
    engine = await make_engine(strategies=[])
    with pytest.raises(ConfigError, match="was not started: asked about the newest") as refused:
        await engine.trade(Scripted(act), "BTC/USDT", name="mine")
    assert words in str(refused.value)
    assert engine.signals.strategies == {}


async def test_a_cost_above_a_cap_is_refused_when_the_strategy_is_started(
    make_engine: MakeEngine,
) -> None:
    engine = await make_engine(strategies=[], risk={"symbols": ["BTC/USDT"]})

    async def refused(words: str, symbol: str = "BTC/USDT", **more: Any) -> None:
        with pytest.raises(InvalidInput, match=words):
            await engine.trade(TrendCross(timeframes=("1m",), **more), symbol, name="t", **cost)

    cost: dict[str, Any] = {"order_cost": Decimal(3_000)}
    await refused(r"order_cost 3000 is above risk.max_order_cost 2000. Pass an order_cost of 2000")
    cost = {"order_cost": Decimal(1)}
    await refused(r"below the venue's least order")
    cost = {}
    await refused(r"risk.symbols allows BTC/USDT, not ETH/USDT", symbol="ETH/USDT")
    await refused(r"its stop at .* below the venue's least price", stop_loss=0.9)
    assert engine.signals.strategies == {}


def test_a_configured_cost_above_a_cap_is_refused_with_the_configuration() -> None:
    from botlib.config import Settings

    entry = {"name": "t", "strategy": "TrendCross", "symbol": "BTC/USDT", "order_cost": 3_000}
    with pytest.raises(ConfigError, match=r"spends 3000 per entry, which is above risk.max_order"):
        Settings.from_dict({"strategies": [entry]})
    assert Settings.from_dict({"strategies": [entry], "risk": {"max_order_cost": 3_000}})


async def test_refused_entries_are_counted_and_make_the_strategy_yellow(
    make_engine: MakeEngine,
) -> None:
    engine, _ = await started(make_engine, "enter")
    limits, engine.risk.limits = (
        engine.risk.limits,
        replace(engine.risk.limits, max_exposure=Decimal(900)),
    )
    await engine.wait(4 * MINUTE)
    found, health = condition(engine), engine.health()
    assert (found.state, found.count, found.tone) == (StrategyState.REFUSED, 4, Tone.WARN)
    assert not found.worked and health.healthy and health.word == "healthy with warnings"
    assert "4 entries in a row since" in found.detail and "max_exposure" in found.detail
    assert engine.status()["strategies"][0]["refusals"] == 4
    engine.risk.limits = limits
    await engine.wait(2 * MINUTE)
    found = condition(engine)
    # It goes on to signal while it holds: what is held already is no refusal.
    assert (found.state, found.worked) == (StrategyState.WORKING, True), found
    assert "held already" in engine.orders.refused["mine"]


async def test_a_strategy_without_candles_or_warmup_says_so(make_engine: MakeEngine) -> None:
    engine = await make_engine(strategies=[], health={"port": 0, "candle_deadline": 1})
    blind = Scripted()
    await engine.trade(blind, "BTC/USDT", name="mine")
    blind.need = 5_000  # more than the market has
    await engine.wait(2 * MINUTE)
    found = condition(engine)
    assert found.state is StrategyState.BLIND and "of 5000 candles" in found.detail
    assert not found.worked and engine.health().healthy and engine.health().warnings
    await engine.trade(Scripted(), "BTC/USDT", name="mine")
    assert condition(engine).detail == "its first candle of 1m has not closed yet"
    await engine.tasks.stop_task("signal_generation")
    found = condition(engine)
    assert found.state is StrategyState.STARVED and not engine.health().healthy
    assert "signal_generation, which asks it, is stopped" in found.detail
    await engine.tasks.start_task("signal_generation")
    engine.market_clock.advance(engine.market_clock.now() + 300_000)
    found = condition(engine)
    assert found.state is StrategyState.STARVED and "has not closed" in found.detail
