"""Order lists: OCO, OTO and OTOCO."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.replay import ReplayMarket

LOCKSTEP = MarketPace(None, lockstep=True)
STREAM = "btcusdt@kline_1m"
OCO = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "quantity": "1",
    "aboveType": "LIMIT_MAKER",
    "abovePrice": "109",
    "belowType": "STOP_LOSS_LIMIT",
    "belowStopPrice": "92",
    "belowPrice": "91",
    "belowTimeInForce": "GTC",
}
PENDING = {
    "pendingSide": "SELL",
    "pendingQuantity": "0.9",
    "pendingAboveType": "TAKE_PROFIT",
    "pendingAboveStopPrice": "109",
    "pendingBelowType": "STOP_LOSS",
    "pendingBelowStopPrice": "92",
}
WORKING = {
    "symbol": "BTCUSDT",
    "workingType": "LIMIT",
    "workingSide": "BUY",
    "workingPrice": "99",
    "workingQuantity": "1",
    "workingTimeInForce": "GTC",
}


@pytest.fixture
def market(candles: Callable[..., ReplayMarket]) -> ReplayMarket:
    """A market at 100, down to 95, up to 110, then down to 90."""
    return candles(
        BTCUSDT={
            0: (100, 100, 100, 100, 1),
            1: (100, 100, 95, 95, 1),
            2: (95, 110, 95, 100, 1),
            3: (100, 100, 90, 90, 1),
        }
    )


@pytest.fixture
async def served(serve: Any, market: ReplayMarket) -> Any:
    served = await serve(market, pace=LOCKSTEP)
    await served.order("BUY", "MARKET", quantity="2")
    return served


async def placed(served: Any, path: str, **params: object) -> Any:
    status, answer = await served.signed("POST", path, **params)
    assert status == 200, answer
    return answer


async def statuses(served: Any, answer: Any) -> list[str]:
    found = []
    for order in answer["orders"]:
        _, known = await served.signed("GET", "order", symbol="BTCUSDT", orderId=order["orderId"])
        found.append(known["status"])
    return found


async def test_an_oco_reserves_once_and_its_limit_order_expires_the_stop(served: Any) -> None:
    user = await served.user_stream()
    answer = await placed(served, "orderList/oco", **OCO)
    assert (answer["contingencyType"], answer["listStatusType"], answer["listOrderStatus"]) == (
        "OCO",
        "EXEC_STARTED",
        "EXECUTING",
    )
    assert [one["type"] for one in answer["orderReports"]] == ["LIMIT_MAKER", "STOP_LOSS_LIMIT"]
    assert {one["orderListId"] for one in answer["orderReports"]} == {answer["orderListId"]}
    assert await served.balance("BTC") == ("0.99800000", "1.00000000")
    events = [one["event"]["e"] for one in await user.many(4)]
    assert sorted(events) == [
        "executionReport",
        "executionReport",
        "listStatus",
        "outboundAccountPosition",
    ]
    for _ in range(3):
        await served.advance(STREAM)
    assert await statuses(served, answer) == ["FILLED", "EXPIRED"]
    told = [one["event"] for one in await user.many(4)]
    ended = next(one for one in told if one["e"] == "listStatus")
    assert (ended["g"], ended["l"], ended["L"]) == (answer["orderListId"], "ALL_DONE", "ALL_DONE")
    assert await served.balance("BTC") == ("0.99800000", "0.00000000")
    _, lists = await served.signed("GET", "openOrderList")
    assert lists == []
    _, found = await served.signed("GET", "orderList", orderListId=answer["orderListId"])
    assert (found["listOrderStatus"], len(found["orders"])) == ("ALL_DONE", 2)


async def test_the_stop_of_an_oco_expires_its_limit_order(served: Any) -> None:
    answer = await placed(
        served, "orderList/oco", **{**OCO, "abovePrice": "120", "belowStopPrice": "96"}
    )
    await served.advance(STREAM)
    await served.advance(STREAM)
    assert await statuses(served, answer) == ["EXPIRED", "FILLED"]


async def test_the_deprecated_oco_path(served: Any) -> None:
    answer = await placed(
        served,
        "order/oco",
        symbol="BTCUSDT",
        side="SELL",
        quantity="1",
        price="109",
        stopPrice="96",
        stopLimitPrice="90",
        stopLimitTimeInForce="GTC",
        listClientOrderId="mine",
        limitClientOrderId="upper",
        stopClientOrderId="lower",
    )
    assert answer["listClientOrderId"] == "mine"
    assert [one["clientOrderId"] for one in answer["orders"]] == ["upper", "lower"]
    await served.advance(STREAM)
    await served.advance(STREAM)
    assert await statuses(served, answer) == ["EXPIRED", "FILLED"]


async def test_cancelling_one_order_cancels_its_list(served: Any) -> None:
    answer = await placed(served, "orderList/oco", **OCO, newOrderRespType="FULL")
    number = answer["orders"][1]["orderId"]
    status, done = await served.signed("DELETE", "order", symbol="BTCUSDT", orderId=number)
    assert (status, done["listOrderStatus"]) == (200, "ALL_DONE")
    assert await statuses(served, answer) == ["CANCELED", "CANCELED"]
    assert await served.balance("BTC") == ("1.99800000", "0.00000000")
    again = await placed(served, "orderList/oco", **OCO, listClientOrderId="x")
    status, done = await served.signed(
        "DELETE", "orderList", symbol="BTCUSDT", listClientOrderId="x"
    )
    assert (status, len(done["orderReports"])) == (200, 2)
    assert await served.refused("DELETE", "orderList", symbol="BTCUSDT", orderListId=77) == -2011
    _, every = await served.signed("GET", "allOrderList")
    assert [one["orderListId"] for one in every] == [answer["orderListId"], again["orderListId"]]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"abovePrice": "99"}, -2010),
        ({"belowStopPrice": "101"}, -2010),
        ({"aboveType": "MARKET", "abovePrice": None}, -1158),
        ({"aboveType": "STOP_LOSS", "abovePrice": None, "aboveStopPrice": "109"}, -1197),
        ({"belowType": "TAKE_PROFIT", "belowPrice": None, "belowTimeInForce": None}, -1199),
        ({"belowType": "LIMIT_MAKER", "belowStopPrice": None, "belowTimeInForce": None}, -1166),
        ({"side": "BUY"}, -1165),
        ({"quantity": "3"}, -2010),
        ({"belowPrice": None}, -1102),
        ({"aboveClientOrderId": "same", "belowClientOrderId": "same"}, -2010),
    ],
)
async def test_an_invalid_oco_is_refused_and_changes_nothing(
    served: Any, changes: dict[str, str | None], code: int
) -> None:
    sent = {name: value for name, value in {**OCO, **changes}.items() if value is not None}
    assert await served.refused("POST", "orderList/oco", **sent) == code
    assert await served.balance("BTC") == ("1.99800000", "0.00000000")
    _, orders = await served.signed("GET", "openOrders", symbol="BTCUSDT")
    assert orders == []


async def test_an_otoco_waits_for_its_working_order(served: Any) -> None:
    answer = await placed(served, "orderList/otoco", **WORKING, **PENDING)
    assert answer["contingencyType"] == "OTO"
    assert await statuses(served, answer) == ["NEW", "PENDING_NEW", "PENDING_NEW"]
    assert await served.balance("BTC") == ("1.99800000", "0.00000000")
    await served.advance(STREAM)
    await served.advance(STREAM)
    assert await statuses(served, answer) == ["FILLED", "NEW", "NEW"]
    assert await served.balance("BTC") == ("2.09700000", "0.90000000")
    await served.advance(STREAM)
    assert await statuses(served, answer) == ["FILLED", "FILLED", "EXPIRED"]
    _, lists = await served.signed("GET", "allOrderList")
    assert [one["listOrderStatus"] for one in lists] == ["ALL_DONE"]


async def test_an_oto_that_fills_at_once_places_or_rejects_its_pending_order(served: Any) -> None:
    pending = {"pendingType": "MARKET", "pendingSide": "SELL", "pendingQuantity": "0.5"}
    answer = await placed(served, "orderList/oto", **{**WORKING, "workingPrice": "101"}, **pending)
    assert [one["status"] for one in answer["orderReports"]] == ["FILLED", "PENDING_NEW"]
    assert await statuses(served, answer) == ["FILLED", "FILLED"]
    answer = await placed(
        served,
        "orderList/oto",
        **{**WORKING, "workingPrice": "101"},
        **{**pending, "pendingQuantity": "9"},
    )
    assert await statuses(served, answer) == ["FILLED", "REJECTED"]
    _, lists = await served.signed("GET", "openOrderList")
    assert lists == []


async def test_a_cancelled_working_order_ends_its_list(served: Any) -> None:
    answer = await placed(served, "orderList/otoco", **WORKING, **PENDING)
    number = answer["orders"][0]["orderId"]
    await served.signed("DELETE", "order", symbol="BTCUSDT", orderId=number)
    assert await statuses(served, answer) == ["CANCELED"] * 3
    gone = {**WORKING, "workingTimeInForce": "IOC"}
    answer = await placed(served, "orderList/otoco", **gone, **PENDING)
    assert await statuses(served, answer) == ["EXPIRED"] * 3


async def test_order_lists_survive_a_restart(
    serve: Any, market: ReplayMarket, tmp_path: Any
) -> None:
    path = tmp_path / "ledger.db"
    served = await serve(market, pace=LOCKSTEP, ledger=path)
    await served.order("BUY", "MARKET", quantity="2")
    answer = await placed(served, "orderList/oco", **{**OCO, "belowStopPrice": "96"})
    await served.exchange.close()
    again = await serve(market, pace=LOCKSTEP, ledger=path)
    assert again.exchange._ledger.load().lists[answer["orderListId"]].contingency == "OCO"
    await again.advance(STREAM)
    await again.advance(STREAM)
    assert await statuses(again, answer) == ["EXPIRED", "FILLED"]


async def test_the_number_of_order_lists_of_a_symbol_is_limited(served: Any) -> None:
    info = (await served.get("exchangeInfo", symbol="BTCUSDT"))["symbols"][0]
    limits = {one["filterType"]: one for one in info["filters"]}
    assert limits["MAX_NUM_ORDER_LISTS"]["maxNumOrderLists"] == 20
    served.exchange.administration.change_rules("BTCUSDT", {"max_order_lists": 1})
    await placed(served, "orderList/oto", **WORKING, **_pending("0.5"))
    params = {"symbol": "BTCUSDT", **WORKING, **_pending("0.5")}
    status, answer = await served.signed("POST", "orderList/oto", **params)
    assert (status, answer["code"]) == (400, -2010)
    assert answer["msg"] == "Filter failure: MAX_NUM_ORDER_LISTS"


def _pending(amount: str) -> dict[str, str]:
    return {"pendingType": "MARKET", "pendingSide": "SELL", "pendingQuantity": amount}
