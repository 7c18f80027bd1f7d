"""Pegged orders: they take their price from the book when they enter it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from botlib.paper.accounts.state import audit
from botlib.paper.market.depth import Depth
from botlib.paper.market.market_clock import MarketPace

BTC = {"symbol": "BTCUSDT"}
STREAM = "btcusdt@kline_1m"
GTC = {"timeInForce": "GTC", "quantity": "1"}
PRIMARY, MARKET = {"pegPriceType": "PRIMARY_PEG"}, {"pegPriceType": "MARKET_PEG"}
WEALTH = {"BTC": Decimal(10), "USDT": Decimal(1_000)}
DEPTH = Depth(spread=Decimal("0.02"), levels=3, size=Decimal(5_000), seed=1)
"""Bids at 98, 97 and 96 and asks at 100, 101 and 102 after takers have bought at 100."""


@pytest.fixture
async def served(serve: Any, candles: Any) -> Any:
    market = candles(
        BTCUSDT={
            0: (100, 100, 100, 100, 1),
            1: (100, 100, 80, 80, 1),
            2: (80, 80, 80, 80, 1),
            3: (80, 80, 80, 80, 1),
        }
    )
    pace = MarketPace(None, lockstep=True)
    return await serve(market, pace=pace, balances=WEALTH, depth=DEPTH, events="first")


async def known(served: Any, number: int) -> Any:
    return (await served.signed("GET", "order", **BTC, orderId=number))[1]


@pytest.mark.parametrize(
    ("side", "sent", "price"),
    [
        ("BUY", PRIMARY, "98.00000000"),
        ("SELL", PRIMARY, "100.00000000"),
        ("BUY", {**PRIMARY, "pegOffsetType": "PRICE_LEVEL", "pegOffsetValue": 2}, "96.00000000"),
        ("SELL", {**PRIMARY, "pegOffsetType": "PRICE_LEVEL", "pegOffsetValue": 1}, "101.00000000"),
    ],
)
async def test_a_primary_peg_rests_at_a_level_of_its_own_side(
    served: Any, side: str, sent: Any, price: str
) -> None:
    user = await served.user_stream()
    order = await served.order(side, "LIMIT", **GTC, **sent)
    assert (order["price"], order["peggedPrice"], order["status"]) == ("0.00000000", price, "NEW")
    assert order["pegPriceType"] == "PRIMARY_PEG"
    assert order.get("pegOffsetValue") == sent.get("pegOffsetValue")
    event = (await user.next())["event"]
    assert (event["p"], event["gp"], event["gP"]) == ("0.00000000", price, "PRIMARY_PEG")
    assert event.get("gOT") == sent.get("pegOffsetType")
    assert event.get("gOV") == sent.get("pegOffsetValue")
    found = await known(served, order["orderId"])
    assert (found["price"], found["peggedPrice"]) == ("0.00000000", price)
    locked = await served.balance("USDT" if side == "BUY" else "BTC")
    assert Decimal(locked[1]) == (Decimal(price) if side == "BUY" else 1)


async def test_a_market_peg_trades_at_the_best_price_only(served: Any) -> None:
    first = served.venue.feed("BTCUSDT").book.asks(1)[0]
    more = str(first[1] + 1)
    sent = {"quantity": more, "timeInForce": "IOC", **MARKET}
    await served.control.fault("deposit", asset="USDT", amount=100_000)
    order = await served.order("BUY", "LIMIT", **sent)
    assert (order["status"], order["peggedPrice"]) == ("EXPIRED", "100.00000000")
    assert {fill["price"] for fill in order["fills"]} == {"100.00000000"}
    assert Decimal(order["executedQty"]) == first[1]


async def test_a_limit_price_sent_with_a_peg_is_stored_and_checked(
    served: Any,
) -> None:
    order = await served.order("BUY", "LIMIT", **GTC, **PRIMARY, price="95")
    assert (order["price"], order["peggedPrice"]) == ("95.00000000", "98.00000000")
    wrong = {**BTC, "side": "BUY", "type": "LIMIT", **GTC, **PRIMARY}
    assert await served.refused("POST", "order", **wrong, price="9999") == -1013
    assert await served.refused("POST", "order", **wrong, price="95.001") == -1013


@pytest.mark.parametrize(
    ("order", "code", "words"),
    [
        ({"type": "LIMIT", **GTC, "pegPriceType": "BEST"}, -1210, "Invalid pegPriceType"),
        (
            {"type": "LIMIT", **GTC, **PRIMARY, "pegOffsetType": "TICK", "pegOffsetValue": 1},
            -1211,
            "Invalid pegOffsetType",
        ),
        ({"type": "LIMIT", **GTC, **PRIMARY, "pegOffsetValue": 1}, -1128, "optional parameters"),
        (
            {
                **{"type": "LIMIT", **GTC, "price": "90", "pegOffsetType": "PRICE_LEVEL"},
                "pegOffsetValue": 1,
            },
            -1128,
            "optional parameters",
        ),
        (
            {"type": "LIMIT", **GTC, **PRIMARY, "pegOffsetType": "PRICE_LEVEL"}
            | {"pegOffsetValue": 101},
            -1130,
            "pegOffsetValue",
        ),
        ({"type": "MARKET", "quantity": "1", **PRIMARY}, -2010, "may not use pegged price"),
        (
            {"type": "STOP_LOSS", "quantity": "1", "stopPrice": "110", **PRIMARY},
            -2010,
            "may not use pegged price",
        ),
        ({"type": "LIMIT_MAKER", "quantity": "1", **MARKET}, -2010, "cannot be used with this"),
        (
            {"type": "LIMIT", "quantity": "1", "timeInForce": "IOC", **PRIMARY},
            -2010,
            "cannot be used with this",
        ),
        (
            {"type": "LIMIT", **GTC, **PRIMARY, "pegOffsetType": "PRICE_LEVEL"}
            | {"pegOffsetValue": 50},
            -2010,
            "liquidity is too low",
        ),
        ({"type": "LIMIT", **GTC}, -1102, "price"),
    ],
)
async def test_invalid_pegs_are_refused(
    served: Any, order: dict[str, Any], code: int, words: str
) -> None:
    for path in ("order", "order/test"):
        status, answer = await served.signed("POST", path, **BTC, side="BUY", **order)
        assert (status, answer["code"]) == (400, code), answer
        assert words in answer["msg"]


async def test_a_symbol_may_not_allow_pegged_orders(served: Any) -> None:
    await served.control.fault("rules", symbol="BTCUSDT", changes={"pegs_allowed": False})
    [info] = (await served.get("exchangeInfo"))["symbols"]
    assert info["pegInstructionsAllowed"] is False
    order = {**BTC, "side": "BUY", "type": "LIMIT", **GTC, **PRIMARY}
    status, answer = await served.signed("POST", "order", **order)
    assert (status, answer["code"]) == (400, -2010)
    assert answer["msg"] == "Pegged orders are not supported for this symbol."


async def test_a_pegged_stop_gets_its_price_when_it_is_triggered(served: Any) -> None:
    stop = {"stopPrice": "90", "newOrderRespType": "FULL", **GTC, **PRIMARY}
    order = await served.order("SELL", "STOP_LOSS_LIMIT", **stop)
    assert order["status"] == "NEW" and "peggedPrice" not in order
    buy = await served.order("BUY", "TAKE_PROFIT_LIMIT", **stop)
    assert await served.balance("USDT") == ("910.00000000", "90.00000000")
    await served.listen(STREAM)
    await served.advance(STREAM)
    await served.advance(STREAM)  # down to 80
    sold, bought = await known(served, order["orderId"]), await known(served, buy["orderId"])
    assert Decimal(sold["peggedPrice"]) > Decimal("80") and sold["isWorking"]
    assert Decimal("75") < Decimal(bought["peggedPrice"]) < Decimal("90")
    assert sold["price"] == bought["price"] == "0.00000000"
    assert not audit(served.venue.engine.state)


async def test_a_triggered_stop_whose_pegged_price_fails_a_filter_is_rejected(served: Any) -> None:
    stop = {"stopPrice": "90", "pegOffsetType": "PRICE_LEVEL", "pegOffsetValue": 50}
    order = await served.order("SELL", "STOP_LOSS_LIMIT", **GTC, **PRIMARY, **stop)
    user = await served.user_stream()
    await served.listen(STREAM)
    await served.advance(STREAM)
    await served.advance(STREAM)
    assert (await known(served, order["orderId"]))["status"] == "REJECTED"
    event = (await user.next())["event"]
    assert (event["x"], event["X"], event["i"]) == ("REJECTED", "REJECTED", order["orderId"])
    assert await served.balance("BTC") == ("10.00000000", "0.00000000")


async def test_orders_of_order_lists_can_be_pegged(served: Any) -> None:
    # The best ask is the last price, and the upper order has to be above that.
    legs = {"aboveType": "LIMIT_MAKER", "abovePegPriceType": "PRIMARY_PEG"}
    legs |= {"abovePegOffsetType": "PRICE_LEVEL", "abovePegOffsetValue": "1"}
    legs |= {"belowType": "STOP_LOSS_LIMIT", "belowStopPrice": "90", "belowTimeInForce": "GTC"}
    legs |= {"belowPegPriceType": "PRIMARY_PEG"}
    status, pair = await served.signed(
        "POST", "orderList/oco", **BTC, side="SELL", quantity="1", **legs
    )
    assert status == 200, pair
    above = next(one for one in pair["orderReports"] if one["type"] == "LIMIT_MAKER")
    assert above["peggedPrice"] == "101.00000000"
    legs = {"workingType": "LIMIT", "workingSide": "BUY", "workingPrice": "101"}
    legs |= {"workingQuantity": "1", "workingTimeInForce": "IOC"}
    legs |= {"pendingType": "LIMIT_MAKER", "pendingSide": "SELL", "pendingQuantity": "0.5"}
    legs |= {"pendingPegPriceType": "PRIMARY_PEG"}
    status, made = await served.signed("POST", "orderList/oto", **BTC, **legs)
    assert status == 200, made
    found = await known(served, made["orders"][1]["orderId"])
    assert (found["status"], found["price"]) == ("NEW", "0.00000000")
    assert Decimal(found["peggedPrice"]) >= 100
    engine = served.venue.engine
    before = dict(engine.account.orders)
    engine._load()
    assert engine.account.orders == before


@pytest.mark.parametrize("slippage", ["0", "0.0007"])
async def test_without_a_depth_a_market_peg_trades_like_a_market_order(
    serve: Any, candles: Any, slippage: str
) -> None:
    market = candles(BTCUSDT={minute: (100.37,) * 4 + (1,) for minute in range(2)})
    pace = MarketPace(None, lockstep=True)
    served = await serve(market, pace=pace, balances=WEALTH, slippage=Decimal(slippage))
    pegged = await served.order("BUY", "LIMIT", **GTC, **MARKET)
    plain = await served.order("BUY", "MARKET", quantity="1")
    assert pegged["status"] == plain["status"] == "FILLED"
    assert pegged["fills"][0]["price"] == plain["fills"][0]["price"]
    waiting = await served.order("BUY", "LIMIT", **GTC, **PRIMARY)
    assert waiting["status"] == "NEW" and Decimal(waiting["peggedPrice"]) < Decimal("100.37")
