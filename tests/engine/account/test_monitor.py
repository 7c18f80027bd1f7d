"""The account monitor: value, differences from the venue, and the loss of the day."""

from __future__ import annotations

from decimal import Decimal

from botlib.core.bus import EventBus
from botlib.core.clock import MarketClock
from botlib.core.model import Fill, Halted, Side
from botlib.core.timeframe import DAY
from botlib.engine.account.monitor import AccountMonitor
from botlib.trading.positions import PositionManager
from botlib.trading.risk import RiskLimits, RiskValidator
from botlib.venues.base import Balance

D = Decimal


class Venue:
    """A venue with fixed balances."""

    def __init__(self, **held: str) -> None:
        self.held = held

    async def balances(self) -> dict[str, Balance]:
        return {a: Balance(free=D(amount), locked=D(0)) for a, amount in self.held.items()}


class Setup:
    """An account monitor with its positions, risk validator, bus and clock."""

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


async def test_equity_counts_the_quote_asset_and_the_symbols_at_their_prices() -> None:
    setup = Setup(USDT="500", BTC="2", ETH="7", DOGE="1000000")
    assert await setup.account.value() == 700  # ETH has no price yet, DOGE is not configured
    setup.prices["ETH/USDT"] = 10.0
    assert await setup.account.value() == 770


async def test_a_position_larger_than_the_balance_is_reported_as_drift() -> None:
    setup = Setup(USDT="500", BTC="2")
    setup.buy("3", "100")
    await setup.account.monitor_positions()
    assert setup.account.drift == {"BTC": D(1)}


async def test_the_loss_of_a_day_halts_entries_once_and_the_next_day_starts_at_zero() -> None:
    setup = Setup(USDT="500", BTC="3")
    setup.buy("3", "100")
    await setup.account.check_risk()  # the day starts here
    setup.prices["BTC/USDT"] = 70.0
    await setup.account.check_risk()
    assert setup.risk.halted is None
    setup.prices["BTC/USDT"] = 60.0
    await setup.account.check_risk()
    await setup.account.check_risk()
    assert "max_daily_loss" in str(setup.risk.halted)
    assert len(setup.halts) == 1
    setup.risk.resume()
    setup.clock.advance(11 * DAY)
    await setup.account.check_risk()
    assert setup.risk.halted is None
