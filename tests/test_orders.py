"""The order path, against a venue that can lose answers (a fake: every outcome on demand)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from botlib.bus import EventBus
from botlib.clock import MarketClock
from botlib.errors import ExchangeUnavailable, OrderRejected, OrderUnknown, StoreError
from botlib.exchange.base import Market, OrderReport
from botlib.model import (
    Event,
    Fill,
    FillReceived,
    OrderIntent,
    OrderStatus,
    OrderType,
    OrderUpdated,
    PositionChanged,
    Side,
    Signal,
    SignalAction,
)
from botlib.orders import (
    ABSENCE_FENCE,
    OrderExecutor,
    Protector,
    StopRules,
    intent_id,
    round_down,
)
from botlib.orders.protection import GRACE, RETRY
from botlib.positions import PositionManager
from botlib.risk import RiskLimits, RiskValidator
from botlib.store import Database, OrderJournal

D = Decimal
VENUE = "paper:synthetic:seed=1"


class FakeVenue:
    """Fills market orders at 100, and fails as told."""

    def __init__(self) -> None:
        self.orders: dict[str, OrderReport] = {}
        self.trades: list[Fill] = []
        self.placed = 0
        self.fail: Exception | None = None
        self.accept_before_failing = False
        self.silent_fills = False
        self.refuse_stops = 0
        self.fail_cancel: Exception | None = None
        self.cancel_before_failing = False
        self.deaf = False
        self.history: list[tuple[str, Side, OrderType]] = []

    def stop(self) -> OrderReport:
        """Return the only stop that rests."""
        (found,) = self.resting()
        return found

    def resting(self) -> list[OrderReport]:
        return [one for one in self.orders.values() if one.status is OrderStatus.OPEN]

    def trigger(self) -> None:
        """Fill the stop that rests, and tell nobody."""
        stop = self.stop()
        number = len(self.trades) + 1
        assert stop.stop_price is not None
        cost = stop.amount * stop.stop_price
        self.trades.append(
            Fill(
                symbol=stop.symbol,
                trade_id=number,
                venue_order_id=stop.venue_order_id,
                client_order_id=None,
                side=Side.SELL,
                price=stop.stop_price,
                amount=stop.amount,
                fee=cost / 1000,
                fee_asset="USDT",
                timestamp=500_000,
                maker=False,
            )
        )
        self.orders[stop.client_order_id] = replace(
            stop, status=OrderStatus.FILLED, filled=stop.amount, cost=cost
        )

    async def cancel_order(self, symbol: str, client_order_id: str) -> OrderReport:
        report = self.orders[client_order_id]
        if self.fail_cancel is not None and not self.cancel_before_failing:
            raise self.fail_cancel
        if report.status is not OrderStatus.OPEN:
            raise OrderRejected("unknown order")
        report = replace(report, status=OrderStatus.CANCELED)
        self.orders[client_order_id] = report
        self.history.append(("cancel", report.side, report.type))
        if self.fail_cancel is not None:
            raise self.fail_cancel
        return report

    def _rest(self, intent: OrderIntent) -> OrderReport:
        assert not self.resting(), "two stops would sell more than is held"
        if self.refuse_stops:
            self.refuse_stops -= 1
            raise OrderRejected("would trigger immediately")
        report = OrderReport(
            symbol=intent.symbol,
            client_order_id=intent.client_order_id,
            venue_order_id=f"s{self.placed}",
            side=intent.side,
            type=intent.type,
            amount=intent.amount,
            price=None,
            stop_price=intent.stop_price,
            status=OrderStatus.OPEN,
            filled=D(0),
            cost=D(0),
            created=1,
            updated=1,
        )
        self.orders[intent.client_order_id] = report
        if self.fail is not None:
            raise self.fail
        return report

    def market(self, symbol: str) -> Market:
        return Market(
            symbol=symbol,
            id="BTCUSDT",
            base="BTC",
            quote="USDT",
            tick=D("0.01"),
            step=D("0.001"),
            min_amount=D("0.001"),
            min_cost=D("5"),
        )

    async def place_order(self, intent: OrderIntent) -> OrderReport:
        self.placed += 1
        if self.fail is not None and not self.accept_before_failing:
            raise self.fail
        self.history.append(("place", intent.side, intent.type))
        if intent.stop_price is not None:
            return self._rest(intent)
        assert not (intent.side is Side.SELL and self.resting()), "what a stop holds is not free"
        number = len(self.trades) + 1
        fill = Fill(
            symbol=intent.symbol,
            trade_id=number,
            venue_order_id=f"v{number}",
            client_order_id=None,
            side=intent.side,
            price=D(100),
            amount=intent.amount,
            fee=intent.amount * D("0.001") * (1 if intent.side is Side.BUY else 100),
            fee_asset="BTC" if intent.side is Side.BUY else "USDT",
            timestamp=number,
            maker=False,
        )
        self.trades.append(fill)
        report = OrderReport(
            symbol=intent.symbol,
            client_order_id=intent.client_order_id,
            venue_order_id=f"v{number}",
            side=intent.side,
            type=OrderType.MARKET,
            amount=intent.amount,
            price=None,
            status=OrderStatus.FILLED,
            filled=intent.amount,
            cost=intent.amount * 100,
            fills=() if self.silent_fills else (fill,),
            created=1,
            updated=1,
        )
        self.orders[intent.client_order_id] = report
        if self.fail is not None:
            raise self.fail
        return report

    async def fetch_order(self, symbol: str, client_order_id: str) -> OrderReport | None:
        if self.deaf:
            raise ExchangeUnavailable("no network")
        report = self.orders.get(client_order_id)
        return replace(report, fills=()) if report else None

    async def fetch_fills(self, symbol: str, from_id: int = 0) -> list[Fill]:
        return [fill for fill in self.trades if fill.trade_id >= from_id]


class Desk:
    """An executor with everything around it."""

    def __init__(self, database: Database, venue: FakeVenue) -> None:
        self.venue = venue
        self.journal = OrderJournal(database)
        self.positions = PositionManager()
        self.risk = RiskValidator(
            RiskLimits(
                max_order_cost=D(1000),
                max_exposure=D(2000),
                max_open_orders=5,
                max_orders_per_minute=100,
                max_daily_loss=D(100),
            )
        )
        self.bus = EventBus()
        self.events = self.bus.subscribe(OrderUpdated, FillReceived, PositionChanged, name="test")
        self.clock = MarketClock(1_000_000)
        self.executor = OrderExecutor(
            exchange=venue,  # type: ignore[arg-type]
            journal=self.journal,
            positions=self.positions,
            risk=self.risk,
            bus=self.bus,
            system_clock=self.clock,
            market_clock=self.clock,
            price_of=lambda symbol: 100.0,
        )
        self.protector = Protector(
            orders=self.executor,
            exchange=venue,  # type: ignore[arg-type]
            positions=self.positions,
            risk=self.risk,
            bus=self.bus,
            system_clock=self.clock,
            market_clock=self.clock,
        )
        self.protector.rules["trend"] = StopRules(stop_loss=0.05)

    async def enter(self, high: float | None = None) -> None:
        """Enter a position and have it protected."""
        await self.executor.execute(signal(), D(500))
        await self.protector.attend("BTC/USDT", high)

    def wait(self, milliseconds: int) -> None:
        self.clock.advance(self.clock.now() + milliseconds)

    def published(self, kind: type[Event]) -> list[Event]:
        found: list[Event] = []
        while (event := self.events.get_nowait()) is not None:
            if isinstance(event, kind):
                found.append(event)
        return found


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(tmp_path / "orders.db", VENUE) as database:
        yield database


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database, FakeVenue())


def signal(action: SignalAction = SignalAction.ENTRY, timestamp: int = 60_000) -> Signal:
    return Signal(
        strategy="trend",
        symbol="BTC/USDT",
        timeframe="1m",
        timestamp=timestamp,
        action=action,
        price=100.0,
    )


EXIT = signal(SignalAction.EXIT, timestamp=120_000)


async def test_an_entry_buys_and_an_exit_sells_what_is_net_sellable(desk: Desk) -> None:
    order = await desk.executor.execute(signal(), D(500))
    assert order is not None and order.status is OrderStatus.FILLED
    assert desk.positions.get("BTC/USDT").amount == D("4.995")
    sale = await desk.executor.execute(EXIT, D(500))
    assert sale is not None and sale.amount == D("4.995")
    assert desk.positions.get("BTC/USDT").flat
    assert len(desk.published(FillReceived)) == 2
    assert desk.executor.sent == 2


async def test_the_same_decision_is_sent_once(desk: Desk, database: Database) -> None:
    await desk.executor.execute(signal(), D(500))
    assert await desk.executor.execute(signal(), D(500)) is None
    assert desk.venue.placed == 1
    again = Desk(database, desk.venue)  # a restart
    await again.executor.recover(["BTC/USDT"])
    assert await again.executor.execute(signal(), D(500)) is None
    assert desk.venue.placed == 1
    assert again.positions.get("BTC/USDT") == desk.positions.get("BTC/USDT")


async def test_one_position_per_symbol(desk: Desk) -> None:
    await desk.executor.execute(signal(), D(500))
    assert await desk.executor.execute(signal(timestamp=180_000), D(500)) is None
    assert "held already" in desk.executor.refused["trend"]
    assert desk.venue.placed == 1


async def test_an_exit_of_nothing_is_no_order(desk: Desk) -> None:
    assert await desk.executor.execute(EXIT, D(500)) is None
    assert desk.venue.placed == 0
    assert desk.executor.refused == {}


async def test_an_amount_below_the_least_order_is_refused_with_the_limits(desk: Desk) -> None:
    assert await desk.executor.execute(signal(), D(4)) is None
    assert "0.001 BTC, 5 USDT" in desk.executor.refused["trend"]


async def test_a_risk_limit_stops_an_order_before_it_is_journaled(desk: Desk) -> None:
    assert await desk.executor.execute(signal(), D(5000)) is None
    assert "max_order_cost" in desk.executor.refused["trend"]
    assert desk.journal.orders() == []


async def test_a_rejected_order_is_final_and_leaves_no_position(desk: Desk) -> None:
    desk.venue.fail = OrderRejected("insufficient balance")
    order = await desk.executor.execute(signal(), D(500))
    assert order is not None and order.status is OrderStatus.REJECTED
    assert desk.executor.unsettled == []
    assert desk.positions.get("BTC/USDT").flat


async def test_an_unknown_outcome_blocks_the_symbol_until_the_venue_tells(desk: Desk) -> None:
    desk.venue.fail, desk.venue.accept_before_failing = OrderUnknown("no answer"), True
    order = await desk.executor.execute(signal(), D(500))
    assert order is not None and order.status is OrderStatus.UNKNOWN
    assert desk.executor.exposure() == 500  # counts as filled
    desk.venue.fail = None
    assert await desk.executor.execute(signal(timestamp=180_000), D(500)) is None
    assert "not settled" in desk.executor.refused["trend"]
    await desk.executor.sync(["BTC/USDT"])
    assert desk.executor.unsettled == []
    assert desk.positions.get("BTC/USDT").amount == D("4.995")
    assert desk.venue.placed == 1
    assert desk.executor.exposure() == D("499.5")


async def test_an_order_that_never_arrived_is_given_up_only_behind_the_fence(desk: Desk) -> None:
    desk.venue.fail = OrderUnknown("no answer")
    await desk.executor.execute(signal(), D(500))
    await desk.executor.sync(["BTC/USDT"])
    assert len(desk.executor.unsettled) == 1
    desk.clock.advance(desk.clock.now() + ABSENCE_FENCE + 1)
    await desk.executor.sync(["BTC/USDT"])
    assert desk.executor.unsettled == []
    assert desk.journal.orders()[0].status is OrderStatus.REJECTED


async def test_a_crash_between_sending_and_the_answer_is_settled_at_the_next_start(
    desk: Desk, database: Database
) -> None:
    intent = OrderIntent(
        client_order_id=intent_id(signal()),
        strategy="trend",
        symbol="BTC/USDT",
        side=Side.BUY,
        type=OrderType.MARKET,
        amount=D(5),
    )
    desk.journal.record_intent(intent, 0)
    await desk.venue.place_order(intent)  # and then the process died
    after = Desk(database, desk.venue)
    await after.executor.recover(["BTC/USDT"])
    assert after.positions.get("BTC/USDT").amount == D("4.995")
    assert after.executor.unsettled == []
    assert desk.venue.placed == 1


async def test_a_fill_reported_three_times_is_booked_once(desk: Desk) -> None:
    order = await desk.executor.execute(signal(), D(500))
    assert order is not None
    desk.executor.on_execution(desk.venue.orders[order.client_order_id])
    await desk.executor.sync(["BTC/USDT"])
    assert desk.positions.get("BTC/USDT").amount == D("4.995")
    assert len(desk.published(FillReceived)) == 1


async def test_a_fill_nobody_reported_is_found_by_the_sweep(desk: Desk) -> None:
    desk.venue.silent_fills = True
    await desk.executor.execute(signal(), D(500))
    assert desk.positions.get("BTC/USDT").flat
    await desk.executor.sync(["BTC/USDT"])
    assert desk.positions.get("BTC/USDT").amount == D("4.995")


async def test_orders_and_trades_of_others_are_left_alone(desk: Desk) -> None:
    await desk.executor.execute(signal(), D(500))
    foreign = replace(desk.venue.trades[0], trade_id=99, venue_order_id="v99")
    desk.venue.trades.append(foreign)
    await desk.executor.sync(["BTC/USDT"])
    known = next(iter(desk.venue.orders.values()))
    desk.executor.on_execution(replace(known, client_order_id="manual", fills=(foreign,)))
    assert desk.positions.get("BTC/USDT").amount == D("4.995")


def test_amounts_are_rounded_down_to_the_step() -> None:
    assert round_down(D("1.23456"), D("0.00100000")) == D("1.234")
    assert round_down(D("0.0009"), D("0.001")) == 0
    assert round_down(D("7"), D(0)) == 7


def test_a_decision_has_one_id_that_the_venue_accepts() -> None:
    one = intent_id(signal())
    assert one == intent_id(signal())
    assert one != intent_id(EXIT)
    assert len(one) <= 36 and one.replace("-", "").isalnum()


# -- stops


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


async def test_a_stop_that_was_filled_unheard_leaves_nothing_to_exit(desk: Desk) -> None:
    await desk.enter()
    desk.venue.trigger()
    assert await desk.executor.execute(EXIT, D(500)) is None
    assert desk.positions.get("BTC/USDT").flat
    assert desk.venue.placed == 2


async def test_an_entry_after_a_stop_that_was_filled_unheard_buys_again(desk: Desk) -> None:
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


async def test_a_cancellation_whose_answer_was_lost_is_asked_for(desk: Desk) -> None:
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
    assert desk.venue.placed == placed  # not again at once
    desk.venue.fail = None
    desk.wait(RETRY)
    await desk.protector.attend("BTC/USDT")
    assert desk.venue.stop().amount == D("4.995")
    assert desk.risk.halted is not None  # for a person to lift


async def test_a_limit_never_holds_back_what_protects(desk: Desk) -> None:
    desk.risk.limits = replace(desk.risk.limits, max_orders_per_minute=1)
    await desk.enter()
    assert desk.venue.stop().amount == D("4.995")
    assert desk.risk.rejected == 0


async def test_a_stop_of_unknown_outcome_is_asked_for_and_kept(desk: Desk) -> None:
    await desk.executor.execute(signal(), D(500))
    desk.venue.fail, desk.venue.accept_before_failing = OrderUnknown("no answer"), True
    await desk.protector.attend("BTC/USDT")
    desk.venue.fail = None
    await desk.protector.attend("BTC/USDT")
    assert desk.venue.placed == 2 and desk.risk.halted is None
    assert desk.executor.stops("BTC/USDT")[0].status is OrderStatus.OPEN


async def test_a_position_long_without_a_stop_halts_entries(desk: Desk) -> None:
    await desk.executor.execute(signal(), D(500))
    desk.venue.fail = OrderUnknown("no answer")  # and it never arrived
    await desk.protector.attend("BTC/USDT")
    desk.wait(GRACE + 1)
    await desk.protector.attend("BTC/USDT")
    assert desk.risk.halted is not None and "no stop" in desk.risk.halted
    desk.venue.fail = None
    desk.wait(ABSENCE_FENCE)
    await desk.protector.attend("BTC/USDT")
    assert desk.venue.stop().amount == D("4.995")


async def test_a_crash_between_cancel_and_place_is_made_good_at_the_start(
    desk: Desk, database: Database
) -> None:
    await desk.enter()
    await desk.executor.cancel(desk.executor.stops("BTC/USDT")[0])  # and then the process died
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
    after = Desk(database, desk.venue)  # knows no high of its own
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

    def full(intent: OrderIntent, now: int) -> bool:
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
