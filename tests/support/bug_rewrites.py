"""What planted bugs replace functions of the kit by; each is a mistake that somebody could make."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from botlib.core.errors import StoreError
from botlib.core.model import OrderRole, OrderStatus, Side
from botlib.execution.desk import Desk
from botlib.execution.desk_books import DeskBook, DeskBooks
from botlib.execution.enquiries import Enquiries
from botlib.execution.journal_guard import JournalGuard
from botlib.execution.ledger import OrderLedger
from botlib.execution.order_path import OrderPath
from botlib.execution.pauses import Pauses
from botlib.execution.sender import Answer
from botlib.execution.under_way import RequestsUnderWay
from botlib.store import OrderJournal
from botlib.trading.books import Protection
from botlib.trading.orders import EventKind, OrderEvent, TrackedOrder, transition
from botlib.trading.state import Cancel, Halt, Nothing, Place, Replace, Step, TradingState, Wait
from botlib.trading.steps import next_step
from botlib.venues.budget import Purpose

D = Decimal
Rewritten = Callable[[Callable[..., Any]], Callable[..., Any]]


def nothing(old: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that does nothing."""
    return lambda *args, **values: None


def constant(value: Any) -> Rewritten:
    """Return what replaces a function by one that always returns a value."""
    return lambda old: lambda *args, **values: value


def step(change: Callable[[TradingState, Step], Step]) -> Rewritten:
    """Return what has `next_step` return another step."""
    return lambda old: lambda state: change(state, old(state))


# Bugs of the next step


def enters_anyway(state: TradingState, found: Step) -> Step:
    waiting = {one.intent.strategy for one in state.orders if one.unclear}
    blind = replace(
        state,
        books=tuple(one for one in state.books if one.key.strategy not in waiting),
        orders=tuple(one for one in state.orders if not one.unclear),
        booked={one.id: one.filled for one in state.orders},
        sweep_wanted=False,
    )
    other = next_step(blind)
    if isinstance(found, Wait) and isinstance(other, Place) and buys(other):
        return other
    return found


def buys(found: Place) -> bool:
    return found.intents[0].side is Side.BUY


def sells_beside_its_stop(state: TradingState, found: Step) -> Step:
    if isinstance(found, Replace) and found.intent.role is OrderRole.EXIT:
        return Place(book=found.book, intents=(found.intent,))
    return found


def cancels_and_forgets(state: TradingState, found: Step) -> Step:
    """Cancel the stop for an exit although the venue asks to wait."""
    ready = next_step(replace(state, send_at=0, retry_at={}))
    if isinstance(found, Wait) and isinstance(ready, Replace | Cancel):
        return Cancel(order=ready.order, why="too early")
    return found


def halts_hold_exits(state: TradingState, found: Step) -> Step:
    sells = isinstance(found, Place) and not buys(found)
    if state.halts and (sells or isinstance(found, Replace | Cancel)):
        return Wait(why="halted", wall=state.wall + 1_000)
    return found


def ignores_halts(old: Callable[..., Any]) -> Callable[..., Any]:
    return lambda state: old(replace(state, halts=()))


def cancels_a_selling_stop(state: TradingState, found: Step) -> Step:
    for order in state.orders:
        if order.role is OrderRole.STOP and order.status is OrderStatus.PARTIALLY_FILLED:
            return Cancel(order=order, why="in the way")
    return found


def no_emergency(state: TradingState, found: Step) -> Step:
    if isinstance(found, Place) and found.intents[0].role is OrderRole.EMERGENCY:
        return Nothing()
    return found


def no_stop(state: TradingState, found: Step) -> Step:
    if isinstance(found, Place) and found.intents[-1].role is OrderRole.STOP:
        return Nothing()
    return found


def twice_as_much(state: TradingState, found: Step) -> Step:
    if isinstance(found, Place) and buys(found):
        (intent,) = found.intents
        return replace(found, intents=(replace(intent, amount=intent.amount * 2),))
    return found


def halts_for_nothing(state: TradingState, found: Step) -> Step:
    if isinstance(found, Replace) and not state.halts:
        return Halt(reason="it looks odd")
    return found


def never_asks(old: Callable[..., Any]) -> Callable[..., Any]:
    async def ask(self: Enquiries, order: TrackedOrder) -> None:
        self.ask_at[order.id] = self._now() + 10_000

    return ask


# Bugs of what answers mean


def cancelled_without_answer(old: Callable[..., Any]) -> Callable[..., Any]:
    def cancelled(order: TrackedOrder, reports: Any, error: Any) -> Answer:
        if reports:
            return Answer(order=order, report=reports[0])
        event = OrderEvent(
            kind=EventKind.REPORTED,
            status=OrderStatus.CANCELED,
            filled=order.filled,
            cost=order.cost,
            venue_order_id=order.venue_order_id,
        )
        return Answer(order=order, event=event)

    return cancelled


def lost_is_refused(old: Callable[..., Any]) -> Callable[..., Any]:
    return lambda error: OrderEvent(kind=EventKind.REFUSED, message=str(error), retry=True)


def patient_about_nothing(old: Callable[..., Any]) -> Callable[..., Any]:
    def answered(self: Desk, book: Any, answers: Any) -> None:
        old(self, book, [replace(one, wait=0.0) for one in answers])

    return answered


def filled_may_fall(old: Callable[..., Any]) -> Callable[..., Any]:
    def changed(order: TrackedOrder, event: OrderEvent, *, at: int = 0) -> TrackedOrder:
        after = transition(order, event, at=at)
        if event.kind is EventKind.REPORTED and event.filled < after.filled:
            return replace(after, filled=event.filled, conflict="")
        return after

    return changed


