"""The ledger stays small, and answers about orders that left memory as about those in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botlib.core.model import Fill, OrderIntent, OrderRole, OrderStatus, OrderType, Side
from botlib.execution import ledger as ledger_module
from botlib.execution.ledger import KEPT, SLACK, OrderLedger
from botlib.store import Database, OrderJournal
from botlib.trading.books import BookKey
from botlib.trading.orders import EventKind, OrderEvent, TrackedOrder, transition

SYMBOLS = ("BTC/USDT", "ETH/USDT")
ONE = Decimal(1)


class Story:
    """A ledger with its journal, to which orders and fills are added as a desk does."""

    def __init__(self, database: Database) -> None:
        self.journal = OrderJournal(database)
        self.ledger = OrderLedger(self.journal)
        self.names: list[str] = []
        self.trades = 0

    def send(self, role: OrderRole, symbol: str) -> str:
        """Send an order for one unit; return its client order id."""
        name = f"order {len(self.names)}"
        key = BookKey(symbol, symbol)
        entry = None if role is OrderRole.ENTRY else self.ledger.entries.get(key)
        intent = OrderIntent(
            client_order_id=name,
            strategy=symbol,
            symbol=symbol,
            side=Side.BUY if role is OrderRole.ENTRY else Side.SELL,
            type=OrderType.STOP_LOSS if role is OrderRole.STOP else OrderType.MARKET,
            amount=ONE,
            stop_price=ONE if role is OrderRole.STOP else None,
            role=role,
            protects=role.protects,
            entry=entry,
            sequence=self.ledger.sent(key, entry).get(role, 0),
        )
        order = TrackedOrder(intent=intent, created=len(self.names), sent=True)
        self.journal.record_intents([order])
        self.ledger.remember(order)
        self.names.append(name)
        return name

    def happened(self, name: str, event: OrderEvent) -> None:
        """Note an event of an order, known or long gone from memory."""
        order = self.ledger.get(name)
        assert order is not None
        changed = transition(order, event, at=1)
        if changed is not order:
            self.journal.record(changed, event, now=1, market_time=None, source="answer")
            self.ledger.remember(changed)

    def report(self, name: str, status: OrderStatus, filled: Decimal = Decimal(0)) -> None:
        self.happened(
            name,
            OrderEvent(
                kind=EventKind.REPORTED,
                status=status,
                filled=filled,
                cost=filled,
                venue_order_id=f"v {name}",
            ),
        )

    def fill(self, name: str, amount: Decimal = ONE) -> None:
        """Book a trade of an order."""
        order = self.ledger.get(name)
        assert order is not None
        self.trades += 1
        fill = Fill(
            symbol=order.intent.symbol,
            trade_id=self.trades,
            venue_order_id=f"v {name}",
            client_order_id=name,
            side=order.intent.side,
            price=ONE,
            amount=amount,
            fee=Decimal(0),
            fee_asset="USDT",
            timestamp=self.trades,
            maker=False,
        )
        self.journal.save_fill(fill)
        self.ledger.note(fill)

    def restart(self) -> None:
        """Load a ledger as the next process does."""
        self.ledger = OrderLedger(self.journal)
        self.ledger.load(self.journal.tracked(), self.journal.fills())

    def step(self, what: str, symbol: str, which: int) -> None:
        """Do one thing; ``which`` picks an earlier order."""
        if what == "trade":
            entry = self.send(OrderRole.ENTRY, symbol)
            self.fill(entry)
            self.report(entry, OrderStatus.FILLED, ONE)
            stop = self.send(OrderRole.STOP, symbol)
            self.report(stop, OrderStatus.OPEN)
            self.report(stop, OrderStatus.CANCELED)
            leaving = self.send(OrderRole.EXIT, symbol)
            self.fill(leaving)
            self.report(leaving, OrderStatus.FILLED, ONE)
        elif what == "refused":
            name = self.send(OrderRole.ENTRY, symbol)
            self.happened(name, OrderEvent(kind=EventKind.REFUSED, message="no"))
        elif what == "lost":
            name = self.send(OrderRole.ENTRY, symbol)
            self.happened(name, OrderEvent(kind=EventKind.LOST))
        elif what == "owing":
            self.report(self.send(OrderRole.ENTRY, symbol), OrderStatus.FILLED, ONE)
        elif what == "restart":
            self.restart()
        elif self.names:
            name = self.names[which % len(self.names)]
            if what == "again":
                self.report(name, OrderStatus.FILLED, ONE)
            elif what == "late fill":
                self.fill(name, Decimal("0.25"))

    def answers(self) -> list[object]:
        """Return everything the ledger can answer."""
        ledger, names = self.ledger, [*self.names, "never sent"]
        venue_ids = {f"v {name}" for name in names}
        return [
            [ledger.get(name) for name in names],
            [ledger.booked(name) for name in names],
            [ledger.owed(one) for name in names if (one := ledger.get(name)) is not None],
            sorted(one.id for one in ledger.open),
            [ledger.ours(symbol, venue_ids) for symbol in SYMBOLS],
            [ledger.stops(symbol) for symbol in SYMBOLS],
            [ledger.entry(BookKey(symbol, symbol)) for symbol in SYMBOLS],
            [
                ledger.sent(BookKey(symbol, symbol), ledger.entries.get(BookKey(symbol, symbol)))
                for symbol in SYMBOLS
            ],
            list(ledger.last_fills),
            ledger.symbols,
        ]


@contextmanager
def story(kept: int, slack: int) -> Iterator[Story]:
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory(dir="/dev/shm") as place:
        patch.setattr(ledger_module, "KEPT", kept)
        patch.setattr(ledger_module, "SLACK", slack)
        with Database.open(Path(place) / "orders.db", "paper:synthetic:seed=1") as database:
            yield Story(database)


STEPS = st.tuples(
    st.sampled_from(
        ("trade", "trade", "trade", "refused", "lost", "owing", "again", "late fill", "restart")
    ),
    st.sampled_from(SYMBOLS),
    st.integers(0, 1_000),
)


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(STEPS, min_size=15, max_size=30))
def test_an_order_that_left_memory_is_answered_as_one_in_it(
    steps: list[tuple[str, str, int]],
) -> None:
    def told(kept: int, slack: int) -> list[list[object]]:
        with story(kept, slack) as one:
            answers = []
            for what, symbol, which in steps:
                one.step(what, symbol, which)
                answers.append(one.answers())
            return answers

    assert told(2, 1) == told(1_000_000, 0)


def sizes(ledger: OrderLedger) -> list[int]:
    return [
        len(one) for one in (ledger._orders, ledger._booked, ledger._by_venue_id, ledger._open)
    ] + [len(ledger._sent), len(ledger.last_fills)]


def test_memory_stays_flat_over_thousands_of_orders() -> None:
    with story(KEPT, SLACK) as one:
        for _ in range(KEPT):
            one.step("trade", "BTC/USDT", 0)
        early = max(sizes(one.ledger))
        for _ in range(1_000):
            one.step("trade", "BTC/USDT", 0)
        assert len(one.names) == 3 * (1_000 + KEPT)
        assert max(sizes(one.ledger)) <= max(early, KEPT + 2 * SLACK)
        one.restart()
        assert max(sizes(one.ledger)) <= KEPT + 2 * SLACK
        assert len(one.journal.orders()) == len(one.names)


def test_orders_that_matter_stay_in_memory() -> None:
    with story(4, 2) as one:
        one.step("lost", "ETH/USDT", 0)
        one.step("owing", "ETH/USDT", 0)
        entry = one.send(OrderRole.ENTRY, "BTC/USDT")
        one.fill(entry)
        one.report(entry, OrderStatus.FILLED, ONE)
        stop = one.send(OrderRole.STOP, "BTC/USDT")
        one.report(stop, OrderStatus.OPEN)
        for _ in range(60):
            one.step("refused", "ETH/USDT", 0)
        kept = one.ledger._orders.keys()
        assert {"order 0", "order 1", entry, stop} <= kept
        assert len(kept) <= 4 + 2 + 4
        assert [order.client_order_id for order in one.ledger.stops("BTC/USDT")] == [stop]
        one.restart()
        assert {"order 0", "order 1", entry, stop} <= one.ledger._orders.keys()


def test_loading_twice_counts_nothing_twice() -> None:
    with story(KEPT, SLACK) as one:
        for _ in range(3):
            one.step("trade", "BTC/USDT", 0)
        one.step("owing", "ETH/USDT", 0)
        before = one.answers()
        one.restart()
        assert one.answers() == before
        one.ledger.load(one.journal.tracked(), one.journal.fills())
        assert one.answers() == before


def test_the_newest_orders_come_newest_first() -> None:
    with story(4, 2) as one:
        for _ in range(20):
            one.step("refused", "BTC/USDT", 0)
        newest = [order.client_order_id for order in one.ledger.newest(3)]
        assert newest == ["order 19", "order 18", "order 17"]
        assert len(one.ledger.newest(1_000)) == 4


def test_an_order_that_is_filled_and_not_booked_is_open_until_it_is() -> None:
    with story(KEPT, SLACK) as one:
        name = one.send(OrderRole.ENTRY, "BTC/USDT")
        one.report(name, OrderStatus.FILLED, ONE)
        (order,) = one.ledger.open
        assert one.ledger.owes(order) and one.ledger.owed(order) == 1
        assert one.ledger.unsettled == []
        one.fill(name, Decimal("0.4"))
        assert one.ledger.owed(order) == Decimal("0.6")
        one.fill(name, Decimal("0.6"))
        assert one.ledger.open == [] and not one.ledger.owes(replace(order))
