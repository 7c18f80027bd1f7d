"""Faults of orders over real sockets: ccxt.pro against an exchange in a process of its own.

One bot meets one fault after another. The exchange's ledger says what really happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from botlib.config import Settings
from botlib.core.errors import OrderUnknown
from botlib.core.model import OrderIntent, OrderRole, OrderStatus, OrderType, Side
from botlib.engine import Orchestrator
from botlib.engine.cautions import failing_safety_task
from botlib.execution import sender
from botlib.paper import PaperProcess
from botlib.trading.state import Sweep
from botlib.trading.stops import StopRules
from botlib.venues.binance import gate
from botlib.venues.binance.capabilities import BINANCE
from tests.support.order_stage import SETTINGS, SYMBOL, Action, D, Trader

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Trader]:
    """Start an exchange and a bot without strategies."""
    directory = tmp_path_factory.mktemp("orders")
    arguments = ["--seed", "5", "--symbols", SYMBOL, "--start", "2026-01-05"]
    exchange = await PaperProcess.start(arguments, log=directory / "exchange.log")
    changes = {"paper": {"url": exchange.url}, "data_directory": directory / "data"}
    engine = Orchestrator(Settings().override(SETTINGS).override(changes))
    control = exchange.control()
    try:
        await engine.start()
        yield Trader(engine, control)
    finally:
        await engine.stop()
        await control.close()
        await exchange.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def desk(running: Trader) -> AsyncIterator[Trader]:
    """Return the bot with a book of its own for the test; afterwards nothing is held."""
    running.names.append(f"s{len(running.names)}")
    running.engine.orders.register(*running.key, StopRules(stop_loss=0.05))
    gate_of_bot = running.engine.exchange._api.gate  # type: ignore[attr-defined]
    await running.until(lambda: not gate_of_bot.pause(signed=True))
    await running.until(lambda: running.engine.parts.executions.connected.is_set())
    # Entries are held back until each safety task has succeeded again.
    tasks = running.engine.tasks
    await running.until(lambda: failing_safety_task(tasks.status()) is None)
    yield running
    await running.control.fault("clear")
    await running.flat()
    if running.engine.halts.first:
        running.engine.halts.rearm("the next test")


@pytest.mark.parametrize("reply", ["drop", "hang", "timeout"])
async def test_an_entry_that_is_accepted_and_not_answered_is_never_sent_again(
    desk: Trader, reply: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "SEND_DEADLINE", 1.0)
    await desk.control.fault("after_accept", match="order", reply=reply)
    desk.signal()
    await desk.protected()
    await desk.agree()
    (entry,) = desk.orders(OrderRole.ENTRY)
    assert entry.status is OrderStatus.FILLED


async def test_an_exit_does_not_wait_for_a_routine_question_that_hangs(desk: Trader) -> None:
    desk.signal()
    await desk.protected()
    await desk.control.fault("slow", match="myTrades", seconds=9)
    desk.engine.orders.check()
    await desk.until(lambda: isinstance(desk.engine.orders.desk(SYMBOL).doing, Sweep))
    loop = asyncio.get_running_loop()
    began = loop.time()
    desk.signal(Action.EXIT)
    await desk.until(lambda: desk.amount < D("0.0001"))
    assert loop.time() - began < 4
    await desk.agree()


async def test_an_entry_that_never_arrived_is_absent_only_after_the_fence(desk: Trader) -> None:
    await desk.control.fault("before_accept", match="order", reply="drop")
    loop = asyncio.get_running_loop()
    began = loop.time()
    desk.signal()
    await desk.until(lambda: desk.orders() and desk.orders()[0].lost)
    await desk.until(lambda: desk.orders()[0].status is OrderStatus.ABSENT)
    assert loop.time() - began >= BINANCE.absence_fence / 1_000
    await desk.agree()
    assert await desk.venue() == {} and desk.amount == 0


async def test_an_order_that_arrives_after_its_window_is_refused_and_sent_once(
    desk: Trader, caplog: pytest.LogCaptureFixture
) -> None:
    late = BINANCE.order_recv_window / 1_000 + 0.5
    await desk.control.fault("slow", match="order", seconds=late)
    desk.signal()
    await desk.protected()
    assert "rejected our timestamp" in caplog.text
    await desk.agree()


@pytest.mark.parametrize("status", [500, 503, 504])
async def test_an_error_of_the_server_leaves_the_outcome_open_until_a_query(
    desk: Trader, status: int
) -> None:
    await desk.control.fault("http_status", match="order", status=status)
    desk.signal()
    await desk.until(lambda: desk.orders() and desk.orders()[0].lost)
    desk.signal()
    await desk.until(lambda: desk.orders()[0].ended)
    await desk.agree()


async def test_a_fill_on_the_stream_before_the_answer_counts_once(desk: Trader) -> None:
    await desk.control.fault("slow", match="order", seconds=2)
    desk.signal()
    await desk.protected()
    await desk.agree()
    (entry,) = desk.orders(OrderRole.ENTRY)
    assert len(desk.engine.journal.fills_of(entry.id)) >= 1
    assert sum(one.amount for one in desk.engine.journal.fills_of(entry.id)) == entry.filled


async def test_a_copy_of_the_venue_that_lags_does_not_end_an_order(desk: Trader) -> None:
    await desk.control.fault("after_accept", match="order", reply="drop")
    await desk.control.fault("drop", match="executionReport", count=10)
    await desk.control.fault("read_lag", seconds=20, **{"for": 3}, count=1_000)
    desk.signal()
    await desk.until(lambda: desk.orders() and desk.orders()[0].lost)
    await asyncio.sleep(1.5)
    assert desk.orders()[0].status is OrderStatus.UNKNOWN
    await desk.control.fault("clear")
    await desk.protected()
    await desk.agree()


async def test_a_lost_report_of_a_fill_is_found_by_its_trade(desk: Trader) -> None:
    await desk.control.fault("after_accept", match="order", reply="drop")
    await desk.control.fault("drop", match="executionReport", count=2)
    desk.signal()
    await desk.protected()
    await desk.agree()


async def test_a_position_has_its_stop_before_the_deadline_of_an_answer_that_hangs(
    desk: Trader,
) -> None:
    await desk.control.fault("after_accept", match="order", reply="hang")
    await desk.control.fault("drop", match="executionReport", count=2)
    loop = asyncio.get_running_loop()
    began = loop.time()
    desk.signal()
    await desk.until(lambda: desk.amount and desk.stop())
    assert loop.time() - began < sender.SEND_DEADLINE - 2
    await desk.protected()
    await desk.agree()


async def test_a_sale_follows_a_cancellation_whose_answer_hangs(desk: Trader) -> None:
    desk.engine.orders.register(*desk.key, StopRules(stop_loss=0.05, take_profit=0.5))
    desk.signal()
    await desk.protected()
    await desk.control.fault("after_accept", match="DELETE order", reply="hang")
    await desk.control.fault("drop", match="executionReport", count=2)
    loop = asyncio.get_running_loop()
    began = loop.time()
    desk.signal(Action.EXIT)
    await desk.until(lambda: desk.amount < D("0.0001"))
    assert loop.time() - began < sender.SEND_DEADLINE - 2
    await desk.agree()


async def test_a_sale_in_place_of_a_stop_is_known_while_its_answer_hangs(desk: Trader) -> None:
    desk.signal()
    await desk.protected()
    await desk.control.fault("after_accept", match="cancelReplace", reply="hang")
    await desk.control.fault("drop", match="executionReport", count=3)
    loop = asyncio.get_running_loop()
    began = loop.time()
    desk.signal(Action.EXIT)
    await desk.until(lambda: desk.amount < D("0.0001"))
    assert loop.time() - began < sender.SEND_DEADLINE - 2
    await desk.agree()


async def test_too_many_requests_are_waited_for_and_the_order_is_sent_once(
    desk: Trader,
) -> None:
    await desk.control.fault("http_status", match="order", status=429, retry_after=2)
    loop = asyncio.get_running_loop()
    began = loop.time()
    desk.signal()
    await desk.protected()
    assert loop.time() - began >= 2
    refused, entry = desk.orders(OrderRole.ENTRY)
    assert (refused.status, refused.retry) == (OrderStatus.REJECTED, True)
    assert entry.status is OrderStatus.FILLED
    await desk.agree()


async def test_an_exit_that_was_refused_for_now_keeps_its_stop_and_is_sold(
    desk: Trader,
) -> None:
    desk.signal()
    await desk.protected()
    await desk.control.fault("http_status", match="order", status=429, retry_after=1)
    desk.signal(Action.EXIT)
    await asyncio.sleep(0.5)
    assert desk.stop() is not None
    await desk.until(lambda: desk.amount < D("0.0001"))
    await desk.agree()


async def test_a_ban_stops_requests_and_entries_while_streams_go_on(desk: Trader) -> None:
    await desk.control.fault("http_status", match="", status=418, retry_after=3)
    await desk.until(lambda: desk.engine.halts.first)
    assert "barred this address (HTTP 418)" in (desk.engine.halts.first or "")
    state = await desk.control.state()
    await asyncio.sleep(2)
    assert (await desk.control.state())["counters"]["faults"] == state["counters"]["faults"]
    assert desk.engine.parts.executions.connected.is_set()
    desk.signal()
    await asyncio.sleep(0.2)
    assert desk.orders() == [] and "barred" in desk.engine.orders.refused[desk.key.strategy]
    now = desk.engine.market_clock.now()
    await desk.until(lambda: desk.engine.market_clock.now() > now)


async def test_a_revoked_key_halts_and_is_tried_seldom(
    desk: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "ONCE_A_MINUTE", 3.0)
    await desk.control.fault("http_status", match="", status=403, count=1_000)

    async def refusals() -> int:
        return int((await desk.control.state())["counters"]["faults"]["http_status"])

    await desk.until(lambda: desk.engine.halts.first)
    assert "refuses the API key (code -2015)" in (desk.engine.halts.first or "")
    before = await refusals()
    await asyncio.sleep(2)
    assert await refusals() <= before + 1
    await desk.control.fault("clear")


async def test_an_entry_that_cannot_be_paid_is_refused_once(desk: Trader) -> None:
    free = (await desk.engine.exchange.balances())["USDT"].free
    await desk.control.fault("withdraw", asset="USDT", amount=float(free - 100))
    try:
        desk.signal()
        await desk.until(lambda: desk.orders() and desk.orders()[0].ended)
        await asyncio.sleep(1)
        (entry,) = desk.orders()
        assert "insufficient balance" in entry.message and await desk.venue() == {}
    finally:
        await desk.control.fault("deposit", asset="USDT", amount=float(free - 100))


async def test_an_id_that_the_venue_has_already_is_asked_about(desk: Trader) -> None:
    desk.signal()
    await desk.protected()
    stop = desk.stop()
    assert stop is not None
    with pytest.raises(OrderUnknown, match="exists already"):
        await desk.engine.exchange.place_order(
            OrderIntent(
                client_order_id=stop.id,
                strategy="s",
                symbol=SYMBOL,
                side=Side.BUY,
                type=OrderType.MARKET,
                amount=D("0.001"),
            )
        )
    await desk.agree()


@pytest.mark.parametrize("when", ["before_accept", "after_accept"])
async def test_a_replacement_without_an_answer_is_settled_leg_by_leg(
    desk: Trader, when: str
) -> None:
    desk.signal()
    await desk.protected()
    await desk.control.fault(when, match="cancelReplace", reply="drop")
    desk.signal(Action.EXIT)
    await desk.until(lambda: desk.amount < D("0.0001"))
    await desk.agree()


async def test_a_replacement_whose_second_leg_is_refused_gives_the_stop_back(
    desk: Trader,
) -> None:
    desk.signal()
    await desk.protected()
    stop = desk.stop()
    assert stop is not None
    unpaid = OrderIntent(
        client_order_id="unpaid",
        strategy="s",
        symbol=SYMBOL,
        side=Side.SELL,
        type=OrderType.MARKET,
        amount=D(5),
    )
    # The venue answers with 409 and a part for each leg: cancelled, and not placed.
    result = await desk.engine.exchange.replace_order(stop.id, unpaid)
    assert result.cancelled is not None and result.cancelled.status is OrderStatus.CANCELED
    assert result.placed is None and "insufficient" in str(result.place_error)
    await desk.until(lambda: (again := desk.stop()) is not None and again.id != stop.id)
    await desk.agree()


async def test_a_stop_that_somebody_cancelled_is_placed_again(desk: Trader) -> None:
    desk.signal()
    await desk.protected()
    stop = desk.stop()
    assert stop is not None
    await desk.control.fault("drop", match="executionReport", count=1)
    await desk.engine.exchange.cancel_order(SYMBOL, stop.id)
    await desk.until(lambda: (again := desk.stop()) is not None and again.id != stop.id)
    await desk.agree()


async def test_a_filter_that_has_changed_costs_one_order_more(desk: Trader) -> None:
    step = desk.engine.exchange.market(SYMBOL).step
    await desk.control.fault("rules", symbol="BTCUSDT", changes={"step": str(step * 100)})
    try:
        desk.signal()
        await desk.protected()
        refused, entry = desk.orders(OrderRole.ENTRY)
        assert refused.status is OrderStatus.REJECTED and entry.status is OrderStatus.FILLED
        assert entry.intent.amount % (step * 100) == 0
        await desk.agree()
    finally:
        await desk.control.fault("rules", symbol="BTCUSDT", changes={"step": str(step)})
        await desk.engine.exchange.reload_market(SYMBOL)


@pytest.mark.parametrize("status", ["BREAK", "HALT"])
async def test_a_halted_symbol_is_not_entered_and_makes_the_bot_unhealthy(
    desk: Trader, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "READ_EVERY", 0.0)
    await desk.control.fault("halt", symbol="BTCUSDT", status=status)
    try:
        desk.signal()
        words = f"the venue does not trade {SYMBOL} now"
        await desk.until(lambda: words in desk.engine.health().reasons)
        await desk.until(
            lambda: "does not trade" in desk.engine.orders.refused.get(desk.key[0], "")
        )
        assert await desk.venue() == {}
    finally:
        await desk.control.fault("halt", symbol="BTCUSDT", status="TRADING")
    await desk.until(lambda: words not in desk.engine.health().reasons)


async def test_a_lost_stream_of_the_account_holds_entries_back_until_it_is_there(
    desk: Trader,
) -> None:
    orders = desk.engine.orders
    await desk.control.fault("reset", target="user")
    await desk.until(lambda: "reports about orders are lost" in (orders.held_back() or ""))
    desk.signal()
    assert desk.orders() == []
    await desk.protected()
    assert orders.held_back() is None
    await desk.agree()


async def test_the_order_of_a_person_is_not_touched(desk: Trader) -> None:
    price = D(str(desk.engine.frames.last_close(SYMBOL)))
    tick = desk.engine.exchange.market(SYMBOL).tick
    theirs = OrderIntent(
        client_order_id="web_by_hand",
        strategy="s",
        symbol=SYMBOL,
        side=Side.BUY,
        type=OrderType.LIMIT,
        amount=D("0.001"),
        price=price * D("0.9") // tick * tick,
    )
    await desk.engine.exchange.place_order(theirs)
    desk.signal()
    await desk.protected()
    desk.signal(Action.EXIT)
    await desk.until(lambda: desk.amount < D("0.0001"))
    rest = await desk.engine.exchange.open_orders(SYMBOL)
    assert "web_by_hand" in [one.client_order_id for one in rest]
    assert desk.engine.halts.first is None
    await desk.engine.exchange.cancel_order(SYMBOL, "web_by_hand")


async def test_an_order_of_another_bot_halts(desk: Trader) -> None:
    other = "0abcde" if desk.engine.orders.bot != "0abcde" else "1abcde"
    price = D(str(desk.engine.frames.last_close(SYMBOL)))
    tick = desk.engine.exchange.market(SYMBOL).tick
    name = f"bl{other}-{'0' * 24}"
    await desk.engine.exchange.place_order(
        OrderIntent(
            client_order_id=name,
            strategy="s",
            symbol=SYMBOL,
            side=Side.BUY,
            type=OrderType.LIMIT,
            amount=D("0.001"),
            price=price * D("0.9") // tick * tick,
        )
    )
    await desk.until(lambda: desk.engine.halts.first)
    assert f"another bot ({other}) trades on this account" in (desk.engine.halts.first or "")
    desk.signal()
    await asyncio.sleep(0.2)
    assert desk.orders() == []
    await desk.engine.exchange.cancel_order(SYMBOL, name)


async def test_coins_that_are_missing_halt(desk: Trader) -> None:
    desk.signal()
    await desk.protected()
    stop = desk.stop()
    assert stop is not None
    # While the stop is moved, what it held is free for a moment: somebody takes it.
    await desk.control.fault("halt", symbol="BTCUSDT", status="BREAK")
    await desk.engine.exchange.cancel_order(SYMBOL, stop.id)
    free = float((await desk.engine.exchange.balances())["BTC"].free)
    await desk.control.fault("withdraw", asset="BTC", amount=free)
    try:
        halts = desk.engine.halts
        await desk.until(lambda: any("are missing" in reason for reason in halts.reasons()))
        assert desk.amount > 0, "absence is not flat"
    finally:
        await desk.control.fault("deposit", asset="BTC", amount=free)
        await desk.control.fault("halt", symbol="BTCUSDT", status="TRADING")
    await desk.until(lambda: desk.stop() is not None)


async def test_a_stop_of_the_bot_protects_an_entry_that_is_under_way(desk: Trader) -> None:
    await desk.control.fault("slow", match="order", seconds=2)
    await desk.control.fault("drop", match="executionReport", count=1)
    desk.signal()
    await asyncio.sleep(0.3)
    assert desk.amount == 0
    left = await desk.engine.orders.wind_down(15.0)
    assert left == [] and desk.stop() is not None
    await desk.agree()
