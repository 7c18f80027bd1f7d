"""The venue's limits over real sockets: what it announces and reports is what the budget counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from botlib.core.errors import ExchangeBusy, OrderRejected
from botlib.core.model import OrderStatus
from botlib.core.timeframe import DAY, MINUTE
from botlib.paper import PaperControl, PaperProcess
from botlib.venues.binance.venue import BinanceExchange
from botlib.venues.binance.weights import weight_of
from botlib.venues.budget import EXITS_FIRST, Counted, Purpose, Shortage
from tests.venues.binance.test_venue import far_limit, intent, venue


@pytest.fixture(scope="module")
def paper() -> Iterator[PaperProcess]:
    arguments = ["--seed", "3", "--lockstep", "--start", "2026-01-05", "--balance", "USDT=1000000"]
    process = asyncio.run(PaperProcess.start(arguments))
    yield process
    asyncio.run(process.stop())


@asynccontextmanager
async def limited(
    process: PaperProcess, **limits: int
) -> AsyncIterator[tuple[BinanceExchange, PaperControl]]:
    """Connect to an exchange that has other limits and counts anew; give it its own back."""
    control = process.control()
    market_time = (await control.state())["market_time"]
    await control.advance(["btcusdt@kline_1m"], market_time)
    await control.fault("limits", **limits)
    try:
        async with venue(process) as found:
            yield found
    finally:
        await control.fault("limits", weight=6_000, orders_10s=100, orders_1d=200_000)
        await control.close()


async def early_in_a_minute() -> None:
    """Wait until a minute of the wall clock has begun and is not about to end."""
    while not 1 < time.time() % 60 < 45:  # noqa: ASYNC110
        await asyncio.sleep(0.5)


def used(exchange: BinanceExchange) -> int:
    return exchange.budget.used(Counted.WEIGHT, MINUTE)


async def test_the_limits_are_those_that_the_venue_announces(paper: PaperProcess) -> None:
    async with limited(paper, weight=1_200, orders_10s=50, orders_1d=160_000) as (exchange, _):
        limits = {limit.name: limit.most for limit in exchange.budget.limits}
        assert limits == {"request_weight_1m": 1_200, "orders_10s": 50, "orders_1d": 160_000}


async def test_every_request_weighs_what_the_venue_counts(paper: PaperProcess) -> None:
    symbol = {"symbol": "BTCUSDT"}
    requests: list[tuple[str, dict[str, object]]] = [
        ("publicGetPing", {}),
        ("publicGetTime", {}),
        ("publicGetExchangeInfo", symbol),
        ("publicGetKlines", symbol | {"interval": "1m"}),
        ("publicGetTrades", symbol),
        ("publicGetAggTrades", symbol),
        *(("publicGetDepth", symbol | {"limit": levels}) for levels in (5, 100, 500, 1_000, 5_000)),
        ("privateGetOpenOrders", symbol),
        ("privateGetOpenOrders", {}),
        ("privateGetMyTrades", symbol),
        ("privateGetAccount", {}),
        ("privateGetOrder", symbol),
    ]
    async with venue(paper) as (exchange, _):
        await early_in_a_minute()
        order = await exchange.place_order(intent())
        for endpoint, params in requests:
            if endpoint == "privateGetOrder":
                params = params | {"origClientOrderId": order.client_order_id}
            await exchange._api.call("publicGetPing")
            before = used(exchange)
            await exchange._api.call(endpoint, params)
            assert used(exchange) - before == weight_of(endpoint, params), endpoint


async def test_orders_are_counted_as_the_venue_counts_them(paper: PaperProcess) -> None:
    async with venue(paper) as (exchange, _):
        orders = [await far_limit(exchange) for _ in range(3)]
        counts = []
        for order in orders:
            await exchange.place_order(order)
            counts.append(exchange.budget.used(Counted.ORDERS, DAY))
        assert counts == [counts[0], counts[0] + 1, counts[0] + 2]
        for order in orders:
            await exchange.cancel_order("BTC/USDT", order.client_order_id)


async def test_reads_wait_for_the_next_minute_and_orders_do_not(paper: PaperProcess) -> None:
    await early_in_a_minute()
    told: list[Shortage] = []
    async with limited(paper, weight=600) as (exchange, _):
        exchange.budget.on_short = told.append
        while exchange.budget.shortage(Purpose.READ, weight=20) is None:
            await exchange.balances()
        waiting = asyncio.ensure_future(exchange.balances())
        done, _pending = await asyncio.wait({waiting}, timeout=0.5)
        assert not done, "the rest of the weight is kept for exits"
        assert [(one.rule, one.purpose) for one in told] == [("request_weight_1m", Purpose.READ)]
        assert 480 < used(exchange) <= 500
        assert (await exchange.place_order(intent())).status is OrderStatus.FILLED
        with pytest.raises(ExchangeBusy, match=r"Not asked: .*kept for exits") as busy:
            await exchange.fetch_fills("BTC/USDT", purpose=Purpose.CHECK)
        assert 0 < busy.value.retry_after <= 60.5
        # A question on which a position depends may use a part of it.
        assert await exchange.fetch_fills("BTC/USDT", purpose=Purpose.ENQUIRY)
        waiting.cancel()


async def test_a_read_that_waited_is_made_when_the_minute_has_ended(paper: PaperProcess) -> None:
    while time.time() % 60 < 50:  # noqa: ASYNC110
        await asyncio.sleep(0.2)
    async with limited(paper, weight=600) as (exchange, control):
        while exchange.budget.shortage(Purpose.READ, weight=20) is None:
            await exchange.balances()
        before = (await control.state())["counters"]["requests"]
        async with asyncio.timeout(60):
            await exchange.balances()
        assert (await control.state())["counters"]["requests"] == before + 1


async def test_many_reads_at_once_do_not_overrun_the_limit(paper: PaperProcess) -> None:
    await early_in_a_minute()
    async with limited(paper, weight=400) as (exchange, control):
        reads = [asyncio.ensure_future(exchange.balances()) for _ in range(40)]
        await asyncio.wait(reads, timeout=2)
        assert used(exchange) <= 334
        assert (await exchange.place_order(intent())).status is OrderStatus.FILLED
        await control.fault("limits", weight=6_000)
        for read in reads:
            read.cancel()


@pytest.mark.parametrize("status", [429, 418])
async def test_nothing_is_sent_before_its_time_and_exits_go_first(
    paper: PaperProcess, status: int
) -> None:
    async with venue(paper) as (exchange, control):
        loop = asyncio.get_running_loop()
        await control.fault("http_status", match="account", status=status, retry_after=2, count=1)
        times: dict[str, float] = {}

        async def until(name: str, ask: Callable[[], Any]) -> None:
            while True:
                try:
                    await ask()
                except (ExchangeBusy, OrderRejected):
                    await asyncio.sleep(0.02)
                else:
                    times[name] = loop.time()
                    return

        before = (await control.state())["counters"]["requests"]
        read = asyncio.ensure_future(until("read", exchange.balances))
        while exchange._api.gate.closing(signed=True) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        closed = loop.time()
        order = intent()
        sale = asyncio.ensure_future(until("order", lambda: exchange.place_order(order)))
        check = asyncio.ensure_future(
            until(
                "check",
                lambda: exchange.fetch_order("BTC/USDT", "x", purpose=Purpose.CHECK),
            )
        )
        await asyncio.sleep(1.5)
        assert (await control.state())["counters"]["requests"] == before + 1
        await asyncio.gather(read, sale, check)
        assert times["order"] - closed >= 1.9
        for name in ("read", "check"):
            assert times[name] - closed >= 2 + EXITS_FIRST - 0.1
        assert times["order"] < min(times["read"], times["check"])
