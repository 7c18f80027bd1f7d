"""OPO and OPOCO lists: the amount the working order receives is the amount of the others."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from botlib.paper.accounts.state import audit
from botlib.paper.market.depth import Depth
from botlib.paper.market.market_clock import MarketPace

BTC = {"symbol": "BTCUSDT"}
STREAM = "btcusdt@kline_1m"
WORKING = {
    **{"workingType": "LIMIT", "workingSide": "BUY", "workingPrice": "90"},
    **{"workingQuantity": "1", "workingTimeInForce": "GTC", "pendingSide": "SELL"},
}
LARGE = {**WORKING, "workingQuantity": "5"}
ABOVE = {"pendingAboveType": "LIMIT_MAKER", "pendingAbovePrice": "120"}
BELOW = {"pendingBelowType": "STOP_LOSS", "pendingBelowStopPrice": "70"}
SELL = {"pendingType": "LIMIT", "pendingPrice": "120", "pendingTimeInForce": "GTC"}


@pytest.fixture
def market(candles: Any) -> Any:
    """A market at 100 that falls to 80 in its second minute."""
    return candles(
        BTCUSDT={
            0: (100, 100, 100, 100, 1),
            1: (100, 100, 80, 80, 1),
            2: (80, 80, 80, 80, 1),
            3: (80, 80, 80, 80, 1),
        }
    )


@pytest.fixture
async def served(serve: Any, market: Any, tmp_path: Path) -> Any:
    pace = MarketPace(None, lockstep=True)
    return await serve(market, pace=pace, ledger=tmp_path / "ledger", events="first")


async def place(served: Any, kind: str, **params: Any) -> Any:
    status, answer = await served.signed("POST", f"orderList/{kind}", **BTC, **params)
    assert status == 200, answer
    return answer


async def states(served: Any, made: Any) -> list[tuple[str, str]]:
    found = []
    for one in made["orders"]:
        _, order = await served.signed("GET", "order", **BTC, orderId=one["orderId"])
        found.append((order["status"], order["origQty"]))
    return found


async def fall(served: Any) -> None:
    await served.listen(STREAM)
    await served.advance(STREAM)
    await served.advance(STREAM)


async def test_the_pending_order_sells_the_received_amount(served: Any) -> None:
    made = await place(served, "opo", **WORKING, **SELL)
    assert (made["contingencyType"], made["listOrderStatus"]) == ("OTO", "EXECUTING")
    working, pending = made["orderReports"]
    assert working["origQty"] == "1.00000000" and "origQty" not in pending
    assert pending["status"] == "PENDING_NEW"
    assert await served.balance("USDT") == ("9910.00000000", "90.00000000")
    await fall(served)
    # Minus the commission, in whole steps; the rest is free.
    assert await states(served, made) == [("FILLED", "1.00000000"), ("NEW", "0.99900000")]
    assert await served.balance("BTC") == ("0.00000000", "0.99900000")
    engine = served.venue.engine
    before = dict(engine.account.orders)
    engine._load()
    assert engine.account.orders == before and not audit(engine.state)


async def test_the_commission_is_paid_from_other_free_balance(served: Any) -> None:
    await served.control.fault("deposit", asset="BTC", amount=0.5)
    made = await place(served, "opo", **WORKING, **SELL)
    await fall(served)
    assert (await states(served, made))[1] == ("NEW", "1.00000000")
    assert await served.balance("BTC") == ("0.49900000", "1.00000000")


async def test_a_pending_pair_gets_the_received_amount_once(served: Any) -> None:
    made = await place(served, "opoco", **WORKING, **ABOVE, **BELOW)
    await fall(served)
    assert await states(served, made) == [
        ("FILLED", "1.00000000"),
        ("NEW", "0.99900000"),
        ("NEW", "0.99900000"),
    ]
    assert await served.balance("BTC") == ("0.00000000", "0.99900000")
    assert not audit(served.venue.engine.state)
    status, _ = await served.signed("DELETE", "orderList", **BTC, orderListId=made["orderListId"])
    assert status == 200
    assert await served.balance("BTC") == ("0.99900000", "0.00000000")


async def test_the_received_amount_is_reserved_until_the_list_is_cancelled(
    serve: Any, market: Any
) -> None:
    depth = Depth(spread=Decimal("0.02"), levels=3, size=Decimal(50), seed=1)
    served = await serve(market, pace=MarketPace(None, lockstep=True), depth=depth)
    made = await place(served, "opo", **{**LARGE, "workingPrice": "103"}, **SELL)
    _, working = await served.signed("GET", "order", **BTC, orderId=made["orders"][0]["orderId"])
    assert working["status"] == "PARTIALLY_FILLED"
    free, kept = map(Decimal, await served.balance("BTC"))
    got = Decimal(working["executedQty"])
    assert (free, kept) == (0, got - (got * Decimal("0.001")).quantize(Decimal("1e-8")))
    assert not audit(served.venue.engine.state)
    wait = made["orders"][1]["orderId"]
    status, answer = await served.signed(
        "PUT", "order/amend/keepPriority", **BTC, orderId=wait, newQty="0.1"
    )
    assert (status, answer["code"]) == (400, -2038) and "pending OPO order" in answer["msg"]
    assert (await served.signed("DELETE", "openOrders", **BTC))[0] == 200
    assert tuple(map(Decimal, await served.balance("BTC"))) == (kept, 0)


async def test_a_received_amount_below_the_filters_rejects_the_pending_order(served: Any) -> None:
    await served.control.fault("rules", symbol="BTCUSDT", changes={"min_cost": 5})
    less, sell = {"workingQuantity": "0.06"}, {"pendingPrice": "60"}
    made = await place(served, "opo", **{**WORKING, **SELL, **less, **sell})
    await fall(served)
    found = await states(served, made)
    assert [status for status, _ in found] == ["FILLED", "REJECTED"]
    assert (await served.balance("BTC"))[1] == "0.00000000"
    assert not audit(served.venue.engine.state)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"workingSide": "SELL"}, -1222),
        ({"pendingSide": "BUY"}, -1223),
        ({"pendingQuantity": "1"}, -1104),
        ({"pendingType": "LIMIT", "pendingPrice": ""}, -1105),
        ({"workingType": "MARKET"}, -1106),
    ],
)
async def test_lists_with_wrong_sides_are_refused(
    served: Any, changes: dict[str, str], code: int
) -> None:
    assert await served.refused(
        "POST", "orderList/opo", **BTC, **{**WORKING, **SELL, **changes}
    ) == (code)


async def test_a_symbol_may_not_allow_opo_lists(served: Any) -> None:
    [info] = (await served.get("exchangeInfo"))["symbols"]
    assert info["opoAllowed"] is True
    await served.control.fault("rules", symbol="BTCUSDT", changes={"paying_lists_allowed": False})
    [info] = (await served.get("exchangeInfo"))["symbols"]
    assert info["opoAllowed"] is False
    status, answer = await served.signed("POST", "orderList/opo", **BTC, **WORKING, **SELL)
    assert (status, answer["msg"]) == (400, "OPO orders are not supported for this symbol.")
