"""Answers that come long after the venue has reported the order on the stream, or never."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from botlib.core.errors import OrderUnknown
from botlib.core.model import OrderIntent, OrderStatus
from tests.support.order_rig import Rig, in_virtual_time
from tests.support.order_venue import D, OrderVenue


def slow(rig: Rig, seconds: float, *, lost: bool = False) -> None:
    """Have the answer to the next order come late; the order itself is accepted at once."""
    place: Callable[[OrderIntent], Awaitable[Any]] = rig.venue.place_order

    async def place_order(intent: OrderIntent) -> Any:
        rig.venue.place_order = place  # type: ignore[method-assign, assignment]
        report = await place(intent)
        await asyncio.sleep(seconds)
        if lost:
            raise OrderUnknown("no answer")
        return report

    rig.venue.place_order = place_order  # type: ignore[method-assign]


async def check_bought_once(rig: Rig) -> None:
    """Check that one entry was filled, once, and that no invariant is broken; stop the bot."""
    await rig.quiet()
    (entry, _) = rig.orders.ledger.of_symbol("BTC/USDT")
    assert entry.status is OrderStatus.FILLED and not entry.conflict
    assert len(rig.venue.trades) == 1
    assert rig.violations() == []
    await rig.stop()


@pytest.mark.parametrize("lost", [False, True], ids=["late", "lost"])
def test_a_position_is_protected_by_the_report_while_the_answer_is_on_its_way(
    tmp_path: Path, lost: bool
) -> None:
    async def main() -> None:
        rig = Rig(tmp_path / "orders.db", OrderVenue())
        await rig.start()
        rig.trade(stop_loss=0.05)
        slow(rig, 8.0, lost=lost)
        rig.enter()
        await asyncio.sleep(1.0)
        assert [one.stop_price for one in rig.venue.resting()] == [D(95)]
        await asyncio.sleep(10.0)
        await check_bought_once(rig)

    in_virtual_time(main)


@pytest.mark.parametrize("lag", [0.0, 3.0], ids=["seen", "seen-late"])
def test_a_position_is_protected_by_a_query_if_neither_answer_nor_report_comes(
    tmp_path: Path, lag: float
) -> None:
    async def main() -> None:
        rig = Rig(tmp_path / "orders.db", OrderVenue())
        await rig.start()
        rig.trade(stop_loss=0.05)
        rig.venue.faults.mute = True
        rig.venue.faults.lag = lag
        slow(rig, 9.0)
        rig.enter()
        await asyncio.sleep(lag + 2.0)
        assert [one.stop_price for one in rig.venue.resting()] == [D(95)]
        await asyncio.sleep(12.0)
        await check_bought_once(rig)

    in_virtual_time(main)


def test_a_query_beside_a_request_that_finds_nothing_proves_no_absence(tmp_path: Path) -> None:
    async def main() -> None:
        rig = Rig(tmp_path / "orders.db", OrderVenue())
        await rig.start()
        rig.trade(stop_loss=0.05)
        place = rig.venue.place_order

        async def place_order(intent: OrderIntent) -> Any:
            rig.venue.place_order = place  # type: ignore[method-assign]
            await asyncio.sleep(9.5)
            return await place(intent)

        rig.venue.place_order = place_order  # type: ignore[method-assign]
        rig.enter()
        await asyncio.sleep(9.0)
        (entry,) = rig.orders.ledger.of_symbol("BTC/USDT")
        assert entry.status is OrderStatus.SENT
        await asyncio.sleep(3.0)
        await rig.quiet()
        assert rig.venue.covered() == D("4.995") and rig.violations() == []
        await rig.stop()

    in_virtual_time(main)


def test_an_exit_is_sold_while_the_answer_to_its_entry_is_on_its_way(tmp_path: Path) -> None:
    async def main() -> None:
        rig = Rig(tmp_path / "orders.db", OrderVenue())
        await rig.start()
        rig.trade(stop_loss=0.05)
        slow(rig, 8.0)
        rig.enter()
        await asyncio.sleep(0.5)
        rig.exit()
        await asyncio.sleep(1.0)
        assert rig.venue.amount() == 0 and rig.venue.resting() == []
        await asyncio.sleep(10.0)
        await rig.quiet()
        assert rig.violations() == []
        await rig.stop()

    in_virtual_time(main)
