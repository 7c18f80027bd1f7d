"""What a desk asks the venue: how an order stands, and which trades there were."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from botlib.core.errors import ExchangeBusy, ExchangeError
from botlib.core.model import OrderStatus
from botlib.trading.orders import EventKind, OrderEvent, TrackedOrder
from botlib.venues.budget import Purpose

if TYPE_CHECKING:
    from botlib.execution.context import Context
    from botlib.execution.desk_books import DeskBooks

logger = logging.getLogger(__name__)

READ_DEADLINE: Final = 5.0
"""Seconds a query may take before the desk goes on without its answer."""

LOOK_DEADLINE: Final = 1.0
"""Seconds that a question beside a request may take, since its answer waits for it."""

ASK_FIRST: Final = 500
"""Milliseconds until an order whose outcome is not known is asked about again, at first."""
ASK_LONGEST: Final = 10_000


class Enquiries:
    """The questions of one desk, and when each may be asked again."""

    def __init__(self, symbol: str, context: Context, books: DeskBooks) -> None:
        self.symbol = symbol
        self._context = context
        self._books = books
        self.ask_at: dict[str, int] = {}
        """Time of the loop (ms) from which an order may be asked about, by client order id."""
        self.doubted: set[str] = set()
        """Orders of which the venue said something that does not fit, to be asked about first."""
        self.check: set[str] = set()
        """Orders that rest, and are to be asked about all the same."""
        self.check_at = 0
        """Time of the loop (ms) from which routine questions may be asked."""
        self.sweep_at = 0
        self.sweep_wanted = False
        self._asked: dict[str, int] = {}
        self._missing_since: dict[str, int] = {}
        self._sweeps_failed = 0
        self.troubled: str | None = None
        """Why the last question was not answered, None after one that was."""

    def soon(self, client_order_id: str) -> None:
        """Ask about an order at the next turn."""
        self.ask_at[client_order_id] = self._now()
        self.doubted.add(client_order_id)

    def later(self, client_order_id: str) -> None:
        """Ask about an order after a moment, if no answer has come by then."""
        self.ask_at.setdefault(client_order_id, self._now() + ASK_FIRST)

    def forget(self, client_order_id: str) -> None:
        """Delete what is kept about an order that has ended."""
        self.doubted.discard(client_order_id)
        self._asked.pop(client_order_id, None)
        self.ask_at.pop(client_order_id, None)
        self._missing_since.pop(client_order_id, None)

    async def ask(self, order: TrackedOrder) -> None:
        urgent = order.unclear or order.id in self.doubted
        purpose = Purpose.ENQUIRY if urgent else Purpose.CHECK
        self.check.discard(order.id)
        self.doubted.discard(order.id)
        asked = self._asked[order.id] = self._asked.get(order.id, 0) + 1
        pause = min(ASK_FIRST * 2 ** (asked - 1), ASK_LONGEST)
        self.ask_at[order.id] = self._now() + pause
        try:
            async with asyncio.timeout(READ_DEADLINE):
                report = await self._context.exchange.fetch_order(
                    self.symbol, order.id, purpose=purpose
                )
        except (ExchangeError, TimeoutError) as error:
            if urgent:
                self.ask_at[order.id] = max(self.ask_at[order.id], self._again(error))
            else:
                self.check_at = self._again(error)
            self._trouble(f"{order.id} could not be asked about", error)
            return
        self.troubled = None
        order = self._books.current(order)
        if report is None:
            self.not_found(order.id)
            return
        self._missing_since.pop(order.id, None)
        self._books.take(order, report, "query")
        order = self._books.current(order)
        if order.status is OrderStatus.PENDING_CANCEL:
            # A cancellation may be sent again without harm, unlike an order.
            self._books.happened(
                order,
                OrderEvent(
                    kind=EventKind.CANCEL_REFUSED,
                    number=order.cancels_sent,
                    message="the venue has it open still",
                ),
                "query",
            )
        if not self._books.current(order).unclear:
            self._asked.pop(order.id, None)
            self.ask_at.pop(order.id, None)

    async def look(self, orders: Iterable[TrackedOrder]) -> None:
        """Ask about orders whose request is under way, and for what they traded.

        That the venue does not know one of them says nothing yet, and neither does it that one to
        be cancelled is open: the request may still arrive.
        """
        for order in orders:
            try:
                async with asyncio.timeout(LOOK_DEADLINE):
                    await self._look_at(order)
            except (ExchangeError, TimeoutError) as error:
                self._trouble("orders without an answer could not be asked about", error)
            else:
                self.troubled = None

    async def _look_at(self, order: TrackedOrder) -> None:
        if self._books.current(order).unclear:
            report = await self._context.exchange.fetch_order(
                self.symbol, order.id, purpose=Purpose.ENQUIRY
            )
            if report is not None:
                self._books.take(self._books.current(order), report, "query")
        if self._context.ledger.owes(self._books.current(order)):
            await self.sweep_now(Purpose.ENQUIRY)

    def not_found(self, client_order_id: str) -> None:
        """Record that the venue does not know an order; twice, a fence apart, is proof."""
        order = self._context.ledger.get(client_order_id)
        if order is None or order.acknowledged:
            return  # A copy of the venue that lags behind answered.
        since = self._missing_since.setdefault(order.id, self._now())
        proved = since + self._context.absence_fence
        self.ask_at[order.id] = min(self.ask_at.get(order.id, proved), proved)
        if self._now() >= proved:
            del self._missing_since[order.id]
            self._books.happened(
                order,
                OrderEvent(kind=EventKind.ABSENT, message="never reached the venue"),
                "query",
            )

    async def sweep(self) -> None:
        ledger = self._context.ledger
        urgent = any(map(ledger.owes, ledger.of_symbol(self.symbol)))
        try:
            await self.sweep_now(Purpose.ENQUIRY if urgent else Purpose.CHECK)
        except ExchangeBusy as error:
            if urgent:
                self.sweep_at = self._again(error)
            else:
                self.check_at = self._again(error)
            self._trouble("its trades could not be asked for", error)
            return
        except (ExchangeError, TimeoutError) as error:
            self._sweeps_failed += 1
            pause = min(ASK_FIRST * 2 ** min(self._sweeps_failed, 10), ASK_LONGEST)
            self.sweep_at = self._now() + pause
            self._trouble("its trades could not be asked for", error)
            return
        self.troubled = None
        self._sweeps_failed = 0
        self.sweep_at = self._now() + ASK_FIRST

    async def sweep_now(self, purpose: Purpose = Purpose.READ) -> None:
        """Ask the venue for the trades of the symbol, and book those of ours that are new.

        Args:
            purpose: what the question is for.

        Raises:
            ExchangeError: the venue did not answer.
            TimeoutError: it did not answer in time.
        """
        key = f"sweep:{self.symbol}"
        start = int(self._context.journal.journal.get_state(key) or 0)
        async with asyncio.timeout(READ_DEADLINE):
            fills = await self._context.exchange.fetch_fills(self.symbol, start, purpose=purpose)
        self.sweep_wanted = False
        ledger = self._context.ledger
        ours = ledger.ours(self.symbol, {fill.venue_order_id for fill in fills})
        known = [fill for fill in fills if fill.venue_order_id in ours]
        self._books.book_fills(
            [replace(fill, client_order_id=ours[fill.venue_order_id]) for fill in known]
        )
        # While an order's outcome is not known its fills may not be recognised yet.
        unclear = any(one.unclear for one in ledger.open if one.intent.symbol == self.symbol)
        if fills and not unclear:
            last = fills[-1].trade_id + 1
            self._context.journal.later(lambda journal: journal.set_state(key, last))

    def _trouble(self, what: str, error: BaseException) -> None:
        words = f"{self.symbol}: {what}: {str(error) or type(error).__name__}"
        if self.troubled is None:
            logger.warning("%s", words)
        self.troubled = words

    def _again(self, error: BaseException) -> int:
        """Return from when on (ms) the venue may be asked again after an error."""
        wait = round(error.retry_after * 1_000) if isinstance(error, ExchangeBusy) else 0
        return self._now() + max(wait, ASK_FIRST)

    def _now(self) -> int:
        return self._context.timer()
