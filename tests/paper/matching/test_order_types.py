"""Trailing stops, icebergs, cancel-replace, amendments and test orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.replay import ReplayMarket

LOCKSTEP = MarketPace(None, lockstep=True)
STREAM = "btcusdt@kline_1m"
GTC = {"timeInForce": "GTC", "quantity": "1"}


@pytest.fixture
def market(candles: Callable[..., ReplayMarket]) -> ReplayMarket:
    """A market at 100, up to 110 and down to 100, then on to 90, then at 95."""
    return candles(
        BTCUSDT={
            0: (100, 100, 100, 100, 1),
            1: (100, 110, 100, 100, 1),
            2: (100, 100, 90, 90, 1),
            3: (95, 95, 95, 95, 1),
        }
    )


@pytest.fixture
async def served(serve: Any, market: ReplayMarket) -> Any:
    served = await serve(market, pace=LOCKSTEP)
    await served.order("BUY", "MARKET", quantity="4")
    return served


async def known(served: Any, order: Any) -> Any:
    _, found = await served.signed("GET", "order", symbol="BTCUSDT", orderId=order["orderId"])
    return found


async def test_a_trailing_stop_follows_the_price_up_and_sells_below_the_top(served: Any) -> None:
    stop = await served.order("SELL", "STOP_LOSS", quantity="1", trailingDelta="500")
    waiting = await known(served, stop)
    assert (waiting["status"], waiting["isWorking"], waiting["trailingDelta"]) == (
        "NEW",
        False,
        500,
    )
    assert waiting["trailingTime"] == waiting["time"]
    await served.advance(STREAM)
    await served.advance(STREAM)
    done = await known(served, stop)
    # 5 % below the highest price, 110.
    assert (done["status"], done["cummulativeQuoteQty"]) == ("FILLED", "104.50000000")


async def test_a_trailing_stop_with_a_stop_price_waits_for_it(served: Any) -> None:
    target = await served.order(
        "SELL", "TAKE_PROFIT", quantity="1", stopPrice="109", trailingDelta="1000"
    )
    assert (await known(served, target))["trailingTime"] == -1
    await served.advance(STREAM)
    await served.advance(STREAM)
    assert (await known(served, target))["trailingTime"] > 0
    await served.advance(STREAM)
    assert (await known(served, target))["cummulativeQuoteQty"] == "99.00000000"


async def test_a_trailing_delta_outside_its_bounds_is_refused(served: Any) -> None:
    for delta in ("9", "2001"):
        status, answer = await served.signed(
            "POST",
            "order",
            symbol="BTCUSDT",
            side="SELL",
            type="STOP_LOSS",
            quantity="1",
            trailingDelta=delta,
        )
        assert (status, answer["msg"]) == (400, "Filter failure: TRAILING_DELTA")


async def test_an_iceberg_shows_one_part(served: Any) -> None:
    sent = {"timeInForce": "GTC", "quantity": "3", "price": "105"}
    order = await served.order("SELL", "LIMIT", icebergQty="1", **sent)
    assert order["icebergQty"] == "1.00000000"
    book = await served.get("depth", symbol="BTCUSDT", limit=5_000)
    assert ["105.00000000", "1.00000000"] in book["asks"]
    for wrong, message in (
        ("4", "IcebergQty exceeds QTY."),
        ("0.02", "Filter failure: ICEBERG_PARTS"),
        ("0.000001", "Filter failure: LOT_SIZE"),
    ):
        _, answer = await served.signed(
            "POST", "order", symbol="BTCUSDT", side="SELL", type="LIMIT", icebergQty=wrong, **sent
        )
        assert answer["msg"] == message
    await served.advance(STREAM)
    await served.advance(STREAM)
    assert (await known(served, order))["status"] == "FILLED"


async def test_cancel_replace(served: Any) -> None:
    old = await served.order("SELL", "LIMIT", price="120", **GTC)
    new = {"symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "price": "130", **GTC}
    status, answer = await served.signed(
        "POST",
        "order/cancelReplace",
        cancelReplaceMode="STOP_ON_FAILURE",
        cancelOrderId=old["orderId"],
        **new,
    )
    assert (status, answer["cancelResult"], answer["newOrderResult"]) == (
        200,
        "SUCCESS",
        "SUCCESS",
    )
    assert answer["cancelResponse"]["orderId"] == old["orderId"]
    assert answer["newOrderResponse"]["status"] == "NEW"
    assert await served.balance("BTC") == ("2.99600000", "1.00000000")


@pytest.mark.parametrize(
    ("mode", "cancel", "quantity", "status", "code", "results"),
    [
        ("STOP_ON_FAILURE", "99", "1", 400, -2022, ("FAILURE", "NOT_ATTEMPTED")),
        ("ALLOW_FAILURE", "99", "1", 409, -2021, ("FAILURE", "SUCCESS")),
        ("ALLOW_FAILURE", "99", "900", 400, -2022, ("FAILURE", "FAILURE")),
        ("STOP_ON_FAILURE", "2", "900", 409, -2021, ("SUCCESS", "FAILURE")),
        ("ALLOW_FAILURE", "2", "900", 409, -2021, ("SUCCESS", "FAILURE")),
    ],
)
async def test_a_failed_cancel_replace_reports_which_half_failed(
    served: Any,
    mode: str,
    cancel: str,
    quantity: str,
    status: int,
    code: int,
    results: tuple[str, str],
) -> None:
    old = await served.order("SELL", "LIMIT", price="120", **GTC)
    assert old["orderId"] == 2
    params = {"symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "price": "130", **GTC}
    params["quantity"] = quantity
    got, answer = await served.signed(
        "POST", "order/cancelReplace", cancelReplaceMode=mode, cancelOrderId=cancel, **params
    )
    assert (got, answer["code"]) == (status, code)
    assert (answer["data"]["cancelResult"], answer["data"]["newOrderResult"]) == results
    attempted = answer["data"]["newOrderResponse"]
    assert (attempted is None) == (results[1] == "NOT_ATTEMPTED")


async def test_an_amended_order_keeps_its_id(served: Any) -> None:
    user = await served.user_stream()
    order = await served.order("SELL", "LIMIT", price="120", **GTC)
    await user.many(2)
    params = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
    status, answer = await served.signed("PUT", "order/amend/keepPriority", newQty="0.4", **params)
    assert (status, answer["amendedOrder"]["qty"]) == (200, "0.40000000")
    event = (await user.next())["event"]
    assert (event["x"], event["X"], event["q"]) == ("REPLACED", "NEW", "0.40000000")
    assert await served.balance("BTC") == ("3.59600000", "0.40000000")
    assert await served.refused("PUT", "order/amend/keepPriority", newQty="0.5", **params) == -2038
    assert await served.refused("PUT", "order/amend/keepPriority", newQty="0.01", **params) == -1013


async def test_cancel_restrictions(served: Any) -> None:
    order = await served.order("SELL", "LIMIT", price="120", **GTC)
    params = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
    status, answer = await served.signed(
        "DELETE", "order", cancelRestrictions="ONLY_PARTIALLY_FILLED", **params
    )
    assert (status, answer["code"]) == (400, -2011)
    assert "cancel restrictions" in answer["msg"]
    assert await served.refused("DELETE", "order", cancelRestrictions="MAYBE", **params) == -1145
    status, _ = await served.signed("DELETE", "order", cancelRestrictions="ONLY_NEW", **params)
    assert status == 200


async def test_a_test_order_returns_commission_rates(served: Any) -> None:
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}
    status, answer = await served.signed(
        "POST", "order/test", computeCommissionRates="true", **order
    )
    assert status == 200
    assert answer["standardCommissionForOrder"] == {"maker": "0.00100000", "taker": "0.00100000"}
    assert answer["discount"]["enabledForAccount"] is False


async def test_strategy_ids_are_returned(served: Any) -> None:
    sent = {"strategyId": "7", "strategyType": "1000001"}
    order = await served.order("SELL", "LIMIT", price="120", **GTC, **sent)
    assert (order["strategyId"], order["strategyType"]) == (7, 1_000_001)
    wrong = {"symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "price": "120", **GTC}
    assert await served.refused("POST", "order", strategyType="5", **wrong) == -1134
