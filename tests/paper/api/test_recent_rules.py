"""Rules that Binance added in 2025 and 2026."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import pytest

from botlib.paper.accounts.keys import PAPER_API_KEY
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.synthetic import SyntheticMarket

LOCKSTEP = MarketPace(None, lockstep=True)
BTC = {"symbol": "BTCUSDT"}
FLAT = {minute: (100, 100, 100, 100, 1) for minute in range(5)}


@pytest.fixture
async def served(serve: Any, candles: Any) -> Any:
    return await serve(candles(BTCUSDT=FLAT), pace=LOCKSTEP, events="first")


@pytest.mark.parametrize("raw", ["a[b", "größe", 'a"b', "a b", "a|b"])
async def test_a_payload_that_is_not_percent_encoded_is_not_signed(
    served: Any, signer: Any, raw: str
) -> None:
    order = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=1&newClientOrderId="
    for text, code in ((raw, -1022), (quote(raw, safe=""), -1100)):
        body = f"{order}{text}&timestamp={time.time_ns() // 1_000_000}"
        _, answer = await served.call("POST", "order", body=signer(body), key=PAPER_API_KEY)
        assert answer["code"] == code


async def test_symbols_have_letters_of_any_alphabet(serve: Any, start_time: int) -> None:
    served = await serve(SyntheticMarket(1), pace=LOCKSTEP, start=start_time)
    name = "币安人生USDT"
    [info] = (await served.get("exchangeInfo", symbol=name))["symbols"]
    assert (info["symbol"], info["baseAsset"], info["quoteAsset"]) == (name, "币安人生", "USDT")
    stream = await served.listen(f"{name.lower()}@kline_1m")
    assert (await stream.next())["k"]["s"] == name
    status, order = await served.signed(
        "POST", "order", symbol=name, side="BUY", type="MARKET", quoteOrderQty="100"
    )
    assert (status, order["status"]) == (200, "FILLED")
    assert (await served.get("klines", symbol=name, interval="1m", limit=2))[0]
    status, answer = await served.call("GET", "klines", "symbol=btcusdt&interval=1m")
    assert (status, answer["code"]) == (400, -1100)


async def test_a_symbol_may_only_accept_cancellations(served: Any) -> None:
    sent = {"timeInForce": "GTC", "quantity": "1", "price": "90"}
    order = await served.order("BUY", "LIMIT", **sent)
    await served.control._call("POST", "status", {**BTC, "status": "CANCEL_ONLY"}, None)
    [info] = (await served.get("exchangeInfo", symbolStatus="CANCEL_ONLY"))["symbols"]
    assert info["status"] == "CANCEL_ONLY"
    assert await served.refused("POST", "order", side="BUY", type="LIMIT", **BTC, **sent) == -2010
    status, gone = await served.signed("DELETE", "order", orderId=order["orderId"], **BTC)
    assert (status, gone["status"]) == (200, "CANCELED")


@pytest.mark.parametrize(
    ("force", "reason"),
    [("IOC", "UNFILLED_IOC_QUANTITY_EXPIRED"), ("FOK", "UNFILLED_FOK_ORDER_EXPIRED")],
)
async def test_an_expired_order_says_why(served: Any, force: str, reason: str) -> None:
    user = await served.user_stream()
    order = await served.order("BUY", "LIMIT", timeInForce=force, quantity="1", price="90")
    assert (order["status"], order["expiryReason"]) == ("EXPIRED", reason)
    events = [(await user.next())["event"] for _ in range(2)]
    assert [one.get("eR") for one in events] == [None, reason]
    _, found = await served.signed("GET", "order", orderId=order["orderId"], **BTC)
    assert found["expiryReason"] == reason
    filled = await served.order("BUY", "MARKET", quantity="1")
    assert "expiryReason" not in filled


async def test_the_other_order_of_a_pair_expires_by_it(served: Any) -> None:
    await served.order("BUY", "MARKET", quantity="1")
    status, found = await served.signed(
        "POST",
        "orderList/oco",
        side="SELL",
        quantity="0.9",
        aboveType="LIMIT_MAKER",
        abovePrice="110",
        belowType="STOP_LOSS",
        belowStopPrice="90",
        **BTC,
    )
    assert status == 200, found
    first, other = (one["orderId"] for one in found["orders"])
    await served.signed("DELETE", "order", orderId=first, **BTC)
    _, row = await served.signed("GET", "order", orderId=other, **BTC)
    assert "expiryReason" not in row  # it was cancelled with its list


async def test_three_hundred_thousand_requests_are_allowed_in_five_minutes(served: Any) -> None:
    announced = (await served.get("exchangeInfo"))["rateLimits"]
    raw = next(one for one in announced if one["rateLimitType"] == "RAW_REQUESTS")
    assert (raw["limit"], raw["intervalNum"]) == (300_000, 5)


async def test_accepted_orders_and_cancellations_weigh_nothing(served: Any) -> None:
    async def used() -> int:
        await served.get("ping")
        return int(served.headers["X-MBX-USED-WEIGHT-1M"])

    before = await used()
    order = await served.order("BUY", "LIMIT", timeInForce="GTC", quantity="1", price="90")
    await served.signed("DELETE", "order", orderId=order["orderId"], **BTC)
    assert await used() == before + 1
    assert await served.refused("DELETE", "order", orderId=order["orderId"], **BTC) == -2011
    assert await used() == before + 3
