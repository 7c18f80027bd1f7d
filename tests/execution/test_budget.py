"""The venue's limits: entries and reads wait while a part is left, which is kept for exits."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from botlib.core.errors import OrderRejected
from botlib.core.model import EntryRefused, OrderRole
from botlib.venues.budget import EXITS_FIRST, Counted, Purpose, Shortage
from tests.support.order_rig import SYMBOL, Rig, rigged
from tests.support.order_venue import D, market

MANY = 8


def many(rig: Rig, count: int = MANY, **rules: float) -> list[str]:
    """Register a strategy on many symbols; return the symbols."""
    symbols = [f"C{number}/USDT" for number in range(count)]
    rig.limits = replace(
        rig.limits, max_exposure=D(50_000), max_open_orders=100, max_orders_per_minute=1_000
    )
    rig.orders._context.risk.limits = rig.limits
    for symbol in symbols:
        rig.venue.markets[symbol] = market(symbol)
        rig.venue.prices[symbol] = D(100)
        rig.trade("trend", symbol, **(rules or {"stop_loss": 0.05}))
    return symbols


def refusals(rig: Rig) -> list[str]:
    """Return a list that fills with what the limits of the venue refuse."""
    found: list[str] = []
    rig.venue.on_limit = found.append
    return found


def held(rig: Rig, symbols: list[str]) -> list[str]:
    """Return the symbols of which more than dust is held."""
    return [one for one in symbols if rig.venue.amount(one.split("/")[0]) > D("0.01")]


def bare(rig: Rig, symbols: list[str]) -> list[str]:
    """Return the symbols that are held without a stop."""
    return [one for one in held(rig, symbols) if not rig.venue.covered(one)]


@rigged
async def test_entries_of_many_symbols_leave_room_for_the_stop_of_each(rig: Rig) -> None:
    symbols, refused = many(rig), refusals(rig)
    rig.venue.limits.set(orders_10s=12)
    for symbol in symbols:
        rig.enter("trend", symbol, cost=50)
    await asyncio.sleep(0.5)
    assert len(held(rig, symbols)) == 5 and bare(rig, symbols) == []
    assert any("(orders_10s) are used" in words for words in rig.orders.cautions)
    await asyncio.sleep(21)
    assert len(held(rig, symbols)) == MANY and bare(rig, symbols) == []
    await rig.quiet()
    assert rig.orders.cautions == ()
    assert refused == [] and rig.violations() == []


@rigged
async def test_exits_use_what_entries_have_left(rig: Rig) -> None:
    symbols, refused = many(rig), refusals(rig)
    for symbol in symbols[:2]:
        rig.enter("trend", symbol, cost=50)
    await rig.quiet()
    await asyncio.sleep(20)
    rig.venue.limits.set(orders_10s=12)
    for symbol in symbols[2:]:
        rig.enter("trend", symbol, cost=50)
    await asyncio.sleep(0.5)
    assert len(held(rig, symbols)) == 7
    for symbol in symbols[:2]:
        rig.exit("trend", symbol)
    await asyncio.sleep(0.5)
    assert held(rig, symbols[:2]) == [], "two exits: the last of twelve orders"
    assert refused == [] and rig.violations() == []


@rigged
async def test_a_target_and_a_stop_are_kept_room_for(rig: Rig) -> None:
    symbols, refused = many(rig, stop_loss=0.05, take_profit=0.1), refusals(rig)
    rig.venue.limits.set(orders_10s=12)
    for symbol in symbols:
        rig.enter("trend", symbol, cost=50)
    await asyncio.sleep(0.5)
    assert len(held(rig, symbols)) == 3 and bare(rig, symbols) == []
    assert refused == []


@rigged
async def test_a_refused_entry_gives_its_room_back(rig: Rig) -> None:
    symbols = many(rig)
    rig.venue.limits.set(orders_10s=12)
    rig.venue.faults.place[:] = [OrderRejected("no")] * 3
    for symbol in symbols[:3]:
        rig.enter("trend", symbol, cost=50)
    await asyncio.sleep(0.5)
    for symbol in symbols[3:]:
        rig.enter("trend", symbol, cost=50)
    await asyncio.sleep(0.5)
    assert len(held(rig, symbols)) == 5


@rigged
async def test_an_entry_that_found_no_room_is_refused_with_rule_value_and_limit(rig: Rig) -> None:
    told: list[Shortage] = []
    rig.venue.budget.on_short = told.append
    refused = rig.bus.subscribe(EntryRefused, name="test")
    many(rig, 1)
    await asyncio.sleep(1)
    rig.venue.limits.set(orders_1d=6)
    rig.venue.limits.spend(0, 3)
    rig.trade(stop_loss=0.05)
    rig.enter("trend", "C0/USDT", cost=50)
    await rig.quiet()
    rig.enter(cost=50)
    await rig.minute(3)
    assert len(rig.venue.bought("C0/USDT")) == 1 and rig.venue.bought(SYMBOL) == []
    event = refused.get_nowait()
    assert isinstance(event, EntryRefused) and event.symbol == SYMBOL
    assert (event.rule, event.value, event.limit) == ("orders_1d", "5", "6")
    assert "orders_1d" in event.reason and "the candle is old" in event.reason
    assert [(one.rule, one.purpose) for one in told] == [("orders_1d", Purpose.ENTRY)]


@rigged
async def test_routine_questions_stop_before_exits_do(rig: Rig) -> None:
    symbols, refused = many(rig), refusals(rig)
    for symbol in symbols:
        rig.enter("trend", symbol, cost=50)
    await rig.quiet()
    await rig.minute()
    rig.venue.limits.set(request_weight_1m=90)
    await rig.minute()
    await asyncio.sleep(5)
    rig.orders.check()
    await asyncio.sleep(1)
    asked = rig.venue.limits.used("request_weight_1m", 60_000)
    assert 50 < asked <= 75
    assert any("could not be asked" in words for words in rig.orders.troubles())
    for symbol in symbols:
        rig.exit("trend", symbol)
    await asyncio.sleep(0.5)
    assert held(rig, symbols) == [], "a question that has to wait holds up no exit"
    assert refused == []
    rig.venue.limits.set(request_weight_1m=6_000)
    await rig.minute(2)
    await rig.quiet()
    assert rig.orders.troubles() == [] and rig.violations() == []


@rigged
async def test_a_question_about_an_unknown_entry_uses_a_part_of_what_is_kept(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    await asyncio.sleep(61)
    rig.venue.limits.set(request_weight_1m=600)
    rig.venue.limits.spend(510)
    rig.venue.faults.mute = True
    rig.venue.faults.place.append("lost after")
    rig.enter(cost=50)
    await asyncio.sleep(3)
    budget = rig.venue.budget
    assert budget.shortage(Purpose.CHECK, weight=4) is not None
    assert rig.venue.covered() > 0, "what the lost entry bought is protected"


@rigged
async def test_after_a_request_to_wait_exits_go_before_entries(rig: Rig) -> None:
    symbols = many(rig, 4)
    for symbol in symbols[:2]:
        rig.enter("trend", symbol, cost=50)
    await rig.quiet()
    await rig.minute()
    rig.venue.faults.place.append(OrderRejected("Too many requests.", retry_after=3.0))
    rig.enter("trend", symbols[2], cost=50)
    await asyncio.sleep(0.1)
    sent: list[tuple[OrderRole, float]] = []
    on_order = rig.venue.on_order
    loop = asyncio.get_running_loop()
    until = loop.time() + 2.9

    def note(intent: object) -> None:
        sent.append((intent.role, loop.time()))  # type: ignore[attr-defined]
        on_order(intent)  # type: ignore[arg-type]

    rig.venue.on_order = note
    rig.enter("trend", symbols[3], cost=50)
    for symbol in symbols[:2]:
        rig.exit("trend", symbol)
    await asyncio.sleep(5)
    roles = [role for role, _ in sent]
    assert roles[:2] == [OrderRole.EXIT] * 2 and roles.count(OrderRole.ENTRY) == 2
    assert sent[0][1] >= until, "nothing is sent before the venue may be asked again"
    entered = min(at for role, at in sent if role is OrderRole.ENTRY)
    assert entered - sent[0][1] >= EXITS_FIRST - 0.01
    assert rig.violations() == []


@rigged
async def test_what_others_use_counts(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter(cost=50)
    await rig.quiet()
    await rig.minute()
    rig.venue.limits.set(orders_10s=30)
    rig.venue.limits.spend(0, 26)  # Another bot of the account.
    rig.exit()
    await rig.quiet()
    assert rig.venue.budget.used(Counted.ORDERS, 10_000) == 27
    rig.enter(cost=50)
    await asyncio.sleep(0.5)
    assert len(rig.venue.bought()) == 1
    await asyncio.sleep(11)
    assert len(rig.venue.bought()) == 2 and rig.violations() == []
