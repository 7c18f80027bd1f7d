"""Orders with a stop price: when and at which price they trigger, and what they lock."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from botlib.paper.accounts.orders import PaperOrder
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.replay import ReplayMarket

LOCKSTEP = MarketPace(None, lockstep=True)
STREAM = "btcusdt@kline_1m"
Candles = Callable[..., ReplayMarket]


@pytest.fixture
def market(candles: Candles) -> ReplayMarket:
    """A market at 100, then up to 110 and down to 90, at 100 again, then a gap down to 95."""
    return candles(
        BTCUSDT={
            0: (100, 100, 100, 100, 1),
            1: (100, 110, 90, 100, 1),
            2: (100, 100, 100, 100, 1),
            3: (95, 95, 95, 95, 1),
            4: (105, 105, 105, 105, 1),
        }
    )


@pytest.fixture
async def served(serve: Any, market: ReplayMarket) -> Any:
    served = await serve(market, pace=LOCKSTEP)
    await served.order("BUY", "MARKET", quantity="2")
    return served


async def known(served: Any, order: Any) -> Any:
    _, found = await served.signed("GET", "order", symbol="BTCUSDT", orderId=order["orderId"])
    return found


async def test_a_stop_inside_a_candle_sells_at_its_stop_price(served: Any, start_time: int) -> None:
    stop = await served.order("SELL", "STOP_LOSS", quantity="1", stopPrice="93.37")
    assert set(stop) == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
    assert await served.balance("BTC") == ("0.99800000", "1.00000000")
    waiting = await known(served, stop)
    assert (waiting["status"], waiting["isWorking"], waiting["stopPrice"]) == (
        "NEW",
        False,
        "93.37000000",
    )
    assert waiting["workingTime"] == -1
    await served.advance(STREAM)
    await served.advance(STREAM)
    done = await known(served, stop)
    assert (done["status"], done["cummulativeQuoteQty"]) == ("FILLED", "93.37000000")
    assert start_time + 60_000 < done["workingTime"] < start_time + 120_000
    _, trades = await served.signed("GET", "myTrades", symbol="BTCUSDT", orderId=stop["orderId"])
    assert [(t["price"], t["isMaker"], t["commission"]) for t in trades] == [
        ("93.37000000", False, "0.09337000")
    ]
    assert await served.balance("BTC") == ("0.99800000", "0.00000000")


async def test_a_gap_at_the_open_sells_at_the_open(served: Any, start_time: int) -> None:
    await served.advance(STREAM)
    await served.advance(STREAM)
    stop = await served.order("SELL", "STOP_LOSS", quantity="1", stopPrice="99")
    await served.advance(STREAM)
    done = await known(served, stop)
    assert (done["status"], done["cummulativeQuoteQty"]) == ("FILLED", "95.00000000")
    assert done["updateTime"] == start_time + 3 * 60_000


async def test_a_triggered_stop_pays_slippage(serve: Any, market: ReplayMarket) -> None:
    served = await serve(market, pace=LOCKSTEP, slippage=Decimal("0.01"))
    await served.order("BUY", "MARKET", quantity="2")
    stop = await served.order("SELL", "STOP_LOSS", quantity="1", stopPrice="95")
    await served.advance(STREAM)
    await served.advance(STREAM)
    assert (await known(served, stop))["cummulativeQuoteQty"] == "94.05000000"


async def test_a_take_profit_is_triggered_from_below(served: Any) -> None:
    target = await served.order("SELL", "TAKE_PROFIT", quantity="1", stopPrice="108")
    await served.advance(STREAM)
    await served.advance(STREAM)
    done = await known(served, target)
    assert (done["status"], done["cummulativeQuoteQty"]) == ("FILLED", "108.00000000")


async def test_a_triggered_stop_limit_rests_if_its_limit_is_not_met(served: Any) -> None:
    await served.advance(STREAM)
    await served.advance(STREAM)
    limits = {"quantity": "0.5", "stopPrice": "99", "timeInForce": "GTC"}
    met = await served.order("SELL", "STOP_LOSS_LIMIT", price="90", **limits)
    unmet = await served.order("SELL", "STOP_LOSS_LIMIT", price="98", **limits)
    gone = await served.order(
        "SELL", "STOP_LOSS_LIMIT", price="98", **{**limits, "timeInForce": "IOC"}
    )
    await served.advance(STREAM)  # opens at 95
    assert (await known(served, met))["cummulativeQuoteQty"] == "47.50000000"
    resting = await known(served, unmet)
    assert (resting["status"], resting["isWorking"]) == ("NEW", True)
    assert (await known(served, gone))["status"] == "EXPIRED"
    assert await served.balance("BTC") == ("0.99800000", "0.50000000")
    await served.advance(STREAM)  # opens at 105
    assert (await known(served, unmet))["cummulativeQuoteQty"] == "49.00000000"


async def test_a_buy_stop_pays_for_a_gap(served: Any) -> None:
    await served.advance(STREAM)
    await served.advance(STREAM)
    await served.advance(STREAM)
    bought = await served.order("BUY", "STOP_LOSS", quantity="1", stopPrice="100")
    assert await served.balance("USDT") == ("9700.00000000", "100.00000000")
    await served.advance(STREAM)
    assert (await known(served, bought))["cummulativeQuoteQty"] == "105.00000000"
    assert await served.balance("USDT") == ("9695.00000000", "0.00000000")


async def test_a_buy_stop_that_cannot_be_paid_for_expires(served: Any) -> None:
    for _ in range(3):
        await served.advance(STREAM)
    poor = await served.order("BUY", "STOP_LOSS", quantity="98", stopPrice="100")
    await served.advance(STREAM)
    assert (await known(served, poor))["status"] == "EXPIRED"
    assert await served.balance("USDT") == ("9800.00000000", "0.00000000")


@pytest.mark.parametrize(
    ("side", "kind", "stop"),
    [
        ("SELL", "STOP_LOSS", "100"),
        ("SELL", "STOP_LOSS", "101"),
        ("BUY", "STOP_LOSS", "100"),
        ("SELL", "TAKE_PROFIT", "99"),
        ("BUY", "TAKE_PROFIT", "101"),
    ],
)
async def test_a_stop_price_that_is_already_reached_is_refused(
    served: Any, side: str, kind: str, stop: str
) -> None:
    status, answer = await served.signed(
        "POST", "order", symbol="BTCUSDT", side=side, type=kind, quantity="1", stopPrice=stop
    )
    assert (status, answer) == (400, {"code": -2010, "msg": "Order would trigger immediately."})
    assert await served.balance("BTC") == ("1.99800000", "0.00000000")


async def test_a_cancelled_stop_unlocks_the_balance(served: Any) -> None:
    stop = await served.order("SELL", "STOP_LOSS", quantity="1", stopPrice="93")
    status, _ = await served.signed("DELETE", "order", symbol="BTCUSDT", orderId=stop["orderId"])
    assert status == 200
    assert await served.balance("BTC") == ("1.99800000", "0.00000000")
    await served.advance(STREAM)
    await served.advance(STREAM)
    assert (await known(served, stop))["status"] == "CANCELED"


async def test_the_amount_of_a_stop_cannot_be_sold_by_other_orders(served: Any) -> None:
    await served.order("SELL", "STOP_LOSS", quantity="1.5", stopPrice="93")
    code = await served.refused(
        "POST", "order", symbol="BTCUSDT", side="SELL", type="MARKET", quantity="1"
    )
    assert code == -2010


async def test_the_number_of_stop_orders_is_limited(served: Any) -> None:
    for number in range(5):
        await served.order("SELL", "STOP_LOSS", quantity="0.1", stopPrice=str(80 + number))
    sent = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_LOSS", "quantity": "0.1"}
    status, answer = await served.signed("POST", "order", stopPrice="79", **sent)
    assert (status, answer["msg"]) == (400, "Filter failure: MAX_NUM_ALGO_ORDERS")
    info = await served.get("exchangeInfo", symbol="BTCUSDT")
    assert "STOP_LOSS" in info["symbols"][0]["orderTypes"]
    filters = {one["filterType"]: one for one in info["symbols"][0]["filters"]}
    assert filters["MAX_NUM_ALGO_ORDERS"]["maxNumAlgoOrders"] == 5


async def test_the_user_stream_reports_a_stop(served: Any) -> None:
    user = await served.user_stream()
    await served.order("SELL", "STOP_LOSS", quantity="1", stopPrice="93")
    placed = (await user.next())["event"]
    assert (placed["x"], placed["o"], placed["P"], placed["w"]) == (
        "NEW",
        "STOP_LOSS",
        "93.00000000",
        False,
    )
    assert "W" not in placed
    await user.next()  # the balances
    await served.advance(STREAM)
    await served.advance(STREAM)
    filled = (await user.next())["event"]
    assert (filled["x"], filled["X"], filled["L"], filled["m"]) == (
        "TRADE",
        "FILLED",
        "93.00000000",
        False,
    )
    assert filled["W"] == filled["T"]


async def test_a_stop_survives_a_restart(serve: Any, market: ReplayMarket, tmp_path: Any) -> None:
    path = tmp_path / "ledger.db"
    served = await serve(market, pace=LOCKSTEP, ledger=path)
    await served.order("BUY", "MARKET", quantity="2")
    stop = await served.order("SELL", "STOP_LOSS", quantity="1", stopPrice="93")
    await served.exchange.close()
    again = await serve(market, pace=LOCKSTEP, ledger=path)
    await again.advance(STREAM)
    await again.advance(STREAM)
    assert (await known(again, stop))["cummulativeQuoteQty"] == "93.00000000"


def test_an_order_stored_by_an_earlier_version_is_loaded() -> None:
    old = (
        b'{"order_id":1,"client_order_id":"a","symbol":"BTCUSDT","side":"BUY","type":"LIMIT",'
        b'"time_in_force":"GTC","price":"1","amount":"1","quote_amount":"0","executed":"0",'
        b'"cost":"0","locked":"1","locked_asset":"USDT","status":"NEW","created":1,"updated":1}'
    )
    order = PaperOrder.load(old)
    assert not order.conditional and not order.dormant
    assert PaperOrder.load(order.dump()) == order
