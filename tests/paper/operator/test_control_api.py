"""The true data of the venue, as far as they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from botlib.core.errors import PaperExchangeError
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.replay import ReplayMarket

REST = {"timeInForce": "GTC", "quantity": "1", "price": "90"}


@pytest.fixture
async def served(serve: Any, candles: Callable[..., ReplayMarket]) -> Any:
    flat = {minute: (100, 100, 100, 100, 1) for minute in range(4)}
    return await serve(candles(BTCUSDT=flat), pace=MarketPace(None, lockstep=True))


def contents(ledger: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Return the ids of the orders, and those of the orders that were traded."""
    orders = [one["order_id"] for one in ledger["orders"]]
    return orders, [one["order_id"] for one in ledger["trades"]]


async def test_the_ledger_is_returned_from_some_order_on(served: Any) -> None:
    await served.order("BUY", "LIMIT", **REST)
    for _ in range(3):
        await served.order("BUY", "MARKET", quantity="1")
    for after, orders, expected in (
        (0, (), ([1, 2, 3, 4], [2, 3, 4])),
        (2, (), ([3, 4], [3, 4])),
        (3, (2, 1), ([1, 2, 4], [2, 4])),
        (4, (99,), ([], [])),
    ):
        ledger = await served.control.ledger(after, orders)
        assert contents(ledger) == expected
        assert float(ledger["balances"]["USDT"]["locked"]) == 90
    # The whole of it, as a browser asks.
    async with served.session.get(f"{served.url}/paper/v1/ledger") as response:
        assert contents(await response.json()) == ([1, 2, 3, 4], [2, 3, 4])
    with pytest.raises(PaperExchangeError, match=r"orders is \['1'\]. Accepted: a list"):
        await served.control.ledger(2, ["1"])
    with pytest.raises(PaperExchangeError, match="after is -1"):
        await served.control.ledger(-1)


async def test_no_more_candles_are_made_than_can_be_answered(served: Any) -> None:
    """Those of a market since its beginning keep an exchange busy for minutes."""
    assert await served.control.candles("BTC/USDT", "1m", 0, 60_000) == []
    now = (await served.control.state())["market_time"]
    with pytest.raises(PaperExchangeError, match=r"candles of 1m. Accepted: 100.000"):
        await served.control.candles("BTC/USDT", "1m", 0, now)


async def test_client_ids_of_several_orders_are_named_whatever_is_asked_for(served: Any) -> None:
    for name in ("a", "b", "a"):
        await served.order("BUY", "MARKET", quantity="1", newClientOrderId=name)
    assert (await served.control.ledger(3))["repeated"] == {"a": 2}