def absent_whatever_was_said(old: Callable[..., Any]) -> Callable[..., Any]:
    def not_found(self: Enquiries, client_order_id: str) -> None:
        order = self._context.ledger.get(client_order_id)
        if order is not None:
            event = OrderEvent(kind=EventKind.ABSENT, message="not there")
            self._books.happened(order, event, "query")

    return not_found


def forgets_what_was_refused(old: Callable[..., Any]) -> Callable[..., Any]:
    def note(self: Pauses, book: DeskBook, answers: Any) -> None:
        for answer in answers:
            if self._books.current(answer.order).status is OrderStatus.REJECTED:
                self._books.drop(book, "refused", refused=True)

    return note


# Bugs of books and protection


def restores_nothing(old: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, book: None


def restores_no_anchor(old: Callable[..., Any]) -> Callable[..., Any]:
    def restore(self: DeskBooks, book: Any) -> None:
        self._books[book.key] = DeskBook(
            key=book.key, want=book.want, protection=book.protection, released=book.released
        )

    return restore


def stores_no_want(old: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, book, *, now: old(self, replace(book, want=None), now=now)


def stores_no_protection(old: Callable[..., Any]) -> Callable[..., Any]:
    def save(self: OrderJournal, book: Any, *, now: int) -> None:
        old(self, replace(book, protection=Protection()), now=now)

    return save


def stop_may_fall(old: Callable[..., Any]) -> Callable[..., Any]:
    def priced(self: Protection, tick: Decimal) -> Protection:
        found = old(self, tick)
        if self.stop is not None and found.stop is not None and found.stop > self.stop:
            return replace(found, stop=self.stop - 1)
        return found  # type: ignore[no-any-return]

    return priced


def stop_is_too_low(old: Callable[..., Any]) -> Callable[..., Any]:
    def priced(self: Protection, tick: Decimal) -> Protection:
        found = old(self, tick)
        low = None if found.stop is None else (found.stop / 2).quantize(tick)
        return replace(found, stop=low)

    return priced


def stop_is_too_high(old: Callable[..., Any]) -> Callable[..., Any]:
    def priced(self: Protection, tick: Decimal) -> Protection:
        found = old(self, tick)
        return replace(found, stop=None if found.stop is None else found.stop * 2)

    return priced


def half(old: Callable[..., Any]) -> Callable[..., Any]:
    return lambda amount, market: old(amount / 2, market)


def stop_without_target(old: Callable[..., Any]) -> Callable[..., Any]:
    def protecting(*args: Any) -> Any:
        found = old(*args)
        return tuple(replace(one, list_id=None) for one in found if one.role is OrderRole.STOP)

    return protecting


def whole_symbol(old: Callable[..., Any]) -> Callable[..., Any]:
    def seen(self: Desk, book: DeskBook) -> Any:
        amount = self._context.positions.get(self.symbol).amount
        return replace(old(self, book), amount=amount)

    return seen


def registers_away(old: Callable[..., Any]) -> Callable[..., Any]:
    def register(self: DeskBooks, key: Any, rules: Any) -> None:
        self.open(key).protection = Protection(rules=rules)

    return register


# Bugs of the journal


def forgets_failed_writes(old: Callable[..., Any]) -> Callable[..., Any]:
    def later(self: JournalGuard, write: Any) -> None:
        try:
            write(self.journal)
        except StoreError:
            pass

    return later


def needs_no_journal(old: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, write: self.later(write)


def exits_need_the_journal(old: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, write: write(self.journal)


def same_id(old: Callable[..., Any]) -> Callable[..., Any]:
    return lambda bot, key, *parts: old(bot, key, *parts[:-1], 0)


def id_without_book(old: Callable[..., Any]) -> Callable[..., Any]:
    return lambda bot, key, *parts: old(bot, ("one", "book"), *parts)


def everything_is_ours(old: Callable[..., Any]) -> Callable[..., Any]:
    def ours(self: OrderLedger, symbol: str, venue_order_ids: set[str]) -> dict[str, str]:
        known = old(self, symbol, venue_order_ids)
        names = [one.id for one in self.of_symbol(symbol)]
        return {one: known.get(one) or names[-1] for one in venue_order_ids} if names else known

    return ours


# Bugs of requests whose answers never come


def waits_for_the_answer(kind: str) -> Rewritten:
    """Return what has one kind of request be waited for until its answer or its deadline comes."""

    def rewrite(old: Callable[..., Any]) -> Callable[..., Any]:
        async def make(self: RequestsUnderWay, request: Any, orders: Any, answered: Any) -> None:
            if request.cr_code.co_name == kind:
                answered(await request)
            else:
                await old(self, request, orders, answered)

        return make

    return rewrite


async def answered_first(self: Desk, step: Any) -> None:
    """Ask the venue, and let everything wait for its answer."""
    await (self.enquiries.ask(step.order) if hasattr(step, "order") else self.enquiries.sweep())


# Bugs of the venue's limits


def leaves_nothing(*purposes: Purpose) -> Rewritten:
    return lambda old: lambda self, most: 0 if self in purposes else old(self, most)


async def unwound(self: OrderPath, deadline: float) -> list[str]:
    return []


async def durable_at_once(self: JournalGuard) -> None:
    return


async def unlooked(self: Enquiries, orders: Iterable[TrackedOrder]) -> None:
    return


async def unswept(self: Enquiries) -> None:
    self.sweep_wanted = False
    self.sweep_at = self._now() + 500
