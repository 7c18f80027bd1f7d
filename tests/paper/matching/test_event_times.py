"""Times of orders, trades and events at speed 1, where market time is the wall time."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import Any

import pytest

from botlib.paper.market.depth import Depth
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.synthetic import SyntheticMarket

DEPTH = Depth(spread=Decimal("0.0002"), levels=20, size=Decimal(5_000), seed=1)
BUY = {"quantity": "0.001"}


def now() -> int:
    return time.time_ns() // 1_000_000


@pytest.mark.parametrize("depth", [None, DEPTH])
async def test_no_time_of_an_order_lies_before_its_request(serve: Any, depth: Depth | None) -> None:
    served = await serve(SyntheticMarket(1), pace=MarketPace(1.0), depth=depth, events="first")
    user = await served.user_stream()
    before = 0
    for _ in range(4):
        asked = now()
        order = await served.order("BUY", "MARKET", **BUY)
        times = [order["transactTime"], order["workingTime"]]
        event = (await user.next())["event"]
        while event["e"] == "executionReport":
            times += [event["E"], event["T"], event["O"], event["W"]]
            event = (await user.next())["event"]
        assert event["e"] == "outboundAccountPosition"
        times += [event["E"], event["u"]]
        _, mine = await served.signed("GET", "myTrades", symbol="BTCUSDT", startTime=asked)
        assert {one["orderId"] for one in mine} == {order["orderId"]}
        times += [one["time"] for one in mine]
        assert min(times) >= asked and max(times) <= now()
        assert min(times) >= before
        before = max(times)
        await asyncio.sleep(0.3)


async def test_the_tape_shows_a_trade_at_once_at_its_time(serve: Any) -> None:
    served = await serve(SyntheticMarket(1), pace=MarketPace(1.0), depth=DEPTH)
    order = await served.order("BUY", "MARKET", **BUY)
    [fill] = order["fills"]
    tape = await served.get("trades", symbol="BTCUSDT", limit=1_000)
    [found] = [one for one in tape if one["id"] == fill["tradeId"]]
    assert found["time"] == order["transactTime"]
    assert [one["time"] for one in tape] == sorted(one["time"] for one in tape)
    assert tape[-1] == found


async def test_the_market_is_not_late_by_a_part_of_a_step(serve: Any) -> None:
    served = await serve(SyntheticMarket(1), pace=MarketPace(1.0))
    stream = await served.listen("btcusdt@kline_1m")
    await stream.next()  # the snapshot
    frame = await stream.next()
    assert 0 <= now() - frame["E"] < 1_000


async def test_a_replay_keeps_market_time(serve: Any, candles: Any, start_time: int) -> None:
    market = candles(BTCUSDT={minute: (100, 100, 100, 100, 1) for minute in range(9)})
    served = await serve(market, pace=MarketPace(1.0))
    order = await served.order("BUY", "MARKET", quantity="1")
    assert start_time <= order["transactTime"] < start_time + 60_000


async def test_a_limit_order_trades_with_the_market_after_it_was_sent(serve: Any) -> None:
    served = await serve(SyntheticMarket(1), pace=MarketPace(1.0), events="first")
    await served.order("BUY", "MARKET", quantity="0.002")
    user = await served.user_stream()
    price = float((await served.get("ticker/price", symbol="BTCUSDT"))["price"])
    sent = {}
    # Whichever way the price goes, it reaches one of them.
    for side, near in (("BUY", price - 0.01), ("SELL", price + 0.01)):
        order = await served.order(
            side, "LIMIT", timeInForce="GTC", price=f"{near:.2f}", quantity="0.001"
        )
        sent[order["orderId"]] = order["transactTime"]
    while (event := (await user.next(50))["event"]).get("x") != "TRADE" or event["i"] not in sent:
        pass
    assert event["T"] >= sent[event["i"]]
