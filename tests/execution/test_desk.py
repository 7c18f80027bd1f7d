"""The desk: entries, exits and protection, on a venue that refuses, loses and delays on demand."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest

from botlib.core.errors import OrderRejected, StoreError
from botlib.core.model import EntryRefused, FillReceived, OrderRole, OrderStatus
from botlib.trading.books import BookKey
from botlib.trading.sales import client_order_id
from tests.support.order_rig import SYMBOL, Rig, rigged
from tests.support.order_venue import D

REFUSED = "refused"


def roles(rig: Rig) -> list[OrderRole]:
    """Return the roles of all orders that were sent, the oldest first."""
    return [one.role for one in rig.orders.ledger.of_symbol(SYMBOL)]


def placed(rig: Rig) -> int:
    """Return how many requests to place or replace orders were made."""
    return sum(kind == "place" for kind, _ in rig.venue.requests)


async def held(rig: Rig, **rules: float) -> None:
    """Hold a position of 4.995 BTC that cost 100 each."""
    rig.trade(**(rules or {"stop_loss": 0.05}))
    rig.enter()
    await rig.quiet()
    assert rig.venue.amount() == D("4.995")


# Entries and exits


@rigged
async def test_an_entry_buys_and_an_exit_sells_what_is_net_sellable(rig: Rig) -> None:
    fills = rig.bus.subscribe(FillReceived, name="test")
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    entry, stop = rig.orders.ledger.of_symbol(SYMBOL)
    assert (entry.status, entry.filled) == (OrderStatus.FILLED, D(5))
    assert (stop.status, stop.intent.amount) == (OrderStatus.OPEN, D("4.995"))
    rig.exit()
    await rig.quiet()
    assert rig.positions.get(SYMBOL).flat
    assert len(fills) == 2 == rig.orders.fills
    assert rig.orders.sent == 3
    assert rig.violations() == []


@rigged
async def test_a_decision_is_not_repeated_after_a_restart(rig: Rig) -> None:
    await held(rig)
    rig.venue.set_price(90)  # the stop sells it, within the same candle
    await rig.quiet()
    for _ in range(2):
        before = placed(rig)
        rig.enter()
        await rig.quiet()
        assert placed(rig) == before and rig.venue.amount() == 0
        await rig.restart()
    assert len(rig.venue.bought()) == 1


@rigged
async def test_a_book_holds_one_position(rig: Rig) -> None:
    await held(rig)
    await rig.minute()
    before = placed(rig)
    rig.enter()
    await rig.quiet()
    assert re.match("4.9950* BTC are held already", rig.orders.refused["trend"])
    assert placed(rig) == before


@rigged
async def test_an_exit_of_nothing_is_no_order(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.exit()
    await rig.quiet()
    assert placed(rig) == 0 and rig.orders.refused == {}


@rigged
async def test_an_amount_below_the_least_order_is_refused_with_the_limits(rig: Rig) -> None:
    rig.trade()
    rig.enter(cost=4)
    await rig.quiet()
    assert "0.001 BTC, 5 USDT" in rig.orders.refused["trend"]
    assert placed(rig) == 0


@rigged
async def test_a_cap_stops_an_entry_before_it_is_journaled_and_is_told(rig: Rig) -> None:
    refusals = rig.bus.subscribe(EntryRefused, name="test")
    rig.trade(stop_loss=0.05)
    rig.enter(cost=5_000)
    await rig.quiet()
    event = refusals.get_nowait()
    assert event is not None and refusals.get_nowait() is None
    assert (event.rule, event.value, event.limit) == ("max_order_cost", "5000.00", "2000")
    assert (event.strategy, event.symbol) == ("trend", SYMBOL)
    assert event.reason == rig.orders.refused["trend"]
    assert placed(rig) == 0 and rig.orders.ledger.of_symbol(SYMBOL) == []


@rigged
async def test_a_refused_entry_is_final_and_leaves_no_position(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.venue.faults.place.append(OrderRejected("insufficient balance"))
    rig.enter()
    await rig.quiet()
    (entry,) = rig.orders.ledger.of_symbol(SYMBOL)
    assert entry.status is OrderStatus.REJECTED
    assert rig.orders.ledger.unsettled == [] and rig.positions.get(SYMBOL).flat
    assert "insufficient balance" in rig.orders.refused["trend"]
    assert placed(rig) == 1


@rigged
async def test_an_unknown_outcome_counts_as_filled_and_blocks_the_symbol(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.trade("other", stop_loss=0.05)
    rig.venue.faults.place.append("lost after")
    rig.venue.faults.mute = rig.venue.faults.deaf = True
    rig.enter()
    await asyncio.sleep(2)
    assert rig.orders.exposure() == 500
    rig.enter("other")
    await asyncio.sleep(5)
    assert len(rig.venue.orders) == 1
    rig.venue.faults.mute = rig.venue.faults.deaf = False
    await asyncio.sleep(20)
    await rig.quiet()
    assert rig.positions.of("trend", SYMBOL).amount == D("4.995")
    assert rig.positions.of("other", SYMBOL).amount == D("4.995")
    assert rig.orders.exposure() == D("999")
    assert rig.violations() == []


@rigged
async def test_entries_wait_while_they_are_held_back_and_exits_do_not(rig: Rig) -> None:
    await held(rig)
    rig.trade("other", stop_loss=0.05)
    rig.orders.caution("lag", "the loop ran 2.0 s late")
    rig.enter("other")
    rig.exit()
    await asyncio.sleep(10)
    assert rig.positions.of("trend", SYMBOL).flat
    assert rig.positions.of("other", SYMBOL).flat
    rig.orders.caution("lag", None)
    await asyncio.sleep(1)
    assert rig.positions.of("other", SYMBOL).amount == D("4.995")
    await rig.quiet()
    assert rig.violations() == []


@rigged
async def test_an_entry_that_was_held_back_too_long_is_dropped_with_the_reason(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.orders.caution("lag", "the loop ran 2.0 s late")
    rig.enter()
    await rig.minute(2)
    assert rig.orders.refused["trend"] == "the loop ran 2.0 s late"
    rig.orders.caution("lag", None)
    await rig.minute()
    assert placed(rig) == 0


@rigged
async def test_a_fill_reported_again_and_again_is_booked_once(rig: Rig) -> None:
    fills = rig.bus.subscribe(FillReceived, name="test")
    rig.venue.faults.echo = 3
    await held(rig)
    rig.orders.check()
    await rig.quiet()
    assert rig.positions.get(SYMBOL).amount == D("4.995")
    assert len(fills) == 1


@rigged
async def test_orders_and_fills_of_others_are_ignored(rig: Rig) -> None:
    await held(rig)
    rig.venue.buy(D(2))  # a person, in the app of the venue
    rig.orders.check()
    await rig.quiet()
    assert rig.positions.get(SYMBOL).amount == D("4.995")
    assert rig.venue.covered() == D("4.995")
    assert rig.halts.first is None and rig.violations() == []


def test_a_decision_has_one_id_that_the_venue_accepts() -> None:
    key = BookKey("trend", SYMBOL)
    one = client_order_id("0a1b2c", key, "1m", 60_000, "entry", 0)
    assert one == client_order_id("0a1b2c", key, "1m", 60_000, "entry", 0)
    others = {
        client_order_id("ffffff", key, "1m", 60_000, "entry", 0),
        client_order_id("0a1b2c", BookKey("other", SYMBOL), "1m", 60_000, "entry", 0),
        client_order_id("0a1b2c", BookKey("trend", "ETH/USDT"), "1m", 60_000, "entry", 0),
        client_order_id("0a1b2c", key, "1m", 120_000, "entry", 0),
        client_order_id("0a1b2c", key, "1m", 60_000, "entry", 1),
    }
    assert len(others) == 5 and one not in others
    assert one.startswith("bl0a1b2c-")
    assert len(one) <= 36 and one.replace("-", "").isalnum()


# Protection


@rigged
async def test_a_position_gets_one_stop_for_what_can_be_sold(rig: Rig) -> None:
    await held(rig)
    (stop,) = rig.venue.resting()
    assert (stop.amount, stop.stop_price) == (D("4.995"), D(95))
    for _ in range(3):
        rig.orders.check()
        await rig.quiet()
    assert rig.venue.resting() == [stop] and placed(rig) == 2
    assert rig.orders.ledger.unsettled == []
    assert rig.orders.ledger.stops(SYMBOL)[0].stop_price == 95


@rigged
async def test_a_strategy_without_stops_gets_none(rig: Rig) -> None:
    rig.trade()
    rig.enter()
    await rig.quiet()
    assert rig.venue.amount() > 0 and rig.venue.resting() == []
    assert rig.halts.first is None


@rigged
async def test_an_exit_replaces_the_stop_in_one_request(rig: Rig) -> None:
    await held(rig)
    (stop,) = rig.venue.resting()
    before = len(rig.venue.requests)
    rig.exit()
    await rig.quiet()
    kinds = [(kind, what.split(">")[0]) for kind, what in rig.venue.requests[before:]]
    assert kinds[0] == ("place", stop.client_order_id)
    assert rig.venue.resting() == [] and rig.venue.amount() == 0
    assert rig.violations() == []


@pytest.mark.parametrize("rules", [{"stop_loss": 0.05}, {"stop_loss": 0.05, "take_profit": 0.2}])
@rigged
async def test_an_exit_cancels_first_where_the_venue_cannot_replace(
    rig: Rig, rules: dict[str, float]
) -> None:
    rig.venue.markets[SYMBOL] = replace(rig.venue.markets[SYMBOL], replaces=False)
    await held(rig, **rules)
    before = len(rig.venue.requests)
    rig.exit()
    await rig.quiet()
    kinds = [kind for kind, _ in rig.venue.requests[before:] if kind != "read"]
    assert kinds == ["cancel", "place"]
    assert rig.venue.resting() == [] and rig.venue.amount() == 0
    assert rig.violations() == []


@rigged
async def test_a_stop_that_was_filled_unreported_leaves_nothing_to_exit(rig: Rig) -> None:
    await held(rig)
    rig.venue.faults.mute = True
    rig.venue.set_price(94)
    rig.exit()
    await asyncio.sleep(20)
    await rig.quiet()
    assert rig.positions.get(SYMBOL).flat and rig.venue.amount() == 0
    assert sum(one.role is OrderRole.EXIT for one in rig.orders.ledger.of_symbol(SYMBOL)) <= 1
    assert rig.violations() == []


@rigged
async def test_an_entry_after_a_stop_that_was_filled_unreported_waits_for_the_next_candle(
    rig: Rig,
) -> None:
    await held(rig)
    await rig.minute()
    rig.venue.faults.mute = True
    rig.venue.set_price(94)  # at the open that follows the candle of the signal
    rig.enter()
    rig.orders.check()
    await rig.quiet()
    assert rig.positions.get(SYMBOL).flat, "the check found the fill"
    assert len(rig.venue.bought()) == 1
    assert "held" in rig.orders.refused["trend"]
    await rig.minute()
    rig.enter()
    await rig.quiet()
    assert len(rig.venue.bought()) == 2
    await rig.minute()
    await rig.quiet()
    assert rig.violations() == []


@pytest.mark.parametrize("fault", ["lost before", "lost after", "busy", REFUSED, "hang"])
@pytest.mark.parametrize("replaces", [True, False])
@rigged
async def test_an_exit_waits_until_the_end_of_the_stop_is_known(
    rig: Rig, fault: str, replaces: bool
) -> None:
    rig.venue.markets[SYMBOL] = replace(rig.venue.markets[SYMBOL], replaces=replaces)
    await held(rig)
    rig.venue.faults.mute = True
    (rig.venue.faults.place if replaces else rig.venue.faults.cancel).append(fault)
    rig.exit()
    await asyncio.sleep(60)
    await rig.quiet(60)
    assert rig.positions.get(SYMBOL).flat and rig.venue.resting() == []
    sales = [one for one in rig.venue.trades if one.side == "sell"]
    assert sum(one.amount for one in sales) == D("4.995")
    assert rig.halts.first is None and rig.violations() == []


@rigged
async def test_while_the_end_of_a_stop_is_unknown_nothing_else_is_sold(rig: Rig) -> None:
    rig.venue.markets[SYMBOL] = replace(rig.venue.markets[SYMBOL], replaces=False)
    await held(rig)
    rig.venue.faults.cancel.append("lost after")
    rig.venue.faults.mute = rig.venue.faults.deaf = True
    rig.exit()
    before = placed(rig)
    await asyncio.sleep(30)
    assert placed(rig) == before
    rig.venue.faults.mute = rig.venue.faults.deaf = False
    await asyncio.sleep(30)
    assert rig.positions.get(SYMBOL).flat
    assert rig.violations() == []


@rigged
async def test_a_refused_stop_is_one_sale_at_the_market(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.venue.faults.place += ["", REFUSED]
    rig.enter()
    await rig.quiet()
    assert rig.positions.get(SYMBOL).flat and rig.halts.first is None
    assert roles(rig) == [OrderRole.ENTRY, OrderRole.STOP, OrderRole.EMERGENCY]
    await rig.minute()
    rig.enter()
    await rig.quiet()
    assert rig.venue.covered() == D("4.995"), "the next position is protected at once"
    assert rig.violations() == []


@rigged
async def test_a_moved_stop_that_is_refused_is_a_sale_at_once(rig: Rig) -> None:
    await held(rig, trailing_stop=0.1)
    rig.venue.set_price(105)
    rig.candle("trend", SYMBOL, 120.0)  # its stop would lie at 108
    await asyncio.sleep(0.3)
    assert rig.venue.amount() == 0
    assert roles(rig)[-2:] == [OrderRole.STOP, OrderRole.EMERGENCY]
    assert rig.halts.first is None and rig.violations() == []


@rigged
async def test_a_stop_and_a_sale_refused_halt_entries_until_a_person_rearms(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.venue.faults.place += ["", REFUSED, REFUSED]
    rig.enter()
    await asyncio.sleep(1.5)
    assert rig.halts.first is not None and "can neither be protected nor be sold" in rig.halts.first
    await asyncio.sleep(60)
    assert rig.venue.covered() == D("4.995"), "the stop was tried again"
    assert rig.halts.first is not None  # only a person resumes entries
    rig.halts.rearm("looked at")
    await asyncio.sleep(60)
    assert rig.halts.first is None and rig.violations() == []


@rigged
async def test_what_is_refused_again_and_again_is_tried_ever_more_rarely(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.venue.faults.place += ["", *[REFUSED] * 500]
    rig.enter()
    await asyncio.sleep(600)
    assert 8 <= placed(rig) <= 25
    rig.venue.faults.place.clear()
    await asyncio.sleep(61)
    assert rig.venue.covered() == D("4.995")


@rigged
async def test_a_target_that_is_refused_costs_the_position_neither_stop_nor_life(
    rig: Rig,
) -> None:
    rig.trade(stop_loss=0.05, take_profit=0.2)
    rig.venue.faults.place += ["", OrderRejected("Filter failure: PERCENT_PRICE_BY_SIDE")]
    rig.enter()
    await rig.quiet()
    (stop,) = rig.venue.resting()
    assert (stop.amount, stop.stop_price) == (D("4.995"), D(95))
    assert OrderRole.EMERGENCY not in roles(rig)
    before = placed(rig)
    await rig.minute(3)
    assert placed(rig) == before
    rig.exit()
    await rig.quiet()
    assert rig.venue.amount() == 0 and rig.violations() == []


@rigged
async def test_a_position_with_a_target_only_is_kept_when_that_is_refused(rig: Rig) -> None:
    rig.trade(take_profit=0.2)
    rig.venue.faults.place += ["", *[REFUSED] * 2]
    rig.enter()
    await asyncio.sleep(10)
    assert rig.venue.amount() == D("4.995")
    assert "the target of trend BTC/USDT is refused" in str(rig.halts.first)
    await asyncio.sleep(60)
    (target,) = rig.venue.resting()
    assert target.price == 120 or target.price == D("120.01")
    assert OrderRole.EMERGENCY not in roles(rig)


@rigged
async def test_a_cap_never_refuses_a_stop_an_exit_or_an_emergency_sale(rig: Rig) -> None:
    rig.limits = replace(rig.limits, max_orders_per_minute=1, max_open_orders=1)
    await rig.restart()
    await held(rig)
    assert rig.venue.covered() == D("4.995")
    rig.exit()
    await rig.quiet()
    assert rig.positions.get(SYMBOL).flat and rig.orders.refused == {}


@pytest.mark.parametrize("fault", ["lost before", "lost after"])
@rigged
async def test_a_stop_of_unknown_outcome_is_queried_and_never_doubled(rig: Rig, fault: str) -> None:
    rig.trade(stop_loss=0.05)
    rig.venue.faults.mute = True
    rig.venue.faults.place += ["", fault]
    rig.enter()
    await asyncio.sleep(30)
    await rig.quiet()
    assert rig.venue.covered() == D("4.995")
    assert rig.orders.ledger.stops(SYMBOL)[-1].status is OrderStatus.OPEN
    stops = [one for one in rig.orders.ledger.of_symbol(SYMBOL) if one.role is OrderRole.STOP]
    assert len(stops) == (1 if fault == "lost after" else 2)
    assert rig.violations() == []


@rigged
async def test_a_position_long_without_a_stop_halts_entries_and_is_protected_later(
    rig: Rig,
) -> None:
    rig.trade(stop_loss=0.05)
    rig.venue.faults.mute = True
    rig.venue.faults.place += ["", "lost before"]
    rig.enter()
    await asyncio.sleep(0.5)
    rig.venue.faults.deaf = True
    await asyncio.sleep(15)
    assert rig.halts.first is not None and "no stop for over 10 s" in rig.halts.first
    rig.venue.faults.deaf = False
    await asyncio.sleep(60)
    assert rig.venue.covered() == D("4.995")


@rigged
async def test_a_crash_between_cancel_and_place_is_repaired_at_the_start(rig: Rig) -> None:
    await held(rig)
    (stop,) = rig.venue.resting()
    rig.crash()
    await rig.venue.cancel_order(SYMBOL, stop.client_order_id)
    await rig.start(register=False)
    await rig.quiet()
    assert [one.stop_price for one in rig.venue.resting()] == [D(95)]
    assert rig.violations() == []


@rigged
async def test_a_stop_filled_while_nothing_ran_is_adopted(rig: Rig) -> None:
    await held(rig)
    rig.crash()
    rig.venue.set_price(90)
    await rig.start(register=False)
    await rig.quiet()
    assert rig.positions.get(SYMBOL).flat and rig.venue.resting() == []
    assert rig.violations() == []


@rigged
async def test_a_trailing_stop_rises_and_never_falls(rig: Rig) -> None:
    await held(rig, trailing_stop=0.1)
    levels = [rig.venue.resting()[0].stop_price]
    for high in (99.0, 110.0, 105.0, 120.55):
        rig.venue.set_price(D(str(high)))
        rig.candle("trend", SYMBOL, high)
        await rig.quiet()
        levels.append(rig.venue.resting()[0].stop_price)
    assert levels == [D(90), D(90), D(99), D(99), D("108.49")]
    await rig.restart()  # it has seen no high
    rig.candle("trend", SYMBOL, 111.0)
    await rig.quiet()
    assert [one.stop_price for one in rig.venue.resting()] == [D("108.49")]
    assert rig.violations() == []


@rigged
async def test_profit_is_taken_at_the_target_without_this_process(rig: Rig) -> None:
    await held(rig, stop_loss=0.05, take_profit=0.25)
    rig.venue.set_price(D("124.99"))
    await rig.quiet()
    assert rig.venue.amount() == D("4.995")
    rig.crash()
    rig.venue.set_price(130)
    await rig.start()
    await rig.quiet()
    assert rig.positions.get(SYMBOL).flat and rig.venue.resting() == []
    assert rig.venue.trades[-1].price == 125
    assert rig.violations() == []


@rigged
async def test_a_stop_goes_out_although_it_cannot_be_journaled(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    journal = rig.orders._context.journal
    bought = asyncio.Event()

    def full(moment: str) -> None:
        if bought.is_set() and moment.startswith("before"):
            raise StoreError("the disk is full")

    def see(moment: str) -> None:
        if moment == "after place":
            bought.set()

    rig.hook, rig.venue.on_request = full, see
    rig.enter()
    await asyncio.sleep(5)
    assert rig.venue.covered() == D("4.995"), "a full disk must not leave a position bare"
    assert journal.kept > 0
    assert "the journal cannot be written" in str(rig.orders.held_back())
    await rig.minute()
    rig.trade("other", stop_loss=0.05)
    rig.enter("other")
    await asyncio.sleep(5)
    assert rig.positions.of("other", SYMBOL).flat and "other" in rig.orders.refused
    rig.exit()
    await asyncio.sleep(5)
    assert rig.venue.amount() == 0, "exits go on"
    rig.hook = lambda moment: None
    rig.orders.check()
    await rig.quiet()
    assert journal.kept == 0 and rig.orders.held_back() is None
    rig.monitor.breaches[:] = [one for one in rig.monitor.breaches if "is not journaled" not in one]
    assert rig.violations() == []
    await rig.restart()
    assert rig.positions.get(SYMBOL).flat and rig.violations() == []
