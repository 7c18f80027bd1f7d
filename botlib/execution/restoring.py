"""What a start finds in the journal: orders, fills, books, and symbols that are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from botlib.core.errors import NotAStore, UnknownSymbol
from botlib.store.database import FROM_THE_VENUE
from botlib.trading.books import BookKey

if TYPE_CHECKING:
    from botlib.core.model import Fill
    from botlib.execution.context import Context
    from botlib.execution.journal_guard import JournalGuard
    from botlib.store.journal import StoredBook
    from botlib.trading.orders import TrackedOrder


COMPARED: Final = "compared_orders"
"""Name of the state with the newest event that the last start compared with the orders."""


def read_journal(guard: JournalGuard) -> tuple[list[str], list[TrackedOrder], list[Fill]]:
    """Return what was wrong with the table of orders, all orders, and all fills.

    Raises:
        NotAStore: the journal cannot be read.
    """
    journal = guard.journal
    try:
        newest, compared = journal.newest_event(), int(journal.get_state(COMPARED) or 0)
        problems = journal.differences(compared)
        if problems:
            journal.rebuild()
        if newest != compared:
            guard.later(lambda journal: journal.set_state(COMPARED, newest))
        journal.books()
        return problems, journal.tracked(), journal.fills()
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise NotAStore(
            f"The journal of orders cannot be read ({error!r}). {FROM_THE_VENUE}"
        ) from error


def stored_books(context: Context) -> tuple[dict[BookKey, StoredBook], set[BookKey]]:
    """Return the books of the journal, and the keys of those that hold anything."""
    stored = {book.key: book for book in context.journal.journal.books()}
    held = {
        BookKey(strategy, position.symbol)
        for position in context.positions.all()
        for strategy, book in context.positions.books(position.symbol).items()
        if book.amount > 0
    }
    return stored, held


def is_listed(context: Context, symbol: str) -> bool:
    """Return whether the venue lists a symbol; entries of one that it does not are halted."""
    try:
        context.market(symbol)
    except UnknownSymbol:
        amount = context.positions.get(symbol).amount
        context.halts.add(
            f"{symbol} is not listed by the venue any more; {amount} of it are in the journal",
            source="start",
            symbol=symbol,
        )
        return False
    return True
