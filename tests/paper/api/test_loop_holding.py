"""Requests that take long: the loop of the exchange serves others meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from botlib.core.timeframe import DAY
from botlib.paper import PaperExchange, PaperOptions
from botlib.paper.api.market_data import MarketDataHandlers
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.synthetic import ORIGIN, SyntheticMarket
from botlib.paper.protocol.params import Params
from tests.support.loop_holding import LONGEST, longest_hold

START = ORIGIN + 900 * DAY
NAMES = ",".join(f'"A{number}USDT"' for number in range(40))


async def least_hold(options: PaperOptions, ask: Callable[[MarketDataHandlers], Any]) -> float:
    """Return the longest hold of a request, the least of up to three tries on new exchanges.

    What else the machine does can only add to a try.
    """
    least = float("inf")
    for _ in range(3):
        exchange = PaperExchange(SyntheticMarket(3), options)
        try:
            least = min(
                least, await longest_hold(ask(MarketDataHandlers(exchange.venue, exchange.limits)))
            )
        finally:
            await exchange.close()
        if least < LONGEST:
            break
    return least


@pytest.mark.parametrize(
    ("handler", "query"),
    [
        ("klines", {"interval": "1s", "startTime": START - 2 * DAY, "limit": 1000}),
        ("klines", {"interval": "1s", "startTime": ORIGIN, "limit": 1}),
        ("klines", {"interval": "1s", "limit": 1000}),
        ("klines", {"interval": "1M", "startTime": ORIGIN, "limit": 1000}),
        ("klines", {"interval": "1d", "timeZone": "5:45", "startTime": ORIGIN, "limit": 1000}),
        ("klines", {"interval": "1d", "limit": 1000}),
        ("klines", {"interval": "1m", "startTime": START - 30 * DAY, "limit": 1000}),
        ("aggregated_trades", {"startTime": START - 9 * DAY, "limit": 1000}),
        ("aggregated_trades", {"startTime": START - DAY, "endTime": START, "limit": 1000}),
        ("aggregated_trades", {"limit": 1000}),
        ("historical_trades", {"fromId": 2 * (START - 20 * DAY) // 2_000, "limit": 1000}),
        ("trades", {"limit": 1000}),
    ],
)
async def test_no_request_for_history_holds_the_loop(handler: str, query: dict[str, Any]) -> None:
    options = PaperOptions(start=START, pace=MarketPace(1.0))
    texts = {name: str(value) for name, value in query.items()}
    params = {"symbol": "BTCUSDT", **texts}
    assert await least_hold(options, lambda data: getattr(data, handler)(Params(params))) < LONGEST


@pytest.mark.parametrize(
    ("handler", "query"),
    [
        ("ticker_24h", {}),
        ("ticker_window", {"symbols": f"[{NAMES}]", "windowSize": "7d"}),
    ],
)
async def test_no_request_for_many_symbols_holds_the_loop(
    handler: str, query: dict[str, str]
) -> None:
    symbols = tuple(f"A{number}/USDT" for number in range(40))
    options = PaperOptions(start=START, pace=MarketPace(1.0), symbols=symbols)
    assert await least_hold(options, lambda data: getattr(data, handler)(Params(query))) < LONGEST
