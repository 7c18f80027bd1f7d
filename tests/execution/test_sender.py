"""The sender: judged, journaled, requested once with a deadline, and every end is an answer."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from botlib.core.errors import OrderRejected, OrderUnknown
from botlib.core.model import OrderIntent, OrderRole, OrderStatus
from botlib.execution.sender import SEND_DEADLINE
from botlib.venues.base import ReplaceReport
from tests.support.order_rig import SYMBOL, Rig, rigged
from tests.support.order_venue import D


@rigged
async def test_an_order_is_journaled_before_it_is_sent(rig: Rig) -> None:
    seen: list[tuple[str, list[str]]] = []

    def journaled(moment: str) -> None:
        if moment in ("before place", "before cancel"):
            journal = rig.orders._context.journal.journal
            orders = journal.tracked()
            events = [journal.order_history(one.id)[-1]["kind"] for one in orders]
            seen.append((orders[-1].role.value, events))

    rig.venue.on_request = journaled
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    rig.exit()
    await rig.quiet()
    assert seen == [
        ("entry", ["intent"]),
        ("stop", ["reported", "intent"]),
        ("exit", ["reported", "cancel_sent", "intent"]),
    ]


@rigged
async def test_a_request_without_an_end_has_a_deadline(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.venue.faults.slow = 600.0
    rig.venue.faults.mute = rig.venue.faults.deaf = True
    rig.enter()
    await asyncio.sleep(SEND_DEADLINE - 0.5)
    (entry,) = rig.orders.ledger.of_symbol(SYMBOL)
    assert entry.status is OrderStatus.SENT
    await asyncio.sleep(1.0)
    rig.venue.faults.slow = 0.0
    rig.venue.faults.deaf = False
    await asyncio.sleep(30)
    entry, *_ = rig.orders.ledger.of_symbol(SYMBOL)
    assert entry.status is OrderStatus.FILLED
    assert len(rig.venue.bought()) == 1 and rig.venue.covered() == D("4.995")
    assert rig.violations() == []


@rigged
async def test_a_symbol_that_waits_for_an_answer_does_not_hold_up_another(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.trade("swing", "ETH/USDT", stop_loss=0.05)
    rig.venue.faults.slow = 5.0
    rig.enter()
    await asyncio.sleep(0.5)
    rig.venue.faults.slow = 0.0
    rig.enter("swing", "ETH/USDT")
    await asyncio.sleep(0.5)
    assert rig.venue.amount("ETH") > 0 and rig.venue.covered("ETH/USDT") > 0
    await asyncio.sleep(10)
    assert rig.violations() == []


@pytest.mark.parametrize(
    ("cancelled", "placed"),
    [
        (OrderRejected("Unknown order sent."), None),
        (OrderUnknown("no answer"), None),
        (None, OrderUnknown("no answer")),
        (None, OrderRejected("Order would trigger immediately.")),
    ],
)
@rigged
async def test_each_part_of_a_replacement_is_an_answer(
    rig: Rig, cancelled: Exception | None, placed: Exception | None
) -> None:
    rig.trade(trailing_stop=0.1)
    rig.enter()
    await rig.quiet()
    replace_order, asked = rig.venue.replace_order, 0

    async def once(name: str, intent: OrderIntent) -> ReplaceReport:
        nonlocal asked
        asked += 1
        if asked > 1:
            return await replace_order(name, intent)
        if cancelled is not None:
            return ReplaceReport(cancel_error=cancelled)  # type: ignore[arg-type]
        report = await rig.venue.cancel_order(SYMBOL, name)
        return ReplaceReport(cancelled=report, place_error=placed)  # type: ignore[arg-type]

    rig.venue.replace_order = once  # type: ignore[method-assign]
    rig.venue.set_price(120)
    rig.candle("trend", SYMBOL, 120.0)
    await asyncio.sleep(60)
    await rig.quiet()
    if isinstance(placed, OrderRejected):
        assert rig.venue.amount() == 0, "it would have sold at once, so it is sold"
    else:
        assert [one.stop_price for one in rig.venue.resting()] == [Decimal(108)]
    assert rig.halts.first is None and rig.violations() == []


@rigged
async def test_an_entry_is_not_sent_if_a_halt_came_while_it_was_journaled(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)

    def halt(moment: str) -> None:
        if moment == "after record_intents":
            rig.halts.add("the person was quicker", source="method")

    rig.hook = halt
    rig.enter()
    await asyncio.sleep(2)
    rig.hook = lambda moment: None
    assert rig.venue.orders == {}
    (entry,) = rig.orders.ledger.of_symbol(SYMBOL)
    assert (entry.role, entry.status) == (OrderRole.ENTRY, OrderStatus.REJECTED)
    assert "the person was quicker" in rig.orders.refused["trend"]
