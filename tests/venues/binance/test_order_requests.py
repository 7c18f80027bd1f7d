"""Order lists and replacements against a real paper exchange over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import pytest

from botlib.core.errors import OrderRejected, OrderUnknown
from botlib.core.model import OrderIntent, OrderRole, OrderStatus, OrderType, Side
from botlib.paper import PAPER_API_KEY, PAPER_API_SECRET, PaperControl, PaperProcess
from botlib.venues.binance import order_requests
from botlib.venues.binance.venue import BinanceExchange

MINUTE = 60_000
AMOUNT = Decimal("0.01")

_numbers = iter(range(1, 10_000))


@pytest.fixture(scope="module")
def paper() -> Iterator[PaperProcess]:
    arguments = ["--seed", "4", "--lockstep", "--start", "2026-01-05"]
    arguments += ["--balance", "USDT=1000000", "--balance", "BTC=10"]
    process = asyncio.run(PaperProcess.start(arguments))
    yield process
    asyncio.run(process.stop())


@asynccontextmanager
async def venue(process: PaperProcess) -> AsyncIterator[tuple[BinanceExchange, PaperControl]]:
    control = process.control()

    async def market_time() -> int:
        return int((await control.state())["market_time"])

    exchange = BinanceExchange(
        venue=process.venue,
        rest_url=process.url,
        keys=(PAPER_API_KEY, PAPER_API_SECRET),
        market_time=market_time,
    )
    try:
        await exchange.connect()
        yield exchange, control
    finally:
        for order in await exchange.open_orders("BTC/USDT"):
            try:
                await exchange.cancel_order("BTC/USDT", order.client_order_id)
            except OrderRejected:
                pass  # the other leg of its list took it along
        await exchange.close()
        await control.close()


async def price(exchange: BinanceExchange) -> Decimal:
    """Return the newest price."""
    now = await exchange.market_time()
    candles = await exchange.fetch_candles("BTC/USDT", "1m", now - 5 * MINUTE, now, now=now)
    return Decimal(str(candles[-1].close)).quantize(Decimal("0.01"))


def stop(level: Decimal, kind: OrderType = OrderType.STOP_LOSS) -> OrderIntent:
    limited = kind is OrderType.STOP_LOSS_LIMIT
    return OrderIntent(
        client_order_id=f"bl0a1b2c-{next(_numbers):024x}",
        strategy="test",
        symbol="BTC/USDT",
        side=Side.SELL,
        type=kind,
        amount=AMOUNT,
        stop_price=level,
        price=level - 100 if limited else None,
        role=OrderRole.STOP,
        protects=True,
    )


def pair(
    target: Decimal, level: Decimal, kind: OrderType = OrderType.STOP_LOSS
) -> tuple[OrderIntent, OrderIntent]:
    """Return a target and a stop of one list."""
    list_id = f"bl0a1b2c-{next(_numbers):024x}"
    second = replace(stop(level, kind), list_id=list_id)
    first = replace(
        second,
        client_order_id=f"bl0a1b2c-{next(_numbers):024x}",
        type=OrderType.LIMIT,
        price=target,
        stop_price=None,
        role=OrderRole.TARGET,
    )
    return first, second


@pytest.mark.parametrize("kind", [OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT])
async def test_a_target_and_a_stop_rest_as_one_list(paper: PaperProcess, kind: OrderType) -> None:
    async with venue(paper) as (exchange, _):
        newest = await price(exchange)
        target, below = pair(newest + 5_000, newest - 5_000, kind)
        # In either order: the venue is told which is above.
        reports = {one.client_order_id: one for one in await exchange.place_list([below, target])}
        assert reports.keys() == {target.client_order_id, below.client_order_id}
        assert reports[target.client_order_id].price == target.price
        assert reports[below.client_order_id].stop_price == below.stop_price
        assert reports[below.client_order_id].price == below.price
        for one in reports.values():
            assert (one.status, one.amount, one.side) == (OrderStatus.OPEN, AMOUNT, Side.SELL)
            again = await exchange.fetch_order("BTC/USDT", one.client_order_id)
            assert again is not None and again.venue_order_id == one.venue_order_id
        # One leg takes the other with it.
        cancelled = await exchange.cancel_order("BTC/USDT", below.client_order_id)
        assert cancelled.status is OrderStatus.CANCELED
        assert await exchange.open_orders("BTC/USDT") == []
        other = await exchange.fetch_order("BTC/USDT", target.client_order_id)
        assert other is not None and other.status.final


async def test_a_list_that_the_venue_refuses_leaves_no_leg_behind(paper: PaperProcess) -> None:
    async with venue(paper) as (exchange, _):
        newest = await price(exchange)
        with pytest.raises(OrderRejected) as refused:
            await exchange.place_list(pair(newest - 5_000, newest - 6_000))  # sells at once
        assert refused.value.retry_after is None
        assert await exchange.open_orders("BTC/USDT") == []


async def test_a_list_without_an_answer_is_unknown(paper: PaperProcess) -> None:
    async with venue(paper) as (exchange, control):
        newest = await price(exchange)
        target, below = pair(newest + 5_000, newest - 5_000)
        await control.fault("after_accept", reply="drop", count=1)
        with pytest.raises(OrderUnknown, match="do not send it again"):
            await exchange.place_list([target, below])
        found = {one.client_order_id for one in await exchange.open_orders("BTC/USDT")}
        assert found == {target.client_order_id, below.client_order_id}


async def test_a_stop_is_moved_in_one_request(paper: PaperProcess) -> None:
    async with venue(paper) as (exchange, _):
        newest = await price(exchange)
        first, second = stop(newest - 5_000), stop(newest - 4_000)
        await exchange.place_order(first)
        result = await exchange.replace_order(first.client_order_id, second)
        assert result.cancel_error is None and result.place_error is None
        assert result.cancelled is not None and result.placed is not None
        assert result.cancelled.client_order_id == first.client_order_id
        assert result.cancelled.status is OrderStatus.CANCELED
        assert result.placed.client_order_id == second.client_order_id
        assert (result.placed.status, result.placed.stop_price) == (
            OrderStatus.OPEN,
            second.stop_price,
        )
        (resting,) = await exchange.open_orders("BTC/USDT")
        assert resting.client_order_id == second.client_order_id


async def test_a_stop_is_replaced_by_a_sale_at_the_market(paper: PaperProcess) -> None:
    async with venue(paper) as (exchange, _):
        newest = await price(exchange)
        first = stop(newest - 5_000)
        await exchange.place_order(first)
        sale = replace(stop(newest), type=OrderType.MARKET, stop_price=None, role=OrderRole.EXIT)
        result = await exchange.replace_order(first.client_order_id, sale)
        assert result.placed is not None and result.placed.status is OrderStatus.FILLED
        assert sum(fill.amount for fill in result.placed.fills) == AMOUNT
        assert await exchange.open_orders("BTC/USDT") == []


async def test_nothing_is_sent_if_there_is_nothing_to_replace(paper: PaperProcess) -> None:
    async with venue(paper) as (exchange, _):
        newest = await price(exchange)
        new = stop(newest - 5_000)
        result = await exchange.replace_order("bl0a1b2c-never-sent", new)
        assert isinstance(result.cancel_error, OrderRejected)
        assert result.cancelled is None and result.placed is None and result.place_error is None
        assert await exchange.fetch_order("BTC/USDT", new.client_order_id) is None


async def test_a_replacement_that_is_refused_tells_both_parts(paper: PaperProcess) -> None:
    async with venue(paper) as (exchange, _):
        newest = await price(exchange)
        first, above = stop(newest - 5_000), stop(newest + 5_000)  # would trigger at once
        await exchange.place_order(first)
        result = await exchange.replace_order(first.client_order_id, above)
        assert result.cancelled is not None
        assert result.cancelled.status is OrderStatus.CANCELED
        assert result.placed is None and isinstance(result.place_error, OrderRejected)
        assert await exchange.open_orders("BTC/USDT") == []


async def test_a_replacement_without_an_answer_is_unknown(paper: PaperProcess) -> None:
    async with venue(paper) as (exchange, control):
        newest = await price(exchange)
        first, second = stop(newest - 5_000), stop(newest - 4_000)
        await exchange.place_order(first)
        await control.fault("after_accept", reply="drop", count=1)
        with pytest.raises(OrderUnknown):
            await exchange.replace_order(first.client_order_id, second)
        (resting,) = await exchange.open_orders("BTC/USDT")
        assert resting.client_order_id == second.client_order_id


@pytest.mark.parametrize("path", ["orderList", "cancelReplace"])
async def test_a_venue_that_asks_to_wait_has_not_taken_the_request(
    paper: PaperProcess, path: str
) -> None:
    async with venue(paper) as (exchange, control):
        newest = await price(exchange)
        first = stop(newest - 5_000)
        await exchange.place_order(first)
        await control.fault("http_status", match=path, status=429, retry_after=3, count=1)
        with pytest.raises(OrderRejected, match="Not taken") as refused:
            if path == "orderList":
                await exchange.place_list(pair(newest + 5_000, newest - 5_000))
            else:
                await exchange.replace_order(first.client_order_id, stop(newest - 4_000))
        assert refused.value.retry_after is not None and 2 < refused.value.retry_after <= 3
        await asyncio.sleep(refused.value.retry_after)
        (resting,) = await exchange.open_orders("BTC/USDT")
        assert resting.client_order_id == first.client_order_id


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (-2010, "Account has insufficient balance for requested action.", OrderRejected),
        (-2011, "Unknown order sent.", OrderRejected),
        (-2010, "Duplicate order sent.", OrderUnknown),
        (-1007, "Timeout waiting for response from backend server.", OrderUnknown),
        (-1006, "An unexpected response was received.", OrderUnknown),
    ],
)
def test_each_part_of_a_failed_replacement_is_certain_or_not(
    code: int, message: str, kind: type[Exception]
) -> None:
    error = {"code": code, "msg": message}
    report = order_requests.replace_report(
        "BTC/USDT",
        {
            "cancelResult": "FAILURE",
            "cancelResponse": error,
            "newOrderResult": "FAILURE",
            "newOrderResponse": error,
        },
    )
    assert type(report.cancel_error) is kind and type(report.place_error) is kind
    assert str(code) in str(report.place_error)
