"""What was checked is forgotten, and what contradicts it later is found all the same."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from botlib.core.bus import EventBus
from botlib.core.model import Fill, FillReceived, Order, OrderIntent, SignalRaised
from botlib.invariants import InvariantChecker
from botlib.invariants.venue_record import VenueOrder, VenueTrade
from botlib.store import Database, OrderJournal
from botlib.trading.orders import TrackedOrder
from botlib.trading.risk import RiskLimits
from tests.support.records import MINUTE, T0, fill, intent, placed, signal, trade

VENUE = "paper:test"
SYMBOL = "BTC/USDT"
LIMITS = RiskLimits(
    max_order_cost=Decimal(1_000),
    max_exposure=Decimal(1_000_000),
    max_open_orders=5,
    max_orders_per_minute=2,
    max_daily_loss=Decimal(500),
)
KEPT = (Fill, FillReceived, Order, OrderIntent, SignalRaised, VenueOrder, VenueTrade)


class FakeControl:
    """The control of an exchange with a ledger."""

    def __init__(self) -> None:
        self.orders: list[VenueOrder] = []
        self.trades: list[VenueTrade] = []
        self.elsewhere = Decimal(1)
        """BTC that were not traded."""
        self.after = 0
        self.asked: list[int] = []
        """Ids of earlier orders that were asked for the last time."""

    async def state(self) -> dict[str, Any]:
        return {"counters": {"requests": 0}}

    async def ledger(self, after: int = 0, orders: Sequence[int] = ()) -> dict[str, Any]:
        self.after, self.asked = after, list(orders)
        found = [one for one in self.orders if one.order_id > after or one.order_id in orders]
        ids = {one.order_id for one in found}
        names = Counter(one.client_order_id for one in self.orders)
        owned = sum((one.change("BTC") for one in self.trades), self.elsewhere)
        return {
            "market_time": T0 + 1_000_000 * MINUTE,
            "repeated": {name: count for name, count in names.items() if count > 1},
            "balances": {"BTC": {"free": str(owned), "locked": "0"}},
            "orders": [asdict(one) for one in found],
            "trades": [asdict(one) for one in self.trades if one.order_id in ids],
        }

    async def candles(self, *where: object) -> list[Any]:
        return []


class Stage:
    """A bot that buys 0.01 BTC with each order, its exchange and its checker."""

    def __init__(self, database: Database, limits: RiskLimits = LIMITS) -> None:
        self.journal = OrderJournal(database)
        self.control = FakeControl()
        self.bus = EventBus()
        self.number = 0
        self.checker = InvariantChecker(
            self.control,
            database=database.path,
            venue=VENUE,
            streams=[(SYMBOL, "1m")],
            limits=limits,
            bus=self.bus,
        )

    def buy(self, **changes: Any) -> int:
        """Buy a minute after the last order; return the number of order, trade and candle."""
        self.number = number = self.number + 1
        name = f"bl-{number}"
        times = {"created": T0 + number * MINUTE}
        one = replace(intent(name), signal_timestamp=T0 + number * MINUTE)
        self.journal.record_intents([TrackedOrder(intent=one, created=T0)])
        self.bus.publish(signal(number))
        order = placed(number, name, **{**times, **changes})
        self.control.orders.append(order)
        if order.executed:
            self.control.trades.append(trade(number, number, time=order.created))
            self.book(number)
        return number

    def book(self, number: int, **changes: Any) -> None:
        """Book the trade of an order."""
        known = {"venue_order_id": str(number), "client_order_id": f"bl-{number}", **changes}
        one = fill(**{"trade_id": number, **known})
        self.journal.save_fills([one])
        self.bus.publish(FillReceived(fill=one))

    async def found(self) -> list[str]:
        report = await self.checker.check()
        return [f"{one.invariant} {one.what}" for one in report.violations]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(tmp_path / "bot.db", VENUE) as found:
        yield found


@pytest.fixture
async def stage(database: Database) -> Stage:
    found = Stage(database)
    await found.checker.begin()
    return found


def kept() -> int:
    """Return the number of records in memory that a check could keep."""
    gc.collect()
    return sum(isinstance(one, KEPT) for one in gc.get_objects())


async def test_a_check_of_many_orders_keeps_no_more_than_one_of_few(stage: Stage) -> None:
    def trade_on() -> None:
        for _ in range(20):
            stage.buy()

    counts = []
    for _ in range(4):
        trade_on()
        report = await stage.checker.check()
        assert report.ok, report
        # What the exchange of this test keeps of an order is an order and a trade.
        del report
        counts.append(kept() - 2 * stage.number)
    assert counts == [counts[0]] * 4
    assert (stage.control.after, stage.control.asked) == (60, [])
    assert (await stage.checker.check()).looked_at == "80 orders, 80 trades, 0 candles"


LATER: dict[str, Callable[[Stage], object]] = {
    "I1 order bl-1": lambda stage: stage.control.orders.append(
        placed(9, "bl-1", status="CANCELED", executed=Decimal(0))
    ),
    "I1 order bl-9": lambda stage: stage.control.orders.append(
        placed(9, "bl-9", status="CANCELED", executed=Decimal(0))
    ),
    "I2 trades of finished orders": lambda stage: stage.journal.save_fills(
        [fill(99, venue_order_id="1")]
    ),
    "I2 trade 1 of BTC/USDT": lambda stage: stage.bus.publish(
        FillReceived(fill=fill(1, venue_order_id="1"))
    ),
    "I3 position in BTC/USDT": lambda stage: setattr(stage.control, "elsewhere", Decimal("0.5")),
    "I5 signals of s on BTC/USDT 1m": lambda stage: stage.bus.publish(signal(2)),
    "I5 orders of s": lambda stage: stage.journal.record_intents(
        [TrackedOrder(intent=replace(intent("bl-8"), signal_timestamp=T0 + MINUTE), created=T0)]
    ),
    "I7 max_order_cost at order 3": lambda stage: stage.buy(cost=Decimal(1_100)),
}


@pytest.mark.parametrize("what", LATER)
async def test_what_contradicts_a_settled_record_is_found(stage: Stage, what: str) -> None:
    stage.buy()
    stage.buy()
    assert await stage.found() == []
    LATER[what](stage)
    for _ in range(2):
        found = await stage.found()
        assert len(found) == 1 and found[0].startswith(what), found


async def test_caps_count_what_was_settled_before(database: Database) -> None:
    stage = Stage(database, replace(LIMITS, max_exposure=Decimal(1_500)))
    await stage.checker.begin()
    stage.buy()
    assert await stage.found() == []
    stage.buy()
    assert await stage.found() == ["I7 max_exposure at order 2"]


async def test_orders_of_the_minute_before_count_for_the_cap(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = T0 + 1_000_000 * MINUTE - 1_000
    for _ in range(2):
        stage.buy(created=newest)
    assert await stage.found() == []
    stage.buy(created=newest)
    assert await stage.found() == ["I7 max_orders_per_minute"]


async def test_trades_of_others_are_no_position_of_the_bot(stage: Stage) -> None:
    stage.buy()
    stage.control.orders.append(placed(50, "by-hand"))
    stage.control.trades.append(trade(50, 50))
    stage.number = 50
    assert await stage.found() == []
    stage.buy()
    assert await stage.found() == []


async def test_an_order_is_asked_for_until_it_is_finished(stage: Stage) -> None:
    resting = stage.buy(status="NEW", executed=Decimal(0))
    stage.buy()
    for _ in range(2):
        assert await stage.found() == []
    assert (stage.control.after, stage.control.asked) == (2, [resting])
    # A part of it trades: the sums wait until it is done.
    stage.control.orders[0] = replace(
        stage.control.orders[0], status="PARTIALLY_FILLED", executed=Decimal("0.005")
    )
    stage.control.trades.append(trade(1, resting, amount=Decimal("0.005")))
    assert await stage.found() == ["I2 trade 1 of BTCUSDT", "I3 position in BTC/USDT"]
    stage.book(resting, amount=Decimal("0.005"))
    stage.buy()
    for _ in range(2):
        assert await stage.found() == []
        assert (stage.control.after, stage.control.asked) == (2, [resting])
    stage.control.orders[0] = replace(stage.control.orders[0], status="CANCELED")
    for _ in range(2):
        assert await stage.found() == []
    assert (stage.control.after, stage.control.asked) == (3, [])
