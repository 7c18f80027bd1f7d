"""Strategies that learn, on a paper exchange: at the start, on schedule, and when it fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest

from botlib.core.errors import ConfigError
from botlib.core.text.cards import Tone
from botlib.core.timeframe import MINUTE
from botlib.engine import Orchestrator
from botlib.engine.strategies.condition import StrategyCondition, StrategyState
from botlib.frames import Frames
from botlib.store import CandleStorage, Database
from botlib.strategy import Signals, Strategy
from tests.engine.strategies.test_signals import Setup, candle

MakeEngine = Callable[..., Awaitable[Orchestrator]]


class Learner(Strategy):
    """It notes what it learns from and what it is asked on."""

    timeframes = ("1m",)
    train_candles = 40
    refit_every = 5
    fits: ClassVar[list[tuple[int, pd.Timestamp]]] = []
    asked: ClassVar[list[tuple[pd.Timestamp, pd.Timestamp]]] = []
    broken: ClassVar[bool] = False

    def fit(self, train: Frames) -> None:
        if self.broken:
            raise ValueError("the matrix is singular")
        assert not hasattr(self, "level"), "it learns on a new object"
        self.fits.append((len(train.index), train.index[-1]))
        self.level = float(train.frame["close"].mean())

    def signals(self, data: Frames) -> Signals:
        below = data.frame["close"] < self.level
        if self.training is not None:
            self.asked.append((self.training.last, data.index[-1]))
        return Signals(entry=below, exit=~below)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    Learner.fits.clear()
    Learner.asked.clear()
    yield
    Learner.broken = False


def condition(engine: Orchestrator) -> StrategyCondition:
    return next(one for one in engine.health().strategies if one.name == "mine")


async def test_it_learns_at_the_start_and_again_on_schedule(make_engine: MakeEngine) -> None:
    engine = await make_engine(strategies=[])
    await engine.trade(Learner(), "BTC/USDT", name="mine")
    assert len(Learner.fits) == 1, "before it is asked"
    await engine.wait(17 * 60)
    active = engine.signals.strategies["mine"]
    learned = [last for _, last in Learner.fits]
    steps = {after - before for before, after in pairwise(learned)}
    assert steps == {pd.Timedelta("5min")} and len(learned) in (4, 5)
    assert {count for count, _ in Learner.fits} == {40}
    assert active.fits == len(learned) and active.strategy.training is not None
    newest = {}
    for last, asked in Learner.asked:
        assert last <= asked, "it knows no candle that comes after the one it is asked on"
        newest[asked] = last
    assert all(asked - last <= pd.Timedelta("5min") for asked, last in newest.items())
    found = condition(engine)
    assert found.state in (StrategyState.WORKING, StrategyState.QUIET)
    assert f"learned from {active.strategy.training}" in found.detail


async def test_one_that_cannot_learn_again_goes_on_with_what_it_knows_and_says_so(
    make_engine: MakeEngine,
) -> None:
    told: list[str] = []
    engine = await make_engine(strategies=[], tell=told.append)
    await engine.trade(Learner(), "BTC/USDT", name="mine")
    before = engine.signals.strategies["mine"].strategy
    Learner.broken = True
    await engine.wait(8 * 60)
    assert engine.signals.strategies["mine"].strategy is before
    assert Learner.asked[-1][0] == before.training.last  # type: ignore[union-attr]
    found, health = condition(engine), engine.health()
    assert (found.state, found.tone) == (StrategyState.STALE, Tone.WARN)
    assert found.count >= 2 and "ValueError: the matrix is singular" in found.detail
    assert health.healthy and health.word == "healthy with warnings"
    heard = [text for text in told if "did not learn again" in text]
    assert len(heard) == 1 and "the matrix is singular" in heard[0], "told once"
    Learner.broken = False
    await engine.wait(2 * 60)
    assert condition(engine).state in (StrategyState.WORKING, StrategyState.QUIET)
    assert engine.signals.strategies["mine"].strategy is not before


async def test_one_that_cannot_learn_at_all_is_not_started(make_engine: MakeEngine) -> None:
    engine = await make_engine(strategies=[])

    class Vague(Learner):
        train_candles = 0

    with pytest.raises(ConfigError, match="does not say from how many: set train_candles"):
        await engine.trade(Vague(), "BTC/USDT", name="mine")
    Learner.broken = True
    with pytest.raises(ConfigError, match=r"(?s)was not started.*the matrix is singular"):
        await engine.trade(Learner(), "BTC/USDT", name="mine")
    assert "mine" not in engine.signals.strategies
    Learner.broken = False
    frame = engine.stored.storage.frame("BTC/USDT", "1m", None, None, 30)
    given = Vague().fitted(Frames("BTC/USDT", {"1m": frame}))
    await engine.trade(given, "BTC/USDT", name="mine")
    assert engine.signals.strategies["mine"].strategy is given


async def test_one_of_the_settings_and_one_that_is_followed_learn_as_well(
    make_engine: MakeEngine,
) -> None:
    entry = {
        "name": "mine",
        "symbol": "BTC/USDT",
        "strategy": f"{Learner.__module__}:Learner",
        "order_cost": 100,
    }
    engine = await make_engine(strategies=[entry])
    await engine.wait(2 * 60)
    training = engine.signals.strategies["mine"].strategy.training
    assert training is not None and training.candles == 40
    assert condition(engine).state in (StrategyState.WORKING, StrategyState.QUIET)
    await engine.roster.follow(Learner(), "BTC/USDT", name="seen")
    known = engine.signals.strategies["seen"].strategy.training
    assert known is not None
    past = [signal for signal in engine.signals.history.all() if signal.signal.strategy == "seen"]
    assert not past, "of candles that it has learned from, its signals say nothing"


async def test_nothing_waits_while_it_learns_again(tmp_path: Path) -> None:
    release = threading.Event()

    class Slow(Learner):
        train_candles = 3
        refit_every = 2

        def fit(self, train: Frames) -> None:
            if self.fits:
                release.wait(60)
            super().fit(train)

    with Database.open(tmp_path / "c.db", "paper:synthetic:seed=1") as database:
        setup = Setup(CandleStorage(database))
        setup.storage.write([candle(n * MINUTE) for n in range(4)], now=1)
        active = setup.trade(Slow())
        async with setup.running():
            for n in range(4, 10):
                await setup.close(candle(n * MINUTE))
            assert active.evaluations == 6 and len(Learner.fits) == 1
            first = active.strategy
            release.set()
            assert active.fitting is not None
            await asyncio.wait_for(active.fitting, 60)
            assert active.strategy is not first and active.fits == 2
            await setup.close(candle(10 * MINUTE))
            models = sorted({model for model, _ in Learner.asked})
            assert models == [last for _, last in Learner.fits][:2]
            assert active.errors == 0
