"""The account: its value, its drift from the venue, the day's loss."""

from __future__ import annotations

from decimal import Decimal

from botlib.core.bus import EventBus
from botlib.core.clock import MarketClock
from botlib.core.model import Fill, Halted, Side
from botlib.core.timeframe import DAY
from botlib.engine.account import AccountMonitor
from botlib.trading.positions import PositionManager
from botlib.trading.risk import RiskLimits, RiskValidator
from botlib.venues.base import Balance

D = Decimal


class Venue:
    """Holds balances."""

    def __init__(self, **held: str) -> None:
        self.held = held

    async def balances(self) -> dict[str, Balance]:
        return {a: Balance(free=D(amount), locked=D(0)) for a, amount in self.held.items()}


class Desk:
    """An account with everything around it."""

    def __init__(self, **held: str) -> None:
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
        self.halts = self.bus.subscribe(Halted, name="test")
        self.clock = MarketClock(10 * DAY)
        self.prices = {"BTC/USDT": 100.0}
        self.account = AccountMonitor(
            exchange=Venue(**held),  # type: ignore[arg-type]
            positions=self.positions,
            risk=self.risk,
            bus=self.bus,
            clock=self.clock,
            symbols=["BTC/USDT", "ETH/USDT"],
            price_of=self.prices.get,
        )

    def buy(self, amount: str, price: str) -> None:
        self.positions.apply(
            Fill(
                symbol="BTC/USDT",
                trade_id=1,
                venue_order_id="1",
                client_order_id=None,
                side=Side.BUY,
                price=D(price),
                amount=D(amount),
                fee=D(0),
                fee_asset="BTC",
                timestamp=1,
                maker=False,
            )
        )


async def test_equity_is_the_quote_asset_and_what_the_symbols_are_worth() -> None:
    desk = Desk(USDT="500", BTC="2", ETH="7", DOGE="1000000")
    assert await desk.account.value() == 700  # ETH has no price yet, DOGE is no symbol of ours
    desk.prices["ETH/USDT"] = 10.0
    assert await desk.account.value() == 770


async def test_a_book_that_says_more_than_the_venue_holds_is_told() -> None:
    desk = Desk(USDT="500", BTC="2")
    desk.buy("3", "100")
    await desk.account.monitor_positions()
    assert desk.account.drift == {"BTC": D(1)}


async def test_the_days_loss_halts_entries_once_and_the_day_begins_anew() -> None:
    desk = Desk(USDT="500", BTC="3")
    desk.buy("3", "100")
    await desk.account.check_risk()  # the day begins here
    desk.prices["BTC/USDT"] = 70.0
    await desk.account.check_risk()
    assert desk.risk.halted is None
    desk.prices["BTC/USDT"] = 60.0
    await desk.account.check_risk()
    await desk.account.check_risk()
    assert "max_daily_loss" in str(desk.risk.halted)
    assert len(desk.halts) == 1
    desk.risk.resume()
    desk.clock.advance(11 * DAY)
    await desk.account.check_risk()
    assert desk.risk.halted is None
