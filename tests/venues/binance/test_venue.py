"""`BinanceExchange` against a real paper exchange over real sockets."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from botlib.core.errors import (
    ExchangeError,
    ExchangeUnavailable,
    InvalidInput,
    OrderRejected,
    OrderUnknown,
    UnknownSymbol,
)
from botlib.core.model import OrderIntent, OrderStatus, OrderType, Side
from botlib.paper import PAPER_API_KEY, PAPER_API_SECRET, PaperControl, PaperProcess
from botlib.venues.base import OrderReport
from botlib.venues.binance import parse
from botlib.venues.binance.api import LoopbackConnector, VenueError
from botlib.venues.binance.venue import BinanceExchange

MINUTE = 60_000
KEYS = (PAPER_API_KEY, PAPER_API_SECRET)

INTENT = OrderIntent(
    client_order_id="test-1",
    strategy="test",
    symbol="BTC/USDT",
    side=Side.BUY,
    type=OrderType.MARKET,
    amount=Decimal("0.00200"),
)


@pytest.fixture(scope="module")
def paper() -> Iterator[PaperProcess]:
    arguments = ["--seed", "3", "--lockstep", "--start", "2026-01-05", "--balance", "USDT=1000000"]
    process = asyncio.run(PaperProcess.start(arguments))
    yield process
    asyncio.run(process.stop())


@asynccontextmanager
async def venue(
    process: PaperProcess, keys: tuple[str, str] | None = KEYS, **options: Any
) -> AsyncIterator[tuple[BinanceExchange, PaperControl]]:
    control = process.control()

    async def market_time() -> int:
        return int((await control.state())["market_time"])

    exchange = BinanceExchange(
        venue=process.venue,
        rest_url=process.url,
        keys=keys,
        market_time=market_time,
        **options,
    )
    try:
        await exchange.connect()
        yield exchange, control
    finally:
        await exchange.close()
        await control.close()


_numbers = iter(range(1, 10_000))


def intent(**changes: Any) -> OrderIntent:
    return replace(INTENT, client_order_id=f"test-{next(_numbers)}-x", **changes)


async def far_limit(exchange: BinanceExchange) -> OrderIntent:
    """Return a limit order that cannot fill now."""
    now = await exchange.market_time()
    candles = await exchange.fetch_candles("BTC/USDT", "1m", now - 5 * MINUTE, now, now=now)
    price = Decimal(str(round(candles[-1].close * 0.9, 2)))
    return intent(type=OrderType.LIMIT, price=price)


async def test_markets_know_their_steps_and_both_forms_of_a_symbol(paper: PaperProcess) -> None:
    async with venue(paper) as (exchange, _):
        market = exchange.market("BTCUSDT")
        assert market is exchange.market("BTC/USDT")
        assert (market.symbol, market.id, market.base, market.quote) == (
            "BTC/USDT", "BTCUSDT", "BTC", "USDT",
        )  # fmt: skip
        assert market.tick == Decimal("0.01")
        assert market.step == Decimal("0.00001")
        assert market.min_cost == Decimal(5)
        assert str(market.step) == "0.00001"
        with pytest.raises(
            UnknownSymbol, match=r"does not list 'BTC/USDX'\. Did you mean 'BTC/USDT'"
        ):
            exchange.market("BTC/USDX")
        await exchange.connect()  # again: nothing happens


async def test_a_call_before_connect_is_refused_with_the_reason() -> None:
    exchange = BinanceExchange(venue="paper:test", rest_url="http://127.0.0.1:9")
    with pytest.raises(ExchangeError, match=r"not connected; await connect\(\) first"):
        exchange.market("BTC/USDT")
    await exchange.close()


async def test_a_paper_exchange_that_does_not_run_is_a_clear_error() -> None:
    exchange = BinanceExchange(venue="paper:test", rest_url="http://127.0.0.1:9")
    with pytest.raises(ExchangeUnavailable, match=r"Cannot connect to host 127\.0\.0\.1:9"):
        await exchange.connect()
    await exchange.close()


class TestPaperCannotReachARealHost:
    @pytest.mark.parametrize(
        ("rest", "ws"),
        [
            ("https://api.binance.com", None),
            ("http://127.0.0.1:9", "wss://stream.binance.com:9443"),
            ("http://127.0.0.1.example.com:9", None),
            ("http://10.0.0.1:9", None),
        ],
    )
    def test_by_its_addresses(self, rest: str, ws: str | None) -> None:
        with pytest.raises(InvalidInput, match="not an address of this computer"):
            BinanceExchange(venue="paper:test", rest_url=rest, ws_url=ws)

    async def test_by_any_address_ccxt_knows(self, paper: PaperProcess) -> None:
        def addresses(value: Any) -> list[str]:
            if isinstance(value, dict):
                return [found for inner in value.values() for found in addresses(inner)]
            return [str(value)]

        async with venue(paper) as (exchange, _):
            port = paper.url.rpartition(":")[2]
            found = addresses(exchange._api.urls["api"])
            assert len(found) > 20
            assert {address.split("/")[2] for address in found} == {f"127.0.0.1:{port}"}
            with pytest.raises(ExchangeError, match=r"'api\.binance\.com'"):
                await exchange._api.fetch("https://api.binance.com/api/v3/ping")
            with pytest.raises(ExchangeError, match=r"'stream\.binance\.com'"):
                exchange._api.client("wss://stream.binance.com/ws")

    async def test_by_a_redirect(self) -> None:
        async def elsewhere(request: web.Request) -> web.Response:
            raise web.HTTPTemporaryRedirect("http://192.0.2.1/api/v3/ping")

        app = web.Application()
        app.router.add_get("/api/v3/ping", elsewhere)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        exchange = BinanceExchange(
            venue="paper:test", rest_url=f"http://127.0.0.1:{runner.addresses[0][1]}"
        )
        try:
            with pytest.raises(InvalidInput, match=r"'http://192\.0\.2\.1/api/v3/ping' is not"):
                await exchange.connect()
            assert isinstance(exchange._api.session.connector, LoopbackConnector)
        finally:
            await exchange.close()
            await runner.cleanup()

    def test_and_real_keys_are_never_texts(self) -> None:
        with pytest.raises(InvalidInput, match=r"ApiKeys\.from_environment"):
            BinanceExchange(venue="binance", keys=("key", "secret"))
        with pytest.raises(InvalidInput, match="ws_url is given without rest_url"):
            BinanceExchange(venue="binance", ws_url="ws://127.0.0.1:1")


async def test_candles_are_fetched_in_pages_and_the_forming_one_is_marked(
    paper: PaperProcess,
) -> None:
    async with venue(paper) as (exchange, _):
        now = await exchange.market_time()
        start = now - 2_500 * MINUTE
        candles = await exchange.fetch_candles("BTCUSDT", "1m", start, now, now=now)
        assert [c.timestamp for c in candles] == list(range(start, now, MINUTE))
        assert all(c.closed and c.flaw() is None for c in candles)
        few = await exchange.fetch_candles(
            "BTC/USDT", "1m", now - 2 * MINUTE, now + MINUTE, now=now, forming=True
        )
        assert [(c.timestamp, c.closed) for c in few] == [
            (now - 2 * MINUTE, True),
            (now - MINUTE, True),
            (now, False),
        ]
        # By an older clock the candle before is still open.
        few = await exchange.fetch_candles(
            "BTC/USDT", "1m", now - 2 * MINUTE, now, now=now - 1, forming=False
        )
        assert [c.timestamp for c in few] == [now - 2 * MINUTE]
        three = await exchange.fetch_candles("BTC/USDT", "1m", start, now, now=now, limit=3)
        assert [c.timestamp for c in three] == [start + n * MINUTE for n in range(3)]


async def test_a_market_order_is_reported_the_same_way_everywhere(
    paper: PaperProcess,
) -> None:
    async with venue(paper) as (exchange, _):
        before = await exchange.balances()
        order = intent()
        report = await exchange.place_order(order)
        assert report.client_order_id == order.client_order_id
        assert (report.status, report.filled) == (OrderStatus.FILLED, order.amount)
        assert report.price is None
        assert sum(fill.amount for fill in report.fills) == order.amount
        assert sum(fill.cost for fill in report.fills) == report.cost
        assert {fill.fee_asset for fill in report.fills} == {"BTC"}
        asked = await exchange.fetch_order("BTCUSDT", order.client_order_id)
        assert asked is not None
        assert (asked.status, asked.filled, asked.cost, asked.venue_order_id) == (
            report.status,
            report.filled,
            report.cost,
            report.venue_order_id,
        )
        first = report.fills[0].trade_id
        fills = await exchange.fetch_fills("BTC/USDT", first)
        assert [fill.trade_id for fill in fills] == [fill.trade_id for fill in report.fills]
        # Neither our own id nor the very time of the answer is told with a trade.
        alike = {"client_order_id": order.client_order_id, "timestamp": 0}
        assert [replace(f, **alike) for f in fills] == [replace(f, **alike) for f in report.fills]
        after = await exchange.balances()
        assert before["USDT"].free - after["USDT"].free == report.cost
        fee = sum(fill.fee for fill in report.fills)
        held = before["BTC"].total if "BTC" in before else Decimal(0)
        assert after["BTC"].total - held == order.amount - fee


async def test_a_stop_rests_with_its_stop_price_and_is_cancelled(paper: PaperProcess) -> None:
    async with venue(paper) as (exchange, _):
        bought = await exchange.place_order(intent())
        limit = await far_limit(exchange)
        stop = intent(
            side=Side.SELL, type=OrderType.STOP_LOSS, amount=Decimal("0.0005"),
            stop_price=limit.price,
        )  # fmt: skip
        report = await exchange.place_order(stop)
        for one in (report, await exchange.fetch_order("BTC/USDT", stop.client_order_id)):
            assert one is not None
            assert (one.type, one.stop_price, one.price) == (stop.type, stop.stop_price, None)
            assert one.status is OrderStatus.OPEN
        assert [one.stop_price for one in await exchange.open_orders("BTC/USDT")] == [limit.price]
        done = await exchange.cancel_order("BTC/USDT", stop.client_order_id)
        assert (done.status, done.stop_price) == (OrderStatus.CANCELED, limit.price)
        assert bought.cost and bought.filled
        above = bought.cost / bought.filled * 2
        with pytest.raises(OrderRejected, match="trigger immediately"):
            await exchange.place_order(
                replace(
                    stop,
                    client_order_id="test-above",
                    stop_price=above.quantize(Decimal("0.01")),
                )
            )
        with pytest.raises(OrderRejected, match="has no stop price"):
            await exchange.place_order(replace(stop, stop_price=None))


async def test_a_limit_order_rests_is_listed_and_cancelled_once(paper: PaperProcess) -> None:
    async with venue(paper) as (exchange, _):
        order = await far_limit(exchange)
        placed = await exchange.place_order(order)
        assert (placed.status, placed.price, placed.fills) == (OrderStatus.OPEN, order.price, ())
        for listed in (await exchange.open_orders(), await exchange.open_orders("BTCUSDT")):
            assert [one.client_order_id for one in listed] == [order.client_order_id]
        assert (await exchange.balances())["USDT"].locked > 0
        # The same id again, while it is open, is evidence that it exists.
        with pytest.raises(OrderUnknown, match="exists already"):
            await exchange.place_order(order)
        cancelled = await exchange.cancel_order("BTC/USDT", order.client_order_id)
        assert (cancelled.status, cancelled.client_order_id) == (
            OrderStatus.CANCELED,
            order.client_order_id,
        )
        with pytest.raises(OrderRejected, match="Unknown order sent"):
            await exchange.cancel_order("BTC/USDT", order.client_order_id)
        assert await exchange.open_orders() == []


async def test_a_refusal_by_the_venue_is_definite(paper: PaperProcess) -> None:
    async with venue(paper) as (exchange, control):
        before = (await control.state())["counters"]["orders"]
        with pytest.raises(OrderRejected, match="LOT_SIZE"):
            await exchange.place_order(intent(amount=Decimal("0.000001")))
        with pytest.raises(OrderRejected, match="NOTIONAL"):
            await exchange.place_order(intent(amount=Decimal("0.00001")))
        with pytest.raises(OrderRejected, match="insufficient balance"):
            await exchange.place_order(intent(amount=Decimal(99)))
        await control.fault("http_status", match="order", status=429, retry_after=1, count=1)
        with pytest.raises(OrderRejected, match="HTTP 429"):
            await exchange.place_order(intent())
        assert (await control.state())["counters"]["orders"] == before
        assert await exchange.fetch_order("BTC/USDT", "never-heard") is None
    async with venue(paper, (PAPER_API_KEY, "x" * 64)) as (exchange, _):
        with pytest.raises(OrderRejected, match="-1022"):
            await exchange.place_order(intent())


@pytest.mark.parametrize("reply", ["drop", "timeout"])
@pytest.mark.parametrize("kind", ["before_accept", "after_accept"])
async def test_an_order_without_an_answer_is_unknown_and_never_sent_again(
    paper: PaperProcess, kind: str, reply: str
) -> None:
    async with venue(paper) as (exchange, control):
        before = (await control.state())["counters"]["orders"]
        order = intent()
        await control.fault(kind, reply=reply, count=1)
        with pytest.raises(OrderUnknown, match="do not send it again") as caught:
            await exchange.place_order(order)
        assert "signature" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert (await control.state())["counters"]["faults"][kind] >= 1
        report = await exchange.fetch_order("BTC/USDT", order.client_order_id)
        accepted = kind == "after_accept"
        assert (report is not None) == accepted
        assert (await control.state())["counters"]["orders"] == before + accepted


@pytest.mark.parametrize(
    ("status", "code", "certain"),
    [
        (502, None, False),
        (503, -1013, False),
        (400, -1000, False),
        (400, -1006, False),
        (408, -1007, False),
        # A proxy's answer, not the venue's.
        (400, None, False),
        (400, -1013, True),
        (401, -2015, True),
        (429, -1015, True),
    ],
)
async def test_only_a_refusal_by_the_venue_itself_is_certain(
    paper: PaperProcess, monkeypatch: pytest.MonkeyPatch, status: int, code: int, certain: bool
) -> None:
    sent = 0

    async def answer(endpoint: str, params: object) -> None:
        nonlocal sent
        sent += 1
        raise VenueError(status, code, "words")

    async with venue(paper) as (exchange, _):
        monkeypatch.setattr(exchange._api, "call", answer)
        with pytest.raises(OrderRejected if certain else OrderUnknown, match="words"):
            await exchange.place_order(intent())
        with pytest.raises(OrderRejected if certain else OrderUnknown, match="words"):
            await exchange.cancel_order("BTC/USDT", "some-order")
        assert sent == 2


async def test_a_server_error_leaves_an_order_unknown(paper: PaperProcess) -> None:
    async with venue(paper) as (exchange, control):
        await control.fault("http_status", match="order", status=502, count=1)
        with pytest.raises(OrderUnknown, match="HTTP 502"):
            await exchange.place_order(intent())


async def test_an_order_that_could_not_be_sent_is_rejected() -> None:
    process = await PaperProcess.start(["--seed", "4", "--lockstep", "--start", "2026-01-05"])
    async with venue(process) as (exchange, _):
        await process.stop()
        with pytest.raises(OrderRejected, match="Not sent"):
            await exchange.place_order(intent())
        with pytest.raises(ExchangeUnavailable, match="No answer from the venue"):
            await exchange.balances()


async def test_reads_wait_as_long_as_the_venue_asks_up_to_a_limit(paper: PaperProcess) -> None:
    async with venue(paper) as (exchange, control):
        loop = asyncio.get_running_loop()
        await control.fault("http_status", match="account", status=429, retry_after=1, count=1)
        began = loop.time()
        assert await exchange.balances()
        assert loop.time() - began >= 1.0
        await control.fault("http_status", match="account", status=503, count=1)
        with pytest.raises(ExchangeUnavailable, match="HTTP 503") as caught:
            await exchange.balances()
        assert "signature" not in str(caught.value)
        barred: list[str] = []
        exchange.on_barred = barred.append
        await control.fault("http_status", match="account", status=418, retry_after=600, count=1)
        with pytest.raises(ExchangeUnavailable, match="asks to wait 600 s"):
            await exchange.balances()
        assert barred == ["the venue has barred this address (HTTP 418)"]
        # Nothing is asked or sent until then, since that would prolong the ban.
        with pytest.raises(ExchangeUnavailable, match="asks to wait"):
            await exchange.balances()
        with pytest.raises(OrderRejected) as refused:
            await exchange.place_order(intent())
        assert 590 < (refused.value.retry_after or 0) <= 600


async def test_a_refused_key_is_tried_once_a_minute(paper: PaperProcess) -> None:
    async with venue(paper, keys=("K" * 64, "S" * 64)) as (exchange, _):
        barred: list[str] = []
        exchange.on_barred = barred.append
        for _ in range(3):
            with pytest.raises(OrderRejected) as refused:
                await exchange.place_order(intent())
            assert 50 < (refused.value.retry_after or 0) <= 60
        assert barred == ["the venue refuses the API key (code -2015)"]
        # What needs no key goes on.
        assert await exchange.market_time() > 0


async def test_the_rules_of_a_market_are_read_again_after_a_filter_failed(
    paper: PaperProcess,
) -> None:
    async with venue(paper) as (exchange, control):
        before = exchange.market("BTC/USDT")
        step = before.step * 100
        await control.fault("rules", symbol="BTCUSDT", changes={"step": str(step)})
        try:
            with pytest.raises(OrderRejected) as refused:
                await exchange.place_order(intent(amount=step * 3 + before.step))
            assert refused.value.rules
            after = await exchange.reload_market("BTC/USDT")
            assert after.step == step and exchange.market("BTC/USDT") == after
        finally:
            changes = {"step": str(before.step)}
            await control.fault("rules", symbol="BTCUSDT", changes=changes)
        await control.fault("halt", symbol="BTCUSDT", status="BREAK")
        try:
            with pytest.raises(OrderRejected, match="Market is closed") as refused:
                await exchange.place_order(intent())
            assert refused.value.rules
            assert not (await exchange.reload_market("BTC/USDT")).active
        finally:
            await control.fault("halt", symbol="BTCUSDT", status="TRADING")
        assert (await exchange.reload_market("BTC/USDT")).active


async def test_a_wrong_clock_is_corrected_and_the_order_is_sent_once(
    paper: PaperProcess, caplog: pytest.LogCaptureFixture
) -> None:
    async with venue(paper) as (exchange, control):
        for skew in (3_600_000, -3_600_000):
            before = (await control.state())["counters"]["orders"]
            exchange._api.options["timeDifference"] = skew
            assert (await exchange.place_order(intent())).status is OrderStatus.FILLED
            assert (await control.state())["counters"]["orders"] == before + 1
            assert abs(exchange._api.options["timeDifference"]) < 60_000
        exchange._api.options["timeDifference"] = 3_600_000
        assert await exchange.balances()
    assert caplog.text.count("rejected our timestamp") == 3


async def test_a_stream_that_cannot_be_dialled_is_an_error_at_once() -> None:
    process = await PaperProcess.start(["--seed", "3", "--lockstep"])
    async with venue(process) as (exchange, _):
        await process.stop()
        async with asyncio.timeout(60):
            with pytest.raises(ExchangeUnavailable, match="Cannot open a stream"):
                await exchange.open_klines(lambda text, reason: None)


async def test_every_execution_is_reported_and_so_is_a_reconnection(paper: PaperProcess) -> None:
    reports: list[OrderReport] = []
    connected = 0
    changed = asyncio.Event()

    def take(report: OrderReport) -> None:
        reports.append(report)
        changed.set()

    def connect() -> None:
        nonlocal connected
        connected += 1
        changed.set()

    async def until(condition: Callable[[], bool]) -> None:
        while not condition():
            changed.clear()
            await changed.wait()

    async with venue(paper) as (exchange, control), asyncio.timeout(60):
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(exchange.watch_executions(take, on_connect=connect))
            await until(lambda: connected == 1)
            order = intent()
            answer = await exchange.place_order(order)
            await until(lambda: any(r.status is OrderStatus.FILLED for r in reports))
            fills = [fill for report in reports for fill in report.fills]
            assert [f.trade_id for f in fills] == [f.trade_id for f in answer.fills]
            assert [replace(f, timestamp=0) for f in fills] == [
                replace(f, timestamp=0) for f in answer.fills
            ]
            ended = '{"subscriptionId":0,"event":{"e":"eventStreamTerminated","E":1}}'
            shutdown = '{"subscriptionId":0,"event":{"e":"serverShutdown","E":1}}'
            losses: list[tuple[str, dict[str, Any]]] = [
                ("reset", {}),
                ("close", {"code": 1001}),
                ("malformed", {"text": ended}),
                ("malformed", {"text": shutdown}),
            ]
            for round_, (kind, details) in enumerate(losses, start=2):
                await control.fault(kind, target="user", **details)
                await until(lambda n=round_: connected == n)
            # Nonsense on the stream ends nothing.
            text = '{"subscriptionId":0,"event":{"e":"executionReport","s":"BTCUSDT","X":"ODD"}}'
            await control.fault("malformed", target="user", text=text)
            reports.clear()
            resting = await far_limit(exchange)
            await exchange.place_order(resting)
            await until(lambda: bool(reports))
            await exchange.cancel_order("BTC/USDT", resting.client_order_id)
            await until(lambda: len(reports) == 2)
            # A cancellation has an id of its own; the report is about the order.
            assert [(r.client_order_id, r.status) for r in reports] == [
                (resting.client_order_id, OrderStatus.OPEN),
                (resting.client_order_id, OrderStatus.CANCELED),
            ]
            assert connected == 5
            watching.cancel()


async def test_a_refused_key_on_the_event_stream_is_logged_without_the_key(
    paper: PaperProcess, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="botlib")
    async with venue(paper, (PAPER_API_KEY, "y" * 64)) as (exchange, _):
        watching = asyncio.ensure_future(exchange.watch_executions(lambda report: None))
        async with asyncio.timeout(60):
            while "event stream is down" not in caplog.text:  # noqa: ASYNC110 - a log has no event
                await asyncio.sleep(0.02)
        assert not watching.done()
        watching.cancel()
        await asyncio.wait({watching})
    assert "-1022" in caplog.text
    assert "y" * 64 not in caplog.text


async def test_no_log_at_any_level_contains_a_key_or_a_signature(
    paper: PaperProcess, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with venue(paper) as (exchange, control):
        await exchange.place_order(intent())
        await exchange.balances()
        await control.fault("http_status", match="account", status=503, count=1)
        with pytest.raises(ExchangeUnavailable):
            await exchange.balances()
    for secret in (PAPER_API_KEY, PAPER_API_SECRET, "signature="):
        assert secret not in caplog.text


def test_recorded_orders_and_executions_are_read(recorded: Callable[[str], Path]) -> None:
    answers = recorded("fixtures/rest/order_responses.jsonl").read_text().splitlines()
    seen = 0
    for line in answers:
        body = json.loads(line)["body"]
        if isinstance(body, dict) and {"orderId", "status", "side", "origQty"} <= body.keys():
            report = parse.order("X/Y", body)
            assert report.filled == Decimal(str(body["executedQty"]))
            assert sum(f.amount for f in report.fills) in (0, report.filled)
            seen += 1
    assert seen >= 5
    frames = recorded("fixtures/ws/user_data_frames.jsonl").read_text().splitlines()
    events = [json.loads(line)["frame"] for line in frames]
    executions = [e for e in events if e.get("e") == "executionReport"]
    assert len(executions) >= 5
    for event in executions:
        report = parse.execution("X/Y", event)
        assert report.filled == Decimal(event["z"])
        assert len(report.fills) == (event["x"] == "TRADE")


def test_unreadable_answers_are_named_in_the_error() -> None:
    with pytest.raises(ExchangeError, match="order status 'ODD' is unknown"):
        parse.order(
            "BTC/USDT",
            {"clientOrderId": "a", "orderId": 1, "side": "BUY", "type": "MARKET",
             "origQty": "1", "status": "ODD", "executedQty": "0"},
        )  # fmt: skip
    with pytest.raises(InvalidInput, match="not finite"):
        parse.fetched_candle("BTC/USDT", "1m", [0, "1", "1", "1", "nan", "1", 59_999], now=0)
