"""Numbered records of the venue: those under way are in memory, the rest is read off the ledger.

As with orders, the newest that are done stay at hand, and none leaves memory before the disk has
it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

from botlib.paper.accounts.archive import LedgerReader

T = TypeVar("T")

KEPT: Final = 256
"""Records of a shelf that are done and stay in memory, those that were done last."""


class RecordCache(Generic[T]):
    """The records of one table of the ledger, by number.

    Args:
        archive: where those are that are not in memory.
        table: the table's name.
        load: reads a record as the table holds it.
        done: tells whether a record will change no more.
    """

    def __init__(
        self,
        archive: LedgerReader,
        table: str,
        load: Callable[[str], T],
        done: Callable[[T], bool] = lambda record: True,
    ) -> None:
        self._archive = archive
        self._table = table
        self._load = load
        self._done = done
        self._under_way: dict[int, T] = {}
        self._finished: dict[int, T] = {}
        """Those that are done, in the order in which they were."""

    def put(self, number: int, record: T) -> None:
        """Keep the state of a record, which the ledger was given before."""
        if self._done(record):
            self._under_way.pop(number, None)
            self._finished[number] = record
        else:
            self._under_way[number] = record

    def trim(self) -> None:
        """Let go of what is done beyond `KEPT`; the disk has it all."""
        while len(self._finished) > KEPT:
            del self._finished[next(iter(self._finished))]

    def get(self, number: int) -> T | None:
        """Return a record, None where there is none of this number."""
        found = self._under_way.get(number) or self._finished.get(number)
        if found is not None:
            return found
        query = f"SELECT body FROM {self._table} WHERE id = ?"
        for (body,) in self._archive.rows(query, (number,)):
            return self._load(str(body))
        return None

    def __getitem__(self, number: int) -> T:
        """Return a record.

        Raises:
            KeyError: there is none of this number.
        """
        found = self.get(number)
        if found is None:
            raise KeyError(number)
        return found

    def under_way(self) -> list[T]:
        """Return those that are not done, the oldest first."""
        return [self._under_way[number] for number in sorted(self._under_way)]

    def values(self) -> Iterator[T]:
        """Yield all there ever were, the oldest first."""
        known = {**self._finished, **self._under_way}
        query = f"SELECT id, body FROM {self._table} ORDER BY id"
        for number, body in self._archive.rows(query, ()):
            assert isinstance(number, int)
            yield known[number] if number in known else self._load(str(body))
