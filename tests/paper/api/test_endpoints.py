"""Every operation of Binance spot answers; those not offered have Binance's error codes."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest

from botlib.paper.accounts.keys import PAPER_API_KEY
from botlib.paper.api.operations import WS_METHODS
from botlib.paper.market.market_clock import MarketPace

BTC = {"symbol": "BTCUSDT"}
GTC = {"timeInForce": "GTC", "quantity": "1"}

REST = """
GET ping
GET time
GET exchangeInfo
GET executionRules
GET depth symbol
GET trades symbol
GET historicalTrades symbol
GET historicalBlockTrades symbol fromId
GET aggTrades symbol
GET klines symbol interval
GET uiKlines symbol interval
GET avgPrice symbol
GET ticker/24hr
GET ticker/tradingDay symbol
GET ticker/price
GET ticker/bookTicker
GET ticker symbol
GET referencePrice symbol -2043
GET referencePrice/calculation symbol -2043
POST order/test symbol order
POST order symbol order
GET order symbol orderId
GET order/amendments symbol orderId
PUT order/amend/keepPriority symbol orderId newQty
POST order/cancelReplace symbol order cancelReplaceMode cancelOrderId
GET openOrders
GET allOrders symbol
DELETE openOrders symbol
DELETE order symbol orderId -2011
POST order/oco symbol -1102
POST orderList/oco symbol -1102
POST orderList/oto symbol -1102
POST orderList/otoco symbol -1102
POST orderList/opo symbol working
POST orderList/opoco symbol working -1102
GET orderList orderListId
GET allOrderList
GET openOrderList
DELETE orderList symbol orderListId
POST sor/order symbol order -1020
POST sor/order/test symbol order -1020
GET account
GET account/commission symbol
GET rateLimit/order
GET myTrades symbol
GET myPreventedMatches symbol orderId
GET myAllocations symbol
GET myFilters symbol
"""
"""Method, path, parameters, and the error code if the answer is a refusal."""

METHODS = """
ping time exchangeInfo executionRules depth trades.recent trades.historical trades.aggregate
blockTrades.historical klines uiKlines avgPrice ticker.24hr ticker.tradingDay ticker ticker.price
ticker.book referencePrice referencePrice.calculation order.place order.test order.status
order.cancel order.cancelReplace order.amend.keepPriority order.amendments openOrders.status
openOrders.cancelAll orderList.place orderList.place.oco orderList.place.oto orderList.place.otoco
orderList.place.opo orderList.place.opoco orderList.cancel orderList.status openOrderLists.status
sor.order.place sor.order.test account.status account.commission account.rateLimits.orders
allOrders allOrderLists myTrades myPreventedMatches myAllocations myFilters
"""
SESSIONS = """
session.status session.subscriptions session.logout session.logon userDataStream.subscribe
userDataStream.subscribe.signature userDataStream.unsubscribe
"""

SENT: dict[str, dict[str, Any]] = {
    "symbol": BTC,
    "interval": {"interval": "1m"},
    "fromId": {"fromId": 1},
    "orderListId": {"orderListId": 1},
    "newQty": {"newQty": "0.5"},
    "cancelReplaceMode": {"cancelReplaceMode": "ALLOW_FAILURE"},
    "order": {"side": "BUY", "type": "LIMIT", "price": "90", **GTC},
    "working": {
        **{"workingType": "LIMIT", "workingSide": "BUY", "workingPrice": "90"},
        **{"workingQuantity": "1", "workingTimeInForce": "GTC"},
        **{"pendingType": "MARKET", "pendingSide": "SELL", "pendingAboveType": "LIMIT_MAKER"},
    },
}


@pytest.fixture
async def served(serve: Any, candles: Any) -> Any:
    market = candles(BTCUSDT={minute: (100, 100, 100, 100, 1) for minute in range(4)})
    return await serve(market, pace=MarketPace(None, lockstep=True))


async def test_every_rest_path_answers(served: Any) -> None:
    made = [await served.order("BUY", "LIMIT", price="80", **GTC) for _ in range(2)]
    number = made[0]["orderId"]
    answered = set()
    for line in REST.split("\n"):
        method, path, *names = line.split() or ("", "")
        if not method:
            continue
        answered.add((method, path))
        code = int(names.pop()) if names and names[-1].startswith("-") else 200
        params: dict[str, Any] = {}
        for name in names:
            params |= SENT.get(name) or {name: number}
        if "pendingAboveType" in params:
            params.pop("pendingType" if path.endswith("opoco") else "pendingAboveType")
        if served.exchange._operations[method, path].signed:
            status, answer = await served.signed(method, path, **params)
        else:
            query = "&".join(f"{name}={value}" for name, value in params.items())
            status, answer = await served.call(method, path, query)
        assert code in (
            status,
            answer["code"] if isinstance(answer, dict) and status > 200 else 0,
        ), (
            line,
            answer,
        )
    assert answered == set(served.exchange._operations)


async def test_every_websocket_method_answers(served: Any) -> None:
    assert set(METHODS.split()) == set(WS_METHODS)
    ws = await served.session.ws_connect(f"{served.url}/ws-api/v3")
    for method in (*METHODS.split(), *SESSIONS.split()):
        await ws.send_str(orjson.dumps({"id": 1, "method": method}).decode())
        answer = orjson.loads(await ws.receive_str(timeout=60))
        error = answer.get("error", {})
        # A parameter or an API key is missing, but the method exists.
        assert error.get("code") in (None, -1102, -2014, -1002), (method, answer)
    for method in ("userDataStream.start", "userDataStream.ping", "userDataStream.stop"):
        await ws.send_str(orjson.dumps({"id": 1, "method": method}).decode())
        assert orjson.loads(await ws.receive_str(timeout=60))["status"] == 410


async def test_operations_without_data_have_empty_answers(served: Any) -> None:
    rules = await served.get("executionRules", symbols='["BTCUSDT"]')
    assert rules == {"symbolRules": [{"symbol": "BTCUSDT", "rules": []}]}
    status, answer = await served.call("GET", "executionRules", "symbol=BTCUSDT&symbolStatus=HALT")
    assert (status, answer["code"]) == (400, -1128)
    _, filters = await served.signed("GET", "myFilters", **BTC)
    assert filters["symbolFilters"] == (await served.get("exchangeInfo"))["symbols"][0]["filters"]
    assert (await served.signed("GET", "myAllocations", **BTC, startTime=1))[1] == []
    both = {"startTime": 1, "orderId": 1}
    assert await served.refused("GET", "myAllocations", **BTC, **both) == -1128
    status, answer = await served.call("GET", "depth", "symbol=BTCUSDT&symbolStatus=HALT")
    assert (status, answer["code"]) == (400, -1220)


@pytest.mark.parametrize(
    ("mode", "known", "status", "code", "results"),
    [
        ("STOP_ON_FAILURE", True, 429, -2021, ("SUCCESS", "FAILURE")),
        ("STOP_ON_FAILURE", False, 429, -2022, ("FAILURE", "NOT_ATTEMPTED")),
        ("ALLOW_FAILURE", True, 409, -2021, ("SUCCESS", "FAILURE")),
        ("ALLOW_FAILURE", False, 400, -2022, ("FAILURE", "FAILURE")),
    ],
)
async def test_cancel_only_mode_cancels_beyond_the_order_limit(
    served: Any,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    known: bool,
    status: int,
    code: int,
    results: tuple[str, str],
) -> None:
    monkeypatch.setattr(served.exchange.limits, "_wall", lambda: 0)
    order = await served.order("BUY", "LIMIT", price="90", **GTC)
    served.exchange.limits.change(orders_10s=1)
    new = {**BTC, "side": "BUY", "type": "LIMIT", "price": "91", **GTC, "cancelReplaceMode": mode}
    which = {"cancelOrderId": order["orderId"] if known else 99}
    found = await served.signed("POST", "order/cancelReplace", **new, **which)
    assert (found[0], found[1]["code"]) == (429, -1015)  # the old order stays open
    assert len((await served.signed("GET", "openOrders"))[1]) == 1
    only = {"orderRateLimitExceededMode": "CANCEL_ONLY"}
    found = await served.signed("POST", "order/cancelReplace", **new, **which, **only)
    assert (found[0], found[1]["code"]) == (status, code)
    data = found[1]["data"]
    assert (data["cancelResult"], data["newOrderResult"]) == results
    if results[1] == "FAILURE":
        assert data["newOrderResponse"]["code"] == -1015
    assert len((await served.signed("GET", "openOrders"))[1]) == (0 if known else 1)


async def test_a_new_order_that_fails_a_filter_leaves_the_old_one(served: Any) -> None:
    order = await served.order("BUY", "LIMIT", price="90", **GTC)
    new = {**BTC, "side": "BUY", "type": "LIMIT", "price": "91.001", **GTC}
    which = {"cancelReplaceMode": "ALLOW_FAILURE", "cancelOrderId": order["orderId"]}
    assert await served.refused("POST", "order/cancelReplace", **new, **which) == -1013
    assert len((await served.signed("GET", "openOrders"))[1]) == 1


async def test_traded_orders_do_not_count_towards_the_order_limit(served: Any) -> None:
    async def count() -> list[int]:
        _, found = await served.signed("GET", "rateLimit/order")
        return [one["count"] for one in found]

    await served.order("BUY", "LIMIT", price="90", **GTC)
    await served.order("BUY", "MARKET", quantity="1")
    assert (await count())[1] == 1
    assert await served.refused("POST", "order", **BTC, side="BUY", type="MARKET", quantity="1e9")
    assert (await count())[1] == 1


async def test_an_iceberg_leg_of_an_order_list_must_be_gtc(served: Any) -> None:
    legs = {"aboveType": "LIMIT_MAKER", "abovePrice": "110", "belowType": "STOP_LOSS_LIMIT"}
    legs |= {"belowPrice": "90", "belowStopPrice": "95", "belowTimeInForce": "IOC"}
    order = {**BTC, "side": "SELL", "quantity": "1", **legs, "belowIcebergQty": "0.5"}
    assert await served.refused("POST", "orderList/oco", **order) == -1160


async def test_a_session_has_a_maximum_of_subscription_ids(
    served: Any, signer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botlib.paper.streams.user_streams.MAX_SUBSCRIPTIONS", 1)
    ws = await served.session.ws_connect(f"{served.url}/ws-api/v3")

    async def ask(method: str) -> Any:
        params: dict[str, Any] = {"apiKey": PAPER_API_KEY, "timestamp": time.time_ns() // 10**6}
        query = "&".join(f"{name}={params[name]}" for name in sorted(params))
        params["signature"] = signer(query).rpartition("=")[2]
        await ws.send_str(orjson.dumps({"id": 1, "method": method, "params": params}).decode())
        while "event" in (answer := orjson.loads(await ws.receive_str(timeout=60))):
            pass
        return answer

    subscribe = "userDataStream.subscribe.signature"
    assert (await ask(subscribe))["status"] == 200
    assert (await ask(subscribe))["error"]["code"] == -2035
    await ws.send_str('{"id":2,"method":"userDataStream.unsubscribe"}')
    while orjson.loads(await ws.receive_str(timeout=60)).get("id") != 2:
        pass
    assert (await ask(subscribe))["error"]["code"] == -2042
