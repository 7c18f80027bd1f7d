"""Stops are triggered by every trade of their symbol, whoever trades."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botlib.paper.accounts.state import audit
from botlib.paper.market.depth import Depth
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.replay import ReplayMarket
from botlib.paper.matching.triggers import turning_points
from botlib.paper.protocol.refusals import Refusal
from tests.paper.matching.test_crossing import BookMarket

D = Decimal
MINUTE = 60_000
DEPTH = Depth(spread=D("0.02"), levels=8, size=D(500), seed=1)
"""Asks at 100, 101, 102 … and bids at 98, 97 … after a trade at 100, each of about 5."""


@pytest.fixture
def market(candles: Callable[..., ReplayMarket], start_time: int) -> BookMarket:
    flat = (100, 100, 100, 100, 4)
    found = BookMarket(candles(BTCUSDT=dict.fromkeys(range(3), flat)), start_time, DEPTH)
    found.engine.deposit("main", "USDT", D(10**6), start_time)
    found.engine.deposit("other", "USDT", D(10**6), start_time)
    return found


def upto(market: BookMarket, price: str) -> Decimal:
    """Return the amount with which a buyer takes all asks up to a price."""
    return sum((amount for level, amount in market.feed.book.asks(99) if level <= D(price)), D(0))


def stop(market: BookMarket, side: str, price: str | None, account: str, **more: Any) -> Any:
    at = None if price is None else D(price)
    return market.place(side, "STOP_LOSS", "0.5", None, account, stop_price=at, **more)


def test_the_trades_of_an_account_trigger_the_stops_of_others_at_once(market: BookMarket) -> None:
    near, far = stop(market, "BUY", "102", "other"), stop(market, "BUY", "104", "other")
    sweep = market.place("BUY", "MARKET", upto(market, "102"))
    assert [one.price for one in sweep.trades] == [D(100), D(101), D(102)]
    # The stop takes what the order that triggered it has left.
    assert market.state(near) == ("FILLED", D("0.5"))
    [filled] = market.engine.state.account("other").trades["BTCUSDT"]
    assert (filled.price, filled.maker) == (D(103), False)
    assert market.state(far)[0] == "NEW"
    assert {account for account, _ in sweep.user_events} == {"main", "other"}
    assert audit(market.engine.state) == ""


def test_the_trades_of_a_stop_trigger_the_next_one(market: BookMarket) -> None:
    first, second = stop(market, "BUY", "102", "other"), stop(market, "BUY", "103", "other")
    third = stop(market, "BUY", "104", "other")
    market.place("BUY", "MARKET", upto(market, "102"))
    assert [market.state(one)[0] for one in (first, second, third)] == ["FILLED", "FILLED", "NEW"]
    prices = [one.price for one in market.engine.state.account("other").trades["BTCUSDT"]]
    assert prices == [D(103), D(103)]
    assert market.feed.last_trade == 103 and market.feed.last_price == 100


def test_two_stops_do_not_take_the_same_amount(market: BookMarket) -> None:
    left = upto(market, "103") - upto(market, "102")
    amount = left * 2 // 3
    for _ in range(2):
        market.place("BUY", "STOP_LOSS", amount, None, "other", stop_price=D(102))
    market.place("BUY", "MARKET", upto(market, "102"))
    taken = market.engine.state.account("other").trades["BTCUSDT"]
    assert sum(one.amount for one in taken if one.price == 103) == left
    assert sum(one.amount for one in taken) == 2 * amount


def test_a_new_stop_is_compared_with_the_last_trade_of_anyone(market: BookMarket) -> None:
    market.place("BUY", "MARKET", upto(market, "102"))
    with pytest.raises(Refusal, match="would trigger immediately"):
        stop(market, "BUY", "101.5", "other")
    assert stop(market, "SELL", "101.5", "other").order.status == "NEW"
    # The next trade of the market is at 100 again.
    market.move(market.time + 15_000)
    assert market.feed.last_price == 100
    assert market.engine.state.open_orders("BTCUSDT") == []


def test_a_trailing_stop_follows_the_trades_of_accounts(market: BookMarket) -> None:
    trailing = market.place("SELL", "STOP_LOSS", "0.5", None, "other", trailing_delta=100)
    assert trailing.order.trailed == 100
    market.place("BUY", "MARKET", upto(market, "103"))
    order = market.engine.state.account("other").orders[trailing.order.order_id]
    assert (order.trailed, order.status) == (D(103), "NEW")
    # 100 is more than a percent below 103.
    market.move(market.time + 15_000)
    assert market.state(trailing)[0] == "FILLED"


def test_without_a_depth_the_trades_of_accounts_are_none_of_the_market(
    candles: Callable[..., ReplayMarket], start_time: int
) -> None:
    flat = (100, 100, 100, 100, 4)
    market = BookMarket(candles(BTCUSDT={0: flat, 1: flat}), start_time, None)
    waiting = stop(market, "BUY", "100.01", "other")
    market.place("BUY", "MARKET", "50")
    assert market.state(waiting)[0] == "NEW"


def test_a_price_at_which_only_accounts_would_trade_triggers_nothing(
    candles: Callable[..., ReplayMarket], start_time: int
) -> None:
    flat, low = (100, 100, 100, 100, 4), (98, 98, 98, 98, 4)
    market = BookMarket(candles(BTCUSDT={0: flat, 1: low}), start_time, DEPTH)
    market.place("BUY", "LIMIT", "30", "99.5")
    waiting = stop(market, "SELL", "99", "other")
    market.move(start_time + MINUTE)
    # Takers sell to the bid at 99.5, which takes all of them.
    assert market.feed.last_price == 98 and market.feed.last_trade == D("99.5")
    assert market.state(waiting)[0] == "NEW"


@given(st.lists(st.integers(1, 9), min_size=1), st.integers(1, 9))
def test_a_stop_is_reached_exactly_if_a_turning_point_reaches_it(
    values: list[int], level: int
) -> None:
    prices = [D(value) for value in values]
    points = turning_points(prices)
    assert (points[0], points[-1]) == (prices[0], prices[-1])
    assert (max(points), min(points)) == (max(prices), min(prices))
    reached = [number for number, price in enumerate(prices) if price >= level]
    assert bool(reached) == any(point >= level for point in points)


async def test_a_sweep_reports_the_stop_of_another_account_on_its_stream(
    serve: Any, candles: Any
) -> None:
    market = candles(BTCUSDT=dict.fromkeys(range(3), (100, 100, 100, 100, 4)))
    pace = MarketPace(None, lockstep=True)
    served = await serve(market, pace=pace, depth=DEPTH, balances={"BTC": D(90)}, events="first")
    credentials = await served.exchange.administration.open_account("other", {"BTC": D(90)})
    user = await served.user_stream()
    waiting = await served.order("SELL", "STOP_LOSS", quantity="1", stopPrice="97")
    assert (await user.next())["event"]["X"] == "NEW"
    params = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": "12"}
    query = urlencode({"timestamp": time.time_ns() // 1_000_000, **params})
    digest = hmac.new(credentials.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    status, swept = await served.call(
        "POST", "order", f"{query}&signature={digest}", key=credentials.key
    )
    assert status == 200 and len(swept["fills"]) > 1
    reports = []
    while not reports or reports[-1]["X"] != "FILLED":
        reports.append((await user.next())["event"])
        reports = [one for one in reports if one["e"] == "executionReport"]
    assert {one["i"] for one in reports} == {waiting["orderId"]}
    assert D(reports[-1]["L"]) < 97
