"""Limits of the venue over real sockets: many symbols enter at once, and none is without its stop.

The exchange has small limits; what it counts, and when it had each order, is in its ledger.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable

import pytest
import pytest_asyncio

from botlib.config import Settings
from botlib.core.bus import BusSubscription
from botlib.core.model import OrderRole, OrderStatus, RequestsHeldBack
from botlib.core.model import SignalAction as Action
from botlib.core.timeframe import MINUTE
from botlib.engine import Orchestrator
from botlib.paper import PaperControl, PaperProcess
from botlib.trading.books import BookKey
from botlib.trading.orders import TrackedOrder
from botlib.trading.stops import StopRules
from botlib.venues.budget import Counted, Purpose
from tests.support.order_stage import SETTINGS, D, lasting_signal

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = ("BTC", "ETH", "BNB", "SOL", "XRP", "ADA", "DOGE", "AVAX")
SYMBOLS = tuple(f"{name}/USDT" for name in NAMES)
MOST = 6
"""New orders that the exchange allows in ten seconds."""
IN_TIME = 2_000
"""Longest milliseconds from a fill to the order of its stop."""


class Stage:
    """A bot with a strategy of its own in each test, and the exchange that it trades on."""

    def __init__(self, engine: Orchestrator, control: PaperControl) -> None:
        self.engine, self.control = engine, control
        self.name = ""
        self._used = 0

    def begin(self) -> None:
        """Register a strategy on every symbol."""
        self._used += 1
        self.name = f"s{self._used}"
        for symbol in SYMBOLS:
            self.engine.orders.register(self.name, symbol, StopRules(stop_loss=0.05))

    async def limit(self, **limits: int) -> None:
        """Set limits of the exchange, and have the bot read them."""
        await self.control.fault("limits", **limits)
        await self.engine.exchange.reload_market(SYMBOLS[0], purpose=Purpose.ENQUIRY)

    def signal(self, action: Action, symbols: Iterable[str]) -> None:
        """Raise a signal on the newest closed candle of symbols, at the same moment."""
        now = self.engine.market_clock.now()
        for symbol in symbols:
            price = self.engine.frames.last_close(symbol)
            assert price is not None
            signal = lasting_signal(self.name, symbol, action, price, now)
            self.engine.orders.signal(signal, D(100))

    def held(self, symbols: Iterable[str] = SYMBOLS) -> list[str]:
        """Return the symbols of which something that can be sold is held."""
        orders, frames = self.engine.orders, self.engine.frames
        return [
            one
            for one in symbols
            if orders.position(BookKey(self.name, one)).amount * D(str(frames.last_close(one))) > 6
        ]

    def stopped(self) -> list[str]:
        """Return the symbols whose stop rests."""
        return [one.intent.symbol for one in self.orders(OrderRole.STOP) if one.rests]

    def orders(self, role: OrderRole) -> list[TrackedOrder]:
        """Return the orders of the present strategy in a role."""
        return [
            one
            for symbol in SYMBOLS
            for one in self.engine.orders.ledger.of_symbol(symbol)
            if one.role is role and one.intent.strategy == self.name
        ]

    def late_stops(self) -> list[str]:
        """Return which stops were sent long after the fill they belong to."""
        entries = {one.id: one for one in self.orders(OrderRole.ENTRY)}
        return [
            f"{one.intent.symbol}: {one.created - entries[one.intent.entry].updated} ms"
            for one in self.orders(OrderRole.STOP)
            if one.intent.entry in entries
            and one.created - entries[one.intent.entry].updated > IN_TIME
        ]

    def refused(self) -> list[str]:
        """Return what the venue refused."""
        return [
            f"{one.role} of {one.intent.symbol}: {one.message}"
            for role in OrderRole
            for one in self.orders(role)
            if one.status is OrderStatus.REJECTED
        ]

    async def until(self, condition: Callable[[], object], seconds: float = 90) -> None:
        """Wait until a condition is true."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def flat(self) -> None:
        """Sell everything and wait until that is done."""
        for symbol in SYMBOLS:
            self.engine.orders.leave(symbol)
        await self.until(lambda: not self.held())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """Start an exchange and a bot without strategies."""
    directory = tmp_path_factory.mktemp("limits")
    arguments = ["--seed", "5", "--symbols", ",".join(SYMBOLS), "--start", "2026-01-05"]
    exchange = await PaperProcess.start(arguments, log=directory / "exchange.log")
    changes = {
        "paper": {"url": exchange.url},
        "data_directory": directory / "data",
        "symbols": list(SYMBOLS),
        "risk": {**SETTINGS["risk"], "max_open_orders": 100, "max_exposure": 100_000},
    }
    engine = Orchestrator(Settings().override(SETTINGS).override(changes))
    control = exchange.control()
    try:
        await engine.start()
        yield Stage(engine, control)
    finally:
        await engine.stop()
        await control.close()
        await exchange.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def stage(running: Stage) -> AsyncIterator[Stage]:
    """Return the bot with books of its own for the test; afterwards nothing is held."""
    running.begin()
    await running.until(lambda: running.engine.parts.executions.connected.is_set())
    await running.until(lambda: not running.engine.orders.held_back())
    yield running
    await running.limit(weight=6_000, orders_10s=100)
    await running.flat()


