"""Rules that Binance added in 2025 and 2026, as the client keeps them at a paper exchange."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import count

import pytest

from botlib.core.errors import OrderRejected, OrderUnknown
from botlib.core.model import OrderIntent, OrderStatus, OrderType, Side
from botlib.core.timeframe import MINUTE
from botlib.paper import PAPER_API_KEY, PAPER_API_SECRET, PaperControl, PaperProcess
from botlib.venues.base import OrderReport
from botlib.venues.binance.api import VenueError
from botlib.venues.binance.venue import BinanceExchange
from botlib.venues.budget import Counted

D = Decimal
NAME = "币安人生/USDT"
LIMIT = 90.0

_numbers = count(1)


@pytest.fixture(scope="module")
def paper() -> Iterator[PaperProcess]:
    """Start an exchange with a book of three levels, so that large orders expire."""
    options = [
        "--seed",
        "3",
        "--start",
        "now",
        "--events",
        "first",
        "--symbols",
        f"{NAME},BTC/USDT",
    ]
    depth = [word for one in ("levels=3", "size=1000") for word in ("--depth", one)]
    process = asyncio.run(PaperProcess.start([*options, *depth, "--balance", "USDT=1000000"]))
    yield process
    asyncio.run(process.stop())


@asynccontextmanager
async def connected(process: PaperProcess) -> AsyncIterator[tuple[BinanceExchange, PaperControl]]:
    keys = (PAPER_API_KEY, PAPER_API_SECRET)
    exchange = BinanceExchange(venue=process.venue, rest_url=process.url, keys=keys)
    try:
        async with process.control() as control, asyncio.timeout(LIMIT):
            await exchange.connect()
            yield exchange, control
    finally:
        await exchange.close()


def buy(symbol: str, amount: Decimal, price: Decimal | None = None) -> OrderIntent:
    return OrderIntent(
        client_order_id=f"recent-{next(_numbers)}",
        strategy="test",
        symbol=symbol,
        side=Side.BUY,
        type=OrderType.MARKET if price is None else OrderType.LIMIT,
        amount=amount,
        price=price,
    )


async def price_of(exchange: BinanceExchange, symbol: str) -> Decimal:
    now = await exchange.market_time()
    span = (now - 300_000, now)
    candles = await exchange.fetch_candles(symbol, "1m", *span, now=now, forming=True)
    return D(str(candles[-1].close))


async def affordable(exchange: BinanceExchange, symbol: str, cost: int) -> Decimal:
    """Return an amount of a symbol, in whole steps, of a value in quote units."""
    step = exchange.market(symbol).step
    return D(cost) / await price_of(exchange, symbol) // step * step


async def below(exchange: BinanceExchange, symbol: str) -> Decimal:
    """Return a price at which a bid rests."""
    tick = exchange.market(symbol).tick
    return await price_of(exchange, symbol) * D("0.9") // tick * tick


async def test_a_symbol_of_any_alphabet_is_traded_and_streamed(paper: PaperProcess) -> None:
    """Its name is percent-encoded before it is signed, or the exchange refuses the signature."""
    reports: list[OrderReport] = []
    frames: list[int] = []
    ready, reported, framed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def report(one: OrderReport) -> None:
        reports.append(one)
        reported.set()

    def frame(opened: int, *_: object) -> None:
        frames.append(opened)
        framed.set()

    async with connected(paper) as (exchange, _), asyncio.TaskGroup() as group:
        assert exchange.market("币安人生USDT").base == "币安人生"
        watching = group.create_task(exchange.watch_executions(report, on_connect=ready.set))
        await ready.wait()
        klines = await exchange.open_klines(lambda text, reason: None)
        await klines.subscribe({(NAME, "1m"): frame})
        await framed.wait()
        order = buy(NAME, await affordable(exchange, NAME, 50))
        placed = await exchange.place_order(order)
        assert (placed.symbol, placed.status) == (NAME, OrderStatus.FILLED)
        await reported.wait()
        assert {one.symbol for one in reports} == {NAME}
        known = await exchange.fetch_order(NAME, order.client_order_id)
        assert known is not None and known.filled == order.amount
        assert [one.symbol for one in await exchange.fetch_fills(NAME)]
        assert (await exchange.balances())["币安人生"].total > 0
        now = await exchange.market_time()
        assert await exchange.fetch_candles(NAME, "1m", now - 300_000, now, now=now)
        await klines.close()
        watching.cancel()


async def test_a_symbol_that_only_accepts_cancellations(paper: PaperProcess) -> None:
    async with connected(paper) as (exchange, control):
        resting = buy("BTC/USDT", D("0.001"), await below(exchange, "BTC/USDT"))
        await exchange.place_order(resting)
        await control.fault("halt", symbol="BTCUSDT", status="CANCEL_ONLY")
        try:
            assert not (await exchange.reload_market("BTC/USDT")).active
            with pytest.raises(OrderRejected) as refused:
                await exchange.place_order(buy("BTC/USDT", D("0.001")))
            assert refused.value.rules
            gone = await exchange.cancel_order("BTC/USDT", resting.client_order_id)
            assert gone.status is OrderStatus.CANCELED
        finally:
            await control.fault("halt", symbol="BTCUSDT", status="TRADING")
        assert (await exchange.reload_market("BTC/USDT")).active


async def test_an_expired_order_says_why_in_its_answer_its_report_and_a_query(
    paper: PaperProcess,
) -> None:
    reports: list[OrderReport] = []
    ready, expired = asyncio.Event(), asyncio.Event()

    def report(one: OrderReport) -> None:
        reports.append(one)
        if one.status is OrderStatus.EXPIRED:
            expired.set()

    async with connected(paper) as (exchange, _), asyncio.TaskGroup() as group:
        watching = group.create_task(exchange.watch_executions(report, on_connect=ready.set))
        await ready.wait()
        order = buy("BTC/USDT", await affordable(exchange, "BTC/USDT", 90_000))
        placed = await exchange.place_order(order)
        await expired.wait()
        known = await exchange.fetch_order("BTC/USDT", order.client_order_id)
        assert known is not None
        for one in (placed, reports[-1], known):
            assert (one.status, one.message) == (OrderStatus.EXPIRED, "INSUFFICIENT_LIQUIDITY")
            assert 0 < one.filled < order.amount
        watching.cancel()


async def test_accepted_orders_and_cancellations_use_no_request_weight(
    paper: PaperProcess,
) -> None:
    async with connected(paper) as (exchange, _):
        price = await below(exchange, "BTC/USDT")
        before = exchange.budget.used(Counted.WEIGHT, MINUTE)
        for _ in range(20):
            order = buy("BTC/USDT", D("0.001"), price)
            await exchange.place_order(order)
            await exchange.cancel_order("BTC/USDT", order.client_order_id)
        # It is less if a minute began meanwhile.
        assert 0 <= exchange.budget.used(Counted.WEIGHT, MINUTE) <= before


async def test_an_order_beyond_the_number_of_open_ones_is_refused_and_a_market_order_is_not(
    paper: PaperProcess,
) -> None:
    async with connected(paper) as (exchange, control):
        await control.fault("rules", symbol="BTCUSDT", changes={"max_orders": 1})
        try:
            price = await below(exchange, "BTC/USDT")
            resting = buy("BTC/USDT", D("0.001"), price)
            await exchange.place_order(resting)
            with pytest.raises(OrderRejected, match="MAX_NUM_ORDERS") as refused:
                await exchange.place_order(buy("BTC/USDT", D("0.001"), price))
            assert refused.value.rules
            # The next price of the market refills a book that a test has emptied.
            while not (await exchange.fetch_depth("BTC/USDT", 5)).asks:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            bought = await exchange.place_order(buy("BTC/USDT", D("0.001")))
            assert bought.status is OrderStatus.FILLED
            await exchange.cancel_order("BTC/USDT", resting.client_order_id)
        finally:
            await control.fault("rules", symbol="BTCUSDT", changes={"max_orders": 200})


@pytest.mark.parametrize("code", [-1220, -2038, -2039, -2043])
async def test_the_new_codes_are_certain_refusals(
    paper: PaperProcess, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    async def answer(endpoint: str, params: object) -> None:
        raise VenueError(400, code, "words")

    async with connected(paper) as (exchange, _):
        monkeypatch.setattr(exchange._api, "call", answer)
        with pytest.raises(OrderRejected, match="words") as refused:
            await exchange.place_order(buy("BTC/USDT", D("0.001")))
        assert not isinstance(refused.value, OrderUnknown)
        with pytest.raises(OrderRejected, match="words"):
            await exchange.cancel_order("BTC/USDT", "some-order")
