"""A bot on an exchange in a process of its own, whose orders a test asks for one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from botlib.core.model import OrderRole, OrderStatus, Signal
from botlib.core.model import SignalAction as Action
from botlib.core.timeframe import HOUR
from botlib.engine import Orchestrator
from botlib.paper import PaperControl
from botlib.trading.books import BookKey
from botlib.trading.orders import TrackedOrder

D = Decimal
SYMBOL = "BTC/USDT"
SETTINGS: dict[str, Any] = {
    "symbols": [SYMBOL],
    "timeframes": ["1m"],
    "history": 30,
    "strategies": [],
    "health": {"port": 0},
    "tasks": {"order_sync": {"interval": "1s"}, "position_monitoring": {"interval": "1s"}},
    "risk": {"max_order_cost": 1_000, "max_daily_loss": 5_000, "max_orders_per_minute": 1_000},
}
"""A bot without strategies that looks at its orders and positions each second."""


def lasting_signal(strategy: str, symbol: str, action: Action, price: float, now: int) -> Signal:
    """Return a signal on the newest closed hour before a market time (ms).

    An entry is given up when the next candle closes: after the rest of a minute, which may be a few
    milliseconds, a loaded machine has not sent it yet.
    """
    return Signal(
        strategy=strategy,
        symbol=symbol,
        timeframe="1h",
        timestamp=now // HOUR * HOUR - HOUR,
        action=action,
        price=price,
    )


@dataclass
class Trader:
    """The bot, its exchange, and what a test does with them."""

    engine: Orchestrator
    control: PaperControl
    names: list[str] = field(default_factory=list)

    @property
    def key(self) -> BookKey:
        """The book of the present test: a strategy of its own."""
        return BookKey(self.names[-1], SYMBOL)

    @property
    def amount(self) -> Decimal:
        """What the book holds."""
        return self.engine.orders.position(self.key).amount

    def orders(self, role: OrderRole | None = None) -> list[TrackedOrder]:
        """Return the orders of the book, the oldest first."""
        return [
            one
            for one in self.engine.orders.ledger.of_symbol(SYMBOL)
            if one.intent.strategy == self.key.strategy and role in (None, one.role)
        ]

    def signal(self, action: Action = Action.ENTRY, cost: int = 500) -> None:
        """Raise a signal on the newest closed candle."""
        price = self.engine.frames.last_close(SYMBOL)
        assert price is not None
        now = self.engine.market_clock.now()
        signal = lasting_signal(self.key.strategy, SYMBOL, action, price, now)
        self.engine.orders.signal(signal, D(cost))

    async def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        """Wait until a condition is true."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def protected(self) -> None:
        """Wait until the book holds something and its stop rests."""
        await self.until(lambda: self.amount and self.stop())
        await self.settled()

    def stop(self) -> TrackedOrder | None:
        """Return the stop that rests for the book."""
        return next((one for one in self.orders(OrderRole.STOP) if one.rests), None)

    async def settled(self) -> None:
        """Wait until every outcome is known."""
        ledger = self.engine.orders.ledger
        await self.until(
            lambda: (
                not any(one.unclear or ledger.owes(one) for one in self.orders())
                and self.engine.orders.desk(SYMBOL).settled
            )
        )

    async def flat(self) -> None:
        """Sell what the book holds, and wait until that is done."""
        self.engine.orders.leave(SYMBOL)
        books = self.engine.positions.books
        await self.until(lambda: all(one.amount < D("0.0001") for one in books(SYMBOL).values()))
        await self.settled()

    async def venue(self) -> dict[str, dict[str, Any]]:
        """Return the venue's orders of the book by client order id."""
        ledger = await self.control.ledger()
        ours = {one.id for one in self.orders()}
        found = [one for one in ledger["orders"] if one["client_order_id"] in ours]
        assert len({one["client_order_id"] for one in found}) == len(found), "an id was used twice"
        return {one["client_order_id"]: one for one in found}

    async def agree(self) -> None:
        """Check that bot and venue agree: orders, fills and what is held."""
        await self.settled()
        venue = await self.venue()
        for order in self.orders():
            if order.status in (OrderStatus.REJECTED, OrderStatus.ABSENT):
                assert order.id not in venue
            else:
                assert D(venue[order.id]["executed"]) == order.filled
        trades = {one["trade_id"] for one in (await self.control.ledger())["trades"]}
        assert {one.trade_id for one in self.engine.journal.fills(SYMBOL)} <= trades
        bought = [one for one in venue.values() if one["side"] == "BUY"]
        assert len(bought) <= 1, "an entry was doubled"
