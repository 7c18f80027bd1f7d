"""A fake venue that loses answers on demand, and an executor and protector on it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from botlib.core.bus import EventBus
from botlib.core.clock import MarketClock
from botlib.core.errors import ExchangeUnavailable, OrderRejected
from botlib.core.market import Market
from botlib.core.model import (
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
from botlib.execution import OrderExecutor, Protector
from botlib.store import Database, OrderJournal
from botlib.trading.positions import PositionManager
from botlib.trading.risk import RiskLimits, RiskValidator
from botlib.trading.stops import StopRules
from botlib.venues.base import OrderReport
from botlib.venues.binance.capabilities import BINANCE

D = Decimal
VENUE = "paper:synthetic:seed=1"


class FakeVenue:
    """A venue that fills market orders at 100, and fails on demand."""

    capabilities = BINANCE

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
        """Fill the resting stop without a report."""
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
    """An executor and a protector with everything they need."""

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
        """Enter a position and protect it."""
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
