"""Protective stops of a whole engine: the same round trips as in a backtest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from botlib.backtesting import backtest
from botlib.backtesting.costs import Costs
from botlib.core.clock import utc
from botlib.core.model import OrderStatus, OrderType
from botlib.core.timeframe import open_time, timeframe_ms
from botlib.engine import Orchestrator
from botlib.frames import Frames
from botlib.strategy import Signals, Strategy

MakeEngine = Callable[..., Awaitable[Orchestrator]]
COST = Decimal(400)


class Always(Strategy):
    """Holds a position all the time, except for one candle in ``every``."""

    timeframes = ("1m",)
    every: int = 60

    def signals(self, data: Frames) -> Signals:
        index = data.frame.index
        minutes = index.to_numpy().astype("datetime64[m]").astype(int)
        leaving = pd.Series(minutes % self.every == 0, index=index)
        return Signals(entry=~leaving, exit=leaving)


Trip = tuple[Any, ...]


def opening(timestamp: int, timeframe: str) -> Any:
    return utc(open_time(timestamp, timeframe))


async def replayed(engine: Orchestrator, strategy: Strategy, hours: float) -> list[Trip]:
    await engine.trade(strategy, "BTC/USDT", name="s", order_cost=COST)
    await engine.wait(hours * 3600)
    assert engine.halts.first is None
    fills = engine.journal.fills("BTC/USDT")
    return [
        (
            opening(buy.timestamp, strategy.timeframes[0]),
            float(buy.price),
            float(buy.amount),
            opening(sale.timestamp, strategy.timeframes[0]),
            float(sale.price),
            float(sale.amount),
            float(sale.fee),
        )
        for buy, sale in zip(fills[::2], fills[1::2], strict=False)
    ]


def simulated(engine: Orchestrator, strategy: Strategy) -> pd.DataFrame:
    timeframe = strategy.timeframes[0]
    length = timeframe_ms(timeframe)
    rows = [
        (utc(c.timestamp).replace(tzinfo=None), c.open, c.high, c.low, c.close, c.volume)
        for c in engine.storage.candles("BTC/USDT", timeframe)
    ]
    names = ["timestamp", "open", "high", "low", "close", "volume"]
    frame = pd.DataFrame(rows, columns=names).set_index("timestamp")
    result = backtest(
        strategy,
        frame,
        symbol="BTC/USDT",
        costs=Costs.none(fee=0.001).changed(slippage=float(engine.settings.paper.market_slippage)),
        order_cost=float(COST),
        market=engine.exchange.market("BTC/USDT"),
        start=pd.Timestamp(open_time(engine.run_start.market_time, timeframe) + length, unit="ms"),
    )
    trips = result.roundtrips
    return trips[trips["reason"] != "open"]


def as_trips(frame: pd.DataFrame) -> list[Trip]:
    columns = ["entry_time", "entry_price", "amount", "exit_time", "exit_price", "sold", "exit_fee"]
    return [
        tuple(
            value.tz_localize("UTC").to_pydatetime() if isinstance(value, pd.Timestamp) else value
            for value in row
        )
        for row in frame[columns].itertuples(index=False)
    ]


@pytest.mark.parametrize(
    "stops",
    [
        {"stop_loss": 0.001},
        {"trailing_stop": 0.001},
        {"stop_loss": 0.0007, "trailing_stop": 0.0015},
    ],
    ids=["stop", "trailing", "both"],
)
async def test_stops_sell_as_in_a_backtest(make_engine: MakeEngine, stops: dict[str, Any]) -> None:
    engine = await make_engine(strategies=[])
    strategy = Always(**stops)
    found = await replayed(engine, strategy, 4)
    expected = simulated(engine, strategy)
    assert found == as_trips(expected)
    assert {"exit"} < set(expected["reason"]) and len(found) > 5
    sent = engine.journal.orders()
    assert any(o.type is OrderType.STOP_LOSS and o.status is OrderStatus.FILLED for o in sent)
    # Nothing was sold twice, and only a stop of an open position still rests.
    assert engine.account.drift == {}
    resting = await engine.exchange.open_orders("BTC/USDT")
    assert [o.client_order_id for o in resting] == [
        o.client_order_id for o in engine.orders.ledger.stops("BTC/USDT")
    ]


async def test_stops_sell_as_in_a_backtest_of_recorded_candles(
    make_engine: MakeEngine, recorded: Callable[[str], Path]
) -> None:
    """Stops of a 5m strategy trigger on the path of 1m candles, some of them in a gap."""
    path = recorded("candles/BTCUSDT-1m-20241130-20241229.csv.gz")
    engine = await make_engine(
        strategies=[],
        paper={"market": "recording", "recording": [str(path)], "start": "2024-12-05 18:00"},
    )
    strategy = Always(timeframes=("5m",), every=97, stop_loss=0.004, trailing_stop=0.008)
    found = await replayed(engine, strategy, 8)
    expected = simulated(engine, strategy)
    assert found == as_trips(expected)
    assert set(expected["reason"]) >= {"stop_loss", "trailing_stop"}


async def resting(engine: Orchestrator) -> set[str]:
    return {order.client_order_id for order in await engine.exchange.open_orders("BTC/USDT")}


async def test_a_stop_outlasts_the_engine_and_a_cancelled_one_is_placed_again(
    make_engine: MakeEngine,
) -> None:
    entry = {
        "name": "s",
        "strategy": f"{__name__}:Always",
        "symbol": "BTC/USDT",
        "timeframe": "1m",
        "order_cost": COST,
        "parameters": {"stop_loss": 0.05, "every": 10_000_000},
    }
    engine = await make_engine(strategies=[entry])
    await engine.wait(180)
    (stop,) = await engine.exchange.open_orders("BTC/USDT")
    assert stop.amount <= engine.positions.get("BTC/USDT").amount < stop.amount + Decimal("0.00001")
    await engine.stop()

    engine = await make_engine(strategies=[entry])
    (same,) = await engine.exchange.open_orders("BTC/USDT")
    assert same.client_order_id == stop.client_order_id
    assert engine.orders.ledger.stops("BTC/USDT")[0].stop_price == stop.stop_price
    await engine.exchange.cancel_order("BTC/USDT", stop.client_order_id)  # as a person could
    known = {stop.client_order_id}
    async with asyncio.timeout(60):
        while await resting(engine) <= known:  # noqa: ASYNC110 - the venue is polled
            await asyncio.sleep(0.05)
    (again,) = await engine.exchange.open_orders("BTC/USDT")
    assert (again.amount, again.stop_price) == (stop.amount, stop.stop_price)
    assert engine.halts.first is None
