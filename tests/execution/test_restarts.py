"""A restart finds everything: orders, wants, protection, halts, and what happened meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from botlib.core.errors import (
    ExchangeUnavailable,
    NotAStore,
    StoreError,
    StoreLocked,
    UnknownSymbol,
)
from botlib.core.market import Market
from botlib.core.model import OrderStatus, Side
from botlib.store import Database, OrderJournal
from botlib.trading.books import BookKey
from botlib.venues.base import OrderReport
from tests.support.order_rig import SYMBOL, Rig, in_virtual_time, rigged
from tests.support.order_venue import D, OrderVenue

HELD = D("4.995")
CRASHES = ("crash before", "crash after")


@rigged
async def test_a_position_whose_strategy_is_gone_stays_protected_and_is_shown(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    await rig.restart(register=False)
    rig.venue.end(rig.venue.resting()[0].client_order_id)
    await rig.quiet()
    assert rig.venue.covered() == HELD
    (row,) = rig.orders.book_rows()
    assert (row["orphaned"], row["stop"]) == (True, 95)
    assert rig.violations() == []


@rigged
async def test_a_symbol_that_left_the_configuration_is_looked_after(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    rig.crash()
    rig.venue.end(rig.venue.resting()[0].client_order_id)
    rig.symbols = ("ETH/USDT",)
    await rig.start(register=False)
    await rig.quiet()
    assert rig.venue.covered() == HELD and rig.violations() == []


@pytest.mark.parametrize("crash", CRASHES)
@rigged
async def test_a_stop_that_was_cancelled_before_a_crash_is_placed_at_the_start(
    rig: Rig, crash: str
) -> None:
    rig.venue.markets[SYMBOL] = replace(rig.venue.market(SYMBOL), replaces=False)
    rig.trade(trailing_stop=0.1)
    rig.enter()
    await rig.quiet()
    rig.venue.set_price(120)
    rig.venue.faults.cancel.append("crash after" if crash == "crash after" else "")
    if crash == "crash before":
        rig.venue.faults.place.append("crash before")
    rig.orders.candle("trend", SYMBOL, 120.0)
    await asyncio.sleep(1)
    assert rig.crashed.is_set() and rig.venue.covered() == 0
    await rig.start(register=False)
    await rig.quiet()
    await rig.minute()
    assert [one.stop_price for one in rig.venue.resting()] == [108]
    assert rig.violations() == []


@pytest.mark.parametrize("crash", CRASHES)
@rigged
async def test_an_exit_that_met_a_crash_is_done_after_the_restart(rig: Rig, crash: str) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    rig.venue.faults.place.append(crash)
    rig.exit()
    await asyncio.sleep(1)
    assert rig.crashed.is_set()
    await rig.start(register=False)
    await rig.minute()
    await rig.quiet()
    assert rig.venue.amount() == 0 and rig.violations() == []


@rigged
async def test_a_stop_that_sold_while_the_bot_was_away_is_booked_at_the_start(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    rig.crash()
    rig.venue.set_price(94)
    await rig.start()
    await rig.quiet()
    assert rig.positions.get(SYMBOL).amount == 0 and rig.halts.first is None
    assert rig.orders.ledger.of_symbol(SYMBOL)[-1].status is OrderStatus.FILLED
    assert rig.violations() == []


@rigged
async def test_a_halt_outlasts_a_restart_until_a_person_rearms(rig: Rig) -> None:
    rig.halts.add("a test", source="risk")
    rig.halts.settle()
    await rig.restart()
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    assert rig.halts.first == "a test" and rig.venue.bought() == []
    rig.halts.rearm("it was a test")
    await rig.restart()
    rig.enter()
    await rig.quiet()
    assert len(rig.venue.bought()) == 1


@rigged
async def test_the_fill_of_an_entry_that_nobody_reported_is_found_by_its_trade(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.venue.faults.mute = True
    rig.enter()
    await rig.quiet()
    (stop,) = rig.venue.resting()
    rig.venue.set_price(94)  # Its report is lost.
    assert rig.positions.get(SYMBOL).amount == HELD
    await asyncio.sleep(60)
    assert rig.positions.get(SYMBOL).amount == 0
    assert rig.orders.ledger.get(stop.client_order_id).status is OrderStatus.FILLED  # type: ignore[union-attr]
    assert rig.violations() == []


@rigged
async def test_a_venue_that_lost_the_position_halts_at_the_start(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    rig.crash()
    # A testnet that was reset: what is not there is not sold, and nothing is entered.
    rig.venue.orders.clear()
    rig.venue.held["BTC"] = D(0)
    await rig.start()
    await rig.quiet()
    assert "BTC are missing" in (rig.halts.first or "")
    assert rig.positions.get(SYMBOL).amount == HELD, "absence is not flat"
    assert not rig.orders.reconciliation.explained  # type: ignore[union-attr]


@rigged
async def test_orders_and_coins_of_a_person_are_not_touched(rig: Rig) -> None:
    rig.venue.held["BTC"] = D(2)
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    (stop,) = rig.venue.resting()
    theirs = replace(stop, client_order_id="web_1", venue_order_id="w1", amount=D(1))
    rig.venue.orders["web_1"] = theirs
    rig.orders.on_execution(theirs)
    await rig.restart()
    found = repr(rig.orders.reconciliation)
    assert "EXTERNAL, not touched" in found and "2.000000 EXTERNAL" in found
    rig.exit()
    await rig.quiet()
    assert rig.venue.orders["web_1"].status is OrderStatus.OPEN
    assert rig.venue.amount() == 2 and rig.halts.first is None


@rigged
async def test_one_order_that_cannot_be_asked_about_does_not_keep_the_others(rig: Rig) -> None:
    rig.trade("trend", stop_loss=0.05)
    rig.trade("swing", "ETH/USDT", stop_loss=0.05)
    rig.symbols = (SYMBOL, "ETH/USDT")
    rig.venue.faults.place += ["lost after", "lost after"]
    rig.venue.faults.mute = rig.venue.faults.deaf = True
    rig.enter("trend")
    rig.enter("swing", "ETH/USDT")
    await asyncio.sleep(1)
    rig.crash()
    rig.venue.faults.deaf = False
    fetch = rig.venue.fetch_order

    async def failing(symbol: str, name: str, **values: Any) -> OrderReport | None:
        if symbol == SYMBOL:
            raise ExchangeUnavailable("no answer")
        return await fetch(symbol, name, **values)

    rig.venue.fetch_order = failing  # type: ignore[method-assign]
    await rig.start()
    await rig.minute()
    assert rig.venue.covered("ETH/USDT") == HELD and rig.venue.covered(SYMBOL) == 0
    rig.venue.fetch_order = fetch  # type: ignore[method-assign]
    await rig.minute()
    await rig.quiet()
    assert rig.venue.covered(SYMBOL) == HELD


@rigged
async def test_a_delisted_symbol_does_not_stop_the_start(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    rig.crash()
    markets = rig.venue.markets

    def listed(symbol: str) -> Market:
        if symbol == SYMBOL:
            raise UnknownSymbol("not listed")
        return markets[symbol]

    rig.venue.market = listed  # type: ignore[method-assign]
    rig.symbols = (SYMBOL, "ETH/USDT")
    rig.strategies = {}
    await rig.start()
    await rig.quiet()
    assert f"{SYMBOL} is not listed by the venue any more; 4.995" in rig.halts.reasons(SYMBOL)[0]
    assert rig.halts.reasons("ETH/USDT") == (), "other symbols are traded"
    rig.trade("swing", "ETH/USDT", stop_loss=0.05)
    rig.enter("swing", "ETH/USDT")
    await rig.quiet()
    assert rig.venue.covered("ETH/USDT") == HELD


@rigged
async def test_a_wish_of_a_person_is_done_after_a_restart(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    rig.venue.faults.place += ["busy"] * 5
    rig.orders.leave(SYMBOL)
    await asyncio.sleep(2)
    assert rig.venue.amount() > 0
    await rig.restart(register=False)
    await rig.minute()
    await rig.quiet()
    assert rig.venue.amount() == 0 and rig.violations() == []


@rigged
async def test_a_second_process_on_the_database_is_refused(rig: Rig) -> None:
    with pytest.raises(StoreLocked, match="only one may"):
        Database.open(rig.path, rig.venue.venue)


def test_a_journal_that_is_damaged_is_refused_and_says_how_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "orders.db"

    async def main() -> None:
        rig = Rig(path, OrderVenue())
        await rig.start()
        rig.trade(stop_loss=0.05)
        rig.enter()
        await rig.quiet()
        await rig.stop()

    in_virtual_time(main)
    whole = path.read_bytes()
    path.write_bytes(whole[:8_192] + b"\xff" * (len(whole) - 8_192))
    with pytest.raises(NotAStore, match=r"[Mm]ove it away.*venue") as refused:
        Database.open(path, "paper:memory")
    assert str(path) in str(refused.value)


def test_a_journal_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "orders.db"
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE orders (id)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(NotAStore, match="made by something else"):
        Database.open(path, "paper:memory")
    assert path.read_bytes() == before


@rigged
async def test_events_that_cannot_be_read_refuse_the_start(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    with rig.database.writing() as connection:
        connection.execute("UPDATE order_events SET event = 'no json' WHERE id = 1")
    with pytest.raises(StoreError, match=r"cannot be read.*[Mm]ove it away"):
        await rig.orders.start(rig.symbols)
    assert OrderJournal(rig.database).fills(SYMBOL), "what was written is still there"


@rigged
async def test_orders_that_differ_from_their_events_are_built_again(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    with rig.database.writing() as connection:
        connection.execute("UPDATE orders SET filled = '1', status = 'canceled', facts = '{}'")
    await rig.restart()
    assert "built again from its events" in repr(rig.orders.reconciliation)
    assert rig.positions.of(*BookKey("trend", SYMBOL)).amount == HELD
    assert rig.venue.bought()[0].side is Side.BUY and rig.violations() == []
