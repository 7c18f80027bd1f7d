"""The only way to the venue for orders: risk, journal, request.

Nobody else calls what places, replaces or cancels orders. An order is judged by the caps and
written down before the request; a request is made once, with a deadline, and every end of it is an
answer: a report, a refusal, or an outcome that is not known.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from botlib.core.errors import (
    ExchangeError,
    OrderRejected,
    OrderTaken,
    RequestsShort,
    StoreError,
)
from botlib.core.model import OrderIntent, OrderRole, Side
from botlib.trading.orders import EventKind, OrderEvent, TrackedOrder
from botlib.trading.risk import ZERO, Exposure, exposure_of
from botlib.venues.budget import Purpose

if TYPE_CHECKING:
    from botlib.execution.context import Context
    from botlib.trading.books import Book
    from botlib.venues.base import OrderReport

logger = logging.getLogger(__name__)

READ_EVERY: Final = 5.0
"""Least seconds between two readings of a market's rules after refusals."""

SYNC_WAIT: Final = 1.0
"""Longest seconds a request waits for the disk; then an entry is refused, and the rest is sent."""

SEND_DEADLINE: Final = 10.0
"""Seconds a request may take; afterwards its outcome is not known."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a request for one order.

    Attributes:
        report: what the venue said about it.
        event: what else happened: a refusal, or nothing that is known.
        wait: seconds the venue asks to wait before anything else is sent.
        ask: whether the venue has to be asked about it at once.
    """

    order: TrackedOrder
    report: OrderReport | None = None
    event: OrderEvent | None = None
    wait: float = 0.0
    ask: bool = False


