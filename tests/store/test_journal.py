"""The order journal: intents, orders, fills and small state."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from botlib.core.errors import InvalidInput, StoreError
from botlib.core.model import Fill, Order, OrderIntent, OrderStatus, OrderType, Side
from botlib.store import Database, OrderJournal

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
ORDER = Order(
    client_order_id="trend-btc-1",
    venue_order_id="77",
    strategy="trend-btc",
    symbol="BTC/USDT",
    side=Side.BUY,
    type=OrderType.LIMIT,
    amount=Decimal("0.00100000"),
    price=Decimal("65000.10"),
    status=OrderStatus.OPEN,
    filled=Decimal("0"),
    cost=Decimal("0"),
    created=5,
    updated=6,
    market_time=4,
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


@pytest.fixture
def journal(database: Database) -> OrderJournal:
    return OrderJournal(database)


def test_intent_is_recorded_once(journal: OrderJournal) -> None:
    assert journal.record_intent(INTENT, now=5, market_time=4)
    assert not journal.record_intent(replace(INTENT, amount=Decimal(9)), now=6)
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
        status=OrderStatus.INTENT,
        filled=Decimal(0),
        cost=Decimal(0),
        created=5,
        updated=5,
        market_time=4,
    )
    assert str(order.amount) == "0.00100000"
    assert journal.order("other") is None


def test_intent_is_not_recorded_over_an_order(journal: OrderJournal) -> None:
    journal.save_order(replace(ORDER, status=OrderStatus.FILLED))
    assert not journal.record_intent(INTENT, now=7)
    found = journal.order("trend-btc-1")
    assert found is not None
    assert found.status is OrderStatus.FILLED


def test_order_passes_through_its_states(journal: OrderJournal, database: Database) -> None:
    journal.record_intent(INTENT, now=5, market_time=4)
    unknown = replace(
        ORDER, venue_order_id=None, type=OrderType.MARKET, price=None, status=OrderStatus.UNKNOWN
    )
    filled = replace(
        unknown,
        venue_order_id="77",
        status=OrderStatus.FILLED,
        filled=Decimal("0.001"),
        cost=Decimal("65.0001"),
        updated=9,
        message="done",
    )
    for order in (unknown, filled):
        assert journal.save_order(order)
        assert journal.order("trend-btc-1") == order
    with database.reading() as connection:
        row = connection.execute(
            "SELECT symbol, signal_timestamp, reason, cost FROM orders"
        ).fetchone()
    assert row == ("BTCUSDT", 1_700_000_000_000, "fast crossed above slow", "65.0001")


def test_late_answer_does_not_reopen_a_settled_order(journal: OrderJournal) -> None:
    filled = replace(ORDER, status=OrderStatus.FILLED, filled=ORDER.amount)
    journal.save_order(filled)
    for status in (OrderStatus.OPEN, OrderStatus.UNKNOWN, OrderStatus.INTENT):
        assert not journal.save_order(replace(ORDER, status=status))
    assert journal.order("trend-btc-1") == filled
    # Cancelling raced with the fill, and the venue has the last word.
    assert journal.save_order(replace(filled, status=OrderStatus.CANCELED))


def test_venue_order_id_is_kept(journal: OrderJournal) -> None:
    journal.save_order(ORDER)
    journal.save_order(replace(ORDER, venue_order_id=None))
    found = journal.order("trend-btc-1")
    assert found is not None
    assert found.venue_order_id == "77"


def test_orders_come_oldest_first_and_unsettled_on_demand(journal: OrderJournal) -> None:
    for index, status in enumerate(OrderStatus):
        order = replace(ORDER, client_order_id=f"o{index}", status=status, created=100 - index)
        journal.save_order(order)
    assert [order.created for order in journal.orders()] == list(range(94, 101))
    unsettled = {order.status for order in journal.orders(unsettled=True)}
    assert unsettled == {OrderStatus.INTENT, OrderStatus.UNKNOWN, OrderStatus.OPEN}


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
    for step in (
        lambda: journal.record_intent(INTENT, now=1),
        lambda: journal.save_order(ORDER),
        lambda: journal.save_fill(FILL),
    ):
        with pytest.raises(StoreError, match="cannot be written: it is closed"):
            step()


def test_journal_commits_are_durable_and_candle_commits_relaxed(database: Database) -> None:
    for durable, level in ((True, 2), (False, 1)):
        with database.writing(durable=durable) as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
            assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_a_stop_keeps_its_stop_price(journal: OrderJournal) -> None:
    stop = replace(INTENT, side=Side.SELL, type=OrderType.STOP_LOSS, stop_price=Decimal("61000.5"))
    journal.record_intent(stop, 5)
    (order,) = journal.orders()
    assert (order.type, order.stop_price) == (OrderType.STOP_LOSS, Decimal("61000.5"))
    journal.save_order(replace(order, status=OrderStatus.OPEN, venue_order_id="8"))
    (order,) = journal.orders()
    assert order.stop_price == Decimal("61000.5")


def test_fills_are_found_by_their_order(journal: OrderJournal) -> None:
    later = replace(FILL, trade_id=12, timestamp=8)
    for fill in (FILL, later, replace(FILL, trade_id=13, client_order_id="another")):
        journal.save_fill(fill)
    assert journal.fills_of("trend-btc-1") == [later, FILL]
    assert journal.fills_of("unheard of") == []


def test_orders_are_found_by_the_venues_ids_of_a_symbol(journal: OrderJournal) -> None:
    journal.save_order(ORDER)
    elsewhere = replace(ORDER, client_order_id="eth", symbol="ETH/USDT", venue_order_id="77")
    journal.save_order(elsewhere)
    assert journal.ours("BTC/USDT", {"77", "78"}) == {"77": "trend-btc-1"}
    assert journal.ours("ETH/USDT", {"77"}) == {"77": "eth"}
    assert journal.ours("BTC/USDT", set()) == {}
