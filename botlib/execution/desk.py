"""The desk of a symbol: it brings what the books want and what the venue has together.

A desk is level-triggered. Signals, reports of the venue, timers and a person change what is wanted
or known (`DeskBooks`), and wake the desk; the desk asks `next_step` what to do, does that one
thing, and asks again, until wants and venue agree. Whatever fails is found again at the next turn,
or at the next start.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from botlib.core.errors import OrderTaken, RequestsShort, RiskRejected, StoreError
from botlib.core.model import OrderRole, OrderStatus
from botlib.execution.desk_books import DeskBook, DeskBooks
from botlib.execution.enquiries import Enquiries
from botlib.execution.pauses import Pauses
from botlib.execution.sender import SYNC_WAIT, Answer
from botlib.execution.under_way import RequestsUnderWay, done_or_woken, given_up
from botlib.trading.books import ZERO, Book
from botlib.trading.orders import EventKind, OrderEvent, TrackedOrder
from botlib.trading.positions import is_held
from botlib.trading.state import (
    NEVER,
    Cancel,
    Drop,
    Halt,
    Nothing,
    Place,
    Query,
    Replace,
    Step,
    Sweep,
    TradingState,
    Wait,
)
from botlib.trading.steps import next_step

if TYPE_CHECKING:
    from botlib.core.model import OrderIntent
    from botlib.execution.context import Context
    from botlib.venues.base import OrderReport

logger = logging.getLogger(__name__)

GRACE: Final = 10.0
"""Seconds a position may be without its stop before entries are halted."""

STEPS: Final = 40
"""Most steps of a desk within a second, on the wall and in the market."""

SHORT_PAUSE: Final = 500
"""Milliseconds until an entry is tried again for which the venue's limits left no room."""

POLL: Final = 0.5
"""Longest seconds a desk sleeps while it waits for a moment of market time."""


