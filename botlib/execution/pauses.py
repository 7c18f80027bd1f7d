"""Pauses after refusals: how long a book sends nothing, and when a person is asked to look."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from botlib.core.model import OrderRole, OrderStatus
from botlib.trading.books import BookKey
from botlib.trading.orders import TrackedOrder

if TYPE_CHECKING:
    from botlib.execution.context import Context
    from botlib.execution.desk_books import DeskBook, DeskBooks
    from botlib.execution.sender import Answer

RETRY_FIRST: Final = 1_000
"""Milliseconds until a book sends again after a refusal, at first."""
RETRY_LONGEST: Final = 60_000
REFUSALS: Final = 3
"""Refused sales of a book in a row after which a person is asked to look."""


class Pauses:
    """The pauses of the books of one desk after their orders were refused."""

    def __init__(self, symbol: str, context: Context, books: DeskBooks) -> None:
        self.symbol = symbol
        self._context = context
        self._books = books
        self.retry_at: dict[BookKey, int] = {}
        """Time of the loop (ms) from which a book may send again."""

    def note(self, book: DeskBook, answers: Iterable[Answer]) -> None:
        """Make a book pause after a refusal; after several in a row, halt its symbol."""
        refused = [
            current
            for answer in answers
            if (current := self._books.current(answer.order)).status is OrderStatus.REJECTED
        ]
        if not refused:
            book.refusals = 0
            self.retry_at.pop(book.key, None)
            return
        if refused[0].role is OrderRole.ENTRY or refused[0].retry:
            return
        protects = refused[0].role in (OrderRole.STOP, OrderRole.TARGET)
        follows = book.protection.stop is not None and not self._sold_in_vain(refused[0])
        if protects and follows and not book.refusals:
            return  # The sale in its place comes at once.
        self.pause(book, refused[0])

    def _sold_in_vain(self, order: TrackedOrder) -> bool:
        """Return whether an emergency sale was sent for the position that an order protects."""
        return any(
            one.role is OrderRole.EMERGENCY
            and one.intent.entry == order.intent.entry
            and one.status is not OrderStatus.ABSENT
            and not one.retry
            for one in self._context.ledger.of_symbol(self.symbol)
        )

    def pause(self, book: DeskBook, refused: TrackedOrder) -> None:
        """Have a book send nothing for a while, longer each time; halt after several times."""
        book.refusals += 1
        pause = min(RETRY_FIRST * 2 ** (book.refusals - 1), RETRY_LONGEST)
        self.retry_at[book.key] = self._context.timer() + pause
        if book.refusals >= REFUSALS:
            self._context.halts.add(
                f"{book.key} cannot be sold: {refused.message}",
                source="desk",
                symbol=self.symbol,
            )
