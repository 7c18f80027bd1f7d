"""The orders and trades of an account: open orders are in memory, the rest is read from the ledger.

A year of trading needs no more memory than a day: besides open orders, only the newest finished
orders stay in memory, and no trades. The ledger's own connection sees what it has written but not
yet committed. If the commit fails, everything is loaded again. An order leaves memory only after it
is on disk.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Final, NamedTuple

from botlib.core.errors import PaperExchangeError
from botlib.paper.accounts.orders import PaperOrder, PaperTrade

MAX_FINISHED_ORDERS: Final = 256
"""Finished orders of an account that stay in memory: the last ones that finished."""


def stored_field(name: str) -> str:
    """Return a field of a stored record as SQL; indexes contain the same text."""
    return f"CASE WHEN json_valid(body) THEN json_extract(body, '$.{name}') END"


_CLIENT_ID: Final = stored_field("client_order_id")

INDEXES: Final = f"""
CREATE INDEX IF NOT EXISTS orders_by_client ON orders ({_CLIENT_ID});
CREATE INDEX IF NOT EXISTS orders_by_time ON orders (account, symbol, {stored_field("created")});
CREATE INDEX IF NOT EXISTS trades_by_order ON trades (order_id);
CREATE INDEX IF NOT EXISTS trades_by_time ON trades (account, symbol, {stored_field("time")});
CREATE INDEX IF NOT EXISTS lists_by_time
    ON lists ({stored_field("account")}, {stored_field("created")});
CREATE INDEX IF NOT EXISTS lists_by_client ON lists ({stored_field("client_id")});
CREATE INDEX IF NOT EXISTS prevented_by_taker
    ON prevented ({stored_field("taker_id")}, {stored_field("time")});
CREATE INDEX IF NOT EXISTS prevented_by_maker
    ON prevented ({stored_field("maker_id")}, {stored_field("time")});
"""
"""Indexes by which records are found, besides their own ids."""

_Values = tuple[object, ...]


class RecordRange(NamedTuple):
    """A range of records.

    Attributes:
        first: lowest id, None for any.
        start: earliest time (ms), included.
        end: latest time (ms), included.
        limit: maximum number of records, None for all.
        oldest: whether a limit keeps the oldest records of the range, or the newest.
    """

    first: int | None = None
    start: int | None = None
    end: int | None = None
    limit: int | None = None
    oldest: bool = True


class LedgerReader:
    """Reader of the records of a ledger.

    Args:
        connection: the ledger's own connection, which sees rows that are not yet committed.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, query: str, values: _Values) -> Iterator[_Values]:
        """Yield the rows of a query.

        Raises:
            PaperExchangeError: the ledger cannot be read.
        """
        try:
            yield from self._connection.execute(query, values)
        except sqlite3.Error as error:
            raise PaperExchangeError(
                f"The paper ledger cannot be read: {error}. Check the disk it is on."
            ) from error

    def select(
        self, table: str, time: str, owner: Mapping[str, object], span: RecordRange
    ) -> Iterator[_Values]:
        """Yield ids and bodies of an owner's records in a range, in the order of their ids.

        A record with a greater id is never older, so that times and ids lead to one stretch of an
        index, and a large ledger is not searched.

        Args:
            table: name of the table.
            time: field with the time of a record.
            owner: what all of them have in common, by column or SQL; an index starts with it.
            span: the range; a limit is not applied.

        Raises:
            PaperExchangeError: the ledger cannot be read.
        """
        moment, start = stored_field(time), span.start
        if span.first is not None:
            query = f"SELECT {moment} FROM {table} WHERE id >= ? ORDER BY id LIMIT 1"
            found = next(self.rows(query, (span.first,)), None)
            if found is None:
                return
            start = max(int(str(found[0])), start or 0)
        conditions = {f"{name} = ?": value for name, value in owner.items()}
        conditions |= {f"{moment} >= ?": start, f"{moment} <= ?": span.end, "id >= ?": span.first}
        asked = {text: value for text, value in conditions.items() if value is not None}
        direction = "ASC" if span.oldest else "DESC"
        query = (
            f"SELECT id, body FROM {table} WHERE {' AND '.join(asked)} "
            f"ORDER BY {moment} {direction}, id {direction}"
        )
        if table == "trades":
            query += f", order_id {direction}"
        yield from self.rows(query, tuple(asked.values()))


