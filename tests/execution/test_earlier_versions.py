"""Databases of earlier versions: an open position is adopted with its stop, and goes on."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from botlib.core.model import OrderIntent, OrderRole, OrderStatus, OrderType, Side
from botlib.store import Database
from tests.support.earlier_databases import VERSIONS, add_fill, add_order, as_version
from tests.support.order_rig import START, SYMBOL, Rig, in_virtual_time
from tests.support.order_venue import D, OrderVenue

ENTRY, STOP = "trend-1-entry", "stop-1"


def earlier(tmp_path: Path, version: int, venue: OrderVenue) -> Path:
    """Create a database of an earlier version; return its path."""
    path = tmp_path / "orders.db"
    Database.open(path, venue.venue).close()
    as_version(path, version)
    return path


async def bought(path: Path, venue: OrderVenue, **changes: Any) -> None:
    """Have an earlier version buy 5 BTC for 100 each, less a fee, at the venue and in the file."""
    await venue.place_order(intent(ENTRY, Side.BUY))
    fill = venue.trades[-1]
    add_order(path, ENTRY, venue_order_id=fill.venue_order_id, reason="entry", **changes)
    add_fill(path, fill.trade_id, ENTRY, venue_order_id=fill.venue_order_id)


async def stopped(path: Path, venue: OrderVenue, price: str, status: str = "open") -> None:
    """Have an earlier version leave a stop at the venue and in the file."""
    report = await venue.place_order(intent(STOP, Side.SELL, D(price)))
    add_order(
        path,
        STOP,
        venue_order_id=report.venue_order_id if status == "open" else None,
        side="sell",
        type="stop_loss",
        amount="4.995",
        status=status,
        filled="0",
        cost="0",
        reason="stop",
        stop_price=price,
        created=8,
    )


def intent(name: str, side: Side, stop: Decimal | None = None) -> OrderIntent:
    return OrderIntent(
        client_order_id=name,
        strategy="trend",
        symbol=SYMBOL,
        side=side,
        type=OrderType.MARKET if stop is None else OrderType.STOP_LOSS,
        amount=D(5) if side is Side.BUY else D("4.995"),
        stop_price=stop,
    )


@pytest.mark.parametrize("version", [number for number in VERSIONS if number > 1])
@pytest.mark.parametrize("status", ["open", "unknown"])
def test_an_open_position_is_adopted_with_its_stop(
    tmp_path: Path, version: int, status: str
) -> None:
    async def main() -> None:
        venue = OrderVenue(lambda: START)
        path = earlier(tmp_path, version, venue)
        await bought(path, venue)
        await stopped(path, venue, "96.5", status)
        rig = Rig(path, venue)
        await rig.start(register=False)
        await rig.quiet()
        assert rig.positions.of("trend", SYMBOL).amount == D("4.995")
        (stop,) = venue.resting()
        assert (stop.client_order_id, stop.stop_price) == (STOP, D("96.5"))
        (book,) = rig.orders.desk(SYMBOL).books
        assert book.orphaned and book.protection.stop == D("96.5")
        assert rig.halts.first is None
        # Its strategy is registered again: its rules lie lower, and a stop never falls.
        rig.trade(stop_loss=0.05)
        await rig.quiet()
        assert [one.stop_price for one in venue.resting()] == [D("96.5")]
        await rig.restart()
        assert [one.client_order_id for one in venue.resting()] == [STOP]
        rig.exit()
        await rig.quiet()
        assert venue.amount() == 0 and venue.resting() == []
        assert rig.positions.of("trend", SYMBOL).flat
        assert rig.orders._context.journal.journal.differences() == []
        await rig.stop()

    in_virtual_time(main)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_position_without_a_stop_gets_one_when_its_strategy_is_back(
    tmp_path: Path, version: int
) -> None:
    async def main() -> None:
        venue = OrderVenue(lambda: START)
        path = earlier(tmp_path, version, venue)
        await bought(path, venue)
        rig = Rig(path, venue)
        await rig.start(register=False)
        await rig.quiet()
        assert venue.resting() == []
        rig.trade(trailing_stop=0.1)
        await rig.quiet()
        assert [one.stop_price for one in venue.resting()] == [D(90)]
        venue.set_price(110)
        rig.candle("trend", SYMBOL, 110.0)
        await rig.quiet()
        assert [one.stop_price for one in venue.resting()] == [D(99)]
        await rig.stop()

    in_virtual_time(main)


def test_a_stop_that_was_filled_before_the_upgrade_is_booked(tmp_path: Path) -> None:
    async def main() -> None:
        venue = OrderVenue(lambda: START)
        path = earlier(tmp_path, 3, venue)
        await bought(path, venue)
        await stopped(path, venue, "95")
        venue.set_price(94)
        rig = Rig(path, venue)
        await rig.start(register=False)
        await rig.quiet()
        assert rig.positions.get(SYMBOL).flat and venue.amount() == 0
        assert rig.halts.first is None
        await rig.stop()

    in_virtual_time(main)


@pytest.mark.parametrize("arrived", [True, False])
def test_an_entry_that_was_under_way_is_settled_and_not_sent_again(
    tmp_path: Path, arrived: bool
) -> None:
    async def main() -> None:
        venue = OrderVenue(lambda: START)
        path = earlier(tmp_path, 3, venue)
        if arrived:
            await venue.place_order(intent(ENTRY, Side.BUY))
        add_order(path, ENTRY, status="unknown", filled="0", cost="0", reason="entry")
        rig = Rig(path, venue)
        await rig.start(register=False)
        rig.trade(stop_loss=0.05)
        await rig.minute()
        await rig.quiet()
        (entry,) = [
            one for one in rig.orders.ledger.of_symbol(SYMBOL) if one.role is OrderRole.ENTRY
        ]
        assert entry.status is (OrderStatus.FILLED if arrived else OrderStatus.ABSENT)
        assert venue.amount() == (D("4.995") if arrived else 0)
        assert venue.covered() == venue.amount()
        assert rig.halts.first is None
        await rig.stop()

    in_virtual_time(main)


def test_what_a_person_sold_then_is_missing_in_no_book_now(tmp_path: Path) -> None:
    """A sale by hand, or the exit of another strategy, sold the position of the symbol."""

    async def main() -> None:
        venue = OrderVenue(lambda: START)
        path = earlier(tmp_path, 3, venue)
        await bought(path, venue)
        for name, strategy, amount in (("m", "by-hand", "2"), ("x", "swing", "1")):
            sale = replace(intent(name, Side.SELL), strategy=strategy, amount=D(amount))
            await venue.place_order(sale)
            fill = venue.trades[-1]
            done = {"side": "sell", "amount": amount, "filled": amount, "created": 9}
            add_order(
                path,
                name,
                venue_order_id=fill.venue_order_id,
                strategy=strategy,
                reason="exit",
                **done,
            )
            add_fill(
                path,
                fill.trade_id,
                name,
                venue_order_id=fill.venue_order_id,
                side="sell",
                amount=amount,
                fee="0",
                fee_asset="USDT",
                timestamp=9,
            )
        rig = Rig(path, venue)
        for _ in range(2):
            await rig.start(register=False)
            rig.trade(stop_loss=0.05)
            await rig.quiet()
            held = {name: one.amount for name, one in rig.positions.books(SYMBOL).items()}
            assert held.pop("trend") == D("1.995") == venue.amount()
            assert not any(held.values())
            assert venue.covered() == D("1.995")
            assert rig.halts.first is None
            rig.crash()

    in_virtual_time(main)
