"""The account monitor: value, differences from the venue, and the loss of the day."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from botlib.core.bus import EventBus
from botlib.core.clock import MarketClock
from botlib.core.errors import ExchangeUnavailable
from botlib.core.model import Candle, Fill, Halted, Side
from botlib.core.timeframe import DAY
from botlib.engine.account.monitor import AccountMonitor
from botlib.execution import HaltLatch
from botlib.store import Database, OrderJournal
from botlib.trading.positions import PositionManager
from botlib.trading.risk import RiskLimits, RiskValidator
from botlib.venues.base import Balance
from tests.support.samples import flat

D = Decimal


class Venue:
    """A venue with fixed balances, where a coin of BNB costs 500."""

    def __init__(self, **held: str) -> None:
        self.held = held
        self.bnb: float | None = 500.0

    async def balances(self, **_: object) -> dict[str, Balance]:
        return {a: Balance(free=D(amount), locked=D(0)) for a, amount in self.held.items()}

    async def market_time(self) -> int:
        return 10 * DAY

    async def fetch_candles(self, symbol: str, *_: object, **__: object) -> list[Candle]:
        if symbol != "BNB/USDT" or self.bnb is None:
            raise ExchangeUnavailable(f"{symbol} is not there")
        return [flat(10 * DAY, 1.0, symbol=symbol), flat(10 * DAY, self.bnb, symbol=symbol)]


class Setup:
    """An account monitor with its positions, risk limits, latch of halts, journal and clock."""

    def __init__(self, journal: OrderJournal, **held: str) -> None:
        self.journal = journal
        self.positions = PositionManager()
        self.limits = RiskLimits(
            max_order_cost=D(1000),
            max_exposure=D(2000),
            max_open_orders=5,
            max_orders_per_minute=100,
            max_daily_loss=D(100),
        )
        self.bus = EventBus()
        self.published = self.bus.subscribe(Halted, name="test")
        self.clock = MarketClock(10 * DAY)
        self.prices = {"BTC/USDT": 100.0}
        self.venue = Venue(**held)
        self.start()

    def start(self) -> None:
        """Make what a process makes at its start; the positions are built from the same fills."""
        self.halts = HaltLatch(self.bus, self.clock)
        self.halts.open(self.journal)
        self.account = AccountMonitor(
            exchange=self.venue,  # type: ignore[arg-type]
            positions=self.positions,
            risk=RiskValidator(self.limits),
            halts=self.halts,
            journal=self.journal,
            clock=self.clock,
            symbols=["BTC/USDT", "ETH/USDT"],
            price_of=self.prices.get,
        )
        self.account.begin()

    def limit(self, **changes: Decimal) -> None:
        self.limits = replace(self.limits, **changes)  # type: ignore[arg-type]
        self.start()

    def buy(
        self, amount: str, price: str, fee: str = "0", fee_asset: str = "BTC", trade_id: int = 1
    ) -> None:
        self.positions.apply(
            Fill(
                symbol="BTC/USDT",
                trade_id=trade_id,
                venue_order_id="1",
                client_order_id=None,
                side=Side.BUY,
                price=D(price),
                amount=D(amount),
                fee=D(fee),
                fee_asset=fee_asset,
                timestamp=self.clock.now(),
                maker=False,
            )
        )

    async def worth(self, usdt: str) -> None:
        """Have the account be worth this many USDT, and check the limits."""
        self.venue.held = {"USDT": usdt}
        await self.account.value()
        await self.account.check_risk()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Setup]]:
    with Database.open(tmp_path / "account.db", "paper:synthetic:seed=1") as database:
        yield partial(Setup, OrderJournal(database))


Make = Callable[..., Setup]


async def test_equity_counts_the_quote_asset_and_the_symbols_at_their_prices(make: Make) -> None:
    setup = make(USDT="500", BTC="2", ETH="7", DOGE="1000000")
    assert await setup.account.value() == 700  # ETH has no price yet, DOGE is not configured
    setup.prices["ETH/USDT"] = 10.0
    assert await setup.account.value() == 770


async def test_a_position_larger_than_the_balance_is_reported_as_drift(make: Make) -> None:
    setup = make(USDT="500", BTC="2")
    setup.buy("3", "100")
    await setup.account.monitor_positions()
    assert setup.account.drift == {"BTC": D(1)}


async def test_a_balance_that_lacks_twice_what_the_book_says_halts_entries_once(
    make: Make,
) -> None:
    setup = make(USDT="500", BTC="2")
    setup.buy("3", "100")
    await setup.account.monitor_positions()
    assert setup.halts.first is None  # one difference may be a fill that is under way
    for held in ("2", "1.9", "1.9", "1.8", "1.8"):
        setup.venue.held["BTC"] = held
        await setup.account.monitor_positions()
    assert setup.halts.first == "the venue does not hold what the book says: 1 BTC are missing"
    assert len(setup.halts.all) == 1


async def test_a_fee_taken_in_the_asset_is_no_missing_balance(make: Make) -> None:
    setup = make(USDT="500", BTC="2.98")
    setup.buy("3", "100")
    for _ in range(3):
        await setup.account.monitor_positions()
    assert setup.account.drift == {"BTC": D("0.02")}
    assert setup.halts.first is None


async def test_the_loss_of_a_day_halts_entries_once_and_the_next_day_starts_at_zero(
    make: Make,
) -> None:
    setup = make(USDT="500", BTC="3")
    setup.buy("3", "100")
    await setup.account.check_risk()  # the day starts here
    setup.prices["BTC/USDT"] = 70.0
    await setup.account.check_risk()
    assert setup.halts.first is None
    for price in (60.0, 59.0, 58.0):
        setup.prices["BTC/USDT"] = price
        await setup.account.check_risk()
    assert "max_daily_loss" in str(setup.halts.first)
    assert len(setup.published) == len(setup.halts.all) == 1
    setup.halts.rearm("a new day")
    setup.clock.advance(11 * DAY)
    await setup.account.check_risk()
    assert setup.halts.first is None
    assert setup.account.day_profit(setup.prices) == 0


async def test_a_day_and_its_halt_outlast_a_restart(make: Make) -> None:
    setup = make(USDT="500", BTC="3")
    setup.buy("3", "100")
    await setup.account.check_risk()
    setup.prices["BTC/USDT"] = 70.0
    await setup.account.check_risk()
    setup.start()
    assert setup.account.day_profit(setup.prices) is None
    setup.prices["BTC/USDT"] = 66.0
    await setup.account.check_risk()
    assert setup.account.day_profit(setup.prices) == -102
    assert "max_daily_loss" in str(setup.halts.first)
    setup.start()
    await setup.account.check_risk()
    assert "max_daily_loss" in str(setup.halts.first)
    assert len(setup.halts.all) == 1


async def test_a_loss_counts_from_the_result_at_which_a_person_rearmed(make: Make) -> None:
    setup = make(USDT="500", BTC="3")
    setup.buy("3", "100")
    await setup.account.check_risk()
    setup.prices["BTC/USDT"] = 66.0
    await setup.account.check_risk()
    assert "max_daily_loss" in str(setup.halts.first)
    setup.halts.rearm("the loss is accepted")
    setup.start()
    for price in (66.0, 50.0, 34.0):
        setup.prices["BTC/USDT"] = price
        await setup.account.check_risk()
        assert setup.halts.first is None
    assert setup.account.day_profit(setup.prices) == -198, "what is shown is the whole day"
    setup.prices["BTC/USDT"] = 32.0
    await setup.account.check_risk()
    assert "max_daily_loss" in str(setup.halts.first)


async def test_a_day_remembers_the_equity_it_began_with(make: Make) -> None:
    setup = make()
    await setup.worth("1000")
    setup.clock.advance(10 * DAY + 1)
    await setup.worth("900")
    assert setup.journal.day_start(10 * DAY) == (D(1000), D(0))


async def test_fees_in_a_third_asset_count_at_its_price(make: Make) -> None:
    setup = make(USDT="500", BTC="3", BNB="1")
    await setup.account.check_risk()
    setup.buy("3", "100", fee="0.1", fee_asset="BNB")
    await setup.account.check_risk()
    assert setup.account.day_profit(setup.prices) == -50
    assert setup.halts.first is None
    setup.buy("0.001", "100", fee="0.1", fee_asset="BNB", trade_id=2)
    await setup.account.check_risk()
    assert "max_daily_loss" in str(setup.halts.first)
    assert "-100.00" in str(setup.halts.first)


async def test_fees_of_earlier_days_are_no_loss_of_this_one(make: Make) -> None:
    setup = make(USDT="500", BTC="3", BNB="1")
    await setup.account.check_risk()
    setup.buy("3", "100", fee="10", fee_asset="BNB")
    setup.clock.advance(11 * DAY)
    for price in (500.0, 50.0, 5000.0):
        setup.venue.bnb = price
        await setup.account.check_risk()
        assert setup.account.day_profit(setup.prices) == 0
        setup.start()
    setup.buy("0.001", "100", fee="0.01", fee_asset="BNB", trade_id=2)
    await setup.account.check_risk()
    assert setup.account.day_profit(setup.prices) == -50
    assert setup.halts.first is None


async def test_a_fee_whose_asset_has_no_price_is_valued_at_the_last_one(make: Make) -> None:
    setup = make(USDT="500", BTC="3", BNB="1")
    setup.buy("3", "100", fee="0.1", fee_asset="BNB")
    setup.venue.bnb = None
    await setup.account.check_risk()  # nothing is known, and the other checks are made
    assert setup.account.day_profit(setup.prices) == 0
    setup.venue.bnb = 500.0
    await setup.account.check_risk()
    setup.venue.bnb = None
    await setup.account.check_risk()
    assert setup.account.day_profit(setup.prices) == -50


async def test_a_fall_from_the_highest_equity_halts_entries_across_restarts(make: Make) -> None:
    setup = make()
    setup.limit(max_drawdown=D("0.2"))
    for usdt in ("1000", "1500", "1250"):
        await setup.worth(usdt)
    assert setup.halts.first is None
    setup.start()
    await setup.worth("1199")
    assert "below its highest 1500.00, beyond max_drawdown 0.2" in str(setup.halts.first)
    for usdt in ("1150", "1100"):
        await setup.worth(usdt)
        setup.start()
        await setup.worth(usdt)
    assert len(setup.halts.all) == 1


async def test_a_fall_counts_from_the_equity_at_which_a_person_rearmed(make: Make) -> None:
    setup = make()
    setup.limit(max_drawdown=D("0.2"))
    for usdt in ("1500", "1100"):
        await setup.worth(usdt)
    assert setup.halts.first is not None
    setup.halts.rearm("go on")
    setup.start()
    for usdt in ("1100", "1000", "900"):
        await setup.worth(usdt)
        assert setup.halts.first is None
    await setup.worth("879")
    assert "below its highest 1100.00" in str(setup.halts.first)


async def test_without_the_limit_no_fall_halts(make: Make) -> None:
    setup = make()
    for usdt in ("1500", "1"):
        await setup.worth(usdt)
    assert setup.halts.first is None
