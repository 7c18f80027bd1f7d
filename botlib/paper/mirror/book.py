"""The mirrored order book of one symbol: the best levels of the venue, less what accounts took."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import orjson

from botlib.paper.market.book import Level, PaperBook
from botlib.paper.mirror.requests import UNREADABLE

if TYPE_CHECKING:
    from botlib.paper.market.feed import Feed

LEVELS: Final = 20
"""Levels a side of the mirrored book; beyond them nothing is traded."""

_ZERO: Final = Decimal(0)


class MirrorBook(PaperBook):
    """The order book of a mirrored symbol.

    A frame is read when somebody looks at the book, since nearly all of them are replaced unread.

    Args:
        feed: the symbol.
        walked: whether orders trade with its levels; otherwise any amount fills at one price.
        slippage: fraction by which takers fill worse than the price, if the book is not walked.
        unreadable: is called with a name and an error for a book in another form.
    """

    def __init__(
        self,
        feed: Feed,
        *,
        walked: bool,
        slippage: Decimal,
        unreadable: Callable[[str, Exception], None],
    ) -> None:
        super().__init__(feed, None, slippage)
        self._walked = walked
        self._unreadable = unreadable
        self._name = f"the book of {feed.id}"
        self._raw: bytes | None = None
        self._sides: tuple[list[Level], list[Level]] = ([], [])
        self._number = self._changes = 0

    @property
    def deep(self) -> bool:
        """Whether any amount fills at one price."""
        return not self._walked

    @property
    def known(self) -> bool:
        """Whether the venue's book has been seen."""
        return self._raw is not None or bool(self._number)

    def show(self, payload: bytes) -> None:
        """Show a partial book, as the venue answers or sends it."""
        self._raw = payload

    def forget(self) -> None:
        """Forget the book, which has become old."""
        self._raw, self._sides, self._number = None, ([], []), 0

    @property
    def update_id(self) -> int:
        """The venue's number of the present state."""
        self._refresh()
        return self._number

    def levels(self, *, up: bool) -> Iterator[Level]:
        """Yield the asks (``up``) or bids of the venue, less what accounts took of them."""
        self._refresh()
        for price, amount in self._sides[up]:
            left = amount - self._taken.get(price, _ZERO)
            if left > 0:
                yield price, left

    def at(self, price: Decimal, *, up: bool) -> Decimal:
        """Return the amount that stands at a price, ahead of a new order.

        Behind the last mirrored level the amount is not known: that of the last level stands for
        it.
        """
        if self.deep:
            return _ZERO
        amount = _ZERO
        for level, amount in self.levels(up=up):
            if level == price:
                return amount
            if level > price if up else level < price:
                return _ZERO
        return amount

    def orders_changed(self) -> None:
        """Count a change of the accounts' orders, of which the venue's book shows nothing."""
        self._changes += 1

    def _refresh(self) -> None:
        if self._raw is None:
            return
        raw, self._raw = self._raw, None
        try:
            seen: dict[str, Any] = orjson.loads(raw)
            number = int(seen["lastUpdateId"])
            sides = (_levels(seen["bids"]), _levels(seen["asks"]))
        except UNREADABLE as error:
            self._unreadable(self._name, error)
            return
        self._number, self._sides = number, sides
        self._taken.clear()


def _levels(rows: list[list[str]]) -> list[Level]:
    return [(Decimal(price), Decimal(amount)) for price, amount, *_ in rows]
