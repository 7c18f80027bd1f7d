"""Symbols and timeframes that come and go while an engine runs, on a real paper exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pandas as pd
import pytest

from botlib.core.errors import InvalidInput, UnknownSymbol, UnknownTimeframe
from botlib.engine import Orchestrator
from botlib.frames import Frames
from botlib.strategies import TrendCross
from botlib.strategy import Signals, Strategy

MakeEngine = Callable[..., Awaitable[Orchestrator]]

MINUTE = 60_000


class BuyAndHold(Strategy):
    """Buys on every candle, and never sells."""

    timeframes = ("1m",)
    stop_loss = 0.05

    def signals(self, data: Frames) -> Signals:
        yes = pd.Series(True, index=data.index)
        return Signals(entry=yes, exit=~yes)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(90):
        while not condition():  # noqa: ASYNC110 - not everything publishes an event
            await asyncio.sleep(0.05)


def streamed(engine: Orchestrator) -> set[tuple[str, str]]:
    return {(one.symbol, one.timeframe) for one in engine.stream.status().subscriptions}


async def test_a_watched_symbol_has_its_history_and_goes_on_live(make_engine: MakeEngine) -> None:
    engine = await make_engine(strategies=[], timeframes=["1m"])
    assert await engine.watch("SOLUSDT", ["1m", "5m"]) == [("SOL/USDT", "1m"), ("SOL/USDT", "5m")]
    assert await engine.watch("SOL/USDT", ["1m"]) == []
    assert streamed(engine) == set(engine.subscriptions())
    before = engine.storage.last_closed("SOL/USDT", "1m")
    assert len(engine.storage.candles("SOL/USDT", "1m")) >= 60 and before is not None
    assert engine.frames.last_close("SOL/USDT") is not None
    await engine.wait(600)
    assert engine.storage.last_closed("SOL/USDT", "1m") == before + 10 * MINUTE
    assert engine.health().healthy, engine.health().reasons


async def test_a_watched_symbol_survives_a_reconnection(make_engine: MakeEngine) -> None:
    engine = await make_engine(strategies=[], timeframes=["1m"])
    await engine.watch("SOL/USDT", ["1m"])
    await engine.wait(120)
    assert engine.paper is not None
    await engine.paper.control.fault("reset", target="streams")
    await until(lambda: sum(one.dials for one in engine.stream.status().connections) > 1)
    await engine.wait(300)
    times = [one.timestamp for one in engine.storage.candles("SOL/USDT", "1m")]
    assert times == list(range(times[0], times[-1] + MINUTE, MINUTE))
    assert times[-1] == engine.storage.last_closed("BTC/USDT", "1m")


async def test_health_counts_a_watched_symbol(make_engine: MakeEngine) -> None:
    engine = await make_engine(strategies=[], timeframes=["1m"])
    await engine.watch("SOL/USDT", ["1m"])
    engine.market_clock.advance(engine.market_clock.now() + 3_600_000)
    assert any("SOL/USDT 1m" in reason for reason in engine.health().reasons)


async def test_what_the_venue_does_not_have_is_refused_and_nothing_stays(
    make_engine: MakeEngine,
) -> None:
    engine = await make_engine(strategies=[])
    before = streamed(engine)
    with pytest.raises(UnknownSymbol, match="Did you mean 'SOL/USDT'"):
        await engine.watch("SOLL/USDT", ["1h"])
    with pytest.raises(UnknownTimeframe):
        await engine.watch("SOL/USDT", ["1m", "7m"])
    assert streamed(engine) == before == set(engine.subscriptions())


async def test_a_symbol_that_is_not_traded_is_refused(make_engine: MakeEngine) -> None:
    engine = await make_engine(strategies=[])
    assert engine.paper is not None
    await engine.paper.control.fault("halt", symbol="SOL/USDT")
    await engine.exchange.reload_market("SOL/USDT")
    with pytest.raises(InvalidInput, match="does not trade it now"):
        await engine.watch("SOL/USDT", ["1m"])


async def test_a_history_that_does_not_come_leaves_nothing_behind(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await make_engine(strategies=[], timeframes=["1m"])

    async def never(keys: object = None) -> None:
        raise InvalidInput("no history")

    monkeypatch.setattr(engine, "_wait_for_history", never)
    with pytest.raises(InvalidInput, match="no history"):
        await engine.watch("SOL/USDT", ["1m"])
    assert streamed(engine) == {("BTC/USDT", "1m")} == set(engine.subscriptions())
    await engine.wait(180)
    assert engine.health().healthy, engine.health().reasons


async def test_what_a_strategy_or_a_position_needs_stays(make_engine: MakeEngine) -> None:
    engine = await make_engine(strategies=[], timeframes=["1m"])
    await engine.trade(BuyAndHold(), "SOL/USDT", name="hold")
    with pytest.raises(InvalidInput, match=r"the strategy 'hold' needs it; bot\.stop_strategy"):
        await engine.unwatch("SOL/USDT")
    await engine.wait(180)
    assert engine.positions.get("SOL/USDT").amount > 0
    engine.roster.stop("hold")
    with pytest.raises(InvalidInput, match=r"is held.*bot\.close_position"):
        await engine.unwatch("SOL/USDT")
    await engine.close_position("SOL/USDT")
    assert await engine.unwatch("SOL/USDT") == [("SOL/USDT", "1m")]
    with pytest.raises(InvalidInput, match="is not streamed"):
        await engine.unwatch("SOL/USDT")
    with pytest.raises(InvalidInput, match="nothing else is streamed"):
        await engine.unwatch("BTC/USDT")
    await engine.wait(180)
    assert streamed(engine) == {("BTC/USDT", "1m")}
    assert engine.health().healthy, engine.health().reasons


async def test_a_stopped_strategy_is_not_asked_and_its_position_stays_protected(
    make_engine: MakeEngine,
) -> None:
    engine = await make_engine(strategies=[], timeframes=["1m"])
    active = await engine.trade(BuyAndHold(), "BTC/USDT", name="hold")
    await engine.wait(180)
    asked, held = active.evaluations, engine.positions.get("BTC/USDT").amount
    assert asked and held > 0
    assert engine.roster.stop("hold") is active
    await engine.wait(300)
    assert active.evaluations == asked
    assert engine.positions.get("BTC/USDT").amount == held
    assert [row["protection"] for row in engine.orders.book_rows()] == ["resting"]
    with pytest.raises(InvalidInput, match=r"no strategy 'hold'.*Running are: none"):
        engine.roster.stop("hold")


async def test_a_traded_symbol_counts_in_the_equity_and_is_no_profit(
    make_engine: MakeEngine,
) -> None:
    paper = {"lockstep": True, "start": "2026-01-05", "balances": {"USDT": 10_000, "SOL": 5}}
    engine = await make_engine(strategies=[], timeframes=["1m"], paper=paper)
    before = await engine.account.value()
    await engine.trade(TrendCross(timeframes=("4h",)), "SOL/USDT", name="x")
    assert engine.run_start is not None
    assert await engine.account.value() > before
    assert await engine.account.value() == engine.run_start.equity
    with pytest.raises(InvalidInput, match="quoted in BTC"):
        await engine.trade(TrendCross(timeframes=("1m",)), "ETH/BTC", name="y")
    assert ("ETH/BTC", "1m") not in engine.subscriptions()


async def test_a_symbol_that_is_held_is_streamed_at_the_next_start(make_engine: MakeEngine) -> None:
    first = await make_engine(strategies=[], timeframes=["1m"])
    await first.trade(BuyAndHold(), "SOL/USDT", name="hold")
    await first.wait(180)
    held = first.positions.get("SOL/USDT").amount
    equity = await first.account.value()
    await first.stop()
    second = await make_engine(strategies=[], timeframes=["1m"])
    assert second.positions.get("SOL/USDT").amount == held > 0
    assert ("SOL/USDT", "1m") in streamed(second)
    assert abs(await second.account.value() - equity) < 50
