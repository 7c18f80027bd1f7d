"""The record of orders stays bounded in memory: older ones are read from the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from botlib.core.errors import OrderRejected, OrderUnknown
from botlib.core.market import Market
from botlib.core.model import Fill, OrderIntent, OrderStatus, Side, Signal, SignalAction
from botlib.execution import order_record
from botlib.execution.executor import SWEEP_INTERVAL
from botlib.store import Database
from botlib.trading import positions
from botlib.trading.stops import StopRules
from botlib.venues.base import OrderReport
from botlib.venues.binance.capabilities import BINANCE
from tests.support.order_desk import VENUE, D, Desk, FakeVenue, signal

SYMBOLS = ("BTC/USDT", "ETH/USDT")
KEPT, SLACK = 2, 1
UNBOUNDED = 1_000_000


class Venues:
    """A venue for each symbol, each with trade and order ids of its own."""

    capabilities = BINANCE

    def __init__(self) -> None:
        self.of = {symbol: FakeVenue() for symbol in SYMBOLS}

    def market(self, symbol: str) -> Market:
        return self.of[symbol].market(symbol)

    async def place_order(self, intent: OrderIntent) -> OrderReport:
        return await self.of[intent.symbol].place_order(intent)

    async def cancel_order(self, symbol: str, client_order_id: str) -> OrderReport:
        return await self.of[symbol].cancel_order(symbol, client_order_id)

    async def fetch_order(self, symbol: str, client_order_id: str) -> OrderReport | None:
        return await self.of[symbol].fetch_order(symbol, client_order_id)

    async def fetch_fills(self, symbol: str, from_id: int = 0) -> list[Fill]:
        return await self.of[symbol].fetch_fills(symbol, from_id)


class Story:
    """A desk that acts step by step, with everything it can answer after each step."""

    def __init__(self, path: Path) -> None:
        self.database = Database.open(path, VENUE)
        self.venues = Venues()
        self.candles = 0
        self.begin()

    def begin(self) -> None:
        self.desk = Desk(self.database, self.venues)  # type: ignore[arg-type]
        self.desk.clock.advance(1_000_000 + 1_000_000 * self.candles)
        for symbol in SYMBOLS:
            self.desk.protector.rules[symbol] = StopRules(
                stop_loss=0.05, trailing_stop=0.05, take_profit=0.3
            )

    def decision(self, action: SignalAction, symbol: str) -> Signal:
        made = signal(action, timestamp=60_000 * self.candles)
        return replace(made, symbol=symbol, strategy=symbol)

    async def step(self, what: str, symbol: str) -> None:
        desk, venue, book = self.desk, self.venues.of[symbol], self.desk.executor
        self.candles += 1
        desk.wait(60_000)
        if what in {"enter", "leave", "refused", "lost", "unanswered", "silent"}:
            venue.fail = {
                "refused": OrderRejected("no"),
                "lost": OrderUnknown("gone"),
                "unanswered": OrderUnknown("timed out"),
            }.get(what)
            venue.accept_before_failing, venue.silent_fills = what == "unanswered", what == "silent"
            leaving = what == "leave"
            action = SignalAction.EXIT if leaving else SignalAction.ENTRY
            await book.execute(self.decision(action, symbol), D(50))
            venue.fail, venue.silent_fills = None, False
        elif what == "attend":
            desk.wait(1)
            await desk.protector.attend(symbol, 100.0 + self.candles)
        elif what == "trigger" and venue.resting():
            venue.trigger()
        elif what == "wait":
            desk.wait(SWEEP_INTERVAL)
        elif what == "restart":
            self.begin()
            await self.desk.executor.recover(SYMBOLS)
        elif what == "foreign":
            self.trade(symbol, "foreign", D("0.01"))
        elif what == "late":
            self.late(symbol)
        elif what == "more":
            named = (order.venue_order_id for order in desk.journal.orders())
            self.trade(symbol, next(filter(None, named), "no order"), D("0.125"))
        elif what == "again":
            for report in list(venue.orders.values()):
                book.on_execution(report)
        elif what == "sync":
            await book.sync(SYMBOLS)
        elif what == "look":
            await book.sync(SYMBOLS, thorough=False)

    def trade(self, symbol: str, order_id: str, amount: Any) -> Fill:
        trades = self.venues.of[symbol].trades
        made = Fill(
            symbol=symbol,
            trade_id=len(trades) + 1,
            venue_order_id=order_id,
            client_order_id=None,
            side=Side.BUY,
            price=D(99),
            amount=amount,
            fee=D(0),
            fee_asset="BNB",
            timestamp=self.candles,
            maker=False,
        )
        trades.append(made)
        return made

    def late(self, symbol: str) -> None:
        """Report an unexpected fill of the oldest purchase that was refused."""
        for order in self.desk.journal.orders():
            if order.symbol == symbol and order.status is OrderStatus.REJECTED:
                fill = self.trade(symbol, "late", D("0.25"))
                report = OrderReport(
                    symbol=symbol,
                    client_order_id=order.client_order_id,
                    venue_order_id="late",
                    side=order.side,
                    type=order.type,
                    amount=order.amount,
                    price=None,
                    status=OrderStatus.FILLED,
                    filled=fill.amount,
                    cost=fill.cost,
                    created=1,
                    updated=1,
                    fills=(fill,),
                )
                self.desk.executor.on_execution(report)
                return

    def answers(self) -> list[object]:
        """Return everything the desk can answer about orders, fills and positions."""
        desk, book = self.desk, self.desk.executor
        orders = desk.journal.orders()
        names = [order.client_order_id for order in orders] + ["unknown"]
        entries = {symbol: desk.protector.entry(symbol) for symbol in SYMBOLS}
        return [
            orders,
            desk.journal.fills(),
            [book.order(name) for name in names],
            [book.booked(name) for name in names],
            book.newest(KEPT),
            sorted(book.unsettled, key=lambda order: order.client_order_id),
            [book.stops(symbol) for symbol in SYMBOLS],
            [book.under_way(symbol) for symbol in SYMBOLS],
            [book._sweep_due(symbol) for symbol in SYMBOLS],
            entries,
            [book.stops_since(entry) for entry in entries.values() if entry is not None],
            list(book.last_fills),
            book.exposure(),
            (book.sent, book.fills, book.refused),
            desk.positions.all(),
            desk.risk.halted,
            [venue.history for venue in self.venues.of.values()],
        ]


OFTEN = ("enter", "leave", "attend", "refused", "sync")
NOW_AND_THEN = (
    "lost",
    "unanswered",
    "silent",
    "look",
    "wait",
    "trigger",
    "foreign",
    "late",
    "more",
)
STEPS = st.tuples(
    st.sampled_from((*OFTEN, *OFTEN, *OFTEN, *NOW_AND_THEN, "again", "restart")),
    st.sampled_from(SYMBOLS),
)
LONG = [("enter", "BTC/USDT"), ("attend", "BTC/USDT"), *[("refused", "ETH/USDT")] * 12]
MORE = [*[("enter", "BTC/USDT"), ("leave", "BTC/USDT")] * 4, ("more", "BTC/USDT")]
LATE = [*LONG, ("attend", "BTC/USDT"), ("late", "ETH/USDT"), ("restart", "BTC/USDT")]


@settings(max_examples=15, deadline=None)
@example(steps=LATE)
@example(steps=[*MORE, ("sync", "BTC/USDT"), ("restart", "BTC/USDT")])
@given(steps=st.lists(STEPS, min_size=25, max_size=40))
def test_a_dropped_order_is_answered_as_one_in_memory(steps: list[tuple[str, str]]) -> None:
    async def outcome(kept: int, slack: int, seen: int) -> list[list[object]]:
        with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as place:
            patch.setattr(order_record, "KEPT", kept)
            patch.setattr(order_record, "SLACK", slack)
            patch.setattr(positions, "REMEMBERED_TRADES", seen)
            story = Story(Path(place) / "orders.db")
            answers = []
            with story.database:
                for what, symbol in steps:
                    await story.step(what, symbol)
                    answers.append(story.answers())
            return answers

    bounded = asyncio.run(outcome(KEPT, SLACK, seen=1))
    assert bounded == asyncio.run(outcome(UNBOUNDED, 0, seen=UNBOUNDED))


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    monkeypatch.setattr(order_record, "KEPT", 6)
    monkeypatch.setattr(order_record, "SLACK", 2)
    monkeypatch.setattr(positions, "REMEMBERED_TRADES", 6)
    story = Story(tmp_path / "orders.db")
    with story.database:
        yield story


async def traded(story: Story, times: int) -> list[int]:
    """Enter, protect and exit so many times; return the sizes of what is in memory then."""
    for _ in range(times):
        for what in ("enter", "attend", "leave"):
            await story.step(what, "BTC/USDT")
    book, held = story.desk.executor, story.desk.positions
    known = (book._orders, book._booked, book._venue_ids, book._unsettled, book._owed, held._seen)
    return [len(one) for one in known]


async def test_memory_does_not_grow_with_the_orders(story: Story) -> None:
    most = order_record.KEPT + order_record.SLACK
    for _ in range(4):
        assert max(await traded(story, 8)) <= most
    assert len(story.desk.journal.orders()) > 8 * most
    story.begin()
    await story.desk.executor.recover(SYMBOLS)
    assert len(story.desk.executor._orders) <= most


async def test_a_dropped_order_is_never_sent_again(story: Story) -> None:
    await traded(story, 8)
    first, *_ = story.desk.journal.orders()
    assert first.client_order_id not in story.desk.executor._orders
    placed = story.venues.of["BTC/USDT"].placed
    decision = replace(story.decision(SignalAction.ENTRY, "BTC/USDT"), timestamp=60_000)
    assert await story.desk.executor.execute(decision, D(50)) is None
    assert "acted on already" in story.desk.executor.refused["BTC/USDT"]
    assert story.venues.of["BTC/USDT"].placed == placed


async def test_orders_that_matter_are_not_dropped(story: Story) -> None:
    await story.step("silent", "ETH/USDT")
    await story.step("enter", "BTC/USDT")
    await story.step("attend", "BTC/USDT")
    entry = story.desk.protector.entry("BTC/USDT")
    for _ in range(30):
        await story.step("refused", "ETH/USDT")
    assert entry is not None and entry.client_order_id in story.desk.executor._orders
    assert story.desk.protector.entry("BTC/USDT") == entry
    (stop,) = story.desk.executor.stops_since(entry)
    assert story.desk.executor.stops("BTC/USDT") == [stop]
    assert len(story.desk.executor._orders) <= order_record.KEPT + order_record.SLACK + 3
    owed, *_ = story.desk.journal.orders()
    await story.step("lost", "ETH/USDT")
    await traded(story, 8)
    (open_,) = story.desk.executor.unsettled
    assert {owed.client_order_id, open_.client_order_id} <= story.desk.executor._orders.keys()


async def test_recovering_twice_counts_no_fill_twice(story: Story) -> None:
    await traded(story, 8)
    await story.step("enter", "BTC/USDT")
    held = story.desk.positions.all()
    await story.desk.executor.recover(SYMBOLS)
    once = story.answers()
    await story.desk.executor.recover(SYMBOLS)
    assert story.answers() == once and story.desk.positions.all() == held