class OrderSender:
    """Sends orders and cancellations of all desks."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._read_at: dict[str, float] = {}
        self.sent = 0
        """Orders sent since the start."""

    def prepare(self, intents: Sequence[OrderIntent], book: Book) -> tuple[TrackedOrder, ...]:
        """Judge orders by the caps and write them down; they are to be sent next.

        Args:
            book: the one they are for.

        Raises:
            RequestsShort: the venue's limits leave no room for an entry and its protection now.
            RiskRejected: a cap forbids an entry.
            OrderTaken: an id is taken.
            StoreError: an entry could not be written down.
        """
        context = self._context
        now = context.system_clock.now()
        market_time = context.market_clock.now() or None
        entering = any(intent.role is OrderRole.ENTRY for intent in intents)
        if entering:
            self._check_budget(len(intents) + _protecting(book))
        for intent in intents:
            if context.ledger.get(intent.client_order_id) is not None:
                raise OrderTaken(f"The id {intent.client_order_id} of an order is taken.")
            self._judge(intent, book)
        orders = tuple(
            TrackedOrder(intent=intent, created=now, market_time=market_time, sent=True)
            for intent in intents
        )
        if entering:
            context.journal.must(lambda journal: journal.record_intents(orders))
            for order in orders:
                context.exchange.budget.claim(order.id, 1 + _protecting(book))
        else:
            context.journal.later(lambda journal: journal.record_intents(orders))
        return orders

    def _check_budget(self, orders: int) -> None:
        """Check that an entry and the orders that protect it fit into the venue's limits.

        Raises:
            RequestsShort: they do not.
        """
        budget = self._context.exchange.budget
        short = budget.shortage(Purpose.ENTRY, weight=orders, orders=orders)
        if short is not None:
            budget.tell(short)
            raise RequestsShort(
                str(short), rule=short.rule, value=str(short.used), limit=str(short.limit.most)
            )

    async def place(self, orders: Sequence[TrackedOrder]) -> list[Answer]:
        """Send one order, or two of a list; return what came of each."""
        answers = await self._place(orders)
        for answer in answers:
            if answer.event is not None and answer.event.kind is EventKind.REFUSED:
                self._context.exchange.budget.claim(answer.order.id, 0)
        return answers

    async def _place(self, orders: Sequence[TrackedOrder]) -> list[Answer]:
        context = self._context
        exchange = context.exchange
        flaw = await self._unwritten()
        if _entering(orders):
            # A halt may have come meanwhile.
            halts = self._context.halts.reasons(orders[0].intent.symbol)
            flaw = flaw or (f"entries are halted: {halts[0]}" if halts else None)
            if flaw is not None:
                event = OrderEvent(kind=EventKind.REFUSED, message=flaw)
                return [Answer(order=order, event=event) for order in orders]
        if (context.exits_until if _entering(orders) else context.send_at) > context.timer():
            # Another desk was asked to wait since this one decided.
            event = OrderEvent(
                kind=EventKind.REFUSED, message="not sent: the venue asks to wait", retry=True
            )
            return [Answer(order=order, event=event) for order in orders]
        self.sent += len(orders)
        self._spend(orders)
        if len(orders) == 1:
            intent = orders[0].intent
            reports, error = await _outcome(lambda: _listed(exchange.place_order(intent)))
        else:
            intents = [order.intent for order in orders]
            reports, error = await _outcome(lambda: exchange.place_list(intents))
        self._heed(error)
        again = await self._read_again(orders[0].intent.symbol, error)
        return [_answer(order, reports, error, again=again) for order in orders]

    def _spend(self, orders: Iterable[TrackedOrder]) -> None:
        """Use what the budget keeps: for an entry itself, or for the protection of its position."""
        budget = self._context.exchange.budget
        for order in orders:
            if order.role is OrderRole.ENTRY:
                budget.claim(order.id, budget.claimed(order.id) - 1)
            elif order.intent.entry is not None:
                budget.claim(order.intent.entry, 0)

    def _heed(self, error: BaseException | None) -> None:
        """Have every desk wait if the venue asks for it, before another one sends."""
        if isinstance(error, OrderRejected) and error.retry_after:
            self._context.wait(error.retry_after)

    async def cancel(self, order: TrackedOrder) -> list[Answer]:
        """Cancel an order; one leg of a list takes the other with it."""
        await self._unwritten()
        reports, error = await _outcome(
            lambda: _listed(self._context.exchange.cancel_order(order.intent.symbol, order.id))
        )
        return [_cancelled(order, reports, error)]

    async def replace(self, order: TrackedOrder, new: TrackedOrder) -> list[Answer]:
        """Cancel an order and send another in one request."""
        await self._unwritten()
        self.sent += 1
        self._spend((new,))
        result, error = await _outcome(
            lambda: self._context.exchange.replace_order(order.id, new.intent)
        )
        if result is None:
            if isinstance(error, OrderRejected):
                await self._read_again(new.intent.symbol, error)
                refused = _refused(error, retry=True)
                return [
                    _cancelled(order, None, error),
                    Answer(order=new, event=refused, wait=error.retry_after or 0.0),
                ]
            return [_cancelled(order, None, error), Answer(order=new, event=_lost(error), ask=True)]
        cancelled = _cancelled(order, _some(result.cancelled), result.cancel_error)
        if result.placed is None and result.place_error is None:
            event = OrderEvent(
                kind=EventKind.REFUSED, message="not sent: the other was not cancelled", retry=True
            )
            return [cancelled, Answer(order=new, event=event)]
        again = await self._read_again(new.intent.symbol, result.place_error)
        return [cancelled, _answer(new, _some(result.placed), result.place_error, again=again)]

    async def _read_again(self, symbol: str, error: BaseException | None) -> bool:
        """Read a market's rules again if they may be why an order was refused.

        Returns:
            Whether they have changed or the market is not traded now, so that the refusal says
            nothing about another order. Not read again within `READ_EVERY`, so that nothing is sent
            in circles.
        """
        exchange, now = self._context.exchange, asyncio.get_running_loop().time()
        if not (isinstance(error, OrderRejected) and error.rules):
            return False
        if now - self._read_at.get(symbol, -READ_EVERY) < READ_EVERY:
            return not exchange.market(symbol).active
        self._read_at[symbol] = now
        before = exchange.market(symbol)
        try:
            async with asyncio.timeout(SEND_DEADLINE):
                after = await exchange.reload_market(symbol, purpose=Purpose.ENQUIRY)
        except (ExchangeError, TimeoutError) as trouble:
            logger.warning("the rules of %s cannot be read again: %s", symbol, trouble)
            return False
        if after != before:
            logger.warning("the rules of %s have changed: %s", symbol, after)
        return after != before or not after.active

    async def _unwritten(self) -> str | None:
        """Wait until what is journaled is on disk; return why it is not, None if it is."""
        try:
            async with asyncio.timeout(SYNC_WAIT):
                await self._context.journal.durable()
        except StoreError as error:
            return f"it could not be journaled: {error}"
        except TimeoutError:
            logger.error("the disk has not written the journal within %s s", SYNC_WAIT)
            return "it could not be journaled: the disk is too slow"
        return None

    def _judge(self, intent: OrderIntent, book: Book) -> None:
        context, ledger = self._context, self._context.ledger
        at_risk, price = Exposure(), intent.price or ZERO
        if intent.side is Side.BUY:
            wanted = None if book.want is None else book.want.price
            price = price or wanted or context.price(intent.symbol) or ZERO
            held = context.positions.all()
            at_risk = exposure_of(held, ledger.open, ledger.owed, context.price, intent.symbol)
        context.risk.check(intent, price=price, at_risk=at_risk, now=context.market_clock.now())


def _protecting(book: Book) -> int:
    """Return how many orders protect a position of a book."""
    rules = book.protection.rules
    return int(rules.stops) + int(rules.take_profit is not None)


def _entering(orders: Sequence[TrackedOrder]) -> bool:
    return any(order.role is OrderRole.ENTRY for order in orders)


def _some(report: OrderReport | None) -> list[OrderReport] | None:
    return None if report is None else [report]


async def _listed(wait: Awaitable[OrderReport]) -> list[OrderReport]:
    return [await wait]


async def _outcome(request: Callable[[], Awaitable[T]]) -> tuple[T | None, BaseException | None]:
    """Make a request with a deadline; return its answer, or why there is none."""
    try:
        async with asyncio.timeout(SEND_DEADLINE):
            return await request(), None
    except (ExchangeError, TimeoutError) as error:
        return None, error


def _answer(
    order: TrackedOrder,
    reports: list[OrderReport] | None,
    error: BaseException | None,
    *,
    again: bool = False,
) -> Answer:
    for report in reports or ():
        if report.client_order_id == order.id:
            return Answer(order=order, report=report)
    if isinstance(error, OrderRejected):
        retry = again or error.retry_after is not None
        return Answer(
            order=order, event=_refused(error, retry=retry), wait=error.retry_after or 0.0
        )
    return Answer(order=order, event=_lost(error), ask=True)


def _cancelled(
    order: TrackedOrder, reports: list[OrderReport] | None, error: BaseException | None
) -> Answer:
    if reports:
        return Answer(order=order, report=reports[0])
    if isinstance(error, OrderRejected):
        # It may have ended by itself: a query tells.
        event = OrderEvent(
            kind=EventKind.CANCEL_REFUSED, number=order.cancels_sent, message=str(error)
        )
        return Answer(order=order, event=event, wait=error.retry_after or 0.0, ask=True)
    logger.warning("the outcome of the cancellation of %s is not known: %s", order.id, error)
    return Answer(order=order, ask=True)


def _refused(error: OrderRejected, *, retry: bool) -> OrderEvent:
    return OrderEvent(kind=EventKind.REFUSED, message=str(error), retry=retry)


def _lost(error: BaseException | None) -> OrderEvent:
    words = str(error) if error and str(error) else "no answer within the deadline"
    logger.warning("the outcome of an order is not known: %s", words)
    return OrderEvent(kind=EventKind.LOST, message=words)
