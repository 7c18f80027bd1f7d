"""A position that is to be left is sold once, whole, and keeps its stop until then."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from botlib.core.model import OrderRole, OrderStatus
from tests.support.order_rig import SYMBOL, Rig, rigged
from tests.support.order_venue import D

HELD = D("4.995")


def only(rig: Rig, *kinds: str, **changes: object) -> None:
    """Have the market list some types of orders only."""
    market = replace(rig.venue.market(SYMBOL), order_types=frozenset(kinds), **changes)  # type: ignore[arg-type]
    rig.venue.markets[SYMBOL] = market


@rigged
async def test_an_exit_that_the_venue_is_too_busy_for_keeps_its_stop_until_it_is_sold(
    rig: Rig,
) -> None:
    only(rig, "MARKET", "STOP_LOSS", replaces=False)
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    rig.venue.faults.cancel.append("busy")
    rig.exit()
    await asyncio.sleep(0.2)
    assert rig.venue.covered() == HELD
    rig.venue.faults.place += ["busy", "busy"]
    await rig.minute()
    await rig.quiet()
    assert rig.venue.amount() == 0, "a refusal for now is tried again"
    assert rig.violations() == []


@rigged
async def test_an_exit_is_not_kept_back_by_the_cap_of_orders_per_minute(rig: Rig) -> None:
    rig.orders._context.risk.limits = replace(rig.limits, max_orders_per_minute=1)
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    rig.exit()
    await rig.quiet()
    assert rig.venue.amount() == 0, "entry, stop and sale within a second"
    assert rig.violations() == []


@rigged
async def test_an_exit_is_sold_although_no_price_is_known(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    rig.price_of = lambda symbol: None
    assert rig.orders.leave(SYMBOL)
    await rig.quiet()
    assert rig.venue.amount() == 0 and rig.violations() == []


@rigged
async def test_an_exit_is_not_kept_waiting_by_routine_questions(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    before = len(rig.venue.requests)
    rig.orders.check()
    rig.exit()
    await rig.quiet()
    kinds = [kind for kind, _ in rig.venue.requests[before:]]
    assert kinds[0] == "place", "the sale comes first, the questions later"
    assert rig.violations() == []


@rigged
async def test_a_fill_that_races_the_cancellation_of_a_stop_is_not_sold_again(rig: Rig) -> None:
    only(rig, "MARKET", "STOP_LOSS", replaces=False)
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()

    def race(moment: str) -> None:
        if moment == "before cancel":
            rig.venue.set_price(94)

    rig.venue.on_request = race
    rig.exit()
    await rig.quiet()
    assert [one.role for one in rig.orders.ledger.of_symbol(SYMBOL)] == [
        OrderRole.ENTRY,
        OrderRole.STOP,
    ]
    assert rig.venue.amount() == 0 and rig.violations() == []


@rigged
async def test_a_cancellation_without_an_answer_is_followed_by_nothing(rig: Rig) -> None:
    only(rig, "MARKET", "STOP_LOSS", replaces=False)
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    rig.venue.faults.cancel.append("lost before")
    rig.venue.faults.deaf = True
    sent = len(rig.venue.orders)
    rig.exit()
    await rig.minute()
    (stop,) = rig.orders.ledger.stops(SYMBOL)
    assert stop.status is OrderStatus.PENDING_CANCEL and len(rig.venue.orders) == sent
    rig.venue.faults.deaf = False
    await rig.minute()
    await rig.quiet()
    assert rig.venue.amount() == 0 and rig.violations() == []


@rigged
async def test_a_stop_that_filled_is_not_replaced_by_a_sale(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    rig.venue.faults.mute = True
    rig.venue.set_price(94)
    rig.exit()
    await rig.quiet()
    assert rig.venue.amount() == 0 and len(rig.venue.orders) == 2
    assert rig.violations() == []


@rigged
async def test_a_target_is_filled_at_its_price(rig: Rig) -> None:
    rig.trade(take_profit=0.1)
    rig.enter()
    await rig.quiet()
    rig.venue.set_price(150)
    await rig.quiet()
    assert rig.venue.trades[-1].price == D("110.01"), "and not at the next candle's open"
    assert rig.venue.amount() == 0 and rig.violations() == []


@rigged
async def test_dust_is_kept_and_not_sold_in_circles(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    (stop,) = rig.venue.resting()
    rig.venue.fill_part(stop.client_order_id, HELD - D("0.03"), 95)
    rig.venue.end(stop.client_order_id)
    await rig.quiet()
    sent = len(rig.venue.requests)
    rig.exit()
    await rig.minute(3)
    places = [kind for kind, _ in rig.venue.requests[sent:] if kind == "place"]
    assert places == [] and rig.positions.get(SYMBOL).amount == D("0.03")
    rig.enter()
    await rig.quiet()
    rig.exit()
    await rig.quiet()
    assert rig.venue.amount() < D("0.001"), "dust is sold with the next position"
