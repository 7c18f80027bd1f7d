"""Amendments that reduce orders in their place in the queue."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from botlib.paper.accounts.state import audit
from botlib.paper.market.market_clock import MarketPace

BTC = {"symbol": "BTCUSDT"}
GTC = {"timeInForce": "GTC"}
FLAT = {minute: (100, 100, 100, 100, 1) for minute in range(5)}
WEALTH = {"BTC": Decimal(4), "USDT": Decimal(1_000)}


@pytest.fixture
async def served(serve: Any, candles: Any, tmp_path: Path) -> Any:
    market = candles(BTCUSDT=FLAT)
    return await serve(
        market,
        pace=MarketPace(None, lockstep=True),
        balances=WEALTH,
        ledger=tmp_path / "ledger",
        events="first",
    )


async def amend(served: Any, number: int, quantity: str, **params: Any) -> Any:
    status, answer = await served.signed(
        "PUT", "order/amend/keepPriority", **BTC, orderId=number, newQty=quantity, **params
    )
    assert status == 200, answer
    return answer


async def refused(served: Any, number: int, quantity: str, **params: Any) -> tuple[int, str]:
    status, answer = await served.signed(
        "PUT", "order/amend/keepPriority", **BTC, orderId=number, newQty=quantity, **params
    )
    assert status == 400, answer
    return answer["code"], answer["msg"]


async def test_an_amended_order_gets_a_new_id_and_keeps_its_history(served: Any) -> None:
    user = await served.user_stream()
    order = await served.order(
        "BUY", "LIMIT", quantity="2", price="90", newClientOrderId="first", **GTC
    )
    number = order["orderId"]
    await user.many(2)
    answer = (await amend(served, number, "1.5"))["amendedOrder"]
    assert answer["origClientOrderId"] == "first" != answer["clientOrderId"]
    assert (answer["qty"], answer["preventedQty"]) == ("1.50000000", "0.00000000")
    event = (await user.next())["event"]
    assert (event["x"], event["c"], event["C"]) == ("REPLACED", answer["clientOrderId"], "first")
    assert (await user.next())["event"]["B"] == [
        {"a": "USDT", "f": "865.00000000", "l": "135.00000000"}
    ]
    second = await amend(served, number, "1", newClientOrderId="mine")
    assert second["amendedOrder"]["clientOrderId"] == "mine"
    kept = await amend(served, number, "0.5", newClientOrderId="mine")
    assert kept["amendedOrder"]["origClientOrderId"] == "mine"
    _, rows = await served.signed("GET", "order/amendments", **BTC, orderId=number)
    assert [(row["origQty"], row["newQty"]) for row in rows] == [
        ("2.00000000", "1.50000000"),
        ("1.50000000", "1.00000000"),
        ("1.00000000", "0.50000000"),
    ]
    assert [row["executionId"] for row in rows][1:] == [second["executionId"], kept["executionId"]]
    later = {"fromExecutionId": second["executionId"], "limit": 1}
    _, [row] = await served.signed("GET", "order/amendments", **BTC, orderId=number, **later)
    assert (row["newClientOrderId"], row["newQty"]) == ("mine", "1.00000000")
    assert await served.refused("GET", "order", **BTC, origClientOrderId="first") == -2013
    both = {"origClientOrderId": "first", "orderId": number}
    assert await served.refused("GET", "order", **BTC, **both) == -2039
    assert await served.refused("GET", "order/amendments", **BTC, orderId=99) == -2013


async def test_every_refused_amendment_has_its_own_message(served: Any) -> None:
    order = await served.order("BUY", "LIMIT", quantity="2", price="90", **GTC)
    await served.order("BUY", "LIMIT", quantity="1", price="80", newClientOrderId="other", **GTC)
    number = order["orderId"]
    assert await refused(served, 99, "1") == (-2038, "Unknown order sent.")
    assert "quantity increase" in (await refused(served, number, "3"))[1]
    assert "change no state" in (await refused(served, number, "2"))[1]
    assert await refused(served, number, "0.000001") == (-1013, "Filter failure: LOT_SIZE")
    assert await refused(served, number, "0.00001") == (-1013, "Filter failure: NOTIONAL")
    twice = await refused(served, number, "1", newClientOrderId="other")
    assert twice == (-2038, "Duplicate order sent.")
    await served.control.fault("rules", symbol="BTCUSDT", changes={"max_amends": 1})
    await amend(served, number, "1.9")
    assert (await refused(served, number, "1.8"))[1] == "Filter failure: MAX_NUM_ORDER_AMENDS"
    await served.control.fault("rules", symbol="BTCUSDT", changes={"amends_allowed": False})
    [info] = (await served.get("exchangeInfo"))["symbols"]
    assert info["amendAllowed"] is False
    assert "not supported for this symbol" in (await refused(served, number, "1.8"))[1]
    assert (await served.signed("GET", "order", **BTC, orderId=number))[1]["origQty"] == (
        "1.90000000"
    )


async def test_both_orders_of_a_pair_are_reduced(served: Any) -> None:
    user = await served.user_stream()
    legs = {"aboveType": "STOP_LOSS_LIMIT", "aboveStopPrice": "110", "abovePrice": "120"}
    legs |= {"aboveTimeInForce": "GTC", "belowType": "LIMIT_MAKER", "belowPrice": "90"}
    status, pair = await served.signed(
        "POST", "orderList/oco", **BTC, side="BUY", quantity="2", **legs
    )
    assert status == 200, pair
    assert await served.balance("USDT") == ("760.00000000", "240.00000000")
    while (await user.next())["event"]["e"] != "outboundAccountPosition":
        pass
    below = next(one for one in pair["orderReports"] if one["type"] == "LIMIT_MAKER")
    answer = await amend(served, below["orderId"], "1", newClientOrderId="smaller")
    assert answer["listStatus"]["listOrderStatus"] == "EXECUTING"
    assert "smaller" in [one["clientOrderId"] for one in answer["listStatus"]["orders"]]
    events = [(await user.next())["event"] for _ in range(4)]
    assert [(one["e"], one.get("x")) for one in events] == [
        ("executionReport", "REPLACED"),
        ("executionReport", "REPLACED"),
        ("listStatus", None),
        ("outboundAccountPosition", None),
    ]
    assert events[2]["l"] == "UPDATED"
    assert await served.balance("USDT") == ("880.00000000", "120.00000000")
    _, orders = await served.signed("GET", "openOrders", **BTC)
    assert {one["origQty"] for one in orders} == {"1.00000000"}
    assert not audit(served.venue.engine.state)
    status, _ = await served.signed("DELETE", "order", **BTC, origClientOrderId="smaller")
    assert status == 200 and await served.balance("USDT") == ("1000.00000000", "0.00000000")


async def test_a_pending_order_is_amended_by_itself(served: Any) -> None:
    legs = {"workingType": "LIMIT", "workingSide": "BUY", "workingPrice": "90"}
    legs |= {"workingQuantity": "1", "workingTimeInForce": "GTC"}
    legs |= {"pendingType": "MARKET", "pendingSide": "SELL", "pendingQuantity": "1"}
    status, made = await served.signed("POST", "orderList/oto", **BTC, **legs)
    assert status == 200, made
    pending = made["orders"][1]["orderId"]
    answer = (await amend(served, pending, "0.5"))["amendedOrder"]
    assert (answer["status"], answer["qty"]) == ("PENDING_NEW", "0.50000000")
    assert "workingTime" not in answer
    _, working = await served.signed("GET", "order", **BTC, orderId=made["orders"][0]["orderId"])
    assert working["origQty"] == "1.00000000"
    assert await served.balance("USDT") == ("910.00000000", "90.00000000")


async def test_the_amendment_history_survives_a_restart(served: Any, tmp_path: Path) -> None:
    order = await served.order("BUY", "LIMIT", quantity="2", price="90", **GTC)
    await amend(served, order["orderId"], "1", newClientOrderId="mine")
    engine = served.venue.engine
    engine._load()
    again = engine.account.orders[order["orderId"]]
    assert again.client_order_id == "mine" and len(again.amended) == 1
    _, [row] = await served.signed("GET", "order/amendments", **BTC, orderId=order["orderId"])
    assert (row["origQty"], row["newQty"]) == ("2.00000000", "1.00000000")
