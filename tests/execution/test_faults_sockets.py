"""Faults of orders over real sockets: ccxt.pro against an exchange in a process of its own.

One bot meets one fault after another. The exchange's ledger says what really happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from botlib.config import Settings
from botlib.core.errors import OrderUnknown
from botlib.core.model import OrderIntent, OrderRole, OrderStatus, OrderType, Side, Signal
from botlib.core.model import SignalAction as Action
from botlib.engine import Orchestrator
from botlib.execution import sender
from botlib.paper import PaperControl, PaperProcess
from botlib.trading.books import BookKey
from botlib.trading.orders import TrackedOrder
from botlib.trading.stops import StopRules
from botlib.venues.binance import gate

pytestmark = pytest.mark.asyncio(loop_scope="module")

D = Decimal
SYMBOL = "BTC/USDT"
MINUTE = 60_000
FENCE = 3_000
"""Milliseconds; the venue's own is over a minute, since a request may be valid for so long."""
SETTINGS: dict[str, Any] = {
    "symbols": [SYMBOL],
    "timeframes": ["1m"],
    "history": 30,
    "strategies": [],
    "health": {"port": 0},
    "tasks": {"order_sync": {"interval": "1s"}, "position_monitoring": {"interval": "1s"}},
    "risk": {"max_order_cost": 1_000, "max_daily_loss": 5_000, "max_orders_per_minute": 1_000},
}


@dataclass
class Desk:
    """The bot, its exchange, and what a test does with them."""

    engine: Orchestrator
    control: PaperControl
    names: list[str] = field(default_factory=list)

    @property
    def key(self) -> BookKey:
        """The book of the present test: a strategy of its own."""
        return BookKey(self.names[-1], SYMBOL)

    @property
    def amount(self) -> Decimal:
        """What the book holds."""
        return self.engine.orders.position(self.key).amount

    def orders(self, role: OrderRole | None = None) -> list[TrackedOrder]:
        """Return the orders of the book, the oldest first."""
        return [
            one
            for one in self.engine.orders.ledger.of_symbol(SYMBOL)
            if one.intent.strategy == self.key.strategy and role in (None, one.role)
        ]

    def signal(self, action: Action = Action.ENTRY, cost: int = 500) -> None:
        """Raise a signal on the newest closed candle."""
        now = self.engine.market_clock.now()
        price = self.engine.frames.last_close(SYMBOL)
        assert price is not None
        signal = Signal(
            strategy=self.key.strategy,
            symbol=SYMBOL,
            timeframe="1m",
            timestamp=now // MINUTE * MINUTE - MINUTE,
            action=action,
            price=price,
        )
        self.engine.orders.signal(signal, D(cost))

    async def until(self, condition: Callable[[], object], seconds: float = 15) -> None:
        """Wait until a condition is true."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def protected(self) -> None:
        """Wait until the book holds something and its stop rests."""
        await self.until(lambda: self.amount and self.stop())
        await self.settled()

    def stop(self) -> TrackedOrder | None:
        """Return the stop that rests for the book."""
        return next((one for one in self.orders(OrderRole.STOP) if one.rests), None)

    async def settled(self) -> None:
        """Wait until every outcome is known."""
        ledger = self.engine.orders.ledger
        await self.until(
            lambda: (
                not any(one.unclear or ledger.owes(one) for one in self.orders())
                and self.engine.orders.desk(SYMBOL).settled
            )
        )

    async def flat(self) -> None:
        """Sell what the book holds, and wait until that is done."""
        self.engine.orders.leave(SYMBOL)
        books = self.engine.positions.books
        await self.until(lambda: all(one.amount < D("0.0001") for one in books(SYMBOL).values()))
        await self.settled()

    async def venue(self) -> dict[str, dict[str, Any]]:
        """Return the venue's orders of the book by client order id."""
        ledger = await self.control.ledger()
        ours = {one.id for one in self.orders()}
        found = [one for one in ledger["orders"] if one["client_order_id"] in ours]
        assert len({one["client_order_id"] for one in found}) == len(found), "an id was used twice"
        return {one["client_order_id"]: one for one in found}

    async def agree(self) -> None:
        """Check that bot and venue agree: orders, fills and what is held."""
        await self.settled()
        venue = await self.venue()
        for order in self.orders():
            if order.status in (OrderStatus.REJECTED, OrderStatus.ABSENT):
                assert order.id not in venue
            else:
                assert D(venue[order.id]["executed"]) == order.filled
        trades = {one["trade_id"] for one in (await self.control.ledger())["trades"]}
        assert {one.trade_id for one in self.engine.journal.fills(SYMBOL)} <= trades
        bought = [one for one in venue.values() if one["side"] == "BUY"]
        assert len(bought) <= 1, "an entry was doubled"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    """Start an exchange and a bot without strategies."""
    directory = tmp_path_factory.mktemp("orders")
    arguments = ["--seed", "5", "--symbols", SYMBOL, "--start", "2026-01-05"]
    exchange = await PaperProcess.start(arguments, log=directory / "exchange.log")
    changes = {"paper": {"url": exchange.url}, "data_directory": directory / "data"}
    engine = Orchestrator(Settings().override(SETTINGS).override(changes))
    control = exchange.control()
    try:
        await engine.start()
        engine.orders._context.absence_fence = FENCE
        yield Desk(engine, control)
    finally:
        await engine.stop()
        await control.close()
        await exchange.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def desk(running: Desk) -> AsyncIterator[Desk]:
    """Return the bot with a book of its own for the test; afterwards nothing is held."""
    running.names.append(f"s{len(running.names)}")
    running.engine.orders.register(*running.key, StopRules(stop_loss=0.05))
    gate_of_bot = running.engine.exchange._api.gate  # type: ignore[attr-defined]
    await running.until(lambda: not gate_of_bot.pause(signed=True))
    await running.until(lambda: running.engine.parts.executions.connected.is_set())
    yield running
    await running.control.fault("clear")
    await running.flat()
    if running.engine.halts.first:
        running.engine.halts.rearm("the next test")


