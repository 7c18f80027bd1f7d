"""The executor, on a fake venue that loses answers on demand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from botlib.core.errors import OrderRejected, OrderUnknown
from botlib.core.model import FillReceived, OrderIntent, OrderStatus, OrderType, Side
from botlib.execution import intent_id
from botlib.store import Database
from botlib.venues.binance.capabilities import BINANCE
from tests.support.order_desk import EXIT, VENUE, D, Desk, FakeVenue, signal


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(tmp_path / "orders.db", VENUE) as database:
        yield database


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database, FakeVenue())


async def test_an_entry_buys_and_an_exit_sells_what_is_net_sellable(desk: Desk) -> None:
    order = await desk.executor.execute(signal(), D(500))
    assert order is not None and order.status is OrderStatus.FILLED
    assert desk.positions.get("BTC/USDT").amount == D("4.995")
    sale = await desk.executor.execute(EXIT, D(500))
    assert sale is not None and sale.amount == D("4.995")
    assert desk.positions.get("BTC/USDT").flat
    assert len(desk.published(FillReceived)) == 2
    assert desk.executor.sent == 2


async def test_the_same_decision_is_sent_once(desk: Desk, database: Database) -> None:
    await desk.executor.execute(signal(), D(500))
    assert await desk.executor.execute(signal(), D(500)) is None
    assert desk.venue.placed == 1
    again = Desk(database, desk.venue)  # a restart
    await again.executor.recover(["BTC/USDT"])
    assert await again.executor.execute(signal(), D(500)) is None
    assert desk.venue.placed == 1
    assert again.positions.get("BTC/USDT") == desk.positions.get("BTC/USDT")


async def test_one_position_per_symbol(desk: Desk) -> None:
    await desk.executor.execute(signal(), D(500))
    assert await desk.executor.execute(signal(timestamp=180_000), D(500)) is None
    assert "held already" in desk.executor.refused["trend"]
    assert desk.venue.placed == 1


async def test_an_exit_of_nothing_is_no_order(desk: Desk) -> None:
    assert await desk.executor.execute(EXIT, D(500)) is None
    assert desk.venue.placed == 0
    assert desk.executor.refused == {}


async def test_an_amount_below_the_least_order_is_refused_with_the_limits(desk: Desk) -> None:
    assert await desk.executor.execute(signal(), D(4)) is None
    assert "0.001 BTC, 5 USDT" in desk.executor.refused["trend"]


async def test_a_risk_limit_stops_an_order_before_it_is_journaled(desk: Desk) -> None:
    assert await desk.executor.execute(signal(), D(5000)) is None
    assert "max_order_cost" in desk.executor.refused["trend"]
    assert desk.journal.orders() == []


async def test_a_rejected_order_is_final_and_leaves_no_position(desk: Desk) -> None:
    desk.venue.fail = OrderRejected("insufficient balance")
    order = await desk.executor.execute(signal(), D(500))
    assert order is not None and order.status is OrderStatus.REJECTED
    assert desk.executor.unsettled == []
    assert desk.positions.get("BTC/USDT").flat


async def test_an_unknown_outcome_blocks_the_symbol_until_the_venue_answers(desk: Desk) -> None:
    desk.venue.fail, desk.venue.accept_before_failing = OrderUnknown("no answer"), True
    order = await desk.executor.execute(signal(), D(500))
    assert order is not None and order.status is OrderStatus.UNKNOWN
    assert desk.executor.exposure() == 500  # counts as filled
    desk.venue.fail = None
    assert await desk.executor.execute(signal(timestamp=180_000), D(500)) is None
    assert "not settled" in desk.executor.refused["trend"]
    await desk.executor.sync(["BTC/USDT"])
    assert desk.executor.unsettled == []
    assert desk.positions.get("BTC/USDT").amount == D("4.995")
    assert desk.venue.placed == 1
    assert desk.executor.exposure() == D("499.5")


async def test_an_order_that_never_arrived_is_rejected_only_after_the_fence(desk: Desk) -> None:
    desk.venue.fail = OrderUnknown("no answer")
    await desk.executor.execute(signal(), D(500))
    await desk.executor.sync(["BTC/USDT"])
    assert len(desk.executor.unsettled) == 1
    desk.clock.advance(desk.clock.now() + BINANCE.absence_fence + 1)
    await desk.executor.sync(["BTC/USDT"])
    assert desk.executor.unsettled == []
    assert desk.journal.orders()[0].status is OrderStatus.REJECTED


async def test_a_crash_between_sending_and_the_answer_is_settled_at_the_next_start(
    desk: Desk, database: Database
) -> None:
    intent = OrderIntent(
        client_order_id=intent_id(signal()),
        strategy="trend",
        symbol="BTC/USDT",
        side=Side.BUY,
        type=OrderType.MARKET,
        amount=D(5),
    )
    desk.journal.record_intent(intent, 0)
    await desk.venue.place_order(intent)  # after which the process died
    after = Desk(database, desk.venue)
    await after.executor.recover(["BTC/USDT"])
    assert after.positions.get("BTC/USDT").amount == D("4.995")
    assert after.executor.unsettled == []
    assert desk.venue.placed == 1


async def test_a_fill_reported_three_times_is_booked_once(desk: Desk) -> None:
    order = await desk.executor.execute(signal(), D(500))
    assert order is not None
    desk.executor.on_execution(desk.venue.orders[order.client_order_id])
    await desk.executor.sync(["BTC/USDT"])
    assert desk.positions.get("BTC/USDT").amount == D("4.995")
    assert len(desk.published(FillReceived)) == 1


async def test_a_fill_that_was_not_reported_is_found_by_the_query(desk: Desk) -> None:
    desk.venue.silent_fills = True
    await desk.executor.execute(signal(), D(500))
    assert desk.positions.get("BTC/USDT").flat
    await desk.executor.sync(["BTC/USDT"])
    assert desk.positions.get("BTC/USDT").amount == D("4.995")


async def test_orders_and_fills_of_others_are_ignored(desk: Desk) -> None:
    await desk.executor.execute(signal(), D(500))
    foreign = replace(desk.venue.trades[0], trade_id=99, venue_order_id="v99")
    desk.venue.trades.append(foreign)
    await desk.executor.sync(["BTC/USDT"])
    known = next(iter(desk.venue.orders.values()))
    desk.executor.on_execution(replace(known, client_order_id="manual", fills=(foreign,)))
    assert desk.positions.get("BTC/USDT").amount == D("4.995")


def test_a_decision_has_one_id_that_the_venue_accepts() -> None:
    one = intent_id(signal())
    assert one == intent_id(signal())
    assert one != intent_id(EXIT)
    assert len(one) <= 36 and one.replace("-", "").isalnum()
