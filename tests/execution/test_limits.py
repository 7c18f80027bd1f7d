"""Limits and cautions: what holds entries back, for how long, and what never waits for them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from botlib.core.errors import OrderRejected, StoreError
from botlib.core.model import OrderStatus
from botlib.store import OrderJournal
from tests.support.order_rig import SYMBOL, Rig, rigged
from tests.support.order_venue import D

HELD = D("4.995")
CLOSED = OrderRejected("Market is closed.", rules=True)


def full_disk(rig: Rig, *writes: str) -> None:
    """Have some writes to the journal fail."""

    def hook(moment: str) -> None:
        if moment in {f"before {name}" for name in writes}:
            raise StoreError("database or disk is full")

    rig.hook = hook


@rigged
async def test_a_lost_stream_of_reports_holds_entries_back_and_lets_exits_pass(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    await rig.minute()
    rig.orders.caution("reports", "the venue's reports about orders are lost")
    rig.exit()
    await rig.quiet()
    assert rig.venue.amount() == 0
    await rig.minute()
    rig.enter()
    await asyncio.sleep(20)
    assert len(rig.venue.bought()) == 1
    rig.orders.caution("reports", None)
    await rig.quiet()
    assert len(rig.venue.bought()) == 2, "the want is kept for as long as its candle is young"
    assert rig.violations() == []


@rigged
async def test_an_entry_that_was_held_back_for_a_candle_is_not_made_later(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.orders.caution("reports", "they are lost")
    rig.enter()
    await rig.minute(2)
    rig.orders.caution("reports", None)
    await rig.quiet()
    assert rig.venue.bought() == [] and "they are lost" in rig.orders.refused["trend"]


@rigged
async def test_nothing_is_entered_while_the_journal_cannot_be_written(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    full_disk(rig, "record_intents", "save_book")
    rig.enter()
    await rig.quiet()
    assert rig.venue.bought() == []
    assert "journaled" in rig.orders.refused["trend"]


@rigged
async def test_a_fill_that_cannot_be_journaled_is_protected_and_written_later(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    full = False

    def hook(moment: str) -> None:
        nonlocal full
        if full and moment.startswith("before"):
            raise StoreError("database or disk is full")
        full = full or moment == "after record_intents"

    rig.hook = hook
    rig.enter()
    await rig.quiet()
    assert rig.positions.get(SYMBOL).amount == HELD == rig.venue.covered()
    assert "the journal cannot be written" in (rig.orders.held_back() or "")
    rig.exit()
    await rig.quiet()
    assert rig.venue.amount() == 0, "an exit does not wait for the disk"
    rig.hook = lambda moment: None
    rig.orders.check()
    await rig.quiet()
    assert rig.orders.held_back() is None
    journaled = {one.id for one in OrderJournal(rig.database).tracked()}
    assert journaled == set(rig.venue.orders), "what could not be written was written later"
    # With a full disk, a stop and an exit are sent although they cannot be written down first.
    assert [words for words in rig.violations() if "not journaled" not in words] == []


@rigged
async def test_a_refusal_for_now_is_waited_for_as_long_as_the_venue_says(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.venue.faults.place.append(OrderRejected("Too many requests.", retry_after=7.0))
    rig.enter()
    await asyncio.sleep(6.9)
    assert rig.venue.bought() == []
    await asyncio.sleep(0.5)
    assert len(rig.venue.bought()) == 1
    await rig.quiet()
    assert rig.violations() == []


@rigged
async def test_one_symbol_that_waits_does_not_hold_up_another(rig: Rig) -> None:
    rig.trade("trend", stop_loss=0.05)
    rig.trade("swing", "ETH/USDT", stop_loss=0.05)
    rig.venue.faults.slow = 8.0
    rig.enter("trend")
    await asyncio.sleep(1)
    rig.venue.faults.slow = 0.0
    rig.enter("swing", "ETH/USDT")
    await asyncio.sleep(1)
    assert rig.venue.covered("ETH/USDT") == HELD
    await rig.minute()
    await rig.quiet()
    assert rig.venue.covered(SYMBOL) == HELD and rig.violations() == []


@rigged
async def test_an_outcome_unknown_for_long_holds_all_entries_back_and_is_shown(rig: Rig) -> None:
    rig.trade("trend", stop_loss=0.05)
    rig.trade("swing", "ETH/USDT", stop_loss=0.05)
    rig.venue.faults.place.append("lost after")
    rig.venue.faults.mute = rig.venue.faults.deaf = True
    rig.enter("trend")
    await rig.minute(2)
    assert any("has been unknown for" in words for words in rig.orders.troubles())
    rig.enter("swing", "ETH/USDT")
    await asyncio.sleep(5)
    assert rig.venue.bought("ETH/USDT") == []
    rig.venue.faults.mute = rig.venue.faults.deaf = False
    await rig.minute()
    await rig.quiet()
    assert rig.orders.troubles() == [] and rig.violations() == []


@rigged
async def test_what_is_unknown_counts_as_filled_for_the_caps(rig: Rig) -> None:
    rig.orders._context.risk.limits = replace(rig.limits, max_exposure=D(800))
    rig.trade("trend", stop_loss=0.05)
    rig.trade("swing", "ETH/USDT", stop_loss=0.05)
    rig.venue.faults.place.append("lost before")
    rig.enter("trend")
    await asyncio.sleep(1)
    rig.enter("swing", "ETH/USDT")
    await rig.quiet()
    assert "max_exposure" in rig.orders.refused["swing"]
    assert rig.venue.bought("ETH/USDT") == []


@rigged
async def test_rules_that_have_changed_are_read_and_the_order_is_made_anew_once(rig: Rig) -> None:
    rig.trade(stop_loss=0.0503)
    rig.venue.rules[SYMBOL] = replace(rig.venue.market(SYMBOL), step=D("0.1"), tick=D("0.1"))
    rig.enter(cost=555)
    await rig.quiet()
    (bought,) = rig.venue.bought()
    (stop,) = rig.venue.resting()
    assert (bought.amount, stop.amount, stop.stop_price) == (D("5.5"), D("5.4"), D("94.9"))
    refused = [one for one in rig.orders.ledger.of_symbol(SYMBOL) if one.message]
    assert [one.status for one in refused] == [OrderStatus.REJECTED]
    assert rig.venue.requests.count(("read", "market")) == 1 and rig.violations() == []


@rigged
async def test_an_order_that_a_filter_refuses_again_is_not_sent_in_circles(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    refusal = OrderRejected("Filter failure: LOT_SIZE", rules=True)
    rig.venue.rules[SYMBOL] = replace(rig.venue.market(SYMBOL), tick=D("0.5"))
    rig.venue.faults.place += [refusal] * 5
    rig.enter()
    await rig.minute(2)
    assert [kind for kind, _ in rig.venue.requests].count("place") == 2
    assert "LOT_SIZE" in rig.orders.refused["trend"] and rig.venue.bought() == []


@pytest.mark.parametrize("noticed", ["by a refusal", "by reading"])
@rigged
async def test_a_symbol_that_is_halted_takes_no_entries_and_is_shown(
    rig: Rig, noticed: str
) -> None:
    rig.trade(stop_loss=0.05)
    market = rig.venue.market(SYMBOL)
    rig.venue.rules[SYMBOL] = replace(market, active=False)
    if noticed == "by reading":
        await asyncio.sleep(301)
        await rig.orders.read_markets()
        await rig.orders.read_markets()
    rig.enter()
    await rig.minute()
    assert rig.venue.bought() == []
    assert f"the venue does not trade {SYMBOL} now" in rig.orders.troubles()
    assert "does not trade" in rig.orders.refused["trend"]
    rig.venue.rules[SYMBOL] = market
    await rig.orders.read_markets()
    assert rig.orders.troubles() == []
    rig.enter()
    await rig.quiet()
    assert len(rig.venue.bought()) == 1 and rig.violations() == []


@rigged
async def test_a_position_of_a_halted_symbol_is_sold_when_it_trades_again(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    market = rig.venue.market(SYMBOL)
    rig.venue.rules[SYMBOL] = replace(market, active=False)
    sent = len(rig.venue.requests)
    rig.exit()
    await rig.minute(3)
    places = [kind for kind, _ in rig.venue.requests[sent:] if kind == "place"]
    assert len(places) == 1, "a closed market is asked once, and then read"
    assert rig.venue.amount() == HELD
    rig.venue.rules[SYMBOL] = market
    await rig.orders.read_markets()
    await rig.quiet()
    assert rig.venue.amount() == 0 and rig.violations() == []


@rigged
async def test_an_exit_that_is_refused_again_and_again_asks_for_a_person(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    rig.venue.faults.place += ["refused"] * 3
    rig.exit()
    await rig.minute()
    await rig.quiet()
    assert "cannot be sold: the venue refuses it" in (rig.halts.first or "")
    assert rig.venue.amount() == 0, "it was tried until it was sold"
