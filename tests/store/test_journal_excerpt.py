"""What a journal says since some order."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from botlib.core.model import Fill, OrderIntent, OrderType, Side
from botlib.store import Database, OrderJournal
from botlib.store.journal_excerpt import JournalExcerpt
from botlib.trading.orders import TrackedOrder


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(tmp_path / "a.db", "paper:test") as found:
        yield found


def intent(name: str, timestamp: int | None = None) -> TrackedOrder:
    return TrackedOrder(
        intent=OrderIntent(
            client_order_id=name,
            strategy="s",
            symbol="BTC/USDT",
            side=Side.BUY,
            type=OrderType.MARKET,
            amount=Decimal(1),
            reason=name,
            signal_timestamp=timestamp,
        ),
        created=1,
    )


def fill(order: int, trade: int) -> Fill:
    return Fill(
        symbol="BTC/USDT",
        trade_id=trade,
        venue_order_id=str(order),
        client_order_id=f"order-{order}",
        side=Side.BUY,
        price=Decimal(10),
        amount=Decimal(1),
        fee=Decimal(0),
        fee_asset="USDT",
        timestamp=trade,
        maker=False,
    )


def test_fills_of_later_orders_are_returned_and_the_others_counted(database: Database) -> None:
    # As numbers, not as texts: 9 is before 10.
    OrderJournal(database).save_fills([fill(9, 1), fill(10, 2), fill(11, 3), fill(2, 4)])
    for after, others, trades in (
        (0, (), [1, 2, 3, 4]),
        (9, (), [2, 3]),
        (10, {9}, [1, 3]),
        (11, (), []),
    ):
        excerpt = JournalExcerpt(database, after, others)
        assert [one.trade_id for one in excerpt.fills()] == trades
        assert excerpt.earlier_fills() == 4 - len(trades)


def test_orders_are_found_by_their_names(database: Database) -> None:
    OrderJournal(database).record_intents([intent("a"), intent("b")])
    found = JournalExcerpt(database).orders(["b", "unheard of"])
    assert [one.client_order_id for one in found] == ["b"]


def test_only_decisions_that_were_made_several_times_are_returned(database: Database) -> None:
    journal = OrderJournal(database)
    journal.record_intents([intent("a", 5), intent("b", 6), intent("c"), intent("d")])
    assert JournalExcerpt(database).repeated_decisions() == []
    journal.record_intents([intent("e", 5)])
    assert JournalExcerpt(database).repeated_decisions() == [
        ("s", "BTC/USDT", 5, "a"),
        ("s", "BTC/USDT", 5, "e"),
    ]
