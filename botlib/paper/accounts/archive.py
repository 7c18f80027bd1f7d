"""The orders and trades of an account: what is open is in memory, the rest is read off the ledger.

A year of trading takes no more memory than a day: besides what is open, only the newest finished
orders are kept, and no trades. The ledger's own connection reads at once what it was given; where
the disk does not take that after all, everything is read again. An order leaves memory only after
the disk has it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final, NamedTuple

from botlib.core.errors import PaperExchangeError
from botlib.paper.accounts.orders import PaperOrder, PaperTrade

KEPT: Final = 256
"""Finished orders of an account that stay in memory, those that finished last."""

_CLIENT_ID: Final = "CASE WHEN json_valid(body) THEN json_extract(body, '$.client_order_id') END"

INDEXES: Final = f"""
CREATE INDEX IF NOT EXISTS orders_by_client ON orders ({_CLIENT_ID});
CREATE INDEX IF NOT EXISTS trades_by_order ON trades (order_id);
"""
"""What orders and trades are found by, besides their own ids."""

_Values = tuple[object, ...]


class RecordRange(NamedTuple):
    """Which rows are asked for: from an id on, and between two times (ms), both included.

    Attributes:
        limit: how many at most: the first ones where ``oldest`` is set, the last ones otherwise.
    """

    first: int | None = None
    start: int | None = None
    end: int | None = None
    limit: int | None = None
    oldest: bool = True

    def where(self, time: str) -> tuple[str, _Values]:
        """Return the conditions of a query and their values.

        Args:
            time: the name of the record's time.
        """
        # The value is read out of the record only where somebody asks for a time.
        moment = f"json_extract(body, '$.{time}')"
        conditions = {
            "id >= ?": self.first,
            f"{moment} >= ?": self.start,
            f"{moment} <= ?": self.end,
        }
        asked = {text: value for text, value in conditions.items() if value is not None}
        return "".join(f" AND {text}" for text in asked), tuple(asked.values())


class LedgerReader:
    """Reads the orders and trades that a ledger was given.

    Args:
        connection: the ledger's own, so that what it has just written is seen.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, query: str, values: _Values) -> Iterator[_Values]:
        """Yield the rows of a query.

        Raises:
            PaperExchangeError: the disk does not give them.
        """
        try:
            yield from self._connection.execute(query, values)
        except sqlite3.Error as error:
            raise PaperExchangeError(
                f"The paper ledger cannot be read: {error}. Check the disk it is on."
            ) from error


