"""No order is sent twice, and none is forgotten, whatever becomes of its answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from botlib.core.errors import OrderRejected
from botlib.core.model import OrderRole, OrderStatus, SignalAction
from botlib.trading.orders import EventKind, OrderEvent, TrackedOrder, transition
from tests.support.order_rig import FENCE, SYMBOL, Rig, rigged
from tests.support.order_venue import D


def entries(rig: Rig) -> list[TrackedOrder]:
    """Return the entries of the rig's symbol, the oldest first."""
    return [one for one in rig.orders.ledger.of_symbol(SYMBOL) if one.role is OrderRole.ENTRY]


@rigged
async def test_an_entry_whose_fill_is_not_booked_yet_is_not_bought_again(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    faults = rig.venue.faults
    faults.place.append("lost after")
    faults.mute = faults.blind = True
    rig.enter()
    await rig.minute(2)
    (entry,) = entries(rig)
    assert entry.status is OrderStatus.FILLED, "a query says so, but the trades cannot be read"
    assert rig.positions.get(SYMBOL).amount == 0
    rig.enter()
    await rig.minute(2)
    rig.enter()
    await rig.minute()
    assert len(rig.venue.bought()) == 1
    assert rig.orders.exposure() == 500, "what is filled and not booked is at risk"
    assert "not known" in (rig.orders.held_back() or ""), "other symbols are held back too"
    assert "has had no stop for over 10 s" in (rig.halts.first or "")
    faults.blind = False
    await rig.minute()
    await rig.quiet()
    assert rig.venue.covered() == D("4.995") and rig.orders.held_back() is None
    assert rig.violations() == []


@pytest.mark.parametrize("fault", ["lost before", "lost after", "hang"])
@rigged
async def test_an_entry_without_an_answer_is_queried_and_never_sent_again(
    rig: Rig, fault: str
) -> None:
    rig.trade(stop_loss=0.05)
    rig.venue.faults.place.append(fault)
    rig.venue.faults.mute = True
    for _ in range(3):
        rig.enter()
        await asyncio.sleep(2)
    sent = [what for kind, what in rig.venue.requests if kind == "place"]
    assert sent.count(entries(rig)[0].id) == 1
    await rig.minute(2)
    await rig.quiet()
    assert len(rig.venue.bought()) == (1 if fault == "lost after" else 0)
    assert rig.violations() == []


@rigged
async def test_an_order_is_absent_only_after_the_fence_and_two_reads(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.venue.faults.place.append("lost before")
    rig.enter()
    await asyncio.sleep(FENCE / 1_000 - 0.5)
    (entry,) = entries(rig)
    assert entry.status is OrderStatus.UNKNOWN
    await asyncio.sleep(1.0)
    (entry,) = entries(rig)
    assert entry.status is OrderStatus.ABSENT
    assert rig.venue.requests.count(("read", "query")) >= 2


@rigged
async def test_lagging_reads_do_not_reject_an_acknowledged_stop(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    rig.venue.faults.lag = 1e6
    for _ in range(3):
        rig.orders.check()
        await asyncio.sleep(10)
    (stop,) = rig.orders.ledger.stops(SYMBOL)
    assert stop.status is OrderStatus.OPEN
    assert len(rig.venue.resting()) == 1 and rig.violations() == []


@rigged
async def test_an_order_that_is_not_found_right_after_its_loss_is_not_given_up(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.venue.faults.place.append("lost after")
    rig.venue.faults.mute = True
    rig.venue.faults.lag = 3.0
    rig.enter()
    await rig.minute()
    await rig.quiet()
    assert [one.status for one in entries(rig)] == [OrderStatus.FILLED]
    assert rig.venue.covered() == D("4.995") and rig.violations() == []


@rigged
async def test_a_fill_that_is_reported_before_the_answer_counts_once(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.venue.faults.slow = 2.0
    rig.enter()
    await asyncio.sleep(1.0)
    assert rig.positions.get(SYMBOL).amount == D("4.995"), "the stream overtook the answer"
    rig.venue.faults.slow = 0.0
    await rig.quiet()
    assert rig.violations() == [] and rig.orders.fills == 1


@rigged
async def test_an_order_the_venue_calls_a_duplicate_is_asked_about(rig: Rig) -> None:
    # The venue's own class raises an unknown outcome for "Duplicate order sent".
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    rig.venue.faults.place.append("lost after")
    rig.exit()
    await rig.quiet()
    await rig.minute()
    sales = [one for one in rig.orders.ledger.of_symbol(SYMBOL) if one.role is OrderRole.EXIT]
    assert [one.status for one in sales] == [OrderStatus.FILLED]
    assert rig.violations() == []


@rigged
async def test_an_exit_that_meets_an_unknown_order_is_kept_and_done(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.venue.faults.place.append("lost after")
    rig.venue.faults.mute = rig.venue.faults.deaf = True
    rig.enter()
    await rig.minute()
    assert entries(rig)[0].status is OrderStatus.UNKNOWN
    rig.exit()
    rig.venue.faults.mute = rig.venue.faults.deaf = False
    await rig.minute()
    await rig.quiet()
    assert len(rig.venue.bought()) == 1 and rig.venue.amount() == 0
    assert rig.violations() == []


@rigged
async def test_an_exit_whose_request_is_lost_is_kept_and_done(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    rig.venue.faults.deaf = True
    rig.venue.faults.place.append("lost before")
    rig.exit()
    await rig.minute()
    assert rig.venue.amount() > 0
    rig.venue.faults.deaf = False
    await rig.minute(2)
    await rig.quiet()
    assert rig.venue.amount() == 0 and rig.violations() == []


@rigged
async def test_an_entry_without_enough_balance_is_tried_once(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.venue.faults.place.append(
        OrderRejected("Account has insufficient balance for requested action.")
    )
    rig.enter()
    await rig.minute(2)
    assert [kind for kind, _ in rig.venue.requests].count("place") == 1
    assert "insufficient balance" in rig.orders.refused["trend"]
    assert rig.halts.first is None and rig.venue.bought() == []


@rigged
async def test_a_clock_set_back_neither_reorders_orders_nor_repeats_an_id(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    for number in range(3):
        rig.clock.ahead = -number * 3_600_000
        rig.enter()
        await rig.minute()
        rig.exit()
        await rig.minute()
    before = [one.id for one in rig.orders.ledger.of_symbol(SYMBOL)]
    assert len(set(before)) == len(before) == 9
    await rig.restart()
    assert [one.id for one in rig.orders.ledger.of_symbol(SYMBOL)] == before
    assert len(rig.venue.bought()) == 3 and rig.violations() == []


@rigged
async def test_a_clock_set_back_leaves_no_position_with_the_stop_of_an_earlier_one(
    rig: Rig,
) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.minute()
    rig.exit()
    await rig.minute()
    rig.clock.ahead = -3_600_000
    rig.venue.set_price(200)
    rig.enter()
    await rig.minute()
    assert [one.stop_price for one in rig.venue.resting()] == [190]
    await rig.restart()
    assert [one.stop_price for one in rig.venue.resting()] == [190]
    assert rig.violations() == []


@rigged
async def test_the_end_of_an_order_of_another_bot_does_not_halt_again(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    (stop,) = rig.venue.resting()
    theirs = replace(stop, client_order_id=f"blabcdef-{'0' * 24}", fills=())
    rig.orders.on_execution(theirs)
    assert "another bot (abcdef)" in (rig.halts.first or "")
    rig.halts.rearm("it is stopped now")
    rig.orders.on_execution(replace(theirs, status=OrderStatus.CANCELED))
    assert rig.halts.first is None
    rig.orders.on_execution(replace(theirs, fills=tuple(rig.venue.trades[:1])))
    assert "another bot (abcdef)" in (rig.halts.first or "")


@rigged
async def test_the_same_signal_twice_is_one_order(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    rig.exit()
    await rig.quiet()
    rig.enter()
    await rig.quiet()
    assert len(rig.venue.bought()) == 1, "one candle decides once, also after its exit"
    await rig.restart()
    rig.enter()
    await rig.quiet()
    assert len(rig.venue.bought()) == 1 and rig.violations() == []


@rigged
async def test_two_databases_on_one_account_never_share_an_id(rig: Rig, tmp_path: Path) -> None:
    rig.trade(stop_loss=0.05)
    other = Rig(tmp_path / "other.db", rig.venue, seed=2)
    other.market_clock.advance(rig.market_clock.now())
    await other.start()
    other.trade(stop_loss=0.05)
    deliver = other.orders.on_execution
    rig.venue.reported = lambda report: (rig.orders.on_execution(report), deliver(report))[0]
    rig.enter()
    other.enter()
    await rig.quiet()
    await other.quiet()
    ids = [one.client_order_id for one in rig.venue.bought()]
    assert len(set(ids)) == len(ids)
    theirs = {one.id for one in other.orders.ledger.of_symbol(SYMBOL)}
    assert theirs.isdisjoint(one.id for one in rig.orders.ledger.of_symbol(SYMBOL))
    for one, foreign in ((rig, other), (other, rig)):
        assert f"another bot ({foreign.orders.bot})" in (one.halts.first or "")
    await other.stop()


@rigged
async def test_another_bot_on_the_account_is_found_at_the_start(rig: Rig, tmp_path: Path) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    other = Rig(tmp_path / "other.db", rig.venue, seed=2)
    await other.start()
    assert f"another bot ({rig.orders.bot})" in (other.halts.first or "")
    other.trade(stop_loss=0.05)
    other.enter()
    await other.quiet()
    assert len(rig.venue.bought()) == 1, "entries are halted"
    await other.stop()


@rigged
async def test_an_order_with_our_id_that_nobody_journaled_halts(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    (stop,) = rig.venue.resting()
    name = f"bl{rig.orders.bot}-{'0' * 24}"
    rig.orders.on_execution(replace(stop, client_order_id=name))
    assert f"{name} of {SYMBOL} has our id" in (rig.halts.first or "")


def _filled(order: TrackedOrder) -> OrderEvent:
    return OrderEvent(
        kind=EventKind.REPORTED,
        status=OrderStatus.FILLED,
        filled=order.intent.amount,
        cost=order.intent.amount * 100,
        venue_order_id="v1",
    )


@rigged
async def test_a_filled_order_stays_filled_whatever_an_older_answer_says(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    (entry,) = entries(rig)
    older = OrderEvent(kind=EventKind.REPORTED, status=OrderStatus.OPEN, venue_order_id="v1")
    refused = OrderEvent(kind=EventKind.REFUSED, message="too late")
    for event in (older, refused, OrderEvent(kind=EventKind.ABSENT)):
        after = transition(entry, event)
        assert (after.status, after.filled) == (OrderStatus.FILLED, entry.filled)
    assert transition(entry, refused).conflict, "two words that exclude each other are kept"
    assert transition(entry, _filled(entry)) == entry


@rigged
async def test_an_exit_sells_its_own_book_and_not_that_of_another_strategy(rig: Rig) -> None:
    rig.trade("trend", stop_loss=0.05)
    rig.trade("swing", stop_loss=0.10)
    rig.enter("trend")
    rig.enter("swing", cost=300)
    await rig.quiet()
    assert sorted(one.stop_price or D(0) for one in rig.venue.resting()) == [90, 95]
    rig.exit("trend")
    await rig.quiet()
    assert rig.positions.of("trend", SYMBOL).amount == 0
    assert rig.positions.of("swing", SYMBOL).amount == D("2.997")
    assert [one.stop_price for one in rig.venue.resting()] == [90]
    rig.signal(SignalAction.EXIT, "other")
    await rig.minute()
    assert rig.venue.amount() == D("2.997") and rig.violations() == []