class Desk:
    """The controller of one symbol.

    Args:
        context: what all desks of a bot share.
    """

    def __init__(self, symbol: str, context: Context) -> None:
        self.symbol = symbol
        self._context = context
        self.books = DeskBooks(symbol, context, self.wake)
        """What is wanted and known."""
        self.enquiries = Enquiries(symbol, context, self.books)
        self.pauses = Pauses(symbol, context, self.books)
        self._steps: deque[tuple[float, int]] = deque(maxlen=STEPS)
        self._wake = asyncio.Event()
        self._requests = RequestsUnderWay(
            context,
            self.books,
            self.enquiries,
            woken=self._wake,
            wake=self.wake,
            watch=self._watch,
        )
        self._idle = asyncio.Event()
        self.doing: Step = Nothing()
        """The last step, for people."""

    def report(self, report: OrderReport, source: str) -> None:
        """Process a report of the venue about one of our orders."""
        order = self._context.ledger.get(report.client_order_id)
        if order is not None:
            self.books.take(order, report, source)
            self._forget_ended(order)
            self.wake()

    def check_resting(self) -> None:
        """Ask the venue about everything that rests there, and for trades nobody reported."""
        orders = self._context.ledger.of_symbol(self.symbol)
        self.enquiries.check.update(one.id for one in orders if one.rests)
        if self.symbol in self._context.ledger.symbols:
            self.enquiries.sweep_wanted = True
        self.wake()

    def wake(self) -> None:
        """Wake the loop of the desk."""
        self._idle.clear()
        self._wake.set()

    def describe(self) -> str:
        """Return the present step in words, empty when there is none."""
        step = self.doing
        if isinstance(step, Nothing):
            return ""
        if isinstance(step, Wait):
            return f"waits: {step.why}"
        return type(step).__name__.lower()

    def rows(self) -> list[dict[str, object]]:
        """Return every book as plain values, for people."""
        return [self._row(book) for book in self.books]

    def _row(self, book: DeskBook) -> dict[str, object]:
        position, market = self._context.positions.of(*book.key), self._context.market(self.symbol)
        price = self._context.price(self.symbol) or position.entry_price
        held, dust = position.amount, ZERO
        if not is_held(held, price, market):
            held, dust = ZERO, held
        protection, want = book.protection, book.want
        return {
            "strategy": book.key.strategy,
            "symbol": book.key.symbol,
            "held": held,
            "dust": dust,
            "wants": None if want is None else want.target,
            "reason": "" if want is None else want.reason,
            "stop": protection.stop if held else None,
            "target": protection.target if held else None,
            "protection": self.books.protection_state(book),
            "orphaned": book.orphaned and held > 0,
            "doing": self.describe(),
        }

    def left_over(self) -> list[str]:
        """Return what is not as it should be, in sentences."""
        found = [
            f"{book.key}: {book.want.reason} is not done"
            for book in self.books
            if book.want is not None
        ]
        found += [
            f"{one.id} of {self.symbol} is {one.status}"
            for one in self._context.ledger.open
            if one.intent.symbol == self.symbol
            and (one.unclear or (one.role is OrderRole.ENTRY and not one.ended))
        ]
        found += [f"{book.key} has no stop" for book in self.books if not self.books.covered(book)]
        return found

    async def at_rest(self) -> None:
        """Wait until nothing is left over."""
        while True:
            await self.settled()
            if not self.left_over():
                return
            await asyncio.sleep(0.05)

    async def settled(self) -> None:
        """Wait until the desk has done everything that can be done now."""
        while not self._idle.is_set():
            await self._idle.wait()

    @property
    def quiet(self) -> bool:
        """Whether nothing is wanted that is not so, and no outcome is open."""
        return self._idle.is_set() and isinstance(self.doing, Nothing)

    async def run(self) -> None:
        """Run the desk until cancelled: the body of its task."""
        try:
            await self._run()
        finally:
            await self._requests.close()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            step = next_step(self.state())
            self.doing = step
            self._watch()
            self._context.on_progress()
            if isinstance(step, Nothing | Wait):
                await self._write_down()
                if not self._wake.is_set():
                    self._idle.set()
                    await self._rest(step)
            else:
                await self._perform(step)
                await self._pace()

    async def _write_down(self) -> None:
        """Wait until the journal is on disk; a failure shows in it and is tried again."""
        try:
            async with asyncio.timeout(SYNC_WAIT):
                await self._context.journal.durable()
        except (StoreError, TimeoutError):
            pass

    async def _pace(self) -> None:
        """Sleep after many steps within a second, so that no fault floods the venue."""
        now, market = asyncio.get_running_loop().time(), self._context.market_clock.now()
        self._steps.append((now, market))
        first, first_market = self._steps[0]
        # A replay runs through hours of a market, and all their orders, within a second.
        if len(self._steps) == STEPS and now - first < 1.0 and market - first_market < 1_000:
            self._steps.clear()
            logger.error(
                "%s: %d steps within a second, the last: %s", self.symbol, STEPS, self.doing
            )
            await asyncio.sleep(1.0)

    def state(self) -> TradingState:
        """Return what decides about the next step."""
        context = self._context
        orders = tuple(self._deciding())
        ledger = context.ledger
        return TradingState(
            bot=context.bot,
            market=context.market(self.symbol),
            now=context.market_clock.now(),
            wall=self._context.timer(),
            price=context.price(self.symbol),
            books=tuple(map(self._seen, self.books)),
            orders=orders,
            booked={one.id: ledger.booked(one.id)[0] for one in orders},
            ask_at=self.enquiries.ask_at,
            check=frozenset(self.enquiries.check),
            doubted=frozenset(self.enquiries.doubted),
            check_at=self.enquiries.check_at,
            sweep_at=self.enquiries.sweep_at,
            sweep_wanted=self.enquiries.sweep_wanted,
            send_at=self._context.send_at,
            enter_at=max(self._context.exits_until, self._context.short_until),
            retry_at=self.pauses.retry_at,
            held_back=context.held_back() if self._enters() else None,
            halts=context.halts.reasons(self.symbol),
        )

    def _enters(self) -> bool:
        return any(book.want is not None and book.want.target > 0 for book in self.books)

    def _deciding(self) -> Iterable[TrackedOrder]:
        """Return the orders that decide: open ones, and those of present entries and wants."""
        ledger = self._context.ledger
        entries = {book.protection.entry for book in self.books}
        wanted = {
            (book.key.strategy, book.want.decided) for book in self.books if book.want is not None
        }
        for order in ledger.of_symbol(self.symbol):
            intent = order.intent
            if (
                ledger.is_open(order)
                or (intent.entry is not None and intent.entry in entries)
                or (intent.strategy, intent.signal_timestamp) in wanted
            ):
                yield order

    def _seen(self, book: DeskBook) -> Book:
        context = self._context
        return Book(
            key=book.key,
            amount=context.positions.of(*book.key).amount,
            want=book.want,
            protection=book.protection,
            orphaned=book.orphaned,
            released=book.released,
            sent=context.ledger.sent(book.key, book.protection.entry or None),
        )

    async def _rest(self, step: Nothing | Wait) -> None:
        seconds: float | None = None
        if isinstance(step, Wait):
            seconds = max(0.0, (step.wall - self._context.timer()) / 1_000)
            if step.market < 1 << 60:
                seconds = min(seconds, POLL)
        if any(book.bare_since is not None for book in self.books):
            seconds = min(GRACE / 4, GRACE if seconds is None else seconds)
        if seconds is not None and seconds > 1e6:
            seconds = None
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _perform(self, step: Step) -> None:
        if isinstance(step, Query | Sweep):
            await self._ask(step)
        elif isinstance(step, Place):
            await self._place(step)
        elif isinstance(step, Replace):
            await self._replace(step)
        elif isinstance(step, Cancel):
            await self._cancel(step.order, step.why)
        elif isinstance(step, Drop):
            self._drop(step)
        elif isinstance(step, Halt):
            self._context.halts.add(step.reason, source="desk", symbol=self.symbol)

    async def _ask(self, step: Query | Sweep) -> None:
        """Ask the venue; a question is given up for an order that does not need its answer."""
        enquiries, beside = self.enquiries, None
        asking = asyncio.ensure_future(
            enquiries.ask(step.order) if isinstance(step, Query) else enquiries.sweep()
        )
        try:
            while not asking.done():
                await done_or_woken(asking, self._wake)
                beside = None if asking.done() else self._beside(step)
                if beside is not None:
                    break
        finally:
            await given_up(asking)
        if beside is None:
            asking.result()
        else:
            self.doing = beside
            await self._perform(beside)

    def _beside(self, step: Query | Sweep) -> Place | Replace | Cancel | None:
        """Return what can be sent without the answer to a question, None if nothing can."""
        state = self.state()
        if isinstance(step, Query):
            state = replace(state, ask_at={**state.ask_at, step.order.id: NEVER})
        else:
            state = replace(state, sweep_at=NEVER)
        found = next_step(state)
        return found if isinstance(found, Place | Replace | Cancel) else None

    def _drop(self, step: Drop) -> None:
        """Forget what a book wants; if limits of the venue were in its way, say which."""
        book, why, details = self.books.open(step.book.key), step.why, {}
        if step.refused and book.short is not None:
            short, book.short = book.short, None
            why = f"{why}; {short}"
            details = {"rule": short.rule, "value": short.value, "limit": short.limit}
        self.books.drop(book, why, refused=step.refused, harmless=step.harmless, **details)

    async def _place(self, step: Place) -> None:
        book = self.books.open(step.book.key)
        try:
            orders = self._context.sender.prepare(step.intents, step.book)
        except RequestsShort as error:
            book.short = error
            self._context.short_until = self._context.timer() + SHORT_PAUSE
            return
        except RiskRejected as error:
            self.books.drop(
                book,
                str(error),
                refused=True,
                rule=error.rule,
                value=error.value,
                limit=error.limit,
            )
            return
        except OrderTaken as error:
            self._number_again(step.intents, error)
            return
        except StoreError as error:
            self.books.drop(book, f"it could not be journaled: {error}", refused=True)
            return
        book.short = None
        for order in orders:
            self.books.remember(order)
        request = self._context.sender.place(orders)
        await self._requests.make(request, orders, lambda answers: self._answered(book, answers))

    async def _replace(self, step: Replace) -> None:
        book = self.books.open(step.book.key)
        try:
            (new,) = self._context.sender.prepare((step.intent,), step.book)
        except OrderTaken as error:
            self._number_again((step.intent,), error)
            return
        self.books.remember(new)
        order = self._cancelling(step.order, "it is replaced")
        await self._requests.make(
            self._context.sender.replace(order, new),
            (order, new),
            lambda answers: self._replaced(book, order, new, answers),
        )

    def _replaced(
        self, book: DeskBook, order: TrackedOrder, new: TrackedOrder, answers: Iterable[Answer]
    ) -> None:
        """Process the answers to a replacement of an order by a new one."""
        self._answered(book, answers)
        new, old = self.books.current(new), self.books.current(order)
        refused = new.status is OrderStatus.REJECTED and not any(one.wait for one in answers)
        if refused and not old.ended:
            # What it was to replace may rest still, and would be replaced again at once.
            self.pauses.pause(book, new)

    def _number_again(self, intents: Iterable[OrderIntent], error: OrderTaken) -> None:
        """Have the next orders get other ids than those that are taken."""
        logger.error("%s: %s", self.symbol, error)
        for intent in intents:
            self._context.ledger.number(intent)

    async def _cancel(self, order: TrackedOrder, why: str) -> None:
        order = self._cancelling(order, why)
        request = self._context.sender.cancel(order)
        await self._requests.make(request, (order,), lambda answers: self._answered(None, answers))
        for other in self._context.ledger.of_symbol(self.symbol):
            listed = other.intent.list_id is not None
            if listed and other.intent.list_id == order.intent.list_id and not other.ended:
                self.enquiries.soon(other.id)  # The venue ended it as well.

    def _cancelling(self, order: TrackedOrder, why: str) -> TrackedOrder:
        number = order.cancels_sent + 1
        event = OrderEvent(kind=EventKind.CANCEL_SENT, number=number, message=why)
        return self.books.happened(order, event, "desk")

    def _answered(self, book: DeskBook | None, answers: Iterable[Answer]) -> None:
        """Process the answers to a request, reports first: they are certain."""
        for answer in sorted(answers, key=lambda one: one.report is None):
            order = self.books.current(answer.order)
            if answer.report is not None:
                self.books.take(order, answer.report, "answer")
            if answer.event is not None:
                self.books.happened(order, answer.event, "answer")
            if answer.wait:
                self._context.wait(answer.wait)
            if answer.ask:
                self.enquiries.soon(order.id)
            else:
                self.enquiries.later(order.id)
            self._forget_ended(order)
        if book is not None:
            self.pauses.note(book, answers)

    def _forget_ended(self, order: TrackedOrder) -> None:
        if self.books.current(order).ended:
            self.enquiries.forget(order.id)

    def _watch(self) -> None:
        """Record since when a position is without its stop; halt entries after `GRACE`."""
        now = asyncio.get_running_loop().time()
        for book in self.books:
            if self.books.covered(book):
                book.bare_since = None
                continue
            book.bare_since = now if book.bare_since is None else book.bare_since
            if now - book.bare_since > GRACE:
                self._context.halts.add(
                    f"the position of {book.key} has had no stop for over {GRACE:g} s",
                    source="desk",
                    symbol=self.symbol,
                )
