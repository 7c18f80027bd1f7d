"""Bugs planted into the order path, one at a time: each has to be noticed by the invariants.

A bug replaces one function or method of the kit. `hunt` runs scenarios, crashes and drawn faults
until an invariant is violated, or entries are halted where a sound order path halts nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from botlib.core.errors import StoreError
from botlib.core.model import OrderRole, OrderStatus, Side
from botlib.execution import context as context_module
from botlib.execution import desk as desk_module
from botlib.execution import desk_books as books_module
from botlib.execution import sender as sender_module
from botlib.execution.desk import Desk
from botlib.execution.desk_books import DeskBook, DeskBooks
from botlib.execution.enquiries import Enquiries
from botlib.execution.halts import HaltLatch
from botlib.execution.journal_guard import JournalGuard
from botlib.execution.ledger import OrderLedger
from botlib.execution.order_path import OrderPath
from botlib.execution.pauses import Pauses
from botlib.execution.sender import Answer, OrderSender
from botlib.execution.under_way import RequestsUnderWay
from botlib.store import OrderJournal
from botlib.trading import positions as positions_module
from botlib.trading import protecting as protecting_module
from botlib.trading import sales as sales_module
from botlib.trading import steps as steps_module
from botlib.trading.books import Protection
from botlib.trading.orders import EventKind, OrderEvent, TrackedOrder, transition
from botlib.trading.positions import PositionManager
from botlib.trading.risk import RiskValidator
from botlib.trading.state import Cancel, Halt, Nothing, Place, Replace, Step, TradingState, Wait
from botlib.trading.steps import next_step
from botlib.venues.budget import Purpose, RequestBudget
from tests.support import order_rig as rig_module
from tests.support.hard_scenarios import HARD
from tests.support.order_scenarios import SCENARIOS, Play, play

D = Decimal
Rewritten = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True)
class Bug:
    """A planted bug: what is replaced, and by what."""

    name: str
    where: Any
    attribute: str
    rewrite: Rewritten
    hint: str = ""
    """The scenario that is tried first."""
    more: tuple[tuple[Any, str, Rewritten], ...] = ()

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Have the kit contain the bug."""
        with ExitStack() as stack:
            for where, attribute, rewrite in (
                (self.where, self.attribute, self.rewrite),
                *self.more,
            ):
                old = getattr(where, attribute)
                new = rewrite(old)
                stack.enter_context(patch.object(where, attribute, new))
            yield


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


def _enters_anyway(state: TradingState, found: Step) -> Step:
    waiting = {one.intent.strategy for one in state.orders if one.unclear}
    blind = replace(
        state,
        books=tuple(one for one in state.books if one.key.strategy not in waiting),
        orders=tuple(one for one in state.orders if not one.unclear),
        booked={one.id: one.filled for one in state.orders},
        sweep_wanted=False,
    )
    other = next_step(blind)
    if isinstance(found, Wait) and isinstance(other, Place) and _buys(other):
        return other
    return found


def _buys(found: Place) -> bool:
    return found.intents[0].side is Side.BUY


def _sells_beside_its_stop(state: TradingState, found: Step) -> Step:
    if isinstance(found, Replace) and found.intent.role is OrderRole.EXIT:
        return Place(book=found.book, intents=(found.intent,))
    return found


def _cancels_and_forgets(state: TradingState, found: Step) -> Step:
    """Cancel the stop for an exit although the venue asks to wait."""
    ready = next_step(replace(state, send_at=0, retry_at={}))
    if isinstance(found, Wait) and isinstance(ready, Replace | Cancel):
        return Cancel(order=ready.order, why="too early")
    return found


def _halts_hold_exits(state: TradingState, found: Step) -> Step:
    sells = isinstance(found, Place) and not _buys(found)
    if state.halts and (sells or isinstance(found, Replace | Cancel)):
        return Wait(why="halted", wall=state.wall + 1_000)
    return found


def _ignores_halts(old: Callable[..., Any]) -> Callable[..., Any]:
    return lambda state: old(replace(state, halts=()))


