"""The largest work that clients can make on streams: the exchange serves others meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from typing import Any

import orjson
import pytest

from botlib.core.timeframe import DAY
from botlib.paper import PAPER_API_KEY, PAPER_API_SECRET, PaperExchange, PaperOptions
from botlib.paper.api.market_data import MarketDataHandlers
from botlib.paper.api.orders import OrderHandlers
from botlib.paper.api.rate_limits import RateLimits
from botlib.paper.api.responses import new_order_answer
from botlib.paper.market.depth import Depth
from botlib.paper.market.feed import Feed
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.synthetic import ORIGIN, SyntheticMarket
from botlib.paper.matching.engine import PlacedOrder
from botlib.paper.matching.requests import OrderRequest
from tests.support.loop_holding import LONGEST, DeafClient, longest_hold

START = ORIGIN + 900 * DAY
DEPTH = Depth(levels=5_000, size=Decimal(1_000))
SYMBOLS = tuple(f"A{number}/USDT" for number in range(150))
KLINES = "1s 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1M".split()
KINDS = [
    *(f"kline_{name}" for name in KLINES),
    *"trade aggTrade bookTicker ticker miniTicker avgPrice".split(),
    *"ticker_1h ticker_4h ticker_1d depth depth@100ms depth20".split(),
]
LIMIT = 90.0


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[tuple[PaperExchange, str]]:
    settings = {"start": START, "pace": MarketPace(1.0), "events": "first", **options}
    rich = {"USDT": Decimal(10**12), "BTC": Decimal(10**9)}
    exchange = PaperExchange(SyntheticMarket(3), PaperOptions(balances=rich, **settings))
    ready = await exchange.start()
    try:
        async with asyncio.timeout(LIMIT):
            yield exchange, ready.url
    finally:
        await exchange.close()


def signed_subscription() -> dict[str, Any]:
    params: dict[str, Any] = {"apiKey": PAPER_API_KEY, "timestamp": time.time_ns() // 1_000_000}
    payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
    digest = hmac.new(PAPER_API_SECRET.encode(), payload.encode(), hashlib.sha256)
    params["signature"] = digest.hexdigest()
    return {"id": 1, "method": "userDataStream.subscribe.signature", "params": params}


def listening(url: str, streams: list[str]) -> DeafClient:
    return DeafClient(f"{url}/ws", {"method": "SUBSCRIBE", "params": streams, "id": 1})


async def subscribed(exchange: PaperExchange, count: int) -> None:
    while sum(len(one.streams) for one in exchange.venue.streams.connections) < count:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def place(exchange: PaperExchange, feed: Feed, amount: Decimal) -> PlacedOrder:
    """Buy an amount at the market, as the API does, and return the answer's parts."""
    limits = RateLimits(lambda: 0, lambda: 0)
    handlers = OrderHandlers(exchange.venue, MarketDataHandlers(exchange.venue, limits), limits)
    request = OrderRequest(
        side="BUY",
        type="MARKET",
        time_in_force="GTC",
        price=None,
        amount=amount // feed.rules.step * feed.rules.step,
        quote_amount=None,
        client_order_id=None,
    )
    async with handlers.matching(feed) as moment:
        done = await exchange.venue.engine.place(feed, request, moment)
    await handlers.publish(feed, done.user_events)
    orjson.dumps(new_order_answer(done.order, done.trades, done.prevented, "FULL"))
    return done


async def test_an_order_through_a_whole_book_that_everybody_watches() -> None:
    async with running(depth=DEPTH, symbols=("BTC/USDT",)) as (exchange, url):
        venue, feed = exchange.venue, exchange.venue.feed("BTCUSDT")
        async with AsyncExitStack() as stack:
            watching = [await stack.enter_async_context(listening(url, _all("btcusdt")))]
            for _ in range(3):
                client = DeafClient(f"{url}/ws-api/v3", signed_subscription())
                watching.append(await stack.enter_async_context(client))
            await subscribed(exchange, len(KINDS))
            while len(venue.users.connections) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            before = [client.received for client in watching]
            placed: list[PlacedOrder] = []

            async def sweep(whole: Decimal) -> None:
                placed.append(await place(exchange, feed, whole))

            longest = float("inf")
            for _ in range(3):
                await venue._step(venue.market_time + 2_000)
                whole = sum((amount for _, amount in feed.book.asks(5_000)), Decimal(0))
                longest = min(longest, await longest_hold(sweep(whole)))
                if longest < LONGEST:
                    break
            assert len(placed[-1].trades) > 4_500
            assert longest < LONGEST
            for client, size in zip(watching, before, strict=True):
                await client.until(size + 100_000)