class OrderArchive(Mapping[int, PaperOrder]):
    """The orders of one account by id, oldest first.

    Args:
        reader: reads the orders that are not in memory.
        account: name of the account.
    """

    def __init__(self, reader: LedgerReader, account: str) -> None:
        self._reader = reader
        self._account = account
        self._cached: dict[int, PaperOrder | None] = {}
        """Orders in memory; None hides an order of the ledger that a snapshot must not show."""
        self._open: dict[str, dict[int, None]] = {}
        self._finished: dict[int, None] = {}
        """Ids of finished orders in memory, in the order in which they finished."""
        self._highest_evicted = 0
        """Highest id that left memory. All newer orders are in memory."""
        self._evicted = 0
        """Number of orders that left memory."""

    def put(self, order: PaperOrder) -> None:
        """Store the present state of an order, which the ledger has written before."""
        self._cached[order.order_id] = order
        waiting = self._open.setdefault(order.symbol, {})
        if order.open:
            waiting[order.order_id] = None
        else:
            waiting.pop(order.order_id, None)
            self._finished[order.order_id] = None

    def evict(self) -> None:
        """Drop the finished orders beyond `MAX_FINISHED_ORDERS` from memory."""
        while len(self._finished) > MAX_FINISHED_ORDERS:
            number = next(iter(self._finished))
            del self._finished[number], self._cached[number]
            self._highest_evicted = max(self._highest_evicted, number)
            self._evicted += 1

    def before(self, changed: Mapping[int, PaperOrder | None]) -> OrderArchive:
        """Return the orders as they were before some changes.

        Args:
            changed: earlier states of orders, None for an order that did not exist.
        """
        found = OrderArchive(self._reader, self._account)
        known = {**self._cached, **changed}
        for number in sorted(known):
            order = known[number]
            if order is None:
                found._cached[number] = None
            else:
                found.put(order)
        found._highest_evicted = self._highest_evicted
        found._evicted = self._evicted - len(changed.keys() - self._cached.keys())
        return found

    # -- one order

    def __getitem__(self, number: int) -> PaperOrder:
        """Return an order by its id.

        Raises:
            KeyError: the account has no such order.
        """
        if number in self._cached or number > self._highest_evicted:
            found = self._cached.get(number)
        else:
            found = self._read(number)
        if found is None:
            raise KeyError(number)
        return found

    def _read(self, number: int) -> PaperOrder | None:
        query = "SELECT body FROM orders WHERE id = ? AND account = ?"
        for (body,) in self._reader.rows(query, (number, self._account)):
            return PaperOrder.load(str(body))
        return None

    def by_client_id(self, symbol: str, client_order_id: str) -> PaperOrder | None:
        """Return the newest order of a symbol (by id) with a client id, None if there is none."""
        query = (
            f"SELECT id, body FROM orders WHERE {_CLIENT_ID} = ? AND account = ? AND symbol = ? "
            "ORDER BY id DESC"
        )
        rows = self._reader.rows(query, (client_order_id, self._account, symbol))
        left = (PaperOrder.load(str(body)) for number, body in rows if number not in self._cached)
        found = [
            order
            for order in self._cached.values()
            if order is not None
            if (order.symbol, order.client_order_id) == (symbol, client_order_id)
        ]
        found += islice(left, 1)
        return max(found, key=lambda order: order.order_id, default=None)

    # -- several orders

    def open(self, symbol: str | None = None) -> list[PaperOrder]:
        """Return the open orders of one symbol (by id) or of all symbols, oldest first."""
        if symbol is not None:
            return [self[number] for number in self._open.get(symbol, ())]
        return [self[number] for number in sorted(n for ns in self._open.values() for n in ns)]

    def select(self, symbol: str, span: RecordRange) -> list[PaperOrder]:
        """Return the orders of a symbol (by id) that were created in a range, oldest first."""
        owner = {"account": self._account, "symbol": symbol}
        rows = self._reader.select("orders", "created", owner, span)
        found = list(islice(self._with_cached(rows), span.limit))
        return found if span.oldest else found[::-1]

    def after(self, number: int, others: Collection[int] = ()) -> list[PaperOrder]:
        """Return the orders with a greater id, and some others by their ids, oldest first."""
        earlier = [self.get(one) for one in sorted(others) if one <= number]
        query = "SELECT id, body FROM orders WHERE account = ? AND id > ? ORDER BY id"
        later = self._with_cached(self._reader.rows(query, (self._account, number)))
        return [*(one for one in earlier if one is not None), *later]

    def repeated_client_ids(self) -> dict[str, int]:
        """Return the client ids that several orders of the ledger have, with their numbers."""
        query = (
            f"SELECT {_CLIENT_ID} AS name, count(*) FROM orders WHERE account = ? "
            "AND name IS NOT NULL GROUP BY name HAVING count(*) > 1"
        )
        rows = self._reader.rows(query, (self._account,))
        return {str(name): int(str(count)) for name, count in rows}

    def _with_cached(self, rows: Iterator[_Values]) -> Iterator[PaperOrder]:
        for number, body in rows:
            assert isinstance(number, int)
            known = number in self._cached
            order = self._cached[number] if known else PaperOrder.load(str(body))
            if order is not None:
                yield order

    @property
    def updated(self) -> int:
        """Market time (ms) of the last change of any order; 0 without orders."""
        times = [order.updated for order in self._cached.values() if order is not None]
        if self._evicted:
            query = "SELECT id, json_extract(body, '$.updated') FROM orders WHERE account = ?"
            rows = self._reader.rows(query, (self._account,))
            times += [int(str(time)) for number, time in rows if number not in self._cached]
        return max(times, default=0)

    def __iter__(self) -> Iterator[int]:
        """Yield the ids, lowest first."""
        query = "SELECT id FROM orders WHERE account = ? AND id <= ?"
        rows = self._reader.rows(query, (self._account, self._highest_evicted))
        left = {int(str(number)) for (number,) in rows} - self._cached.keys()
        yield from sorted(left.union(n for n, order in self._cached.items() if order is not None))

    def __len__(self) -> int:
        """Return the number of orders, in memory or not."""
        return self._evicted + sum(order is not None for order in self._cached.values())


