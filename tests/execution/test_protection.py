"""A position has its stop at the venue, whatever became of the request that was to put it there."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from botlib.core.errors import OrderRejected, OrderUnknown
from botlib.core.model import OrderIntent, OrderRole, OrderStatus, OrderType
from botlib.venues.base import OrderReport, ReplaceReport
from tests.support.order_rig import SYMBOL, Rig, rigged
from tests.support.order_venue import D

HELD = D("4.995")


def only(rig: Rig, *kinds: str, **changes: object) -> None:
    """Have the market list some types of orders only."""
    market = replace(rig.venue.market(SYMBOL), order_types=frozenset(kinds), **changes)  # type: ignore[arg-type]
    rig.venue.markets[SYMBOL] = market


@rigged
async def test_a_stop_of_the_bot_waits_for_an_entry_and_protects_it(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.venue.faults.slow = 3.0
    rig.venue.faults.mute = True
    rig.enter()
    await asyncio.sleep(0.5)
    assert rig.positions.get(SYMBOL).amount == 0, "its answer is on its way"
    rig.venue.faults.slow = 0.0
    assert await rig.orders.wind_down(20.0) == []
    assert rig.venue.covered() == HELD and rig.violations() == []


@rigged
async def test_a_stop_of_the_bot_between_two_requests_of_a_moved_stop_protects(rig: Rig) -> None:
    only(rig, "MARKET", "STOP_LOSS", replaces=False)
    rig.trade(trailing_stop=0.1)
    rig.enter()
    await rig.quiet()
    rig.venue.set_price(120)
    rig.venue.faults.cancel.append("lost after")
    rig.venue.faults.deaf = rig.venue.faults.mute = True
    rig.orders.candle("trend", SYMBOL, 120.0)
    await asyncio.sleep(0.01)
    assert rig.venue.covered() == 0, "the old stop is gone, and the kit does not know yet"
    rig.venue.faults.deaf = False
    assert await rig.orders.wind_down(20.0) == []
    assert [one.stop_price for one in rig.venue.resting()] == [108]
    assert rig.violations() == []


@rigged
async def test_what_a_stop_of_the_bot_could_not_do_is_returned(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    rig.venue.faults.deaf = rig.venue.faults.mute = True
    rig.venue.faults.place.append("lost after")
    await asyncio.sleep(0.1)
    left = await rig.orders.wind_down(5.0)
    (entry,) = rig.orders.ledger.of_symbol(SYMBOL)
    assert f"{entry.id} of {SYMBOL} is unknown" in left


@rigged
async def test_a_position_that_cannot_be_sold_is_not_tried_in_circles_after_a_restart(
    rig: Rig,
) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    rig.crash()
    rig.venue.set_price(96)
    rig.venue.end(rig.venue.resting()[0].client_order_id)
    rig.venue.set_price(90)  # Below its stop: a new one would trigger at once.
    rig.venue.faults.place += ["refused", "refused"]
    await rig.start()
    await asyncio.sleep(1)
    await rig.restart()
    before = len(rig.venue.requests)
    await asyncio.sleep(10)
    assert len(rig.venue.requests) - before < 20
    assert "can neither be protected nor be sold" in (rig.halts.first or "")
    rig.venue.set_price(97)
    await rig.minute(2)
    assert rig.venue.covered() == D("4.995")


@rigged
async def test_a_stop_that_is_selling_is_left_to_run(rig: Rig) -> None:
    rig.trade(trailing_stop=0.1)
    rig.enter()
    await rig.quiet()
    (stop,) = rig.venue.resting()
    rig.venue.fill_part(stop.client_order_id, D(2), 90)
    await rig.quiet()
    rig.venue.set_price(120)
    rig.orders.candle("trend", SYMBOL, 120.0)
    rig.exit()
    await asyncio.sleep(5)
    assert [one.client_order_id for one in rig.venue.resting()] == [stop.client_order_id]
    rig.venue.set_price(89)
    await rig.quiet()
    assert rig.venue.amount() == 0 and rig.violations() == []


@rigged
async def test_a_remainder_does_not_date_a_position_nor_lift_its_trailing_stop(rig: Rig) -> None:
    rig.trade(trailing_stop=0.1)
    rig.enter(cost=60)
    await rig.quiet()
    rig.venue.set_price(200)
    rig.orders.candle("trend", SYMBOL, 200.0)
    await rig.quiet()
    # A remainder worth less than the venue's least order, and more than 1 % of the next entry.
    (stop,) = rig.venue.resting()
    rig.venue.fill_part(stop.client_order_id, stop.amount - D("0.02"), 180)
    rig.venue.end(stop.client_order_id)
    await rig.quiet()
    await rig.minute(2)
    rig.venue.set_price(100)
    rig.enter(cost=100)
    await rig.quiet()
    key = next(iter(rig.orders.desk(SYMBOL).books)).key
    assert rig.orders.position(key).opened != rig.orders.opened(key) == rig.market_clock.now()
    assert [one.stop_price for one in rig.venue.resting()] == [90]
    assert rig.halts.first is None and rig.violations() == []


@rigged
async def test_an_entry_whose_stop_would_be_too_small_for_the_venue_is_refused(rig: Rig) -> None:
    rig.trade(stop_loss=0.5)
    rig.enter(cost=9)
    await rig.quiet()
    assert rig.venue.bought() == []
    assert "worth less than the venue's least order" in rig.orders.refused["trend"]


@rigged
async def test_a_part_that_is_too_small_to_be_stopped_is_sold(rig: Rig) -> None:
    # A limit for the amount: what is worth 6 at the market is worth 3 at its stop.
    rig.trade(stop_loss=0.05)
    rig.enter(cost=20)
    await rig.quiet()
    book = next(iter(rig.orders.desk(SYMBOL).books))
    book.protection = replace(book.protection, stop=D(20))
    rig.orders.desk(SYMBOL).wake()
    await rig.quiet()
    assert rig.venue.amount() < D("0.001"), "a stop of that worth would not protect"


@rigged
async def test_a_position_without_its_stop_for_ten_seconds_halts_entries(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    rig.venue.faults.place += ["busy"] * 30
    rig.clock.ahead = -3_600_000  # The clock does not decide.
    rig.venue.end(rig.venue.resting()[0].client_order_id)
    await asyncio.sleep(8)
    assert rig.halts.first is None
    await asyncio.sleep(5)
    assert "has had no stop for over 10 s" in (rig.halts.first or "")
    await asyncio.sleep(30)
    assert rig.venue.covered() == HELD, "the halt stops entries, not the protection"


@rigged
async def test_a_refused_stop_becomes_one_sale(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.venue.faults.place += ["", "refused"]
    rig.enter()
    await rig.quiet()
    assert rig.venue.amount() == 0 and rig.halts.first is None
    assert rig.orders.ledger.of_symbol(SYMBOL)[-1].role is OrderRole.EMERGENCY
    assert rig.violations() == []


@rigged
async def test_a_position_that_can_neither_be_stopped_nor_sold_halts(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.venue.faults.place += ["", "refused", "refused"]
    rig.enter()
    await rig.quiet()
    assert "can neither be protected nor be sold" in (rig.halts.first or "")
    await rig.minute()
    await rig.quiet()
    assert rig.venue.amount() == 0 or rig.venue.covered() == HELD, "it is tried for ever"


@rigged
async def test_a_stop_that_the_venue_ended_is_placed_again(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    for status in (OrderStatus.EXPIRED, OrderStatus.CANCELED):
        (stop,) = rig.venue.resting()
        rig.venue.end(stop.client_order_id, status)
        await rig.quiet()
        (again,) = rig.venue.resting()
        assert again.client_order_id != stop.client_order_id and again.stop_price == 95
    assert rig.violations() == []


@rigged
async def test_a_stop_that_filled_in_part_before_it_expired_keeps_its_fills(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    (stop,) = rig.venue.resting()
    rig.venue.fill_part(stop.client_order_id, D(2), 95)
    rig.venue.end(stop.client_order_id)
    await rig.quiet()
    assert rig.positions.get(SYMBOL).amount == HELD - 2 == rig.venue.covered()
    assert rig.violations() == []


@rigged
async def test_a_stop_that_was_cancelled_but_not_replaced_is_placed_again(rig: Rig) -> None:
    # The answer to a cancel-replace has a part for each order; the second was not taken.
    rig.trade(trailing_stop=0.1)
    rig.enter()
    await rig.quiet()
    accept = rig.venue._accept

    def half(intent: OrderIntent) -> OrderReport:
        rig.venue._accept = accept  # type: ignore[method-assign]
        raise OrderRejected("Too many new orders.", retry_after=0.5)

    rig.venue._accept = half  # type: ignore[method-assign]
    rig.venue.set_price(120)
    rig.orders.candle("trend", SYMBOL, 120.0)
    await rig.quiet()
    assert [one.stop_price for one in rig.venue.resting()] == [108]
    assert rig.violations() == []


@rigged
async def test_a_replacement_whose_part_is_unknown_is_asked_about(rig: Rig) -> None:
    rig.trade(trailing_stop=0.1)
    rig.enter()
    await rig.quiet()
    replace_order = rig.venue.replace_order

    async def half(name: str, intent: OrderIntent) -> ReplaceReport:
        rig.venue.replace_order = replace_order
        result = await replace_order(name, intent)
        result.placed, result.place_error = None, OrderUnknown("Timeout.")
        return result

    rig.venue.replace_order = half  # type: ignore[method-assign]
    rig.venue.set_price(120)
    rig.orders.candle("trend", SYMBOL, 120.0)
    await rig.quiet()
    assert [one.stop_price for one in rig.venue.resting()] == [108]
    assert len(rig.venue.orders) == 3 and rig.violations() == []


@rigged
async def test_a_price_that_falls_through_the_limit_of_a_stop_is_sold_at_the_market(
    rig: Rig,
) -> None:
    only(rig, "MARKET", "STOP_LOSS_LIMIT")
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    (stop,) = rig.venue.resting()
    assert (stop.type, stop.stop_price, stop.price) == (
        OrderType.STOP_LOSS_LIMIT,
        D(95),
        D("93.1"),
    )
    rig.venue.prices[SYMBOL] = D(80)  # The price has jumped, and nobody buys at the limit.
    rig.orders.check()
    await rig.quiet()
    roles = [one.role for one in rig.orders.ledger.of_symbol(SYMBOL)]
    assert roles == [OrderRole.ENTRY, OrderRole.STOP, OrderRole.EMERGENCY]
    assert rig.venue.amount() == 0 and rig.violations() == []


@pytest.mark.parametrize("kinds", [("MARKET", "LIMIT"), ("MARKET", "TAKE_PROFIT")])
@rigged
async def test_a_market_without_stop_orders_refuses_the_entry(
    rig: Rig, kinds: tuple[str, ...]
) -> None:
    only(rig, *kinds)
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    assert rig.venue.bought() == []
    assert "lists no stop order" in rig.orders.refused["trend"]


@rigged
async def test_a_stop_is_never_lowered(rig: Rig, tmp_path: Path) -> None:
    rig.trade(trailing_stop=0.1)
    rig.enter()
    await rig.quiet()
    for high in (120.0, 110.0, 119.0):
        rig.venue.set_price(int(high))
        rig.orders.candle("trend", SYMBOL, high)
        await rig.quiet()
    await rig.restart()
    rig.orders.candle("trend", SYMBOL, 111.0)
    await rig.quiet()
    assert [one.stop_price for one in rig.venue.resting()] == [108]


@rigged
async def test_a_stop_whose_list_is_being_cancelled_is_not_counted_on(rig: Rig) -> None:
    rig.trade(trailing_stop=0.1, take_profit=0.3)
    rig.enter()
    await rig.quiet()
    # The venue cancels both legs, and nothing is heard of it.
    rig.venue.faults.cancel.append("lost after")
    rig.venue.faults.deaf = rig.venue.faults.mute = True
    rig.venue.set_price(120)
    rig.orders.candle("trend", "BTC/USDT", 120.0)
    await asyncio.sleep(15)
    assert rig.venue.resting() == []
    assert "has had no stop for over 10 s" in str(rig.halts.first)


@rigged
async def test_what_is_too_little_to_be_sold_is_dust_and_has_no_stop_that_is_missing(
    rig: Rig,
) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    (row,) = rig.orders.book_rows()
    assert (row["held"], row["dust"], row["protection"]) == (HELD, 0, "resting")
    # As after a fall of the price: the venue takes no order of so little any more.
    rig.venue.markets[SYMBOL] = replace(rig.venue.market(SYMBOL), min_cost=D(600))
    rig.venue.end(rig.venue.resting()[0].client_order_id)
    await rig.quiet()
    (row,) = rig.orders.book_rows()
    assert (row["held"], row["dust"], row["protection"], row["stop"]) == (0, HELD, "none", None)