@pytest.mark.parametrize("reply", ["drop", "hang", "timeout"])
async def test_an_entry_that_is_accepted_and_not_answered_is_never_sent_again(
    desk: Desk, reply: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "SEND_DEADLINE", 1.0)
    await desk.control.fault("after_accept", match="order", reply=reply)
    desk.signal()
    await desk.protected()
    await desk.agree()
    (entry,) = desk.orders(OrderRole.ENTRY)
    assert entry.status is OrderStatus.FILLED


async def test_an_entry_that_never_arrived_is_absent_only_after_the_fence(desk: Desk) -> None:
    await desk.control.fault("before_accept", match="order", reply="drop")
    loop = asyncio.get_running_loop()
    began = loop.time()
    desk.signal()
    await desk.until(lambda: desk.orders() and desk.orders()[0].lost)
    await desk.until(lambda: desk.orders()[0].status is OrderStatus.ABSENT)
    assert loop.time() - began >= FENCE / 1_000
    await desk.agree()
    assert await desk.venue() == {} and desk.amount == 0


@pytest.mark.parametrize("status", [500, 503, 504])
async def test_an_error_of_the_server_leaves_the_outcome_open_until_a_query(
    desk: Desk, status: int
) -> None:
    await desk.control.fault("http_status", match="order", status=status)
    desk.signal()
    await desk.until(lambda: desk.orders() and desk.orders()[0].lost)
    desk.signal()
    await desk.until(lambda: desk.orders()[0].ended)
    await desk.agree()


async def test_a_fill_on_the_stream_before_the_answer_counts_once(desk: Desk) -> None:
    await desk.control.fault("slow", match="order", seconds=2)
    desk.signal()
    await desk.protected()
    await desk.agree()
    (entry,) = desk.orders(OrderRole.ENTRY)
    assert len(desk.engine.journal.fills_of(entry.id)) >= 1
    assert sum(one.amount for one in desk.engine.journal.fills_of(entry.id)) == entry.filled


async def test_a_copy_of_the_venue_that_lags_does_not_end_an_order(desk: Desk) -> None:
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


async def test_a_lost_report_of_a_fill_is_found_by_its_trade(desk: Desk) -> None:
    await desk.control.fault("after_accept", match="order", reply="drop")
    await desk.control.fault("drop", match="executionReport", count=2)
    desk.signal()
    await desk.protected()
    await desk.agree()


async def test_too_many_requests_are_waited_for_and_the_order_is_sent_once(desk: Desk) -> None:
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


async def test_an_exit_that_was_refused_for_now_keeps_its_stop_and_is_sold(desk: Desk) -> None:
    desk.signal()
    await desk.protected()
    await desk.control.fault("http_status", match="order", status=429, retry_after=1)
    desk.signal(Action.EXIT)
    await asyncio.sleep(0.5)
    assert desk.stop() is not None
    await desk.until(lambda: desk.amount < D("0.0001"))
    await desk.agree()


async def test_a_ban_stops_requests_and_entries_while_streams_go_on(desk: Desk) -> None:
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
    desk: Desk, monkeypatch: pytest.MonkeyPatch
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


async def test_an_entry_that_cannot_be_paid_is_refused_once(desk: Desk) -> None:
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


async def test_an_id_that_the_venue_has_already_is_asked_about(desk: Desk) -> None:
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
async def test_a_replacement_without_an_answer_is_settled_leg_by_leg(desk: Desk, when: str) -> None:
    desk.signal()
    await desk.protected()
    await desk.control.fault(when, match="cancelReplace", reply="drop")
    desk.signal(Action.EXIT)
    await desk.until(lambda: desk.amount < D("0.0001"))
    await desk.agree()


async def test_a_replacement_whose_second_leg_is_refused_gives_the_stop_back(desk: Desk) -> None:
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


async def test_a_stop_that_somebody_cancelled_is_placed_again(desk: Desk) -> None:
    desk.signal()
    await desk.protected()
    stop = desk.stop()
    assert stop is not None
    await desk.control.fault("drop", match="executionReport", count=1)
    await desk.engine.exchange.cancel_order(SYMBOL, stop.id)
    await desk.until(lambda: (again := desk.stop()) is not None and again.id != stop.id)
    await desk.agree()


async def test_a_filter_that_has_changed_costs_one_order_more(desk: Desk) -> None:
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
    desk: Desk, status: str, monkeypatch: pytest.MonkeyPatch
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
    desk: Desk,
) -> None:
    orders = desk.engine.orders
    await desk.control.fault("reset", target="user")
    await desk.until(lambda: "reports about orders are lost" in (orders.held_back() or ""))
    desk.signal()
    assert desk.orders() == []
    await desk.protected()
    assert orders.held_back() is None
    await desk.agree()


async def test_the_order_of_a_person_is_not_touched(desk: Desk) -> None:
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


async def test_an_order_of_another_bot_halts(desk: Desk) -> None:
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


async def test_coins_that_are_missing_halt(desk: Desk) -> None:
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


async def test_a_stop_of_the_bot_protects_an_entry_that_is_under_way(desk: Desk) -> None:
    await desk.control.fault("slow", match="order", seconds=2)
    await desk.control.fault("drop", match="executionReport", count=1)
    desk.signal()
    await asyncio.sleep(0.3)
    assert desk.amount == 0
    left = await desk.engine.orders.wind_down(15.0)
    assert left == [] and desk.stop() is not None
    await desk.agree()
