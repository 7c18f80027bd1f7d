"""The order path in virtual time: wants are brought about, whatever happens on the way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from botlib.core.model import OrderStatus
from tests.support.order_rig import Rig, in_virtual_time
from tests.support.order_venue import D, OrderVenue


def test_an_entry_is_bought_and_protected_and_an_exit_sells_it(tmp_path: Path) -> None:
    async def main() -> None:
        rig = Rig(tmp_path / "orders.db", OrderVenue())
        await rig.start()
        rig.trade(stop_loss=0.05)
        rig.enter()
        await rig.quiet()
        assert rig.venue.amount() == D("4.995")
        (stop,) = rig.venue.resting()
        assert (stop.amount, stop.stop_price) == (D("4.995"), D(95))
        assert rig.violations() == []
        rig.exit()
        await rig.quiet()
        assert rig.venue.amount() == 0 and rig.venue.resting() == []
        assert rig.violations() == []
        await rig.stop()

    in_virtual_time(main)


def test_a_target_and_a_stop_rest_as_one_list(tmp_path: Path) -> None:
    async def main() -> None:
        rig = Rig(tmp_path / "orders.db", OrderVenue())
        await rig.start()
        rig.trade(stop_loss=0.05, take_profit=0.1)
        rig.enter()
        await rig.quiet()
        assert sorted(str(one.price or one.stop_price) for one in rig.venue.resting()) == [
            "110.01",
            "95.0",
        ]
        rig.venue.set_price(111)
        await rig.quiet()
        assert rig.venue.amount() == 0 and rig.venue.resting() == []
        assert rig.venue.trades[-1].price == D("110.01")
        assert rig.violations() == []
        await rig.stop()

    in_virtual_time(main)


def test_a_trailing_stop_is_moved_in_one_request(tmp_path: Path) -> None:
    async def main() -> None:
        rig = Rig(tmp_path / "orders.db", OrderVenue())
        await rig.start()
        rig.trade(trailing_stop=0.1)
        rig.enter()
        await rig.quiet()
        rig.venue.set_price(120)
        rig.orders.candle("trend", "BTC/USDT", 120.0)
        await rig.quiet()
        (stop,) = rig.venue.resting()
        assert stop.stop_price == 108
        assert rig.violations() == []
        await rig.stop()

    in_virtual_time(main)


@pytest.mark.parametrize("fault", ["lost before", "lost after"])
def test_an_entry_whose_answer_is_lost_is_settled_and_never_sent_again(
    tmp_path: Path, fault: str
) -> None:
    async def main() -> None:
        rig = Rig(tmp_path / "orders.db", OrderVenue())
        await rig.start()
        rig.trade(stop_loss=0.05)
        rig.venue.faults.place.append(fault)
        rig.venue.faults.mute = True
        rig.enter()
        await rig.quiet()
        await rig.minute(3)
        await rig.quiet()
        bought = fault == "lost after"
        assert rig.venue.amount() == (D("4.995") if bought else 0)
        (entry, *_) = rig.orders.ledger.of_symbol("BTC/USDT")
        assert entry.status is (OrderStatus.FILLED if bought else OrderStatus.ABSENT)
        assert rig.violations() == []
        await rig.stop()

    in_virtual_time(main)


def test_a_position_is_protected_after_a_crash_before_any_strategy_is_registered(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        rig = Rig(tmp_path / "orders.db", OrderVenue())
        await rig.start()
        rig.trade(stop_loss=0.05)
        rig.venue.faults.place += ["", "crash before"]
        rig.enter()
        await asyncio.sleep(1)
        assert rig.crashed.is_set()
        assert rig.venue.resting() == [] and rig.venue.amount() > 0
        await rig.start(register=False)
        await rig.quiet()
        await rig.minute(2)
        await rig.quiet()
        assert [one.stop_price for one in rig.venue.resting()] == [D(95)]
        assert rig.violations() == []
        await rig.stop()

    in_virtual_time(main)
