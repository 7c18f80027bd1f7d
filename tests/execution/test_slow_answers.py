"""Answers that come long after the venue has reported the order on the stream, or never."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from botlib.core.errors import OrderUnknown
from botlib.core.model import OrderIntent, OrderStatus, Side
from tests.support.order_rig import SYMBOL, Rig, in_virtual_time, rigged
from tests.support.order_venue import D, OrderVenue


def slow(rig: Rig, seconds: float, *, error: Exception | None = None) -> None:
    """Have the answer to the next order come late; the order itself is accepted at once."""
    place: Callable[[OrderIntent], Awaitable[Any]] = rig.venue.place_order

    async def place_order(intent: OrderIntent) -> Any:
        rig.venue.place_order = place  # type: ignore[method-assign, assignment]
        report = await place(intent)
        await asyncio.sleep(seconds)
        if error is not None:
            raise error
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


def test_a_late_answer_that_cannot_be_read_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        rig = Rig(tmp_path / "orders.db", OrderVenue())
        await rig.start()
        rig.trade(stop_loss=0.05)
        slow(rig, 8.0, error=ValueError("no such field"))
        rig.enter()
        await asyncio.sleep(12.0)
        await check_bought_once(rig)

    in_virtual_time(main)
    assert "a late answer cannot be read: ValueError('no such field')" in caplog.text


@pytest.mark.parametrize("lost", [False, True], ids=["late", "lost"])
def test_a_position_is_protected_by_the_report_while_the_answer_is_on_its_way(
    tmp_path: Path, lost: bool
) -> None:
    async def main() -> None:
        rig = Rig(tmp_path / "orders.db", OrderVenue())
        await rig.start()
        rig.trade(stop_loss=0.05)
        slow(rig, 8.0, error=OrderUnknown("no answer") if lost else None)
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


async def held(rig: Rig, **rules: float) -> None:
    """Have a position that is protected, and nothing reported from now on."""
    rig.trade(**rules)
    rig.enter()
    await rig.quiet()
    await rig.minute()
    rig.venue.faults.mute = True


@pytest.mark.parametrize("mute", [True, False], ids=["query", "report"])
@rigged
async def test_a_sale_follows_a_cancellation_whose_answer_hangs(rig: Rig, mute: bool) -> None:
    await held(rig, stop_loss=0.05, take_profit=0.5)
    rig.venue.faults.mute = mute
    rig.venue.faults.cancel.append("silent after")
    rig.exit()
    await asyncio.sleep(3.0 if mute else 0.5)
    assert rig.venue.amount() == 0, "the venue has cancelled, and is asked about it"
    assert [kind for kind, _ in rig.venue.requests].count("cancel") == 1
    rig.venue.faults.mute = False
    await asyncio.sleep(12.0)
    rig.orders.check()
    await rig.quiet()
    assert rig.violations() == []


@rigged
async def test_a_cancellation_that_arrives_late_is_not_sent_twice(rig: Rig) -> None:
    await held(rig, stop_loss=0.05, take_profit=0.5)
    rig.venue.faults.mute = False
    cancel = rig.venue.cancel_order

    async def cancel_order(symbol: str, name: str) -> Any:
        rig.venue.cancel_order = cancel  # type: ignore[method-assign]
        await asyncio.sleep(9.0)
        return await cancel(symbol, name)

    rig.venue.cancel_order = cancel_order  # type: ignore[method-assign]
    rig.exit()
    await asyncio.sleep(8.5)
    assert rig.venue.covered() == D("4.995"), "the stop rests, as every query says"
    pending = [one.status for one in rig.orders.ledger.open]
    assert OrderStatus.PENDING_CANCEL in pending
    await asyncio.sleep(1.0)
    assert rig.venue.amount() == 0
    assert [kind for kind, _ in rig.venue.requests].count("cancel") == 1
    await rig.quiet()
    assert rig.violations() == []


@rigged
async def test_a_moved_stop_is_known_while_the_answer_to_its_replacement_hangs(rig: Rig) -> None:
    await held(rig, trailing_stop=0.1)
    rig.venue.faults.place.append("silent after")
    rig.venue.set_price(120)
    rig.candle("trend", SYMBOL, 120.0)
    await asyncio.sleep(2.0)
    assert [one.stop_price for one in rig.venue.resting()] == [D(108)]
    (stop,) = rig.orders.ledger.stops(SYMBOL)
    assert (stop.stop_price, stop.status) == (D(108), OrderStatus.OPEN)
    rig.exit()
    await asyncio.sleep(1.0)
    assert rig.venue.amount() == 0, "an exit does not wait for the answer"
    rig.venue.faults.mute = False
    await asyncio.sleep(12.0)
    rig.orders.check()
    await rig.quiet()
    assert rig.violations() == [] and rig.halts.first is None


@rigged
async def test_a_sale_in_place_of_a_stop_is_booked_while_its_answer_hangs(rig: Rig) -> None:
    await held(rig, stop_loss=0.05)
    rig.venue.faults.place.append("silent after")
    rig.exit()
    await asyncio.sleep(2.5)
    assert rig.positions.get(SYMBOL).amount == 0
    rig.venue.faults.mute = False
    await rig.minute()
    rig.enter()
    await rig.quiet()
    assert rig.venue.covered() == D("4.995") and rig.violations() == []


@rigged
async def test_a_replacement_of_which_nothing_is_found_is_waited_for(rig: Rig) -> None:
    await held(rig, trailing_stop=0.1)
    replace_order = rig.venue.replace_order

    async def late(name: str, intent: OrderIntent) -> Any:
        rig.venue.replace_order = replace_order  # type: ignore[method-assign]
        await asyncio.sleep(9.0)
        return await replace_order(name, intent)

    rig.venue.replace_order = late  # type: ignore[method-assign]
    rig.venue.set_price(120)
    rig.candle("trend", SYMBOL, 120.0)
    await asyncio.sleep(8.5)
    assert [one.stop_price for one in rig.venue.resting()] == [D(90)]
    await asyncio.sleep(1.0)
    assert [one.stop_price for one in rig.venue.resting()] == [D(108)]
    rig.venue.faults.mute = False
    await rig.quiet()
    assert rig.violations() == [] and rig.halts.first is None


@rigged
async def test_half_a_replacement_without_an_answer_gives_the_stop_back(rig: Rig) -> None:
    await held(rig, trailing_stop=0.1)
    replace_order = rig.venue.replace_order

    async def half(name: str, intent: OrderIntent) -> Any:
        rig.venue.replace_order = replace_order  # type: ignore[method-assign]
        await rig.venue.cancel_order(SYMBOL, name)
        await asyncio.sleep(3_600)

    rig.venue.replace_order = half  # type: ignore[method-assign]
    rig.venue.set_price(120)
    rig.candle("trend", SYMBOL, 120.0)
    await rig.minute()
    await rig.quiet()
    assert [one.stop_price for one in rig.venue.resting()] == [D(108)]
    assert rig.violations() == []


@rigged
async def test_an_exit_does_not_wait_for_a_routine_question_that_hangs(rig: Rig) -> None:
    await held(rig, stop_loss=0.05)
    rig.venue.faults.mute = False
    rig.venue.faults.stall = 4.0
    rig.orders.check()
    await asyncio.sleep(0.5)
    rig.exit()
    await asyncio.sleep(0.5)
    assert rig.venue.amount() == 0
    rig.venue.faults.stall = 0.0
    rig.orders.check()
    await rig.quiet()
    assert rig.violations() == []


@rigged
async def test_an_exit_does_not_wait_for_a_question_about_another_strategy(rig: Rig) -> None:
    await held(rig, stop_loss=0.05)
    rig.trade("swing", stop_loss=0.05)
    rig.venue.faults.place.append("lost after")
    rig.venue.faults.stall = 4.0
    rig.enter("swing")
    await asyncio.sleep(0.5)
    rig.exit("trend")
    await asyncio.sleep(0.5)
    sold = [one for one in rig.venue.trades if one.side is Side.SELL]
    assert len(sold) == 1
    rig.venue.faults.stall = 0.0
    rig.venue.faults.mute = False
    await rig.minute()
    rig.orders.check()
    await rig.quiet()
    assert rig.venue.covered() == D("4.995") and rig.violations() == []