def told(held_back: BusSubscription[RequestsHeldBack]) -> list[RequestsHeldBack]:
    """Return the events that have come."""
    found = []
    while (event := held_back.get_nowait()) is not None:
        found.append(event)
    return found


async def test_entries_of_many_symbols_leave_room_for_stops_and_exits(stage: Stage) -> None:
    engine = stage.engine
    held_back = engine.bus.subscribe(RequestsHeldBack, name="limits")
    await stage.limit(orders_10s=MOST)
    stage.signal(Action.ENTRY, SYMBOLS)
    await stage.until(lambda: any("(orders_10s)" in one for one in engine.orders.cautions))
    assert any("held back" in one and "(orders_10s)" in one for one in engine.health().reasons)
    first = stage.held()
    assert len(first) < len(SYMBOLS)
    await stage.until(lambda: stage.stopped())
    stage.signal(Action.EXIT, stage.stopped()[:1])
    began = time.monotonic()
    await stage.until(lambda: len([one for one in stage.orders(OrderRole.EXIT) if one.filled]) == 1)
    assert time.monotonic() - began < 5, "an exit does not wait for the next ten seconds"
    await stage.until(lambda: len(stage.orders(OrderRole.ENTRY)) == len(SYMBOLS))
    await stage.until(lambda: len(stage.stopped()) == len(SYMBOLS) - 1)
    assert stage.refused() == [], "no limit was overrun"
    assert stage.late_stops() == []
    events = told(held_back)
    assert ("entries", "orders_10s", str(MOST)) in [
        (one.requests, one.rule, one.limit) for one in events
    ]
    held_back.close()


async def test_reads_that_use_up_the_weight_leave_room_for_exits(stage: Stage) -> None:
    engine = stage.engine
    stage.signal(Action.ENTRY, SYMBOLS[:4])
    await stage.until(lambda: len(stage.stopped()) == 4)
    while not 1 < time.time() % 60 < 40:  # noqa: ASYNC110
        await asyncio.sleep(0.5)
    used = engine.exchange.budget.used(Counted.WEIGHT, MINUTE)
    await stage.limit(weight=(used + 400) * 6 // 5)
    reads = [asyncio.ensure_future(engine.exchange.balances()) for _ in range(60)]
    while not any("(request_weight_1m)" in one for one in engine.orders.cautions):
        await engine.exchange._api.call("publicGetPing")  # type: ignore[attr-defined]
    stage.signal(Action.ENTRY, SYMBOLS[4:5])
    stage.signal(Action.EXIT, SYMBOLS[:4])
    began = time.monotonic()
    await stage.until(lambda: not stage.held(SYMBOLS[:4]))
    assert time.monotonic() - began < 10
    assert stage.refused() == [] and not stage.held(SYMBOLS[4:])
    assert engine.exchange._api.gate.closing(signed=True) is None  # type: ignore[attr-defined]
    await stage.limit(weight=6_000)
    for read in reads:
        read.cancel()
    await asyncio.gather(*reads, return_exceptions=True)
