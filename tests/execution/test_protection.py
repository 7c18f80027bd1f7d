"""Protective stops: a position is never without one for long, and nothing is sold twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from botlib.core.errors import OrderRejected, OrderUnknown, StoreError
from botlib.core.model import OrderIntent, OrderStatus, OrderType, Side
from botlib.execution.protection import GRACE, RETRY
from botlib.store import Database
from botlib.trading.stops import StopRules
from botlib.venues.binance.capabilities import BINANCE
from tests.support.order_desk import EXIT, VENUE, D, Desk, FakeVenue, signal


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(tmp_path / "orders.db", VENUE) as database:
        yield database


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database, FakeVenue())


async def test_a_position_gets_a_stop_for_what_can_be_sold(desk: Desk) -> None:
    await desk.enter()
    stop = desk.venue.stop()
    assert (stop.amount, stop.stop_price, stop.side) == (D("4.995"), D(95), Side.SELL)
    for _ in range(3):
        await desk.protector.attend("BTC/USDT")
    assert desk.venue.stop() == stop and desk.venue.placed == 2
    assert desk.executor.unsettled == []
    assert desk.journal.orders()[-1].stop_price == 95


async def test_an_exit_cancels_the_stop_before_it_sells(desk: Desk) -> None:
    await desk.enter()
    sale = await desk.executor.execute(EXIT, D(500))
    assert sale is not None and sale.status is OrderStatus.FILLED
    assert desk.venue.history[-2:] == [
        ("cancel", Side.SELL, OrderType.STOP_LOSS),
        ("place", Side.SELL, OrderType.MARKET),
    ]
    await desk.protector.attend("BTC/USDT")
    assert desk.venue.resting() == [] and desk.positions.get("BTC/USDT").flat


async def test_a_stop_that_was_filled_unreported_leaves_nothing_to_exit(desk: Desk) -> None:
    await desk.enter()
    desk.venue.trigger()
    assert await desk.executor.execute(EXIT, D(500)) is None
    assert desk.positions.get("BTC/USDT").flat
    assert desk.venue.placed == 2


async def test_an_entry_after_a_stop_that_was_filled_unreported_buys_again(desk: Desk) -> None:
    await desk.enter()
    desk.venue.trigger()  # at 500 s
    assert await desk.executor.execute(signal(timestamp=440_000), D(500)) is None
    assert "held when the candle closed" in desk.executor.refused["trend"]
    order = await desk.executor.execute(signal(timestamp=480_000), D(500))
    assert order is not None and order.status is OrderStatus.FILLED


@pytest.mark.parametrize("error", [OrderUnknown("no answer"), OrderRejected("not sent")])
async def test_an_exit_waits_until_the_end_of_the_stop_is_known(
    desk: Desk, error: Exception
) -> None:
    await desk.enter()
    desk.venue.fail_cancel = error
    assert await desk.executor.execute(EXIT, D(500)) is None
    assert desk.venue.stop().stop_price == 95  # protected meanwhile
    desk.venue.deaf = True
    assert await desk.executor.execute(EXIT, D(500)) is None
    desk.venue.fail_cancel, desk.venue.deaf = None, False
    await desk.executor.sync(["BTC/USDT"])
    assert desk.positions.get("BTC/USDT").flat and desk.venue.resting() == []
    assert desk.venue.placed == 3


async def test_a_cancellation_whose_answer_was_lost_is_queried(desk: Desk) -> None:
    await desk.enter()
    desk.venue.fail_cancel, desk.venue.cancel_before_failing = OrderUnknown("lost"), True
    sale = await desk.executor.execute(EXIT, D(500))
    assert sale is not None and sale.status is OrderStatus.FILLED


async def test_a_refused_stop_is_one_sale_at_the_market(desk: Desk) -> None:
    desk.venue.refuse_stops = 1
    await desk.enter()
    assert desk.positions.get("BTC/USDT").flat and desk.risk.halted is None
    assert [what[2] for what in desk.venue.history] == [
        OrderType.MARKET,
        OrderType.STOP_LOSS,
        OrderType.MARKET,
    ]
    await desk.executor.execute(signal(timestamp=1_200_000), D(500))
    await desk.protector.attend("BTC/USDT")
    assert desk.venue.stop().stop_price == 95  # the next position is protected at once


async def test_a_stop_and_a_sale_refused_halt_entries_until_it_rests_again(desk: Desk) -> None:
    await desk.executor.execute(signal(), D(500))
    desk.venue.fail = OrderRejected("no such luck")
    await desk.protector.attend("BTC/USDT")
    assert desk.risk.halted is not None and "could not be sold" in desk.risk.halted
    placed = desk.venue.placed
    await desk.protector.attend("BTC/USDT")
    assert desk.venue.placed == placed  # not tried again at once
    desk.venue.fail = None
    desk.wait(RETRY)
    await desk.protector.attend("BTC/USDT")
    assert desk.venue.stop().amount == D("4.995")
    assert desk.risk.halted is not None  # only a person resumes entries


async def test_a_limit_never_refuses_a_stop(desk: Desk) -> None:
    desk.risk.limits = replace(desk.risk.limits, max_orders_per_minute=1)
    await desk.enter()
    assert desk.venue.stop().amount == D("4.995")
    assert desk.risk.rejected == 0


async def test_a_stop_of_unknown_outcome_is_queried_and_kept(desk: Desk) -> None:
    await desk.executor.execute(signal(), D(500))
    desk.venue.fail, desk.venue.accept_before_failing = OrderUnknown("no answer"), True
    await desk.protector.attend("BTC/USDT")
    desk.venue.fail = None
    await desk.protector.attend("BTC/USDT")
    assert desk.venue.placed == 2 and desk.risk.halted is None
    assert desk.executor.stops("BTC/USDT")[0].status is OrderStatus.OPEN


async def test_a_position_long_without_a_stop_halts_entries(desk: Desk) -> None:
    await desk.executor.execute(signal(), D(500))
    desk.venue.fail = OrderUnknown("no answer")  # the order never arrived
    await desk.protector.attend("BTC/USDT")
    desk.wait(GRACE + 1)
    await desk.protector.attend("BTC/USDT")
    assert desk.risk.halted is not None and "no stop" in desk.risk.halted
    desk.venue.fail = None
    desk.wait(BINANCE.absence_fence)
    await desk.protector.attend("BTC/USDT")
    assert desk.venue.stop().amount == D("4.995")


async def test_a_crash_between_cancel_and_place_is_repaired_at_the_start(
    desk: Desk, database: Database
) -> None:
    await desk.enter()
    await desk.executor.cancel(desk.executor.stops("BTC/USDT")[0])  # after which the process died
    after = Desk(database, desk.venue)
    await after.executor.recover(["BTC/USDT"])
    await after.protector.attend_all(["BTC/USDT"])
    assert after.venue.stop().stop_price == 95


async def test_a_stop_filled_while_nothing_ran_is_adopted(desk: Desk, database: Database) -> None:
    await desk.enter()
    desk.venue.trigger()
    after = Desk(database, desk.venue)
    await after.executor.recover(["BTC/USDT"])
    await after.protector.attend_all(["BTC/USDT"])
    assert after.positions.get("BTC/USDT").flat and after.venue.resting() == []


async def test_a_trailing_stop_rises_and_never_falls(desk: Desk, database: Database) -> None:
    desk.protector.rules["trend"] = StopRules(trailing_stop=0.1)
    await desk.enter()
    levels = [desk.venue.stop().stop_price]
    for high in (99.0, 110.0, 105.0, None, 120.55):
        await desk.protector.attend("BTC/USDT", high)
        levels.append(desk.venue.stop().stop_price)
    assert levels == [D(90), D(90), D(99), D(99), D(99), D("108.49")]
    after = Desk(database, desk.venue)  # it has seen no high
    after.protector.rules["trend"] = StopRules(trailing_stop=0.1)
    await after.executor.recover(["BTC/USDT"])
    await after.protector.attend("BTC/USDT", 101.0)
    assert desk.venue.stop().stop_price == D("108.49")


async def test_profit_is_taken_when_a_closed_candle_reached_it(desk: Desk) -> None:
    desk.protector.rules["trend"] = StopRules(stop_loss=0.05, take_profit=0.25)
    await desk.enter(high=124.99)
    assert not desk.positions.get("BTC/USDT").flat
    await desk.protector.attend("BTC/USDT", 125.0)
    assert desk.positions.get("BTC/USDT").flat and desk.venue.resting() == []


async def test_a_sale_for_profit_that_was_refused_leaves_the_stop_in_place(desk: Desk) -> None:
    desk.protector.rules["trend"] = StopRules(stop_loss=0.05, take_profit=0.25)
    await desk.enter()
    desk.venue.fail = OrderRejected("no such luck")
    await desk.protector.attend("BTC/USDT", 130.0)
    desk.venue.fail = None
    for _ in range(2):
        await desk.protector.attend("BTC/USDT", 130.0)
    assert desk.venue.stop().stop_price == 95
    assert desk.risk.halted is not None


async def test_a_stop_that_cannot_be_journaled_is_not_sent_and_halts_entries(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.executor.execute(signal(), D(500))

    def full(intent: OrderIntent, now: int, market_time: int | None) -> bool:
        raise StoreError("disk full")

    monkeypatch.setattr(desk.journal, "record_intent", full)
    for _ in range(2):
        with pytest.raises(StoreError):
            await desk.protector.attend("BTC/USDT")
        desk.wait(GRACE + 1)
    assert desk.venue.placed == 1
    assert desk.risk.halted is not None


async def test_a_strategy_without_stops_gets_none(desk: Desk) -> None:
    desk.protector.rules["trend"] = StopRules()
    await desk.enter()
    assert desk.venue.resting() == []
