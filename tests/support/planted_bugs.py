"""Bugs planted into the order path, one at a time: each has to be noticed by the invariants.

A bug replaces one function or method of the kit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from unittest.mock import patch

from botlib.execution import context as context_module
from botlib.execution import desk as desk_module
from botlib.execution import desk_books as books_module
from botlib.execution import sender as sender_module
from botlib.execution.desk import Desk
from botlib.execution.desk_books import DeskBooks
from botlib.execution.enquiries import Enquiries
from botlib.execution.halts import HaltLatch
from botlib.execution.journal_guard import JournalGuard
from botlib.execution.ledger import OrderLedger
from botlib.execution.order_path import OrderPath
from botlib.execution.pauses import Pauses
from botlib.execution.sender import OrderSender
from botlib.execution.under_way import RequestsUnderWay
from botlib.store import OrderJournal
from botlib.trading import positions as positions_module
from botlib.trading import protecting as protecting_module
from botlib.trading import sales as sales_module
from botlib.trading import steps as steps_module
from botlib.trading.books import Protection
from botlib.trading.positions import PositionManager
from botlib.trading.risk import RiskValidator
from botlib.venues.budget import Purpose, RequestBudget
from tests.support import bug_rewrites as rewrites
from tests.support import order_rig as rig_module
from tests.support.bug_rewrites import Rewritten

D = Decimal


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


BUGS: Final = (
    Bug(
        "an entry while an outcome is not known",
        desk_module,
        "next_step",
        rewrites.step(rewrites.enters_anyway),
        "lost entry",
    ),
    Bug(
        "an exit beside its resting stop",
        desk_module,
        "next_step",
        rewrites.step(rewrites.sells_beside_its_stop),
    ),
    Bug(
        "a stop cancelled while the sale cannot follow",
        desk_module,
        "next_step",
        rewrites.step(rewrites.cancels_and_forgets),
        "busy venue",
    ),
    Bug(
        "halts that hold exits",
        desk_module,
        "next_step",
        rewrites.step(rewrites.halts_hold_exits),
        "halted",
    ),
    Bug(
        "halts that entries ignore",
        desk_module,
        "next_step",
        rewrites.ignores_halts,
        "halted",
        more=((HaltLatch, "reasons", rewrites.constant(())),),
    ),
    Bug("halts that a restart forgets", OrderJournal, "halts", rewrites.constant([]), "halted"),
    Bug(
        "halts without a cause", desk_module, "next_step", rewrites.step(rewrites.halts_for_nothing)
    ),
    Bug(
        "a stop cancelled while it sells",
        desk_module,
        "next_step",
        rewrites.step(rewrites.cancels_a_selling_stop),
        "selling stop",
    ),
    Bug(
        "no sale of what cannot be protected",
        desk_module,
        "next_step",
        rewrites.step(rewrites.no_emergency),
        "refused stop",
    ),
    Bug("no stop at all", desk_module, "next_step", rewrites.step(rewrites.no_stop)),
    Bug(
        "an entry of twice the amount",
        desk_module,
        "next_step",
        rewrites.step(rewrites.twice_as_much),
    ),
    Bug("an unknown order that is never asked about", Enquiries, "ask", rewrites.never_asks),
    Bug("a lost answer taken as a refusal", sender_module, "_lost", rewrites.lost_is_refused),
    Bug(
        "a lost cancellation taken as done",
        sender_module,
        "_cancelled",
        rewrites.cancelled_without_answer,
        "lost cancels",
    ),
    Bug("an order absent after one read", rig_module, "FENCE", lambda old: 0, "lost answers"),  # type: ignore[arg-type,return-value]
    Bug(
        "an acknowledged order declared absent",
        Enquiries,
        "not_found",
        rewrites.absent_whatever_was_said,
        "lagging reads",
    ),
    Bug(
        "a request to wait ignored", Desk, "_answered", rewrites.patient_about_nothing, "busy venue"
    ),
    Bug(
        "an exit that waits for a routine question",
        Desk,
        "_ask",
        lambda old: rewrites.answered_first,
        "stalled questions",
    ),
    Bug(
        "a cancellation whose answer is waited for",
        RequestsUnderWay,
        "make",
        rewrites.waits_for_the_answer("cancel"),
        "silent cancel",
    ),
    Bug(
        "a replacement whose answer is waited for",
        RequestsUnderWay,
        "make",
        rewrites.waits_for_the_answer("replace"),
        "silent replacement",
    ),
    Bug(
        "no question beside a request",
        Enquiries,
        "look",
        lambda old: rewrites.unlooked,
        "silent cancel",
    ),
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
        rewrites.leaves_nothing(Purpose.ENTRY),
        "near limits",
    ),
    Bug(
        "entries that keep no room for their stops",
        RequestBudget,
        "claim",
        rewrites.nothing,
        "near limits",
    ),
    Bug(
        "routine questions that use what is kept for exits",
        Purpose,
        "leaves",
        rewrites.leaves_nothing(Purpose.READ, Purpose.CHECK),
        "near limits",
    ),
    Bug(
        "a filled amount that falls",
        books_module,
        "transition",
        rewrites.filled_may_fall,
        "old reports",
    ),
    Bug(
        "an exit forgotten when it is refused",
        Pauses,
        "note",
        rewrites.forgets_what_was_refused,
        "busy venue",
    ),
    Bug(
        "a refused sale repeated without a pause",
        Pauses,
        "pause",
        rewrites.nothing,
        "refusing venue",
    ),
    Bug("books that a restart forgets", DeskBooks, "restore", rewrites.restores_nothing),
    Bug(
        "a fill whose protection a crash forgets", DeskBooks, "restore", rewrites.restores_no_anchor
    ),
    Bug("wants that are not written down", OrderJournal, "save_book", rewrites.stores_no_want),
    Bug(
        "protection that is not written down",
        OrderJournal,
        "save_book",
        rewrites.stores_no_protection,
    ),
    Bug("protection that a registration resets", DeskBooks, "register", rewrites.registers_away),
    Bug("a trailing stop that falls", Protection, "priced", rewrites.stop_may_fall),
    Bug("a stop far too low", Protection, "priced", rewrites.stop_is_too_low),
    Bug("a stop above the price", Protection, "priced", rewrites.stop_is_too_high),
    Bug("a trailing stop that never moves", DeskBooks, "raise_high", rewrites.nothing),
    Bug("a stop for half of the position", protecting_module, "sellable", rewrites.half),
    Bug(
        "a target that is left out", protecting_module, "_protecting", rewrites.stop_without_target
    ),
    Bug(
        "a strategy that sells another's position",
        Desk,
        "_seen",
        rewrites.whole_symbol,
        "two on one symbol",
    ),
    Bug("a fill counted twice", PositionManager, "knows", rewrites.constant(False)),
    Bug("fees that are not taken off", positions_module, "base_fee", rewrites.constant(D(0))),
    Bug("the trades of others booked as ours", OrderLedger, "ours", rewrites.everything_is_ours),
    Bug(
        "fills that are not swept",
        Enquiries,
        "sweep_now",
        lambda old: rewrites.unswept,
        "silent stream",
    ),
    Bug("fills that are not written down", OrderJournal, "save_fills", rewrites.constant([])),
    Bug(
        "orders that are sent before they are written",
        OrderJournal,
        "record_intents",
        rewrites.nothing,
    ),
    Bug("events that are not written down", OrderJournal, "record", rewrites.nothing),
    Bug("failed writes that are forgotten", JournalGuard, "later", rewrites.forgets_failed_writes),
    Bug(
        "an entry without its journal",
        JournalGuard,
        "must",
        rewrites.needs_no_journal,
        more=((JournalGuard, "durable", lambda old: rewrites.durable_at_once),),
    ),
    Bug(
        "an exit that waits for its journal", JournalGuard, "later", rewrites.exits_need_the_journal
    ),
    Bug(
        "client order ids without a number",
        sales_module,
        "client_order_id",
        rewrites.same_id,
        more=((steps_module, "client_order_id", rewrites.same_id),),
    ),
    Bug(
        "client order ids without their book",
        steps_module,
        "client_order_id",
        rewrites.id_without_book,
    ),
    Bug("caps that are ignored", RiskValidator, "check", rewrites.nothing, "caps"),
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
        rewrites.nothing,
        "caps",
    ),
    Bug(
        "an orderly stop that waits for nothing",
        OrderPath,
        "wind_down",
        lambda old: rewrites.unwound,
        "stopped",
    ),
)
"""Every bug is one that somebody could write: each has to be caught."""
