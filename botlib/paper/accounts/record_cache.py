"""Numbered records: active ones stay in memory, finished ones are read from the ledger.

As with orders, the newest finished records stay in memory too, and no record leaves memory before
it is on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Final, Generic, TypeVar

from botlib.paper.accounts.archive import LedgerReader, RecordRange, stored_field

T = TypeVar("T")

MAX_FINISHED: Final = 256
"""Finished records of one cache that stay in memory: the last ones that finished."""


class RecordCache(Generic[T]):
    """The records of one table of the ledger, by number.

    Args:
        reader: reads the records that are not in memory.
        table: name of the table.
        load: parses a stored record.
        done: returns whether a record will not change any more.
    """

    def __init__(
        self,
        reader: LedgerReader,
        table: str,
        load: Callable[[str], T],
        done: Callable[[T], bool] = lambda record: True,
    ) -> None:
        self._reader = reader
        self._table = table
        self._load = load
        self._done = done
        self._active: dict[int, T] = {}
        self._finished: dict[int, T] = {}
        """Finished records in the order in which they finished."""

    def put(self, number: int, record: T) -> None:
        """Store the present state of a record, which the ledger has written before."""
        if self._done(record):
            self._active.pop(number, None)
            self._finished[number] = record
        else:
            self._active[number] = record

    def evict(self) -> None:
        """Drop the finished records beyond `MAX_FINISHED` from memory."""
        while len(self._finished) > MAX_FINISHED:
            del self._finished[next(iter(self._finished))]

    def get(self, number: int) -> T | None:
        """Return a record, None if there is none with this number."""
        found = self._active.get(number) or self._finished.get(number)
        if found is not None:
            return found
        query = f"SELECT body FROM {self._table} WHERE id = ?"
        for (body,) in self._reader.rows(query, (number,)):
            return self._load(str(body))
        return None

    def __getitem__(self, number: int) -> T:
        """Return a record.

        Raises:
            KeyError: there is none with this number.
        """
        found = self.get(number)
        if found is None:
            raise KeyError(number)
        return found

    def select(self, time: str, owner: Mapping[str, object], span: RecordRange) -> list[T]:
        """Return the records of an owner in a range, oldest first.

        Args:
            time: field with the time of a record.
            owner: fields that all of them have in common; an index starts with them.
            span: the range.
        """
        fields = {stored_field(name): value for name, value in owner.items()}
        rows = self._reader.select(self._table, time, fields, span)
        found = [self._load(str(body)) for _, body in islice(rows, span.limit)]
        return found if span.oldest else found[::-1]

    def active(self) -> list[T]:
        """Return the records that are not finished, oldest first."""
        return [self._active[number] for number in sorted(self._active)]

    def values(self) -> Iterator[T]:
        """Yield all records there ever were, oldest first."""
        known = {**self._finished, **self._active}
        query = f"SELECT id, body FROM {self._table} ORDER BY id"
        for number, body in self._reader.rows(query, ()):
            assert isinstance(number, int)
            yield known[number] if number in known else self._load(str(body))
