"""Halts and their gaps; changes by the operator survive a restart."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from botlib.core.errors import UnknownSymbol
from botlib.paper.market.halts import HaltedMarket, HaltInterval, halted, resumed
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.replay import ReplayMarket

LOCKSTEP = MarketPace(None, lockstep=True)
MINUTE = 60_000
STREAM = "btcusdt@kline_1m"


@pytest.fixture
def market(candles: Callable[..., ReplayMarket]) -> ReplayMarket:
    """Return thirty minutes of three symbols, with another price in each minute."""
    rows = {number: (100 + number,) * 4 + (number + 1,) for number in range(30)}
    return candles(BTCUSDT=rows, ETHUSDT=rows, SOLUSDT=rows)


def minutes(bars: Any, start: int) -> list[int]:
    return [(int(time) - start) // MINUTE for time in bars.timestamp]


def test_longer_candles_contain_only_base_candles_outside_a_halt(
    market: ReplayMarket, start_time: int
) -> None:
    holes = [HaltInterval(start_time + 3 * MINUTE, start_time + 17 * MINUTE)]
    seen = HaltedMarket(market, lambda symbol: holes if symbol == "BTCUSDT" else ())
    until = start_time + 29 * MINUTE
    base = seen.bars("BTC/USDT", "1m", start_time, until)
    assert minutes(base, start_time) == [0, 1, 2, *range(17, 30)]
    fives = seen.bars("BTC/USDT", "5m", start_time, until)
    assert minutes(fives, start_time) == [0, 15, 20, 25]
    assert fives.volume.tolist() == [1 + 2 + 3, 18 + 19 + 20, 115, 140]
    assert (fives.close[0], fives.open[1]) == (102, 117)
    assert len(seen.bars("ETH/USDT", "1m", start_time, until)) == 30
    assert seen.next_open("BTC/USDT", holes[0].start) == holes[0].end
    holes[0] = HaltInterval(holes[0].start, None)
    assert minutes(seen.bars("BTC/USDT", "5m", start_time, until), start_time) == [0]
    assert not len(seen.bars("BTC/USDT", "1m", start_time + 5 * MINUTE, until))


def test_a_halt_within_one_candle_leaves_no_gap() -> None:
    open_ = halted([], 90_000, "1m")
    assert open_ == [HaltInterval(120_000, None)] == halted(open_, 500_000, "1m")
    assert resumed(open_, 119_999, "1m") == []
    assert resumed(open_, 120_000, "1m") == [HaltInterval(120_000, 180_000)]
    assert resumed([], 120_000, "1m") == []


async def test_candles_stop_during_a_halt_and_resume_after_it(
    serve: Any, market: ReplayMarket, start_time: int
) -> None:
    served = await serve(market, pace=LOCKSTEP)
    listener = await served.listen(STREAM)
    await listener.next()
    desk = served.exchange.administration
    resting = await served.order("BUY", "LIMIT", timeInForce="GTC", quantity="0.1", price="60")
    assert await served.advance(STREAM)
    desk.set_status("BTCUSDT", "HALT")
    for _ in range(4):
        closed = await served.advance("ethusdt@kline_1m")
        assert [candle[0] for candle in closed] == ["ETHUSDT"]
    info = await served.get("exchangeInfo", symbol="BTCUSDT")
    assert info["symbols"][0]["status"] == "HALT"
    rows = await served.get("klines", symbol="BTCUSDT", interval="1m")
    assert [(row[0] - start_time) // MINUTE for row in rows] == [0, 1]
    desk.set_status("BTCUSDT", "TRADING")
    closed = await served.advance(STREAM)
    # The candle of the halt closes when the first one after it opens.
    assert closed == [("BTCUSDT", "1m", start_time + MINUTE)]
    assert (served.venue.market_time - start_time) // MINUTE == 6
    assert (await served.order("BUY", "MARKET", quantity="0.1"))["status"] == "FILLED"
    await served.advance(STREAM)
    seen = {(frame["k"]["t"] - start_time) // MINUTE for frame in await listener.many(9)}
    assert seen == {0, 1, 6}
    rows = await served.get("klines", symbol="BTCUSDT", interval="1m")
    assert [(row[0] - start_time) // MINUTE for row in rows] == [0, 1, 6, 7]
    fives = await served.get("klines", symbol="BTCUSDT", interval="5m")
    assert Decimal(fives[0][5]) == 1 + 2
    _, waiting = await served.signed("GET", "openOrders", symbol="BTCUSDT")
    assert [one["orderId"] for one in waiting] == [resting["orderId"]]


async def test_halts_rules_and_delistings_survive_a_restart(
    serve: Any, market: ReplayMarket, tmp_path: Path, start_time: int
) -> None:
    path = tmp_path / "l.db"
    served = await serve(market, pace=LOCKSTEP, ledger=path)
    desk = served.exchange.administration
    desk.change_rules("BTCUSDT", {"min_cost": 50, "min_cost_of_market": False, "tick": "0.5"})
    desk.change_rules("BTCUSDT", {"max_orders": 7})
    desk.set_status("BTCUSDT", "BREAK")
    await desk.delist("SOLUSDT")
    for _ in range(3):
        assert await served.advance("ethusdt@kline_1m")
    await served.exchange.close()

    again = await serve(market, pace=LOCKSTEP, ledger=path)
    feed = again.venue.feed("BTCUSDT")
    assert (feed.rules.min_cost, feed.rules.tick, feed.rules.max_orders) == (50, Decimal("0.5"), 7)
    assert feed.rules.min_cost_of_market is False
    assert (feed.rules.status, feed.trading) == ("BREAK", False)
    with pytest.raises(UnknownSymbol, match="delisted"):
        again.venue.feed("SOLUSDT")
    assert [one.id for one in again.venue.listings()] == ["BTCUSDT", "ETHUSDT"]
    rows = await again.get("klines", symbol="BTCUSDT", interval="1m")
    assert [row[0] for row in rows] == [start_time]
    again.exchange.administration.set_status("BTCUSDT", "TRADING")
    await again.advance(STREAM)
    rows = await again.get("klines", symbol="BTCUSDT", interval="1m")
    assert [row[0] for row in rows] == [start_time, again.venue.market_time]