class TradeArchive(Mapping[str, list[PaperTrade]]):
    """The trades of one account by symbol id, oldest first; all are read from the ledger.

    Args:
        reader: reads the trades.
        account: name of the account.
        until: market time (ms) of the last trade to show, None for all trades.

    Attributes:
        count: number of trades.
    """

    def __init__(self, reader: LedgerReader, account: str, until: int | None = None) -> None:
        self._reader = reader
        self._account = account
        self._until = until
        self.count = 0

    def before(self, time: int) -> TradeArchive:
        """Return the trades as they were at a market time (ms)."""
        return TradeArchive(self._reader, self._account, time)

    def select(
        self, symbol: str, span: RecordRange, order_id: int | None = None
    ) -> list[PaperTrade]:
        """Return the trades of a symbol (by id) in a range, of one order or all, oldest first."""
        if self._until is not None:
            end = self._until if span.end is None else min(span.end, self._until)
            span = span._replace(end=end)
        if order_id is not None:
            query = "SELECT id, body FROM trades WHERE order_id = ? ORDER BY id"
            mine = (self._load(body) for _, body in self._reader.rows(query, (order_id,)))
            found = [one for one in mine if _is_in(one, self._account, symbol, span)]
            if span.limit is None:
                return found
            return found[: span.limit] if span.oldest else found[-span.limit :]
        owner = {"account": self._account, "symbol": symbol}
        rows = self._reader.select("trades", "time", owner, span)
        found = [self._load(body) for _, body in islice(rows, span.limit)]
        return found if span.oldest else found[::-1]

    @staticmethod
    def _load(body: object) -> PaperTrade:
        return PaperTrade.load(str(body))

    def of_orders_after(self, number: int, others: Collection[int] = ()) -> list[PaperTrade]:
        """Return the trades of the orders with a greater id and of some others, by trade id."""
        query = (
            "SELECT body FROM trades WHERE account = ? AND (order_id > ? "
            "OR order_id IN (SELECT value FROM json_each(?))) ORDER BY id, order_id"
        )
        values = (self._account, number, json.dumps(list(others)))
        found = [PaperTrade.load(str(body)) for (body,) in self._reader.rows(query, values)]
        return [one for one in found if self._until is None or one.time <= self._until]

    def __getitem__(self, symbol: str) -> list[PaperTrade]:
        """Return all trades of a symbol (by id).

        Raises:
            KeyError: the symbol was not traded.
        """
        found = self.select(symbol, RecordRange())
        if not found:
            raise KeyError(symbol)
        return found

    def __iter__(self) -> Iterator[str]:
        """Yield the ids of the symbols that were traded."""
        query = "SELECT DISTINCT symbol FROM trades WHERE account = ? ORDER BY symbol"
        for (symbol,) in self._reader.rows(query, (self._account,)):
            if self._until is None or self.select(str(symbol), RecordRange(limit=1)):
                yield str(symbol)

    def __len__(self) -> int:
        """Return the number of symbols that were traded."""
        return sum(1 for _ in self)


def _is_in(trade: PaperTrade, account: str, symbol: str, span: RecordRange) -> bool:
    return (
        (trade.account, trade.symbol) == (account, symbol)
        and (span.first is None or trade.trade_id >= span.first)
        and (span.start is None or trade.time >= span.start)
        and (span.end is None or trade.time <= span.end)
    )