class OrderArchive(Mapping[int, PaperOrder]):
    """The orders of one account by id, the oldest first.

    Args:
        archive: where those that are not in memory are.
        account: the account's name.
    """

    def __init__(self, archive: LedgerReader, account: str) -> None:
        self._archive = archive
        self._account = account
        self._known: dict[int, PaperOrder | None] = {}
        """What is in memory; None hides an order that the archive has."""
        self._open: dict[str, dict[int, None]] = {}
        self._finished: dict[int, None] = {}
        """Finished orders in memory, those that finished first before the others."""
        self._gone = 0
        """The highest id of an order that left memory: whatever is newer is in memory."""
        self._left = 0
        """How many have left memory."""

    def put(self, order: PaperOrder) -> None:
        """Keep the state of an order, which the ledger was given before."""
        self._known[order.order_id] = order
        waiting = self._open.setdefault(order.symbol, {})
        if order.open:
            waiting[order.order_id] = None
        else:
            waiting.pop(order.order_id, None)
            self._finished[order.order_id] = None

    def trim(self) -> None:
        """Let go of the finished orders beyond `KEPT`; the disk has them all."""
        while len(self._finished) > KEPT:
            number = next(iter(self._finished))
            del self._finished[number], self._known[number]
            self._gone = max(self._gone, number)
            self._left += 1

    def before(self, changed: Mapping[int, PaperOrder | None]) -> OrderArchive:
        """Return the orders as they were before changes.

        Args:
            changed: the former states of orders that are there now, None where there was none.
        """
        found = OrderArchive(self._archive, self._account)
        known = {**self._known, **changed}
        for number in sorted(known):
            order = known[number]
            if order is None:
                found._known[number] = None
            else:
                found.put(order)
        found._gone = self._gone
        found._left = self._left - len(changed.keys() - self._known.keys())
        return found

    # -- one

    def __getitem__(self, number: int) -> PaperOrder:
        """Return an order by its id."""
        if number in self._known or number > self._gone:
            found = self._known.get(number)
        else:
            found = self._read(number)
        if found is None:
            raise KeyError(number)
        return found

    def _read(self, number: int) -> PaperOrder | None:
        query = "SELECT body FROM orders WHERE id = ? AND account = ?"
        for (body,) in self._archive.rows(query, (number, self._account)):
            return PaperOrder.load(str(body))
        return None

    def named(self, symbol: str, client_order_id: str) -> PaperOrder | None:
        """Return the newest order of a symbol (by id) with a client id."""
        query = (
            f"SELECT id, body FROM orders WHERE {_CLIENT_ID} = ? AND account = ? AND symbol = ? "
            "ORDER BY id DESC"
        )
        rows = self._archive.rows(query, (client_order_id, self._account, symbol))
        left = (PaperOrder.load(str(body)) for number, body in rows if number not in self._known)
        found = [
            order
            for order in self._known.values()
            if order is not None
            if (order.symbol, order.client_order_id) == (symbol, client_order_id)
        ]
        found += islice(left, 1)
        return max(found, key=lambda order: order.order_id, default=None)

    # -- several

    def open(self, symbol: str | None = None) -> list[PaperOrder]:
        """Return the open orders, of one symbol (by id) or all, the oldest first."""
        if symbol is not None:
            return [self[number] for number in self._open.get(symbol, ())]
        return [self[number] for number in sorted(n for ns in self._open.values() for n in ns)]

    def select(self, symbol: str | None, span: RecordRange) -> list[PaperOrder]:
        """Return the orders made in a span, of one symbol (by id) or all, the oldest first."""
        where, values = span.where("created")
        if symbol is not None:
            where, values = f" AND symbol = ?{where}", (symbol, *values)
        turn = "ASC" if span.oldest else "DESC"
        query = f"SELECT id, body FROM orders WHERE account = ?{where} ORDER BY id {turn}"
        rows = self._archive.rows(query, (self._account, *values))
        found = list(islice(self._as_known(rows), span.limit))
        return found if span.oldest else found[::-1]

    def _as_known(self, rows: Iterator[_Values]) -> Iterator[PaperOrder]:
        for number, body in rows:
            assert isinstance(number, int)
            known = number in self._known
            order = self._known[number] if known else PaperOrder.load(str(body))
            if order is not None:
                yield order

    @property
    def updated(self) -> int:
        """When one of them changed last, in market time (ms); 0 where there is none."""
        times = [order.updated for order in self._known.values() if order is not None]
        if self._left:
            query = "SELECT id, json_extract(body, '$.updated') FROM orders WHERE account = ?"
            rows = self._archive.rows(query, (self._account,))
            times += [int(str(time)) for number, time in rows if number not in self._known]
        return max(times, default=0)

    def __iter__(self) -> Iterator[int]:
        """Yield the ids, the oldest first."""
        query = "SELECT id FROM orders WHERE account = ? AND id <= ?"
        rows = self._archive.rows(query, (self._account, self._gone))
        left = {int(str(number)) for (number,) in rows} - self._known.keys()
        yield from sorted(left.union(n for n, order in self._known.items() if order is not None))

    def __len__(self) -> int:
        """Return how many there are, in memory or not."""
        return self._left + sum(order is not None for order in self._known.values())


class TradeArchive(Mapping[str, list[PaperTrade]]):
    """The trades of one account by symbol (by id), in order; none of them is in memory.

    Args:
        archive: where they are.
        account: the account's name.
        until: the market time (ms) of the last ones, None for all.
    """

    def __init__(self, archive: LedgerReader, account: str, until: int | None = None) -> None:
        self._archive = archive
        self._account = account
        self._until = until
        self.count = 0
        """How many there are by now."""

    def before(self, time: int) -> TradeArchive:
        """Return the trades as they were at a market time (ms)."""
        return TradeArchive(self._archive, self._account, time)

    def select(
        self, symbol: str, span: RecordRange, order_id: int | None = None
    ) -> list[PaperTrade]:
        """Return the trades of a symbol (by id) in a span, of one order or all."""
        if self._until is not None:
            end = self._until if span.end is None else min(span.end, self._until)
            span = span._replace(end=end)
        where, values = span.where("time")
        if order_id is not None:
            where, values = f" AND order_id = ?{where}", (order_id, *values)
        turn = "ASC" if span.oldest else "DESC"
        query = (
            f"SELECT body FROM trades WHERE account = ? AND symbol = ?{where} "
            f"ORDER BY id {turn}, order_id {turn} LIMIT ?"
        )
        limit = -1 if span.limit is None else span.limit
        rows = self._archive.rows(query, (self._account, symbol, *values, limit))
        found = [PaperTrade.load(str(body)) for (body,) in rows]
        return found if span.oldest else found[::-1]

    def __getitem__(self, symbol: str) -> list[PaperTrade]:
        """Return all trades of a symbol (by id)."""
        found = self.select(symbol, RecordRange())
        if not found:
            raise KeyError(symbol)
        return found

    def __iter__(self) -> Iterator[str]:
        """Yield the symbols that were traded, by their ids."""
        query = "SELECT DISTINCT symbol FROM trades WHERE account = ? ORDER BY symbol"
        for (symbol,) in self._archive.rows(query, (self._account,)):
            if self._until is None or self.select(str(symbol), RecordRange(limit=1)):
                yield str(symbol)

    def __len__(self) -> int:
        """Return how many symbols were traded."""
        return sum(1 for _ in self)
