"""The order journal: intents, events of orders, fills, books, halts, days and small state."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from botlib.core.errors import InvalidInput, StoreError
from botlib.core.model import Fill, Order, OrderIntent, OrderRole, OrderStatus, OrderType, Side
from botlib.store import Database, OrderJournal
from botlib.store.journal import StoredBook, StoredHalt
from botlib.trading.books import BookKey, Protection, Want
from botlib.trading.orders import EventKind, OrderEvent, TrackedOrder, transition
from botlib.trading.stops import StopRules

INTENT = OrderIntent(
    client_order_id="trend-btc-1",
    strategy="trend-btc",
    symbol="BTC/USDT",
    side=Side.BUY,
    type=OrderType.MARKET,
    amount=Decimal("0.00100000"),
    signal_timestamp=1_700_000_000_000,
    reason="fast crossed above slow",
)
FILL = Fill(
    symbol="BTC/USDT",
    trade_id=11,
    venue_order_id="77",
    client_order_id="trend-btc-1",
    side=Side.BUY,
    price=Decimal("65000.10"),
    amount=Decimal("0.00100000"),
    fee=Decimal("0.000001"),
    fee_asset="BTC",
    timestamp=9,
    maker=False,
)
FILLED = OrderEvent(
    kind=EventKind.REPORTED,
    status=OrderStatus.FILLED,
    filled=Decimal("0.001"),
    cost=Decimal("65.0001"),
    venue_order_id="77",
)
LOST = OrderEvent(kind=EventKind.LOST, message="no answer")
OPENED = OrderEvent(kind=EventKind.REPORTED, status=OrderStatus.OPEN, venue_order_id="77")


def tracked(intent: OrderIntent = INTENT, created: int = 5) -> TrackedOrder:
    return TrackedOrder(intent=intent, created=created, market_time=4, sent=True)


def happened(journal: OrderJournal, order: TrackedOrder, *events: OrderEvent) -> TrackedOrder:
    for number, event in enumerate(events):
        order = transition(order, event, at=10 + number)
        journal.record(order, event, now=10 + number, market_time=4, source="answer")
    return order


@pytest.fixture
def journal(database: Database) -> OrderJournal:
    return OrderJournal(database)


def test_intent_is_recorded_once(journal: OrderJournal) -> None:
    journal.record_intents([tracked()])
    with pytest.raises(StoreError, match="was sent already"):
        journal.record_intents([tracked(replace(INTENT, amount=Decimal(9)), created=6)])
    order = journal.order("trend-btc-1")
    assert order == Order(
        client_order_id="trend-btc-1",
        venue_order_id=None,
        strategy="trend-btc",
        symbol="BTC/USDT",
        side=Side.BUY,
        type=OrderType.MARKET,
        amount=Decimal("0.00100000"),
        price=None,
        status=OrderStatus.SENT,
        filled=Decimal(0),
        cost=Decimal(0),
        created=5,
        updated=5,
        market_time=4,
    )
    assert str(order.amount) == "0.00100000"
    assert journal.order("other") is None


def test_orders_of_one_request_are_recorded_all_or_none(journal: OrderJournal) -> None:
    journal.record_intents([tracked()])
    another = replace(INTENT, client_order_id="another")
    with pytest.raises(StoreError, match="trend-btc-1 was sent already"):
        journal.record_intents([tracked(another), tracked()])
    assert [order.client_order_id for order in journal.orders()] == ["trend-btc-1"]
    assert journal.order_history("another") == []


def test_intent_is_not_recorded_over_an_order(journal: OrderJournal) -> None:
    journal.record_intents([tracked()])
    happened(journal, tracked(), FILLED)
    with pytest.raises(StoreError, match="was sent already"):
        journal.record_intents([tracked(created=7)])
    found = journal.order("trend-btc-1")
    assert found is not None
    assert found.status is OrderStatus.FILLED


def test_order_passes_through_its_states(journal: OrderJournal, database: Database) -> None:
    journal.record_intents([tracked()])
    sent = replace(tracked(), updated=5)
    assert journal.tracked() == [sent] == journal.tracked(ended=False)
    order = tracked()
    for event in (LOST, replace(FILLED, message="done")):
        order = happened(journal, order, event)
        assert journal.order("trend-btc-1") == order.order
        assert journal.tracked_order("trend-btc-1") == order
    assert order.status is OrderStatus.FILLED and order.message == "done"
    assert journal.tracked(ended=False) == []
    with database.reading() as connection:
        row = connection.execute(
            "SELECT symbol, signal_timestamp, reason, cost FROM orders"
        ).fetchone()
    assert row == ("BTCUSDT", 1_700_000_000_000, "fast crossed above slow", "65.0001")


def test_every_event_of_an_order_is_its_history(journal: OrderJournal) -> None:
    journal.record_intents([tracked()])
    cancel = OrderEvent(kind=EventKind.CANCEL_SENT, number=1, message="it is moved")
    happened(journal, tracked(), LOST, cancel, FILLED)
    history = journal.order_history("trend-btc-1")
    assert [one["kind"] for one in history] == ["intent", "lost", "cancel_sent", "reported"]
    assert [one["recorded"] for one in history] == [5, 10, 11, 12]
    assert [one["source"] for one in history] == ["desk", "answer", "answer", "answer"]
    assert (history[0]["reason"], history[0]["amount"]) == (INTENT.reason, "0.00100000")
    assert (history[2]["number"], history[2]["message"]) == (1, "it is moved")
    assert (history[3]["status"], history[3]["filled"]) == ("filled", "0.001")
    assert journal.order_history("unheard of") == []


@pytest.mark.parametrize("events", list(itertools.permutations([LOST, OPENED, FILLED])))
def test_the_order_of_events_does_not_matter(
    journal: OrderJournal, events: tuple[OrderEvent, ...]
) -> None:
    journal.record_intents([tracked()])
    happened(journal, tracked(), *events, *events)
    (found,) = journal.orders()
    assert (found.status, found.filled) == (OrderStatus.FILLED, INTENT.amount)
    assert journal.differences() == []


def test_late_answer_does_not_reopen_a_settled_order(journal: OrderJournal) -> None:
    journal.record_intents([tracked()])
    filled = happened(journal, tracked(), FILLED)
    late = happened(journal, filled, OPENED, LOST, OrderEvent(kind=EventKind.SENT))
    assert late.status is OrderStatus.FILLED and late.conflict == ""
    found = journal.order("trend-btc-1")
    assert found is not None and found.status is OrderStatus.FILLED
    # Two last words cannot both be true: they are told, and nothing is forgotten.
    ended = OrderEvent(kind=EventKind.REPORTED, status=OrderStatus.CANCELED, filled=FILLED.filled)
    contradicted = happened(journal, late, ended)
    assert "filled" in contradicted.conflict and "canceled" in contradicted.conflict
    known = journal.tracked_order("trend-btc-1")
    assert known is not None and known.conflict == contradicted.conflict
    assert known.filled == FILLED.filled


def test_venue_order_id_is_kept(journal: OrderJournal) -> None:
    journal.record_intents([tracked()])
    happened(journal, tracked(), OPENED, replace(OPENED, venue_order_id=None))
    found = journal.order("trend-btc-1")
    assert found is not None
    assert found.venue_order_id == "77"


def story(status: OrderStatus) -> Iterator[OrderEvent]:
    """Yield events after which an order that was sent has a status."""
    if status is OrderStatus.UNKNOWN:
        yield LOST
    elif status is OrderStatus.REJECTED:
        yield OrderEvent(kind=EventKind.REFUSED)
    elif status is OrderStatus.ABSENT:
        yield OrderEvent(kind=EventKind.ABSENT)
    elif status is not OrderStatus.SENT:
        partly = status is OrderStatus.PARTIALLY_FILLED
        filled = {True: Decimal("0.0005"), False: Decimal(0)}[partly]
        filled = INTENT.amount if status is OrderStatus.FILLED else filled
        reported = status if status.final else OrderStatus.OPEN
        yield replace(FILLED, status=reported, filled=filled)
        if status is OrderStatus.PENDING_CANCEL:
            yield OrderEvent(kind=EventKind.CANCEL_SENT, number=1)


def test_orders_come_oldest_first_and_unsettled_on_demand(journal: OrderJournal) -> None:
    # What is in the journal may have been sent, whatever happened to the process.
    statuses = [status for status in OrderStatus if status is not OrderStatus.INTENT]
    for index, status in enumerate(statuses):
        order = tracked(replace(INTENT, client_order_id=f"o{index}"), created=100 - index)
        journal.record_intents([order])
        assert happened(journal, order, *story(status)).status is status
    known = journal.orders()
    # As they were journaled: the computer's clock was set back before each.
    assert [order.created for order in known] == [100 - n for n in range(len(statuses))]
    assert {order.status for order in known} == set(statuses)
    assert {order.status for order in journal.orders(unsettled=True)} == {
        OrderStatus.SENT,
        OrderStatus.UNKNOWN,
        OrderStatus.OPEN,
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.PENDING_CANCEL,
    }
    assert journal.differences() == []


def test_a_table_of_orders_that_lies_is_found_and_built_again(
    journal: OrderJournal, database: Database
) -> None:
    for name, events in (("a", [FILLED]), ("b", [LOST]), ("c", [])):
        order = tracked(replace(INTENT, client_order_id=name))
        journal.record_intents([order])
        happened(journal, order, *events)
    before = journal.tracked()
    assert journal.differences() == []
    with database.writing(durable=True) as connection:
        connection.execute("UPDATE orders SET filled = '0.0001' WHERE client_order_id = 'a'")
        connection.execute("DELETE FROM orders WHERE client_order_id = 'b'")
    found = journal.differences()
    assert len(found) == 2
    assert "a is filled with 0.0001 filled, its events say filled with 0.001" in found
    # Compared with earlier events, what ended is left out; an order that is gone is not.
    assert journal.differences(journal.newest_event()) == ["b has events, and is no order"]
    assert journal.differences(journal.newest_event() - 1) == ["b has events, and is no order"]
    assert len(journal.differences(1)) == 2
    assert journal.rebuild() == 2
    assert journal.differences() == []
    assert [one.order for one in journal.tracked()] == [
        replace(one.order, updated=one.created) if one.id in "ab" else one.order for one in before
    ]


def test_orders_are_counted_by_book_entry_and_role(journal: OrderJournal) -> None:
    key = BookKey("trend-btc", "BTC/USDT")
    stop = replace(INTENT, side=Side.SELL, role=OrderRole.STOP, entry="trend-btc-1")
    journal.record_intents([tracked()])
    for number in range(3):
        intent = replace(stop, client_order_id=f"stop {number}", sequence=number)
        journal.record_intents([tracked(intent)])
    assert journal.counts() == {
        (key, None, OrderRole.ENTRY): 1,
        (key, "trend-btc-1", OrderRole.STOP): 3,
    }


def test_a_book_is_what_it_was(journal: OrderJournal) -> None:
    want = Want(
        target=Decimal("0.5"),
        reason="entry",
        decided=60_000,
        timeframe="1m",
        price=Decimal("100.1"),
        valid_until=180_000,
        limit=Decimal(99),
    )
    protection = Protection(
        rules=StopRules(stop_loss=0.05, take_profit=0.1, trailing_stop=0.2),
        entry="trend-btc-1",
        entry_price=Decimal(1) / 3,
        high=101.5,
        stop=Decimal("95.01"),
        target=Decimal("110.02"),
    )
    key = BookKey("trend-btc", "BTC/USDT")
    held = StoredBook(key=key, want=want, protection=protection, released=7)
    other = StoredBook(key=BookKey("trend-btc", "ETH/USDT"), want=None, protection=Protection())
    journal.save_book(other, now=1)
    journal.save_book(held, now=1)
    assert journal.books() == [held, other]
    left = replace(held, want=replace(want, target=Decimal(0), valid_until=None, limit=None))
    journal.save_book(left, now=2)
    assert journal.books() == [left, other]


def test_halts_hold_until_a_person_ends_them(journal: OrderJournal, database: Database) -> None:
    first = StoredHalt(reason="loss", source="risk", began=5)
    second = StoredHalt(reason="no stop", source="desk", began=6, symbol="BTC/USDT")
    journal.begin_halt(first)
    journal.begin_halt(second)
    assert journal.halts() == [first, second]
    journal.end_halts("looked at", now=9)
    assert journal.halts() == []
    journal.begin_halt(replace(first, began=10))
    assert journal.halts() == [replace(first, began=10)]
    with database.reading() as connection:
        rows = connection.execute("SELECT ended, ended_because FROM halts ORDER BY id").fetchall()
    assert rows == [(9, "looked at"), (9, "looked at"), (None, None)]


def test_the_start_of_a_day_is_written_down_once(journal: OrderJournal) -> None:
    assert journal.day_start(86_400_000) is None
    journal.begin_day(86_400_000, Decimal("1000.10"), Decimal("-3.5"))
    journal.begin_day(86_400_000, Decimal(900), Decimal(0))
    assert journal.day_start(86_400_000) == (Decimal("1000.10"), Decimal("-3.5"))
    assert journal.day_start(172_800_000) is None


def test_fill_is_saved_once_per_symbol_and_trade(journal: OrderJournal) -> None:
    assert journal.save_fill(FILL)
    assert not journal.save_fill(replace(FILL, amount=Decimal(9)))
    assert journal.save_fill(replace(FILL, symbol="ETH/USDT", client_order_id=None, maker=True))
    assert journal.fills("BTCUSDT") == [FILL]
    assert len(journal.fills()) == 2
    assert journal.fills("ETH/USDT")[0].client_order_id is None
    assert journal.fills("ETH/USDT")[0].maker is True


def test_fills_come_in_the_order_they_happened(journal: OrderJournal) -> None:
    for trade_id, timestamp in ((12, 3), (10, 1), (11, 2)):
        journal.save_fill(replace(FILL, trade_id=trade_id, timestamp=timestamp))
    assert [fill.trade_id for fill in journal.fills()] == [10, 11, 12]
    assert journal.fills("ETH/USDT") == []


@pytest.mark.parametrize("amount", ["1E-8", "0.1000", "123456789012345678901234567890.12345678"])
def test_decimals_are_kept_to_the_digit(journal: OrderJournal, amount: str) -> None:
    journal.save_fill(replace(FILL, amount=Decimal(amount)))
    assert str(journal.fills()[0].amount) == str(Decimal(amount))


def test_state_accepts_values_that_json_can_express(journal: OrderJournal) -> None:
    assert journal.get_state("halt") is None
    for value in ({"reason": "loss", "since": 5}, [1, "a", None], 0, False, None):
        journal.set_state("halt", value)
        assert journal.get_state("halt") == value
    bad: tuple[Any, ...] = (Decimal(1), float("nan"), object())
    for value in bad:
        with pytest.raises(InvalidInput, match="values that JSON can express"):
            journal.set_state("halt", value)


def test_a_failed_journal_write_raises(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "a.db", "binance")
    journal = OrderJournal(database)
    database.close()
    order = tracked()
    book = StoredBook(key=BookKey("s", "BTC/USDT"), want=None, protection=Protection())
    for step in (
        lambda: journal.record_intents([order]),
        lambda: journal.record(order, LOST, now=1, market_time=None, source="answer"),
        lambda: journal.save_fill(FILL),
        lambda: journal.save_book(book, now=1),
        lambda: journal.begin_halt(StoredHalt(reason="loss", source="risk", began=1)),
        lambda: journal.end_halts("looked at", now=1),
        lambda: journal.begin_day(0, Decimal(1), Decimal(0)),
    ):
        with pytest.raises(StoreError, match="cannot be written: it is closed"):
            step()


def test_journal_commits_are_durable_and_candle_commits_relaxed(database: Database) -> None:
    for durable, level in ((True, 2), (False, 1)):
        with database.writing(durable=durable) as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
            assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_a_stop_keeps_its_stop_price(journal: OrderJournal) -> None:
    stop = tracked(
        replace(
            INTENT,
            side=Side.SELL,
            type=OrderType.STOP_LOSS,
            stop_price=Decimal("61000.5"),
            role=OrderRole.STOP,
            protects=True,
            entry="entry",
            sequence=3,
            list_id="list",
        )
    )
    journal.record_intents([stop])
    (order,) = journal.orders()
    assert (order.type, order.stop_price) == (OrderType.STOP_LOSS, Decimal("61000.5"))
    happened(journal, stop, OPENED)
    (known,) = journal.tracked()
    assert known.intent == stop.intent
    assert (known.role, known.intent.entry, known.intent.list_id) == (
        OrderRole.STOP,
        "entry",
        "list",
    )
    assert journal.differences() == []


def test_fills_are_found_by_their_order(journal: OrderJournal) -> None:
    later = replace(FILL, trade_id=12, timestamp=8)
    for fill in (FILL, later, replace(FILL, trade_id=13, client_order_id="another")):
        journal.save_fill(fill)
    assert journal.fills_of("trend-btc-1") == [later, FILL]
    assert journal.fills_of("unheard of") == []


def test_orders_are_found_by_the_venues_ids_of_a_symbol(journal: OrderJournal) -> None:
    elsewhere = replace(INTENT, client_order_id="eth", symbol="ETH/USDT")
    for order in (tracked(), tracked(elsewhere)):
        journal.record_intents([order])
        happened(journal, order, OPENED)
    assert journal.ours("BTC/USDT", {"77", "78"}) == {"77": "trend-btc-1"}
    assert journal.ours("ETH/USDT", {"77"}) == {"77": "eth"}
    assert journal.ours("BTC/USDT", set()) == {}


def test_a_decision_is_told_by_the_orders_it_led_to(journal: OrderJournal) -> None:
    journal.record_intents([tracked()])
    journal.record_intents(
        [tracked(replace(INTENT, client_order_id="stop", signal_timestamp=None), created=6)]
    )
    assert journal.decisions() == [
        ("trend-btc", "BTC/USDT", 1_700_000_000_000, "fast crossed above slow")
    ]


def test_events_are_plain_values_and_come_back_as_they_were() -> None:
    for event in (
        LOST,
        OPENED,
        FILLED,
        OrderEvent(kind=EventKind.REFUSED, message="busy", retry=True),
        OrderEvent(kind=EventKind.CANCEL_REFUSED, number=2),
    ):
        assert OrderEvent.from_dict(json.loads(json.dumps(event.to_dict()))) == event
