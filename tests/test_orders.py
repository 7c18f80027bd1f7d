"""The order path, against a venue that can lose answers (a fake: every outcome on demand)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from botlib.bus import EventBus
from botlib.clock import MarketClock
from botlib.errors import OrderRejected, OrderUnknown
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
from botlib.orders import ABSENCE_FENCE, OrderExecutor, intent_id, round_down
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
