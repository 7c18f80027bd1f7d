"""What all desks of a bot share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from botlib.core.model import EntryRefused
from botlib.execution.refusals import Refusals
from botlib.execution.sender import OrderSender
from botlib.venues.budget import EXITS_FIRST

if TYPE_CHECKING:
    from botlib.core.bus import EventBus
    from botlib.core.clock import Clock
    from botlib.core.market import Market
    from botlib.execution.halts import HaltLatch
    from botlib.execution.journal_guard import JournalGuard
    from botlib.execution.ledger import OrderLedger
    from botlib.trading.books import BookKey, Want
    from botlib.trading.positions import PositionManager
    from botlib.trading.risk import RiskValidator
    from botlib.venues.base import Exchange

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Context:
    """The parts that the desks of one bot use.

    Attributes:
        bot: id of the bot, part of every client order id.
        price_of: returns the newest price of a symbol, None before the first.
        held_back: returns why nothing may be entered for the moment, None if it may.
        absence_fence: milliseconds after which an order that never arrived cannot arrive any more.
        on_progress: is called at every turn of a desk.
    """

    bot: str
    exchange: Exchange
    journal: JournalGuard
    ledger: OrderLedger
    positions: PositionManager
    risk: RiskValidator
    halts: HaltLatch
    bus: EventBus
    system_clock: Clock
    market_clock: Clock
    price_of: Callable[[str], float | None]
    held_back: Callable[[], str | None]
    absence_fence: int
    on_progress: Callable[[], None] = lambda: None
    send_at: int = 0
    """Time of the loop (ms) from which any desk may send; the venue counts by account."""
    short_until: int = 0
    """Time of the loop (ms) until which the venue's limits leave no room for entries."""
    fills: int = 0
    """Fills booked since the start."""
    refusals: Refusals = field(default_factory=Refusals)
    """The wants that were not done."""
    sender: OrderSender = field(init=False)

    def __post_init__(self) -> None:
        self.sender = OrderSender(self)

    @staticmethod
    def timer() -> int:
        """Return the time of the loop in ms, which pauses are counted by: no one can set it."""
        return round(asyncio.get_running_loop().time() * 1_000)

    def wait(self, seconds: float) -> None:
        """Have every desk send nothing for as long as the venue asks for, and exits first then."""
        self.send_at = max(self.send_at, self.timer() + round(seconds * 1_000))

    @property
    def exits_until(self) -> int:
        """Time of the loop (ms) until which only exits may be sent."""
        return self.send_at + round(EXITS_FIRST * 1_000) if self.send_at else 0

    def market(self, symbol: str) -> Market:
        """Return how a symbol is traded."""
        return self.exchange.market(symbol)

    def price(self, symbol: str) -> Decimal | None:
        """Return the newest price of a symbol, quote units; None if it is not known."""
        price = self.price_of(symbol)
        return None if not price else Decimal(str(price))

    def count_fill(self) -> None:
        """Count a fill."""
        self.fills += 1

    def refuse(
        self, key: BookKey, want: Want, why: str, *, harmless: bool = False, **details: str
    ) -> None:
        """Publish that a want of a book was not done.

        Args:
            harmless: whether nothing was missed by that.
            details: ``rule``, ``value`` and ``limit`` of a refusal by a cap.
        """
        self.refusals.add(key.strategy, why, self.market_clock.now(), harmless=harmless)
        logger.info("%s: %s refused: %s", key, want.reason, why)
        self.bus.publish(
            EntryRefused(strategy=key.strategy, symbol=key.symbol, reason=why, **details)
        )