def _cancels_a_selling_stop(state: TradingState, found: Step) -> Step:
    for order in state.orders:
        if order.role is OrderRole.STOP and order.status is OrderStatus.PARTIALLY_FILLED:
            return Cancel(order=order, why="in the way")
    return found


def _no_emergency(state: TradingState, found: Step) -> Step:
    if isinstance(found, Place) and found.intents[0].role is OrderRole.EMERGENCY:
        return Nothing()
    return found


def _no_stop(state: TradingState, found: Step) -> Step:
    if isinstance(found, Place) and found.intents[-1].role is OrderRole.STOP:
        return Nothing()
    return found


def _twice_as_much(state: TradingState, found: Step) -> Step:
    if isinstance(found, Place) and _buys(found):
        (intent,) = found.intents
        return replace(found, intents=(replace(intent, amount=intent.amount * 2),))
    return found


def _halts_for_nothing(state: TradingState, found: Step) -> Step:
    if isinstance(found, Replace) and not state.halts:
        return Halt(reason="it looks odd")
    return found


def _never_asks(old: Callable[..., Any]) -> Callable[..., Any]:
    async def ask(self: Enquiries, order: TrackedOrder) -> None:
        self.ask_at[order.id] = self._now() + 10_000

    return ask


# Bugs of what answers mean


def _cancelled_without_answer(old: Callable[..., Any]) -> Callable[..., Any]:
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


def _lost_is_refused(old: Callable[..., Any]) -> Callable[..., Any]:
    return lambda error: OrderEvent(kind=EventKind.REFUSED, message=str(error), retry=True)


def _patient_about_nothing(old: Callable[..., Any]) -> Callable[..., Any]:
    def answered(self: Desk, book: Any, answers: Any) -> None:
        old(self, book, [replace(one, wait=0.0) for one in answers])

    return answered


def _filled_may_fall(old: Callable[..., Any]) -> Callable[..., Any]:
    def changed(order: TrackedOrder, event: OrderEvent, *, at: int = 0) -> TrackedOrder:
        after = transition(order, event, at=at)
        if event.kind is EventKind.REPORTED and event.filled < after.filled:
            return replace(after, filled=event.filled, conflict="")
        return after

    return changed


def _absent_whatever_was_said(old: Callable[..., Any]) -> Callable[..., Any]:
    def not_found(self: Enquiries, client_order_id: str) -> None:
        order = self._context.ledger.get(client_order_id)
        if order is not None:
            event = OrderEvent(kind=EventKind.ABSENT, message="not there")
            self._books.happened(order, event, "query")

    return not_found


def _forgets_what_was_refused(old: Callable[..., Any]) -> Callable[..., Any]:
    def note(self: Pauses, book: DeskBook, answers: Any) -> None:
        for answer in answers:
            if self._books.current(answer.order).status is OrderStatus.REJECTED:
                self._books.drop(book, "refused", refused=True)

    return note


# Bugs of books and protection


