"""The order of the user events of a request and its answer."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from botlib.paper import PAPER_API_KEY, PAPER_API_SECRET
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.replay import ReplayMarket

Serve = Callable[..., Any]
ORDERS = 12


def signed(method: str, number: int, **params: Any) -> str:
    params = {"apiKey": PAPER_API_KEY, "timestamp": time.time_ns() // 1_000_000, **params}
    payload = "&".join(f"{name}={params[name]}" for name in sorted(params)).encode()
    params["signature"] = hmac.new(PAPER_API_SECRET.encode(), payload, hashlib.sha256).hexdigest()
    return orjson.dumps({"id": number, "method": method, "params": params}).decode()


async def played(
    serve: Serve, market: ReplayMarket, pace: MarketPace, **settings: Any
) -> list[bool]:
    """Send orders one by one, and return for each whether its events came after its answer."""
    served = await serve(market, pace=pace, **settings)
    user = await served.user_stream()
    late = []
    for number in range(ORDERS):
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"}
        await user.ws.send_str(signed("order.place", number + 2, **order))
        # The answer, the order, its trade and the balances, all on one socket.
        frames = await user.many(4)
        events = [frame["event"] for frame in frames if "event" in frame]
        assert [one["e"] for one in events] == ["executionReport"] * 2 + ["outboundAccountPosition"]
        assert [one.get("x") for one in events] == ["NEW", "TRADE", None]
        place = next(place for place, frame in enumerate(frames) if "status" in frame)
        assert place in (0, 3)
        late.append(place == 0)
    return late


@pytest.fixture
def market(candles: Callable[..., ReplayMarket]) -> ReplayMarket:
    """Return ten minutes at the price of 100."""
    return candles(BTCUSDT={minute: (100, 100, 100, 100, 8) for minute in range(10)})


@pytest.mark.parametrize(
    "pace", [MarketPace(1.0), MarketPace(None, lockstep=True)], ids=["clock", "lockstep"]
)
async def test_events_are_sent_before_the_answer_or_after_it(
    serve: Serve, market: ReplayMarket, pace: MarketPace
) -> None:
    assert await played(serve, market, pace, events="first") == [False] * ORDERS
    assert await played(serve, market, pace, events="last") == [True] * ORDERS
    either = await played(serve, market, pace, events="either", event_seed=3)
    assert len(set(either)) == 2
    assert await played(serve, market, pace, events="either", event_seed=3) == either
    assert await played(serve, market, pace, events="either", event_seed=4) != either


async def test_late_events_are_sent_before_those_of_the_next_candle(
    serve: Serve, market: ReplayMarket
) -> None:
    pace = MarketPace(None, lockstep=True)
    served = await serve(market, pace=pace, events="last")
    user = await served.user_stream()
    for _ in range(3):
        await served.order("BUY", "MARKET", quantity="0.1")
        assert await served.advance("btcusdt@kline_1m")
    events = [frame["event"] for frame in await user.many(9)]
    assert [one["E"] for one in events] == sorted(one["E"] for one in events)
    numbers = [one["I"] for one in events if one["e"] == "executionReport"]
    assert numbers == sorted(numbers)
