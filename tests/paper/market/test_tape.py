"""The accounts' trades among the public trades of a market with a depth."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from botlib.paper.market.depth import Depth
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.replay import ReplayMarket

D = Decimal
LOCKSTEP = MarketPace(None, lockstep=True)
DEPTH = Depth(spread=D("0.01"), levels=5, size=D(100), seed=1)
STREAM = "btcusdt@kline_1m"


@pytest.fixture
def market(candles: Callable[..., ReplayMarket]) -> ReplayMarket:
    """Return ten minutes with a volume of 8 each."""
    return candles(BTCUSDT={number: (100, 101, 99, 100, 8) for number in range(10)})


async def played(served: Any) -> list[int]:
    """Trade as taker and as maker in three minutes, and return the ids of the trades."""
    await served.order("BUY", "MARKET", quantity="1.5")
    await served.advance(STREAM)
    await served.order("BUY", "LIMIT", timeInForce="GTC", quantity="1", price="99.8")
    await served.advance(STREAM)
    await served.order("SELL", "MARKET", quantity="0.5")
    _, mine = await served.signed("GET", "myTrades", symbol="BTCUSDT")
    assert {one["isMaker"] for one in mine} == {True, False}
    return [one["id"] for one in mine]


async def test_account_trades_are_among_the_public_trades(serve: Any, market: ReplayMarket) -> None:
    served = await serve(market, pace=LOCKSTEP, depth=DEPTH)
    mine = await played(served)
    await served.advance(STREAM)
    tape = await served.get("trades", symbol="BTCUSDT", limit=1_000)
    ids = [one["id"] for one in tape]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert [one["time"] for one in tape] == sorted(one["time"] for one in tape)
    _, own = await served.signed("GET", "myTrades", symbol="BTCUSDT")
    received = {one["id"]: one for one in tape}
    assert mine == sorted(mine) and len(set(mine)) == len(mine) >= 4
    for one in own:
        same = received.pop(one["id"])
        assert (same["price"], same["qty"], same["time"]) == (one["price"], one["qty"], one["time"])
        assert same["isBuyerMaker"] == (one["isBuyer"] == one["isMaker"])
    rows = await served.get("klines", symbol="BTCUSDT", interval="1m")
    assert sum(D(one["qty"]) for one in tape) == sum(D(row[5]) for row in rows)
    assert sum(row[8] for row in rows) == len(ids)


async def test_pages_of_trades_follow_each_other_without_a_gap(
    serve: Any, market: ReplayMarket
) -> None:
    served = await serve(market, pace=LOCKSTEP, depth=DEPTH)
    await played(served)
    for path, number in (("historicalTrades", "id"), ("aggTrades", "a")):
        whole = await served.get(path, symbol="BTCUSDT", limit=1_000)
        first, found = whole[0][number], []
        while page := await served.get(path, symbol="BTCUSDT", fromId=first, limit=3):
            found += page
            assert len(page) == 3 or page[-1] == whole[-1]
            first = page[-1][number] + 1
        assert found == whole
    whole = await served.get("aggTrades", symbol="BTCUSDT", limit=1_000)
    assert [one["a"] for one in whole] == list(range(whole[0]["a"], whole[0]["a"] + len(whole)))
    assert [one["l"] + 1 for one in whole[:-1]] == [one["f"] for one in whole[1:]]


@pytest.mark.parametrize(("stream", "first", "last"), [("trade", "t", "t"), ("aggTrade", "f", "l")])
async def test_streams_send_account_trades_in_order(
    serve: Any, market: ReplayMarket, stream: str, first: str, last: str
) -> None:
    served = await serve(market, pace=LOCKSTEP, depth=DEPTH)
    listener = await served.listen(f"btcusdt@{stream}")
    mine = await played(served)
    seen: list[Any] = []
    while not seen or seen[-1][last] < mine[-1]:
        seen.append(await listener.next())
    assert [one[last] + 1 for one in seen[:-1]] == [one[first] for one in seen[1:]]
    received = {number for one in seen for number in range(one[first], one[last] + 1)}
    assert received >= set(mine)


async def test_the_tape_is_the_same_after_a_restart(
    serve: Any, market: ReplayMarket, tmp_path: Path
) -> None:
    path = tmp_path / "l.db"
    served = await serve(market, pace=LOCKSTEP, depth=DEPTH, ledger=path)
    await played(served)
    before = await served.get("trades", symbol="BTCUSDT", limit=1_000)
    await served.exchange.close()
    again = await serve(market, pace=LOCKSTEP, depth=DEPTH, ledger=path)
    assert await again.get("trades", symbol="BTCUSDT", limit=1_000) == before


async def test_a_deep_market_has_no_account_trades_on_its_tape(
    serve: Any, market: ReplayMarket
) -> None:
    served = await serve(market, pace=LOCKSTEP)
    await served.order("BUY", "MARKET", quantity="1.5")
    tape = await served.get("trades", symbol="BTCUSDT")
    assert all(one["qty"] != "1.50000000" for one in tape)
    # Their ids are of the size of those on the tape all the same.
    await served.order("BUY", "MARKET", quantity="1")
    _, mine = await served.signed("GET", "myTrades", symbol="BTCUSDT")
    assert [one["id"] for one in mine] == [tape[-2]["id"], tape[-1]["id"]]
    await served.order("BUY", "MARKET", quantity="1")
    await served.advance(STREAM)
    await served.order("BUY", "MARKET", quantity="1")
    tape = await served.get("trades", symbol="BTCUSDT", limit=1_000)
    _, mine = await served.signed("GET", "myTrades", symbol="BTCUSDT")
    ids = [one["id"] for one in mine]
    assert ids == sorted(set(ids)) and ids[-1] >= tape[-2]["id"]


def candle_of(trades: list[Any]) -> list[Any]:
    """Return open, high, low, close, volume and taker-bought volume of public trades."""
    prices = [D(one["price"]) for one in trades]
    amounts = [D(one["qty"]) for one in trades]
    bought = [D(one["qty"]) for one in trades if not one["isBuyerMaker"]]
    return [prices[0], max(prices), min(prices), prices[-1], sum(amounts), sum(bought)]


async def test_candles_and_tickers_agree_with_the_trades_of_accounts(
    serve: Any, market: ReplayMarket, start_time: int
) -> None:
    served = await serve(market, pace=LOCKSTEP, depth=DEPTH)
    await played(served)
    tape = await served.get("trades", symbol="BTCUSDT", limit=1_000)
    rows = await served.get("klines", symbol="BTCUSDT", interval="1m")
    assert len(rows) == 3
    for row in rows:
        there = [one for one in tape if row[0] <= one["time"] <= row[6]]
        assert [D(text) for text in (*row[1:6], row[9])] == candle_of(there)
    [whole] = await served.get("klines", symbol="BTCUSDT", interval="15m")
    assert [D(text) for text in (*whole[1:6], whole[9])] == candle_of(tape)
    assert D(whole[7]) > D(whole[10]) > 0
    day = await served.get("ticker/24hr", symbol="BTCUSDT")
    names = ("openPrice", "highPrice", "lowPrice", "lastPrice", "volume")
    assert [D(day[name]) for name in names] == candle_of(tape)[:5]
    price = await served.get("ticker/price", symbol="BTCUSDT")
    assert D(price["price"]) == D(tape[-1]["price"])


async def test_candle_streams_show_a_trade_of_an_account_at_once(
    serve: Any, market: ReplayMarket
) -> None:
    served = await serve(market, pace=LOCKSTEP, depth=DEPTH)
    stream = await served.listen(STREAM)
    ticker = await served.listen("btcusdt@miniTicker")
    before = (await stream.next())["k"]
    order = await served.order("BUY", "MARKET", quantity="0.5")
    # The market is held, so no step of it sends a candle.
    after = (await stream.next(10))["k"]
    assert D(after["v"]) - D(before["v"]) == D(after["V"]) - D(before["V"]) == D("0.5")
    assert after["c"] == order["fills"][-1]["price"] == (await ticker.next(10))["c"]


@pytest.mark.parametrize("depth", [None, DEPTH])
async def test_the_volume_of_takers_is_that_of_the_trades(
    serve: Any, market: ReplayMarket, depth: Depth | None
) -> None:
    served = await serve(market, pace=LOCKSTEP, depth=depth)
    stream = await served.listen(STREAM)
    for _ in range(3):
        await served.advance(STREAM)
    tape = await served.get("trades", symbol="BTCUSDT", limit=1_000)
    rows = await served.get("klines", symbol="BTCUSDT", interval="1m")
    shares = set()
    for row in rows:
        there = [one for one in tape if row[0] <= one["time"] <= row[6]]
        assert D(row[9]) == candle_of(there)[5]
        shares.add(D(row[9]) / D(row[5]))
    assert shares != {D("0.5")}
    while not (frame := (await stream.next())["k"])["x"]:
        pass
    assert (frame["V"], frame["Q"]) == (rows[0][9], rows[0][10])


async def test_takers_of_the_market_trade_with_a_better_order_of_an_account_first(
    serve: Any, candles: Any
) -> None:
    # The price rises from 100 to 100.05, falls to 99.95 and returns.
    market = candles(BTCUSDT={number: (100, 100.05, 99.95, 100, 8) for number in range(5)})
    served = await serve(market, pace=LOCKSTEP, depth=DEPTH)
    limit = {"timeInForce": "GTC", "quantity": "0.5"}
    bid = await served.order("BUY", "LIMIT", price="99.97", **limit)
    behind = await served.order("BUY", "LIMIT", price="99.2", **limit)
    book = await served.get("depth", symbol="BTCUSDT")
    assert (book["bids"][0][0], book["asks"][0][0]) == ("99.97000000", "100.00000000")
    trades = await served.listen("btcusdt@trade")
    await served.advance(STREAM)
    _, found = await served.signed("GET", "order", symbol="BTCUSDT", orderId=bid["orderId"])
    assert found["status"] == "FILLED"
    _, other = await served.signed("GET", "order", symbol="BTCUSDT", orderId=behind["orderId"])
    assert other["status"] == "NEW"
    tape = await served.get("trades", symbol="BTCUSDT", limit=1_000)
    [mine] = [one for one in tape if one["price"] == "99.97000000"]
    later = tape[tape.index(mine) + 1]
    # The sellers took its amount before they traded at their own price.
    assert (mine["qty"], mine["isBuyerMaker"]) == ("0.50000000", True)
    assert (later["price"], later["isBuyerMaker"]) == ("99.95000000", True)
    first = [one for one in tape if one["time"] < tape[0]["time"] + 60_000]
    assert sum(D(one["qty"]) for one in first) == 8  # the volume of the candle
    sent = [await trades.next() for _ in tape[2:]]
    assert [one["t"] for one in sent] == [one["id"] for one in tape[2:]]