def _restores_nothing(old: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, book: None


def _restores_no_anchor(old: Callable[..., Any]) -> Callable[..., Any]:
    def restore(self: DeskBooks, book: Any) -> None:
        self._books[book.key] = DeskBook(
            key=book.key, want=book.want, protection=book.protection, released=book.released
        )

    return restore


def _stores_no_want(old: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, book, *, now: old(self, replace(book, want=None), now=now)


def _stores_no_protection(old: Callable[..., Any]) -> Callable[..., Any]:
    def save(self: OrderJournal, book: Any, *, now: int) -> None:
        old(self, replace(book, protection=Protection()), now=now)

    return save


def _stop_may_fall(old: Callable[..., Any]) -> Callable[..., Any]:
    def priced(self: Protection, tick: Decimal) -> Protection:
        found = old(self, tick)
        if self.stop is not None and found.stop is not None and found.stop > self.stop:
            return replace(found, stop=self.stop - 1)
        return found  # type: ignore[no-any-return]

    return priced


def _stop_is_too_low(old: Callable[..., Any]) -> Callable[..., Any]:
    def priced(self: Protection, tick: Decimal) -> Protection:
        found = old(self, tick)
        low = None if found.stop is None else (found.stop / 2).quantize(tick)
        return replace(found, stop=low)

    return priced


def _stop_is_too_high(old: Callable[..., Any]) -> Callable[..., Any]:
    def priced(self: Protection, tick: Decimal) -> Protection:
        found = old(self, tick)
        return replace(found, stop=None if found.stop is None else found.stop * 2)

    return priced


def _half(old: Callable[..., Any]) -> Callable[..., Any]:
    return lambda amount, market: old(amount / 2, market)


def _stop_without_target(old: Callable[..., Any]) -> Callable[..., Any]:
    def protecting(*args: Any) -> Any:
        found = old(*args)
        return tuple(replace(one, list_id=None) for one in found if one.role is OrderRole.STOP)

    return protecting


def _whole_symbol(old: Callable[..., Any]) -> Callable[..., Any]:
    def seen(self: Desk, book: DeskBook) -> Any:
        amount = self._context.positions.get(self.symbol).amount
        return replace(old(self, book), amount=amount)

    return seen


def _registers_away(old: Callable[..., Any]) -> Callable[..., Any]:
    def register(self: DeskBooks, key: Any, rules: Any) -> None:
        self.open(key).protection = Protection(rules=rules)

    return register


# Bugs of the journal


def _forgets_failed_writes(old: Callable[..., Any]) -> Callable[..., Any]:
    def later(self: JournalGuard, write: Any) -> None:
        try:
            write(self.journal)
        except StoreError:
            pass

    return later


def _needs_no_journal(old: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, write: self.later(write)


def _exits_need_the_journal(old: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, write: write(self.journal)


def _same_id(old: Callable[..., Any]) -> Callable[..., Any]:
    return lambda bot, key, *parts: old(bot, key, *parts[:-1], 0)


def _id_without_book(old: Callable[..., Any]) -> Callable[..., Any]:
    return lambda bot, key, *parts: old(bot, ("one", "book"), *parts)


def _everything_is_ours(old: Callable[..., Any]) -> Callable[..., Any]:
    def ours(self: OrderLedger, symbol: str, venue_order_ids: set[str]) -> dict[str, str]:
        known = old(self, symbol, venue_order_ids)
        names = [one.id for one in self.of_symbol(symbol)]
        return {one: known.get(one) or names[-1] for one in venue_order_ids} if names else known

    return ours


# Bugs of requests whose answers never come


def _waits_for_the_answer(kind: str) -> Rewritten:
    """Return what has one kind of request be waited for until its answer or its deadline comes."""

    def rewrite(old: Callable[..., Any]) -> Callable[..., Any]:
        async def make(self: RequestsUnderWay, request: Any, orders: Any, answered: Any) -> None:
            if request.cr_code.co_name == kind:
                answered(await request)
            else:
                await old(self, request, orders, answered)

        return make

    return rewrite


# Bugs of the venue's limits


def _leaves_nothing(*purposes: Purpose) -> Rewritten:
    return lambda old: lambda self, most: 0 if self in purposes else old(self, most)


async def _unwound(self: OrderPath, deadline: float) -> list[str]:
    return []


async def _durable_at_once(self: JournalGuard) -> None:
    return


async def _unlooked(self: Enquiries, orders: Iterable[TrackedOrder]) -> None:
    return


async def _unswept(self: Enquiries) -> None:
    self.sweep_wanted = False
    self.sweep_at = self._now() + 500


BUGS: Final = (
    Bug(
        "an entry while an outcome is not known",
        desk_module,
        "next_step",
        step(_enters_anyway),
        "lost entry",
    ),
    Bug("an exit beside its resting stop", desk_module, "next_step", step(_sells_beside_its_stop)),
    Bug(
        "a stop cancelled while the sale cannot follow",
        desk_module,
        "next_step",
        step(_cancels_and_forgets),
        "busy venue",
    ),
    Bug("halts that hold exits", desk_module, "next_step", step(_halts_hold_exits), "halted"),
    Bug(
        "halts that entries ignore",
        desk_module,
        "next_step",
        _ignores_halts,
        "halted",
        more=((HaltLatch, "reasons", constant(())),),
    ),
    Bug("halts that a restart forgets", OrderJournal, "halts", constant([]), "halted"),
    Bug("halts without a cause", desk_module, "next_step", step(_halts_for_nothing)),
    Bug(
        "a stop cancelled while it sells",
        desk_module,
        "next_step",
        step(_cancels_a_selling_stop),
        "selling stop",
    ),
    Bug(
        "no sale of what cannot be protected",
        desk_module,
        "next_step",
        step(_no_emergency),
        "refused stop",
    ),
    Bug("no stop at all", desk_module, "next_step", step(_no_stop)),
    Bug("an entry of twice the amount", desk_module, "next_step", step(_twice_as_much)),
    Bug("an unknown order that is never asked about", Enquiries, "ask", _never_asks),
    Bug("a lost answer taken as a refusal", sender_module, "_lost", _lost_is_refused),
    Bug(
        "a lost cancellation taken as done",
        sender_module,
        "_cancelled",
        _cancelled_without_answer,
        "lost cancels",
    ),
    Bug("an order absent after one read", rig_module, "FENCE", lambda old: 0, "lost answers"),  # type: ignore[arg-type,return-value]
    Bug(
        "an acknowledged order declared absent",
        Enquiries,
        "not_found",
        _absent_whatever_was_said,
        "lagging reads",
    ),
    Bug("a request to wait ignored", Desk, "_answered", _patient_about_nothing, "busy venue"),
    Bug(
        "a cancellation whose answer is waited for",
        RequestsUnderWay,
        "make",
        _waits_for_the_answer("cancel"),
        "silent cancel",
    ),
    Bug(
        "a replacement whose answer is waited for",
        RequestsUnderWay,
        "make",
        _waits_for_the_answer("replace"),
        "silent replacement",
    ),
    Bug("no question beside a request", Enquiries, "look", lambda old: _unlooked, "silent cancel"),
    Bug(
        "entries before the exits that waited",
        context_module,
        "EXITS_FIRST",
        lambda old: 0.0,  # type: ignore[arg-type,return-value]
        "waiting crowd",
    ),
    Bug(
        "entries that use what is kept for exits",
        Purpose,
        "leaves",
        _leaves_nothing(Purpose.ENTRY),
        "near limits",
    ),
    Bug(
        "entries that keep no room for their stops",
        RequestBudget,
        "claim",
        nothing,
        "near limits",
    ),
    Bug(
        "routine questions that use what is kept for exits",
        Purpose,
        "leaves",
        _leaves_nothing(Purpose.READ, Purpose.CHECK),
        "near limits",
    ),
    Bug(
        "a filled amount that falls",
        books_module,
        "transition",
        _filled_may_fall,
        "lost answers",
    ),
    Bug(
        "an exit forgotten when it is refused",
        Pauses,
        "note",
        _forgets_what_was_refused,
        "busy venue",
    ),
    Bug(
        "a refused sale repeated without a pause",
        Pauses,
        "pause",
        nothing,
        "refusing venue",
    ),
    Bug("books that a restart forgets", DeskBooks, "restore", _restores_nothing),
    Bug("a fill whose protection a crash forgets", DeskBooks, "restore", _restores_no_anchor),
    Bug("wants that are not written down", OrderJournal, "save_book", _stores_no_want),
    Bug("protection that is not written down", OrderJournal, "save_book", _stores_no_protection),
    Bug("protection that a registration resets", DeskBooks, "register", _registers_away),
    Bug("a trailing stop that falls", Protection, "priced", _stop_may_fall),
    Bug("a stop far too low", Protection, "priced", _stop_is_too_low),
    Bug("a stop above the price", Protection, "priced", _stop_is_too_high),
    Bug("a trailing stop that never moves", DeskBooks, "raise_high", nothing),
    Bug("a stop for half of the position", protecting_module, "sellable", _half),
    Bug("a target that is left out", protecting_module, "_protecting", _stop_without_target),
    Bug(
        "a strategy that sells another's position",
        Desk,
        "_seen",
        _whole_symbol,
        "two on one symbol",
    ),
    Bug("a fill counted twice", PositionManager, "knows", constant(False)),
    Bug("fees that are not taken off", positions_module, "base_fee", constant(D(0))),
    Bug("the trades of others booked as ours", OrderLedger, "ours", _everything_is_ours),
    Bug("fills that are not swept", Enquiries, "sweep_now", lambda old: _unswept, "silent stream"),
    Bug("fills that are not written down", OrderJournal, "save_fills", constant([])),
    Bug("orders that are sent before they are written", OrderJournal, "record_intents", nothing),
    Bug("events that are not written down", OrderJournal, "record", nothing),
    Bug("failed writes that are forgotten", JournalGuard, "later", _forgets_failed_writes),
    Bug(
        "an entry without its journal",
        JournalGuard,
        "must",
        _needs_no_journal,
        more=((JournalGuard, "durable", lambda old: _durable_at_once),),
    ),
    Bug("an exit that waits for its journal", JournalGuard, "later", _exits_need_the_journal),
    Bug(
        "client order ids without a number",
        sales_module,
        "client_order_id",
        _same_id,
        more=((steps_module, "client_order_id", _same_id),),
    ),
    Bug(
        "client order ids without their book",
        steps_module,
        "client_order_id",
        _id_without_book,
    ),
    Bug("caps that are ignored", RiskValidator, "check", nothing, "caps"),
    Bug(
        "caps that do not count what is under way",
        sender_module,
        "exposure_of",
        lambda old: lambda held, orders, *others: old(held, (), *others),
        "caps",
    ),
    Bug(
        "an order sent without being judged",
        OrderSender,
        "_judge",
        nothing,
        "caps",
    ),
    Bug(
        "an orderly stop that waits for nothing",
        OrderPath,
        "wind_down",
        lambda old: _unwound,
        "stopped",
    ),
)
"""Every bug is one that somebody could write: each has to be caught."""


WRITTEN: Final = 16
"""Writes of the scenario of an entry and an exit."""

HALTING: Final = ("halted", "refusing venue")
"""Scenarios at whose end entries are rightly halted."""

QUICK: Final = 20
"""Seeds of faults that are tried before the crashes, which take longer."""


def expected(found: Play, scenario: str) -> bool:
    """Return whether a run is what a sound order path does."""
    return not found.violations and (not found.halts or scenario in HALTING)


def hunt(bug: Bug, *, seeds: int = 60) -> str:
    """Return where a planted bug was caught and by what, "" if it was not.

    Scenarios come first, then crashes at every moment of them, then drawn faults.
    """
    everything = {**SCENARIOS, **HARD}
    names = sorted(everything, key=lambda name: name != bug.hint)
    with bug.planted(), tempfile.TemporaryDirectory(dir=_memory()) as directory:
        number = iter(range(1_000_000))

        def place() -> Path:
            path = Path(directory) / str(next(number))
            path.mkdir()
            return path

        def faulty(seed: int) -> Play:
            steps = list(SCENARIOS.values())[seed % 3]()
            return play(place(), steps, seed=seed, partial=1 + seed % 2)

        for name in names:
            found = play(place(), everything[name]())
            if not expected(found, name):
                return f"{name}: {_first(found)}"
        for seed in range(QUICK):
            found = faulty(seed)
            if found.violations:
                return f"faults of seed {seed}: {_first(found)}"
        for write in range(WRITTEN):
            found = play(place(), SCENARIOS["entry and exit"](), full_disk=(write, 3))
            if not expected(found, "entry and exit"):
                return f"full disk at write {write}: {_first(found)}"
        for name in ("entry and exit", "trailing stop and target"):
            for moment in range(len(play(place(), everything[name]()).moments)):
                found = play(place(), everything[name](), crash_at=moment)
                if not expected(found, name):
                    return f"{name}, crash at {found.crashed_at}: {_first(found)}"
        for seed in range(QUICK, seeds):
            found = faulty(seed)
            if found.violations:
                return f"faults of seed {seed}: {_first(found)}"
    return ""


def _first(found: Play) -> str:
    return next(iter([*found.violations, *found.halts]))


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
