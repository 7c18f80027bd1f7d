"""The ledger of orders: what stays in memory, and how many orders of a role were sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from botlib.core.model import OrderRole
from botlib.execution.ledger import KEPT, SLACK
from botlib.store import OrderJournal
from tests.support.order_rig import Rig, in_virtual_time
from tests.support.order_venue import D, OrderVenue

MOVES = KEPT + SLACK + 20


def test_a_stop_is_moved_more_often_than_orders_are_kept_in_memory(tmp_path: Path) -> None:
    async def main() -> None:
        rig = Rig(tmp_path / "orders.db", OrderVenue())
        await rig.start()
        rig.trade(trailing_stop=0.1)
        for _ in range(MOVES // 2):
            rig.enter(cost=10)
            await rig.quiet()
            rig.exit()
            await rig.minute()
        rig.enter(cost=500)
        await rig.quiet()
        for step in range(1, 6):
            rig.venue.set_price(100 + step)
            rig.orders.candle("trend", "BTC/USDT", float(100 + step))
            await rig.quiet()
        (stop,) = rig.venue.resting()
        assert stop.stop_price == D("94.5")
        assert rig.orders.cautions == () and rig.violations() == []
        assert len(rig.orders.ledger._orders) < KEPT + 2 * SLACK + 20
        await rig.stop()

    in_virtual_time(main)


def test_an_order_whose_id_is_taken_gets_another_one_and_keeps_nothing_from_the_journal(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        rig = Rig(tmp_path / "orders.db", OrderVenue())
        await rig.start()
        rig.trade(stop_loss=0.05)
        rig.enter()
        await rig.quiet()
        counted = rig.orders.ledger._sent
        for roles in counted.values():
            roles.pop(OrderRole.STOP, None)
        (stop,) = rig.venue.resting()
        await rig.venue.cancel_order("BTC/USDT", stop.client_order_id)
        rig.orders.check()
        await rig.quiet()
        (again,) = rig.venue.resting()
        assert again.client_order_id != stop.client_order_id
        assert rig.orders.cautions == () and rig.violations() == []
        await rig.stop()

    in_virtual_time(main)


def test_fills_that_left_memory_are_not_booked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botlib.trading.positions.REMEMBERED_TRADES", 4)

    async def main() -> None:
        rig = Rig(tmp_path / "orders.db", OrderVenue())
        await rig.start()
        rig.trade(trailing_stop=0.1)
        for _ in range(5):
            rig.enter()
            await rig.quiet()
            rig.exit()
            await rig.minute()
        rig.enter()
        await rig.quiet()
        OrderJournal(rig.database).set_state("sweep:BTC/USDT", 0)
        rig.orders.check()
        await rig.quiet()
        assert rig.orders.fills == 11 and rig.violations() == []
        assert rig.positions.get("BTC/USDT").amount == rig.venue.amount()
        await rig.stop()

    in_virtual_time(main)
