"""The desk of a symbol: it brings what the books want and what the venue has together.

A desk is level-triggered. Signals, reports of the venue, timers and a person change what is wanted
or known, in memory and in the journal, and wake the desk; the desk asks `next_step` what to do,
does that one thing, and asks again, until wants and venue agree. No change awaits anything, so that
none can be lost half-way; whatever fails is found again at the next turn, or at the next start.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from botlib.core.errors import ExchangeError, RiskRejected, StoreError
from botlib.core.model import (
    Fill,
    FillReceived,
    OrderRole,
    OrderStatus,
    OrderUpdated,
    PositionChanged,
)
from botlib.execution.sender import Answer
from botlib.store.journal import StoredBook
from botlib.trading.books import ZERO, Book, BookKey, Protection, Want
from botlib.trading.orders import EventKind, OrderEvent, TrackedOrder, transition
from botlib.trading.sizing import sellable, tradable
from botlib.trading.steps import (
    Cancel,
    Drop,
    Halt,
    Nothing,
    Place,
    Query,
    Replace,
    Step,
    Sweep,
    SymbolState,
    Wait,
    next_step,
)

if TYPE_CHECKING:
    from botlib.execution.context import Context
    from botlib.trading.stops import StopRules
    from botlib.venues.base import OrderReport

logger = logging.getLogger(__name__)

READ_DEADLINE: Final = 5.0
"""Seconds a query may take before the desk goes on without its answer."""

ASK_FIRST: Final = 500
"""Milliseconds until an order whose outcome is not known is asked about again, at first."""
ASK_LONGEST: Final = 10_000

RETRY_FIRST: Final = 1_000
"""Milliseconds until a book sends again after a refusal, at first."""
RETRY_LONGEST: Final = 60_000
REFUSALS: Final = 3
"""Refused sales of a book in a row after which a person is asked to look."""

GRACE: Final = 10.0
"""Seconds a position may be without its stop before entries are halted."""

STEPS: Final = 40
"""Most steps of a desk within a second."""

POLL: Final = 0.5
"""Longest seconds a desk sleeps while it waits for a moment of market time."""


@dataclass(slots=True)
class Position:
    """A book of the desk: what is kept beside its orders and fills."""

    key: BookKey
    want: Want | None = None
    protection: Protection = field(default_factory=Protection)
    released: int = -1
    orphaned: bool = True
    refusals: int = 0
    bare_since: float | None = None


class Desk:
    """Looks after the books of one symbol.

    Args:
        context: what all desks of a bot share.
    """

    def __init__(self, symbol: str, context: Context) -> None:
        self.symbol = symbol
        self._context = context
        self._books: dict[BookKey, Position] = {}
        self._ask_at: dict[str, int] = {}
        self._asked: dict[str, int] = {}
        self._missing_since: dict[str, int] = {}
        self._check: set[str] = set()
        self._sweep_at = 0
        self._sweeps_failed = 0
        self._sweep_wanted = False
        self._send_at = 0
        self._retry_at: dict[BookKey, int] = {}
        self._steps: deque[float] = deque(maxlen=STEPS)
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self.doing: Step = Nothing()
        """The last step, for people."""
        self.troubled: str | None = None
        """Why the last request to the venue failed, None after one that did not."""

    # What changes what is wanted

    def restore(self, book: StoredBook) -> None:
        """Take over a book from the journal; it is orphaned until its strategy is registered."""
        self._books[book.key] = Position(
            key=book.key, want=book.want, protection=book.protection, released=book.released
        )
        self.wake()

    def adopt(self, key: BookKey) -> None:
        """Take over a position of which an earlier version wrote down no protection.

        What rests at the venue as its stop says where the stop lies.
        """
        entry = self._context.ledger.entry(key)
        levels = [
            one.intent.stop_price
            for one in self._context.ledger.of_symbol(self.symbol)
            if one.intent.strategy == key.strategy
            and one.role is OrderRole.STOP
            and not one.ended
            and one.intent.stop_price is not None
        ]
        protection = Protection(stop=max(levels, default=None))
        if entry is not None:
            amount, cost = self._context.ledger.booked(entry.id)
            price = cost / amount if amount else ZERO
            protection = replace(protection, entry=entry.id, entry_price=price)
        book = self._books[key] = Position(key=key, protection=protection)
        self._save(stored(book))

    def register(self, key: BookKey, rules: StopRules) -> None:
        """Take note of a strategy and of what limits its positions."""
        book = self._book(key)
        book.orphaned = False
        changed = replace(book.protection, rules=rules)
        if not rules.stops:
            changed = replace(changed, stop=None)
        if rules.take_profit is None:
            changed = replace(changed, target=None)
        self._protect(book, changed)
        self.wake()

    def unregister(self, key: BookKey) -> None:
        """Note that a strategy has gone; what it holds stays protected."""
        if key in self._books:
            self._books[key].orphaned = True

    def want(self, key: BookKey, want: Want) -> None:
        """Write down what a book is to hold from now on, in place of what it wanted before.

        Raises:
            StoreError: an entry could not be written down; nothing is done about it.
        """
        book = self._book(key)
        changed = replace_want(book, want)
        if want.target > 0:
            self._context.journal.must(lambda journal: journal.save_book(changed, now=self._now()))
        else:
            self._save(changed)
        book.want = want
        self.wake()

    def forget_entries(self, why: str) -> None:
        """Drop every want to enter."""
        for book in self._books.values():
            if book.want is not None and book.want.target > 0:
                self._drop(book, why, refused=True)
        self.wake()

    def raise_high(self, key: BookKey, high: float) -> None:
        """Take note of the highest high since the entry of a book; its trailing stop follows."""
        book = self._books.get(key)
        if book is None or not book.protection.entry or not book.protection.rules.trailing_stop:
            return
        known = book.protection.high
        if known is None or high > known:
            self._protect(book, replace(book.protection, high=high))
            self.wake()

    # What changes what is known

    def report(self, report: OrderReport, source: str) -> None:
        """Take what the venue says about one of our orders."""
        order = self._context.ledger.get(report.client_order_id)
        if order is not None:
            self._take(order, report, source)
            self.wake()

    def check_resting(self) -> None:
        """Ask the venue about everything that rests there, and for trades nobody reported."""
        orders = self._context.ledger.of_symbol(self.symbol)
        self._check.update(one.id for one in orders if one.rests)
        if self.symbol in self._context.ledger.symbols:
            self._sweep_wanted = True
        self.wake()

    def wake(self) -> None:
        """Have the desk look again."""
        self._idle.clear()
        self._wake.set()

    # What is seen

    @property
    def books(self) -> list[Position]:
        """The books of the symbol."""
        return list(self._books.values())

    def rules(self, key: BookKey) -> Protection | None:
        """Return what protects a book, None if there is no such book."""
        book = self._books.get(key)
        return None if book is None else book.protection

    def describe(self) -> str:
        """Return what the desk does or waits for, in words."""
        step = self.doing
        if isinstance(step, Nothing):
            return ""
        if isinstance(step, Wait):
            return f"waits: {step.why}"
        return type(step).__name__.lower()

    def left_over(self) -> list[str]:
        """Return what is not as it should be, in sentences."""
        found = [
            f"{book.key}: {book.want.reason} is not done"
            for book in self._books.values()
            if book.want is not None
        ]
        found += [
            f"{one.id} of {self.symbol} is {one.status}"
            for one in self._context.ledger.open
            if one.intent.symbol == self.symbol and one.unclear
        ]
        found += [
            f"{book.key} has no stop" for book in self._books.values() if not self._covered(book)
        ]
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

    # The loop

    async def run(self) -> None:
        """Look after the symbol for ever: the body of its task."""
        while True:
            self._wake.clear()
            step = next_step(self.state())
            self.doing = step
            self._watch()
            self._context.on_progress()
            if isinstance(step, Nothing | Wait):
                self._idle.set()
                await self._rest(step)
            else:
                await self._perform(step)
                await self._pace()

    async def _pace(self) -> None:
        """Rest for a moment after many steps in a row, so that no fault becomes a flood."""
        now = asyncio.get_running_loop().time()
        self._steps.append(now)
        if len(self._steps) == STEPS and now - self._steps[0] < 1.0:
            self._steps.clear()
            logger.error(
                "%s: %d steps within a second, the last: %s", self.symbol, STEPS, self.doing
            )
            await asyncio.sleep(1.0)

    def state(self) -> SymbolState:
        """Return what decides about the next step."""
        context = self._context
        orders = tuple(self._deciding())
        ledger = context.ledger
        return SymbolState(
            bot=context.bot,
            market=context.market(self.symbol),
            now=context.market_clock.now(),
            wall=self._now(),
            price=context.price(self.symbol),
            books=tuple(map(self._seen, self._books.values())),
            orders=orders,
            booked={one.id: ledger.booked(one.id)[0] for one in orders},
            ask_at=self._ask_at,
            check=frozenset(self._check),
            sweep_at=self._sweep_at,
            sweep_wanted=self._sweep_wanted,
            send_at=self._send_at,
            retry_at=self._retry_at,
            held_back=context.held_back(),
            halts=context.halts.reasons(self.symbol),
        )

    def _deciding(self) -> Iterable[TrackedOrder]:
        """Return the orders that decide: open ones, and those of present entries and wants."""
        ledger = self._context.ledger
        entries = {book.protection.entry for book in self._books.values()}
        wanted = {
            (key.strategy, book.want.decided)
            for key, book in self._books.items()
            if book.want is not None
        }
        for order in ledger.of_symbol(self.symbol):
            intent = order.intent
            if (
                not order.ended
                or ledger.owes(order)
                or (intent.entry is not None and intent.entry in entries)
                or (intent.strategy, intent.signal_timestamp) in wanted
            ):
                yield order

    def _seen(self, book: Position) -> Book:
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
            seconds = max(0.0, (step.wall - self._now()) / 1_000)
            if step.market < 1 << 60:
                seconds = min(seconds, POLL)
        if any(book.bare_since is not None for book in self._books.values()):
            seconds = min(GRACE / 4, GRACE if seconds is None else seconds)
        if seconds is not None and seconds > 1e6:
            seconds = None
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _perform(self, step: Step) -> None:
        if isinstance(step, Query):
            await self._ask(step.order)
        elif isinstance(step, Sweep):
            await self._sweep()
        elif isinstance(step, Place):
            await self._place(step)
        elif isinstance(step, Replace):
            await self._replace(step)
        elif isinstance(step, Cancel):
            await self._cancel(step.order, step.why)
        elif isinstance(step, Drop):
            self._drop(self._books[step.book.key], step.why, refused=step.refused)
        elif isinstance(step, Halt):
            self._context.halts.add(step.reason, source="desk", symbol=self.symbol)

    # Questions

    async def _ask(self, order: TrackedOrder) -> None:
        self._check.discard(order.id)
        asked = self._asked[order.id] = self._asked.get(order.id, 0) + 1
        pause = min(ASK_FIRST * 2 ** (asked - 1), ASK_LONGEST)
        self._ask_at[order.id] = self._now() + pause
        try:
            async with asyncio.timeout(READ_DEADLINE):
                report = await self._context.exchange.fetch_order(self.symbol, order.id)
        except (ExchangeError, TimeoutError) as error:
            self._trouble(f"{order.id} could not be asked about", error)
            return
        self.troubled = None
        order = self._current(order)
        if report is None:
            self.not_found(order.id)
            return
        self._missing_since.pop(order.id, None)
        self._take(order, report, "query")
        order = self._current(order)
        if order.status is OrderStatus.PENDING_CANCEL:
            # A cancellation may be sent again without harm, unlike an order.
            self._happened(
                order,
                OrderEvent(
                    kind=EventKind.CANCEL_REFUSED,
                    number=order.cancels_sent,
                    message="the venue has it open still",
                ),
                "query",
            )
        if not self._current(order).unclear:
            self._asked.pop(order.id, None)
            self._ask_at.pop(order.id, None)

    def not_found(self, client_order_id: str) -> None:
        """Note that the venue does not know an order: proof only twice, with the fence between."""
        order = self._context.ledger.get(client_order_id)
        if order is None or order.acknowledged:
            return  # A copy of the venue that lags behind answered.
        since = self._missing_since.setdefault(order.id, self._now())
        proved = since + self._context.absence_fence
        self._ask_at[order.id] = min(self._ask_at.get(order.id, proved), proved)
        if self._now() >= proved:
            del self._missing_since[order.id]
            self._happened(
                order,
                OrderEvent(kind=EventKind.ABSENT, message="never reached the venue"),
                "query",
            )

    async def _sweep(self) -> None:
        try:
            await self.sweep_now()
        except (ExchangeError, TimeoutError) as error:
            self._sweeps_failed += 1
            pause = min(ASK_FIRST * 2 ** min(self._sweeps_failed, 10), ASK_LONGEST)
            self._sweep_at = self._now() + pause
            self._trouble("its trades could not be asked for", error)
            return
        self.troubled = None
        self._sweeps_failed = 0
        self._sweep_at = self._now() + ASK_FIRST

    async def sweep_now(self) -> None:
        """Ask the venue for the trades of the symbol, and book those of ours that are new.

        Raises:
            ExchangeError: the venue did not answer.
            TimeoutError: it did not answer in time.
        """
        key = f"sweep:{self.symbol}"
        start = int(self._context.journal.journal.get_state(key) or 0)
        async with asyncio.timeout(READ_DEADLINE):
            fills = await self._context.exchange.fetch_fills(self.symbol, start)
        self._sweep_wanted = False
        ledger = self._context.ledger
        ours = ledger.ours(self.symbol, {fill.venue_order_id for fill in fills})
        known = [fill for fill in fills if fill.venue_order_id in ours]
        self._book_fills(
            [replace(fill, client_order_id=ours[fill.venue_order_id]) for fill in known]
        )
        # While an order's outcome is not known its fills may not be recognised yet.
        if fills and not any(one.unclear for one in ledger.open):
            last = fills[-1].trade_id + 1
            self._context.journal.later(lambda journal: journal.set_state(key, last))

    # Requests

    async def _place(self, step: Place) -> None:
        book = self._books[step.book.key]
        try:
            orders = self._context.sender.prepare(step.intents, self.state())
        except RiskRejected as error:
            self._refused_by_rule(book, step, error)
            return
        except StoreError as error:
            self._drop(book, f"it could not be journaled: {error}", refused=True)
            return
        for order in orders:
            self._remember(order)
        answers = await self._context.sender.place(orders)
        self._answered(book, answers)

    async def _replace(self, step: Replace) -> None:
        book = self._books[step.book.key]
        (new,) = self._context.sender.prepare((step.intent,), self.state())
        self._remember(new)
        order = self._cancelling(step.order, "it is replaced")
        answers = await self._context.sender.replace(order, new)
        self._answered(book, answers)

    async def _cancel(self, order: TrackedOrder, why: str) -> None:
        order = self._cancelling(order, why)
        self._answered(None, await self._context.sender.cancel(order))

    def _cancelling(self, order: TrackedOrder, why: str) -> TrackedOrder:
        number = order.cancels_sent + 1
        event = OrderEvent(kind=EventKind.CANCEL_SENT, number=number, message=why)
        return self._happened(order, event, "desk")

    def _answered(self, book: Position | None, answers: Iterable[Answer]) -> None:
        """Take the answers to a request; reports first, since they are the surer ones."""
        for answer in sorted(answers, key=lambda one: one.report is None):
            order = self._current(answer.order)
            if answer.report is not None:
                self._take(order, answer.report, "answer")
            if answer.event is not None:
                self._happened(order, answer.event, "answer")
            if answer.wait:
                self._send_at = max(self._send_at, self._now() + round(answer.wait * 1_000))
            self._ask_at.setdefault(order.id, self._now() + (0 if answer.ask else ASK_FIRST))
            if answer.ask:
                self._ask_at[order.id] = self._now()
                self._check.add(order.id)
        if book is not None:
            self._note_refusals(book, answers)

    def _note_refusals(self, book: Position, answers: Iterable[Answer]) -> None:
        """Let a book pause after a refusal, and ask a person to look after several."""
        refused = [
            current
            for answer in answers
            if (current := self._current(answer.order)).status is OrderStatus.REJECTED
        ]
        if not refused:
            book.refusals = 0
            self._retry_at.pop(book.key, None)
            return
        if refused[0].role is OrderRole.ENTRY or refused[0].retry:
            return
        if refused[0].role in (OrderRole.STOP, OrderRole.TARGET):
            return  # The sale in its place follows at once.
        book.refusals += 1
        pause = min(RETRY_FIRST * 2 ** (book.refusals - 1), RETRY_LONGEST)
        self._retry_at[book.key] = self._now() + pause
        if book.refusals >= REFUSALS:
            self._context.halts.add(
                f"{book.key} cannot be sold: {refused[0].message}",
                source="desk",
                symbol=self.symbol,
            )

    def _refused_by_rule(self, book: Position, step: Place, error: RiskRejected) -> None:
        self._drop(book, str(error), refused=True)

    # Facts

    def _current(self, order: TrackedOrder) -> TrackedOrder:
        return self._context.ledger.get(order.id) or order

    def _remember(self, order: TrackedOrder) -> None:
        self._context.ledger.remember(order)
        self._context.bus.publish(OrderUpdated(order=order.order))

    def _take(self, order: TrackedOrder, report: OrderReport, source: str) -> None:
        """Take a report: its fills first, so that none is owed that was told of."""
        self._book_fills([replace(fill, client_order_id=order.id) for fill in report.fills], order)
        event = OrderEvent(
            kind=EventKind.REPORTED,
            status=report.status,
            filled=report.filled,
            cost=report.cost,
            venue_order_id=report.venue_order_id,
            message=report.message,
        )
        self._happened(self._current(order), event, source)

    def _happened(self, order: TrackedOrder, event: OrderEvent, source: str) -> TrackedOrder:
        """Note an event of an order, in the journal and in memory."""
        now = self._now()
        changed = transition(order, event, at=now)
        if changed is order:
            return order
        market_time = self._context.market_clock.now() or None
        self._context.journal.later(
            lambda journal: journal.record(
                changed, event, now=now, market_time=market_time, source=source
            )
        )
        self._context.ledger.remember(changed)
        self._context.bus.publish(OrderUpdated(order=changed.order))
        if changed.conflict and not order.conflict:
            self._context.halts.add(
                f"the venue contradicts itself about {order.id} of {self.symbol}: "
                f"{changed.conflict}",
                source="desk",
                symbol=self.symbol,
            )
        if changed.ended and not order.ended:
            self._asked.pop(order.id, None)
            self._ask_at.pop(order.id, None)
        self.wake()
        return changed

    def _book_fills(self, fills: list[Fill], order: TrackedOrder | None = None) -> None:
        new = [fill for fill in fills if not self._context.positions.knows(fill)]
        if not new:
            return
        self._context.journal.later(lambda journal: journal.save_fills(new))
        for fill in new:
            self._book_fill(fill, order)

    def _book_fill(self, fill: Fill, order: TrackedOrder | None) -> None:
        context = self._context
        order = order or context.ledger.get(fill.client_order_id or "")
        if order is None:
            return
        key = BookKey(order.intent.strategy, order.intent.symbol)
        position = context.positions.apply(fill, key.strategy)
        if position is None:
            return
        context.count_fill()
        context.ledger.note(fill)
        book = self._book(key)
        if order.role is OrderRole.ENTRY:
            self._anchor(book, order)
        elif order.role.protects:
            book.released = fill.timestamp
            self._save(stored(book))
        context.bus.publish(FillReceived(fill=fill))
        context.bus.publish(PositionChanged(position=context.positions.get(self.symbol)))
        self.wake()

    def _anchor(self, book: Position, order: TrackedOrder) -> None:
        """Have the protection of a book start from an entry that was filled."""
        amount, cost = self._context.ledger.booked(order.id)
        protection = book.protection
        if protection.entry != order.id:
            protection = Protection(rules=protection.rules, entry=order.id)
        self._protect(book, replace(protection, entry_price=cost / amount))

    def _protect(self, book: Position, protection: Protection) -> None:
        if protection.entry:
            protection = protection.priced(self._context.market(self.symbol).tick)
        if protection != book.protection:
            book.protection = protection
            self._save(stored(book))

    def _drop(self, book: Position, why: str, *, refused: bool) -> None:
        want = book.want
        book.want = None
        self._save(stored(book))
        if refused and want is not None:
            self._context.refuse(book.key, want, why)

    def _save(self, book: StoredBook) -> None:
        now = self._now()
        self._context.journal.later(lambda journal: journal.save_book(book, now=now))

    # Watching

    def _watch(self) -> None:
        """Note since when a position has been without its stop; after a while, halt entries."""
        now = asyncio.get_running_loop().time()
        for book in self._books.values():
            if self._covered(book):
                book.bare_since = None
                continue
            book.bare_since = now if book.bare_since is None else book.bare_since
            if now - book.bare_since > GRACE:
                self._context.halts.add(
                    f"the position of {book.key} has had no stop for over {GRACE:g} s",
                    source="desk",
                    symbol=self.symbol,
                )

    def _covered(self, book: Position) -> bool:
        market = self._context.market(self.symbol)
        amount = sellable(self._context.positions.of(*book.key).amount, market)
        if book.protection.stop is None:
            return True
        if not tradable(amount, book.protection.stop, market):
            return True
        covered = sum(
            (
                one.remaining
                for one in self._context.ledger.open
                if one.intent.strategy == book.key.strategy
                and one.intent.symbol == book.key.symbol
                and one.role is OrderRole.STOP
                and one.rests
            ),
            ZERO,
        )
        return covered >= amount

    def _trouble(self, what: str, error: BaseException) -> None:
        words = f"{self.symbol}: {what}: {str(error) or type(error).__name__}"
        if self.troubled is None:
            logger.warning("%s", words)
        self.troubled = words

    def _book(self, key: BookKey) -> Position:
        return self._books.setdefault(key, Position(key=key))

    def _now(self) -> int:
        return self._context.system_clock.now()


def stored(book: Position) -> StoredBook:
    """Return what the journal keeps of a book."""
    return StoredBook(
        key=book.key, want=book.want, protection=book.protection, released=book.released
    )


def replace_want(book: Position, want: Want) -> StoredBook:
    """Return what the journal keeps of a book that wants something else."""
    return replace(stored(book), want=want)


Price = Callable[[str], float | None]
"""Returns the newest price of a symbol, quote units; None before the first."""

Amount = Decimal