async def test_a_change_waits_for_a_long_one_and_reads_do_not() -> None:
    async with running(depth=DEPTH, symbols=("BTC/USDT",)) as (exchange, _):
        venue, feed = exchange.venue, exchange.venue.feed("BTCUSDT")
        engine, ended = venue.engine, list[str]()

        async def order(name: str, amount: Decimal) -> int:
            done = await place(exchange, feed, amount)
            ended.append(name)
            return done.order.order_id

        step = feed.rules.step
        whole = sum((amount for _, amount in feed.book.asks(4_000)), Decimal(0))
        price = venue.market_time
        tasks = [asyncio.ensure_future(order("long", whole))]
        await asyncio.sleep(0)
        tasks.append(asyncio.ensure_future(order("short", step * 10_000)))
        moved = asyncio.ensure_future(venue._step(price + 2_000))
        owned, reads = [], 0
        while engine.account.balance("BTC").free == 10**9:
            assert venue.market_time == price and not ended
            reads += 1
            await asyncio.sleep(0)
        while not tasks[0].done():
            owned.append(engine.account.balance("BTC").free)
            await asyncio.sleep(0)
        # It traded as a whole.
        assert len(set(owned)) <= 2
        first, second = await asyncio.gather(*tasks)
        await moved
        assert reads > 20
        assert ended == ["long", "short"] and second == first + 1
        trades = engine.account.trades["BTCUSDT"]
        numbers = [one.trade_id for one in trades]
        assert numbers == sorted(set(numbers))
        # The short one got what the long one left, at the old price.
        assert trades[-1].time <= price + 2_000
        assert not any(engine.state.imbalance().values())


def _all(symbol: str) -> list[str]:
    return [f"{symbol}@{kind}" for kind in KINDS]


async def least(tries: int, work: Any) -> float:
    found = float("inf")
    for number in range(tries):
        found = min(found, await longest_hold(work(number)))
        if found < LONGEST:
            break
    return found


async def test_subscriptions_to_many_symbols_that_have_no_candles_yet() -> None:
    async with running(symbols=()) as (_, url):
        async with AsyncExitStack() as stack:

            async def subscribe(number: int) -> None:
                names = [f"z{number}y{one}usdt@kline_1M" for one in range(200)]
                client = await stack.enter_async_context(listening(url, names))
                await client.until(100 * 200)

            assert await least(3, subscribe) < LONGEST


@pytest.mark.parametrize("depth", [None, Depth(levels=200)])
async def test_a_step_of_the_market_with_a_thousand_streams(depth: Depth | None) -> None:
    kinds = ["kline_1m", "trade", "bookTicker", "depth", "ticker", "ticker_1d"]
    names = [f"{one.replace('/', '').lower()}@{kind}" for one in SYMBOLS for kind in kinds]
    alls = ["!miniTicker@arr", "!ticker_1h@arr", "!ticker_1d@arr"]
    async with running(depth=depth, symbols=SYMBOLS) as (exchange, url):
        venue = exchange.venue
        async with listening(url, names[:200]) as first:
            extra = [listening(url, [*names[at : at + 200], *alls]) for at in range(200, 900, 200)]
            async with AsyncExitStack() as stack:
                for client in extra:
                    await stack.enter_async_context(client)
                await subscribed(exchange, 900 + 4 * len(alls))
                await first.until(1_000)

                async def step(number: int) -> None:
                    await venue._step(venue.market_time + 2_000)

                async def to_the_next_candle(number: int) -> None:
                    left = 60_000 - venue.market_time % 60_000
                    await venue._step(venue.market_time + left)

                assert await least(3, step) < LONGEST
                assert await least(3, to_the_next_candle) < LONGEST
