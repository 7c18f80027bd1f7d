"""Orders: fills, locked balances, costs and refusals."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from botlib.paper.accounts.commission import Commission
from botlib.paper.accounts.ledger import Ledger
from botlib.paper.market.feed import Feed
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.replay import ReplayMarket
from botlib.paper.market.synthetic import SyntheticMarket
from botlib.paper.matching.engine import MatchingEngine
from botlib.paper.matching.requests import OrderRequest
from botlib.paper.protocol.refusals import Refusal
from tests.support.finished import finished

LOCKSTEP = MarketPace(None, lockstep=True)
STREAM = "btcusdt@kline_1m"
Candles = Callable[..., ReplayMarket]


@pytest.fixture
def market(candles: Candles) -> ReplayMarket:
    """A market at 100, then up to 110 and down to 90, then at 100 again."""
    return candles(
        BTCUSDT={
            0: (100, 100, 100, 100, 1),
            1: (100, 110, 90, 100, 1),
            2: (100, 100, 100, 100, 1),
            3: (95, 95, 95, 95, 1),
        }
    )


@pytest.fixture
async def served(serve: Any, market: ReplayMarket) -> Any:
    return await serve(market, pace=LOCKSTEP)


async def test_a_market_buy_receives_base_minus_the_fee(served: Any) -> None:
    order = await served.order("BUY", "MARKET", quantity="2", newClientOrderId="mine-1")
    assert order["status"] == "FILLED"
    assert order["clientOrderId"] == "mine-1"
    assert order["cummulativeQuoteQty"] == "200.00000000"
    tape = await served.get("trades", symbol="BTCUSDT", limit=2)
    assert order["fills"] == [
        {
            "price": "100.00000000",
            "qty": "2.00000000",
            "commission": "0.00200000",
            "commissionAsset": "BTC",
            # Of the size of those on the tape.
            "tradeId": tape[0]["id"],
        }
    ]
    assert await served.balance("USDT") == ("9800.00000000", "0.00000000")
    assert await served.balance("BTC") == ("1.99800000", "0.00000000")


async def test_a_market_sell_receives_quote_minus_the_fee(served: Any) -> None:
    await served.order("BUY", "MARKET", quantity="2")
    order = await served.order("SELL", "MARKET", quantity="1")
    assert order["fills"][0]["commissionAsset"] == "USDT"
    assert order["fills"][0]["commission"] == "0.10000000"
    assert await served.balance("USDT") == ("9899.90000000", "0.00000000")
    assert await served.balance("BTC") == ("0.99800000", "0.00000000")


async def test_a_market_order_by_quote_amount_buys_whole_steps(served: Any) -> None:
    order = await served.order("BUY", "MARKET", quoteOrderQty="50.0005")
    assert order["executedQty"] == "0.50000000"
    assert order["origQuoteOrderQty"] == "50.00050000"
    assert await served.balance("USDT") == ("9950.00000000", "0.00000000")


async def test_resting_orders_fill_at_their_own_price_as_maker(served: Any) -> None:
    await served.order("BUY", "MARKET", quantity="5")
    buy = await served.order("BUY", "LIMIT", timeInForce="GTC", quantity="1", price="91.5")
    sell = await served.order("SELL", "LIMIT", timeInForce="GTC", quantity="1", price="109")
    far = await served.order("BUY", "LIMIT", timeInForce="GTC", quantity="1", price="89")
    assert [one["status"] for one in (buy, sell, far)] == ["NEW"] * 3
    assert await served.balance("USDT") == ("9319.50000000", "180.50000000")
    assert await served.balance("BTC") == ("3.99500000", "1.00000000")
    await served.advance(STREAM)
    await served.advance(STREAM)
    trades = await served.signed("GET", "myTrades", symbol="BTCUSDT")
    fills = [(t["price"], t["isBuyer"], t["isMaker"]) for t in trades[1]]
    assert sorted(fills[1:]) == [("109.00000000", False, True), ("91.50000000", True, True)]
    _, waiting = await served.signed("GET", "openOrders", symbol="BTCUSDT")
    assert [one["orderId"] for one in waiting] == [far["orderId"]]
    assert await served.balance("USDT") == ("9428.39100000", "89.00000000")


async def test_a_gap_through_a_resting_order_fills_it_at_its_price(served: Any) -> None:
    await served.advance(STREAM)
    await served.advance(STREAM)
    order = await served.order("BUY", "LIMIT", timeInForce="GTC", quantity="1", price="97")
    await served.advance(STREAM)
    _, done = await served.signed("GET", "order", symbol="BTCUSDT", orderId=order["orderId"])
    assert (done["status"], done["cummulativeQuoteQty"]) == ("FILLED", "97.00000000")
    assert done["updateTime"] == served.venue.market_time


async def test_a_crossing_limit_order_gets_the_better_price(served: Any) -> None:
    order = await served.order("BUY", "LIMIT", timeInForce="GTC", quantity="1", price="120")
    assert order["status"] == "FILLED"
    assert order["fills"][0]["price"] == "100.00000000"
    assert await served.balance("USDT") == ("9900.00000000", "0.00000000")


@pytest.mark.parametrize("force", ["IOC", "FOK"])
async def test_ioc_and_fok_orders_that_cannot_trade_expire(served: Any, force: str) -> None:
    order = await served.order("BUY", "LIMIT", timeInForce=force, quantity="1", price="99")
    assert (order["status"], order["executedQty"]) == ("EXPIRED", "0.00000000")
    assert await served.balance("USDT") == ("10000.00000000", "0.00000000")


async def test_a_limit_maker_rests_or_is_refused(served: Any) -> None:
    answer = await served.order("BUY", "LIMIT_MAKER", quantity="1", price="99")
    assert set(answer) == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
    code = await served.refused(
        "POST",
        "order",
        symbol="BTCUSDT",
        side="BUY",
        type="LIMIT_MAKER",
        quantity="1",
        price="100",
    )
    assert code == -2010


async def test_a_cancellation_unlocks_the_balance(served: Any) -> None:
    order = await served.order(
        "BUY", "LIMIT", timeInForce="GTC", quantity="1", price="90", newClientOrderId="a"
    )
    status, answer = await served.signed(
        "DELETE", "order", symbol="BTCUSDT", origClientOrderId="a", newClientOrderId="b"
    )
    assert status == 200
    assert (answer["status"], answer["origClientOrderId"], answer["clientOrderId"]) == (
        "CANCELED",
        "a",
        "b",
    )
    assert await served.balance("USDT") == ("10000.00000000", "0.00000000")
    again = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
    assert await served.refused("DELETE", "order", **again) == -2011


async def test_all_open_orders_are_canceled_at_once(served: Any) -> None:
    for price in ("90", "91"):
        await served.order("BUY", "LIMIT", timeInForce="GTC", quantity="1", price=price)
    _, done = await served.signed("DELETE", "openOrders", symbol="BTCUSDT")
    assert [one["status"] for one in done] == ["CANCELED"] * 2
    assert await served.balance("USDT") == ("10000.00000000", "0.00000000")
    assert await served.refused("DELETE", "openOrders", symbol="BTCUSDT") == -2011


async def test_a_client_id_is_unique_among_open_orders_only(served: Any) -> None:
    for _ in range(2):
        await served.order("BUY", "MARKET", quantity="1", newClientOrderId="x")
    resting = {"timeInForce": "GTC", "quantity": "1", "price": "90", "newClientOrderId": "y"}
    await served.order("BUY", "LIMIT", **resting)
    code = await served.refused(
        "POST", "order", symbol="BTCUSDT", side="BUY", type="LIMIT", **resting
    )
    assert code == -2010


LIMIT = {"type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": "99"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol": None}, -1102),
        ({"symbol": "NOSUCH"}, -1121),
        ({"side": "HOLD"}, -1117),
        ({"side": None}, -1102),
        ({"type": "NOSUCH"}, -1116),
        ({"type": "STOP_LOSS", "timeInForce": None, "price": None}, -1102),
        ({"type": "STOP_LOSS", "timeInForce": None, "stopPrice": "110"}, -1106),
        ({"type": "STOP_LOSS", "price": None, "stopPrice": "110"}, -1106),
        ({"type": "STOP_LOSS_LIMIT"}, -1102),
        ({"type": "STOP_LOSS_LIMIT", "stopPrice": "90"}, -2010),
        ({"type": "STOP_LOSS_LIMIT", "stopPrice": "110.001"}, -1013),
        ({"type": "STOP_LOSS_LIMIT", "stopPrice": "110", "price": None}, -1102),
        ({"type": "STOP_LOSS_LIMIT", "stopPrice": "110", "timeInForce": None}, -1102),
        ({"type": "TAKE_PROFIT_LIMIT", "stopPrice": "110"}, -2010),
        ({"type": "STOP_LOSS", "trailingDelta": "100"}, -1106),
        ({"timeInForce": None}, -1102),
        ({"timeInForce": "GTD"}, -1115),
        ({"price": None}, -1102),
        ({"quantity": None}, -1102),
        ({"stopPrice": "90"}, -1106),
        ({"type": "MARKET"}, -1106),
        ({"type": "MARKET", "timeInForce": None, "price": None, "quantity": None}, -1102),
        ({"type": "LIMIT_MAKER"}, -1106),
        ({"quantity": "abc"}, -1100),
        ({"quantity": "-1"}, -1100),
        ({"quantity": "1e3"}, -1100),
        ({"quantity": "0"}, -1013),
        ({"quantity": "1.123456789"}, -1111),
        ({"quantity": "1.000001"}, -1013),
        ({"quantity": "0.000001"}, -1013),
        ({"quantity": "999999999"}, -1013),
        ({"price": "99.001"}, -1013),
        ({"price": "9.99"}, -1013),
        ({"price": "501"}, -1013),
        ({"quantity": "0.01"}, -1013),
        ({"quantity": "1000"}, -2010),
        ({"side": "SELL", "price": "101"}, -2010),
        ({"newClientOrderId": "with blank"}, -1100),
        ({"newClientOrderId": "x" * 37}, -1100),
        ({"newOrderRespType": "NONE"}, -1102),
    ],
)
async def test_an_invalid_order_is_refused_and_changes_nothing(
    served: Any, changes: dict[str, str | None], code: int
) -> None:
    params = {"symbol": "BTCUSDT", "side": "BUY", **LIMIT, **changes}
    sent = {name: value for name, value in params.items() if value is not None}
    assert await served.refused("POST", "order", **sent) == code
    assert await served.balance("USDT") == ("10000.00000000", "0.00000000")
    _, orders = await served.signed("GET", "allOrders", symbol="BTCUSDT")
    assert orders == []


async def test_the_number_of_open_orders_is_limited(served: Any) -> None:
    served.exchange.administration.change_rules("BTCUSDT", {"max_orders": 2})
    for _ in range(2):
        await served.order("BUY", "LIMIT", timeInForce="GTC", quantity="1", price="90")
    params = {"symbol": "BTCUSDT", "side": "BUY", **LIMIT}
    status, answer = await served.signed("POST", "order", **params)
    assert (status, answer["code"]) == (400, -2010)
    assert answer["msg"] == "Filter failure: MAX_NUM_ORDERS"


@pytest.mark.parametrize(
    "order",
    [
        {"type": "MARKET", "quantity": "1"},
        {"type": "LIMIT", "timeInForce": "IOC", "quantity": "1", "price": "90"},
        {"type": "LIMIT", "timeInForce": "FOK", "quantity": "1", "price": "90"},
    ],
)
async def test_an_order_that_does_not_stay_open_is_not_counted_as_one(
    served: Any, order: dict[str, str]
) -> None:
    served.exchange.administration.change_rules("BTCUSDT", {"max_orders": 1})
    await served.order("BUY", "LIMIT", timeInForce="GTC", quantity="1", price="90")
    params = {"symbol": "BTCUSDT", "side": "BUY", **order}
    status, answer = await served.signed("POST", "order", **params)
    assert (status, answer["status"]) == (200, "FILLED" if order["type"] == "MARKET" else "EXPIRED")
    # One that waits for its stop price does count, although it sells at the market then.
    stop = {"type": "STOP_LOSS", "stopPrice": "95", "quantity": "0.5"}
    status, answer = await served.signed("POST", "order", symbol="BTCUSDT", side="SELL", **stop)
    assert answer["msg"] == "Filter failure: MAX_NUM_ORDERS"


async def test_a_test_order_is_checked_and_not_placed(served: Any) -> None:
    params = {"symbol": "BTCUSDT", "side": "BUY", **LIMIT}
    assert await served.signed("POST", "order/test", **params) == (200, {})
    assert await served.refused("POST", "order/test", **{**params, "quantity": "1000"}) == -2010
    assert (await served.control.state())["counters"]["orders"] == 0


async def test_takers_pay_slippage(serve: Any, market: ReplayMarket) -> None:
    served = await serve(market, pace=LOCKSTEP, slippage=Decimal("0.01"))
    buy = await served.order("BUY", "MARKET", quantity="1")
    sell = await served.order("SELL", "MARKET", quantity="0.5")
    assert buy["fills"][0]["price"] == "101.00000000"
    assert sell["fills"][0]["price"] == "99.00000000"
    best = await served.get("ticker/bookTicker", symbol="BTCUSDT")
    assert (best["askPrice"], best["bidPrice"]) == ("101.00000000", "99.00000000")


async def test_orders_and_trades_are_found_by_id_and_time(served: Any, start_time: int) -> None:
    for _ in range(3):
        await served.order("BUY", "MARKET", quantity="1")
        await served.advance(STREAM)

    async def trades(**params: object) -> list[int]:
        _, found = await served.signed("GET", "myTrades", symbol="BTCUSDT", **params)
        return [trade["id"] for trade in found]

    first, second, third = await trades()
    assert first < second < third
    assert await trades(fromId=second) == [second, third]
    assert await trades(fromId=first, limit=2) == [first, second]
    assert await trades(limit=2) == [second, third]
    assert await trades(orderId=3) == [third]
    assert await trades(startTime=start_time + 1) == [second, third]
    assert await trades(startTime=start_time, endTime=start_time) == [first]
    _, orders = await served.signed("GET", "allOrders", symbol="BTCUSDT", orderId=2)
    assert [order["orderId"] for order in orders] == [2, 3]
    assert await served.refused("GET", "order", symbol="BTCUSDT", orderId=9) == -2013
    assert await served.refused("GET", "order", symbol="BTCUSDT") == -1102


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["BUY", "SELL"]),
            st.sampled_from(
                ["MARKET", "LIMIT", "LIMIT_MAKER", "STOP_LOSS", "TAKE_PROFIT_LIMIT", "cancel"]
            ),
            st.integers(1, 300),
            st.integers(-300, 300),
            st.integers(0, 3),
        ),
        max_size=30,
    )
)
def test_balances_are_conserved(actions: list[tuple[str, str, int, int, int]]) -> None:
    """Balances equal the sum of trades, and locked balances the reserves of open orders."""
    begin = {"USDT": Decimal(10_000), "BTC": Decimal("0.1")}
    market = SyntheticMarket(11)
    ledger = Ledger.open(None, venue=market.venue, balances=begin)
    fee = Decimal("0.001")
    engine = MatchingEngine(ledger, Commission(fee, fee))
    account = engine.account
    feed = Feed(market, market.listing("BTC/USDT"), 4)
    time = 1_767_571_200_000
    feed.seek(time)
    for side, kind, amount, away, steps in actions:
        price = (feed.last_price * (1 + Decimal(away) / 10_000)).quantize(Decimal("0.01"))
        try:
            if kind == "cancel":
                for order in account.open_orders("BTCUSDT")[:1]:
                    finished(engine.cancel(feed, order, None, time))
            else:
                market_order = kind in ("MARKET", "STOP_LOSS")
                request = OrderRequest(
                    side=side,
                    type=kind,
                    time_in_force="GTC",
                    price=None if market_order else price,
                    amount=Decimal(amount).scaleb(-4),
                    quote_amount=None,
                    client_order_id=None,
                    stop_price=price if kind in ("STOP_LOSS", "TAKE_PROFIT_LIMIT") else None,
                )
                finished(engine.place(feed, request, time))
        except Refusal:
            pass
        for _ in range(steps):
            time += 15_000
            feed.seek(time)
            finished(engine.match(feed, time))
        expected = dict(begin)
        for trade in account.trades.get("BTCUSDT", ()):
            sign = 1 if trade.side == "BUY" else -1
            expected["BTC"] += sign * trade.amount
            expected["USDT"] -= sign * trade.quote_amount
            expected[trade.commission_asset] -= trade.commission
        held = {"USDT": Decimal(0), "BTC": Decimal(0)}
        for order in account.open_orders():
            held[order.locked_asset] += order.locked
        for asset, balance in account.balances.items():
            assert balance.free + balance.locked == expected[asset]
            assert balance.locked == held[asset]
            assert balance.free >= 0
    assert ledger.load().account("main").balances == account.balances
    ledger.close()
