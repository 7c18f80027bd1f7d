"""`OrderJournal`: the intents of orders, the events that followed, fills, books, halts and days.

Each call is one transaction that survives the death of the process. A power cut it survives after
`OrderJournal.sync`, which has to return before anything is sent; halts, days and states are on disk
when their call returns. Events of orders are only ever appended; the table of orders is their sum,
and can be rebuilt from them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from botlib.core.errors import InvalidInput, OrderTaken
from botlib.core.model import Fill, Order, OrderRole, OrderStatus
from botlib.store.database import Database
from botlib.store.order_rows import (
    FILL_COLUMNS,
    ORDER_COLUMNS,
    compared,
    fill_from_row,
    intent_from_values,
    intent_values,
    order_from_row,
    order_row,
    rebuilt,
)
from botlib.trading.books import BookKey, Protection, Want
from botlib.trading.orders import OrderEvent, TrackedOrder

_INSERT: Final = (
    "INSERT INTO orders (client_order_id, venue_order_id, strategy, symbol, side, type, amount, "
    "price, status, filled, cost, created, updated, message, signal_timestamp, reason, stop_price, "
    "market_time, role, entry, sequence, list_id, facts) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
)
_UPSERT: Final = (
    _INSERT + "ON CONFLICT (client_order_id) DO UPDATE SET "
    "venue_order_id = excluded.venue_order_id, status = excluded.status, "
    "filled = excluded.filled, cost = excluded.cost, updated = excluded.updated, "
    "message = excluded.message, facts = excluded.facts"
)
_EVENT: Final = (
    "INSERT INTO order_events (client_order_id, recorded, market_time, source, event) "
    "VALUES (?, ?, ?, ?, ?)"
)
_INSERT_FILL: Final = (
    "INSERT INTO fills VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (symbol, trade_id) DO NOTHING"
)
_FINAL: Final = tuple(status.value for status in OrderStatus if status.final)
_OLDEST: Final = (
    "coalesce((SELECT min(id) FROM order_events "
    "WHERE order_events.client_order_id = orders.client_order_id), 0), created, client_order_id"
)
"""Orders in the order they were written down, whatever a clock said; those of earlier versions,
which have no events, first."""
_UNENDED: Final = f"status NOT IN ({', '.join('?' * len(_FINAL))})"

INTENT: Final = "intent"
"""The first event of an order; it carries the intent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBook:
    """The stored state of a book, without its orders and fills."""

    key: BookKey
    want: Want | None
    protection: Protection
    released: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHalt:
    """A reason why entries are stopped, of one symbol or of all. ``began`` is wall time, ms."""

    reason: str
    source: str
    began: int
    symbol: str | None = None


class OrderJournal:
    """The orders, fills, books and halts of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sync(self) -> None:
        """Return when every entry so far is on disk; other calls go on meanwhile.

        Raises:
            StoreError: it cannot be told whether they are.
        """
        self._database.sync()

    # Orders

    def record_intents(self, orders: Sequence[TrackedOrder], *, source: str = "desk") -> None:
        """Store orders before they are sent, all of them or none.

        Args:
            orders: as decided.
            source: the origin of the decision.

        Raises:
            OrderTaken: an id is taken; none of them may be sent.
            StoreError: they could not be stored; none of them may be sent.
        """
        ids = {order.id: self._database.register(order.intent.symbol) for order in orders}
        with self._database.writing() as connection:
            for order in orders:
                taken = connection.execute(
                    "SELECT 1 FROM orders WHERE client_order_id = ?", (order.id,)
                ).fetchone()
                if taken is not None:
                    raise OrderTaken(
                        f"The order {order.id} was sent already. It is not sent again; "
                        "look at it with bot.order_history()."
                    )
                event = {"kind": INTENT, **intent_values(order.intent)}
                connection.execute(
                    _EVENT,
                    (order.id, order.created, order.market_time, source, json.dumps(event)),
                )
                connection.execute(_INSERT, order_row(order, ids[order.id]))

    def record(
        self,
        order: TrackedOrder,
        event: OrderEvent,
        *,
        now: int,
        market_time: int | None,
        source: str,
    ) -> None:
        """Store an event of an order, and the order after that event.

        Args:
            order: after the event.
            event: to be stored.
            now: wall time, ms.
            market_time: ms; None if it is not known.
            source: the origin of the event: ``answer``, ``stream``, ``query``, ``desk``.

        Raises:
            StoreError: it could not be stored.
        """
        id_ = self._database.register(order.intent.symbol)
        with self._database.writing() as connection:
            connection.execute(
                _EVENT, (order.id, now, market_time, source, json.dumps(event.to_dict()))
            )
            connection.execute(_UPSERT, order_row(order, id_))

    def order_history(self, client_order_id: str) -> list[dict[str, Any]]:
        """Return every event of an order, oldest first, as plain values."""
        with self._database.reading() as connection:
            rows: list[Any] = connection.execute(
                "SELECT recorded, market_time, source, event FROM order_events "
                "WHERE client_order_id = ? ORDER BY id",
                (client_order_id,),
            ).fetchall()
        return [
            {"recorded": row[0], "market_time": row[1], "source": row[2], **json.loads(row[3])}
            for row in rows
        ]

    def tracked(self, *, ended: bool = True) -> list[TrackedOrder]:
        """Return all orders, or only those that have not ended, oldest first."""
        where, bindings = ("", ()) if ended else (f"WHERE {_UNENDED}", _FINAL)
        return self._tracked(f"{where} ORDER BY {_OLDEST}", bindings)

    def tracked_order(self, client_order_id: str) -> TrackedOrder | None:
        """Return one order, or None if it is not in the journal."""
        return next(iter(self._tracked("WHERE client_order_id = ?", (client_order_id,))), None)

    def newest_event(self) -> int:
        """Return the id of the newest event, 0 before the first."""
        with self._database.reading() as connection:
            row: Any = connection.execute("SELECT max(id) FROM order_events").fetchone()
        return row[0] or 0

    def differences(self, compared_to: int = 0) -> list[str]:
        """Return a sentence for each order that differs from the sum of its events.

        Args:
            compared_to: id of the newest event at an earlier comparison; orders that had ended
                by then are left out.
        """
        events: dict[str, list[dict[str, Any]]] = {}
        chosen = (
            "SELECT client_order_id FROM order_events WHERE id > ? "
            f"UNION SELECT client_order_id FROM orders WHERE {_UNENDED} "
            "UNION SELECT client_order_id FROM order_events "
            "WHERE client_order_id NOT IN (SELECT client_order_id FROM orders)"
        )
        with self._database.reading() as connection:
            rows: Any = connection.execute(
                "SELECT client_order_id, event FROM order_events "
                f"WHERE client_order_id IN ({chosen}) ORDER BY id",
                (compared_to, *_FINAL),
            )
            for name, text in rows:
                events.setdefault(name, []).append(json.loads(text))
        found = []
        orders = self._tracked(
            f"WHERE client_order_id IN ({chosen}) ORDER BY created, client_order_id",
            (compared_to, *_FINAL),
        )
        for order in orders:
            history = events.pop(order.id, None)
            if history is None or history[0].get("kind") != INTENT:
                continue  # An order of an earlier version, which stored no events.
            built = rebuilt(order, history)
            if compared(built) != compared(order):
                found.append(
                    f"{order.id} is {order.status} with {order.filled} filled, "
                    f"its events say {built.status} with {built.filled}"
                )
        found += [f"{name} has events, and is no order" for name in events]
        return found

    def orders_without_events(self) -> set[str]:
        """Return the client order ids of the orders that an earlier version stored."""
        with self._database.reading() as connection:
            rows: list[Any] = connection.execute(
                "SELECT client_order_id FROM orders WHERE client_order_id NOT IN (SELECT "
                "client_order_id FROM order_events WHERE json_extract(event, '$.kind') = ?)",
                (INTENT,),
            ).fetchall()
        return {name for (name,) in rows}

    def rebuild(self) -> int:
        """Rebuild the table of orders from the events; return the number of orders corrected."""
        with self._database.reading() as connection:
            rows: list[Any] = connection.execute(
                "SELECT client_order_id, recorded, market_time, event FROM order_events ORDER BY id"
            ).fetchall()
        events: dict[str, list[tuple[int, int | None, dict[str, Any]]]] = {}
        for name, recorded, market_time, text in rows:
            events.setdefault(name, []).append((recorded, market_time, json.loads(text)))
        known = {order.id: order for order in self.tracked()}
        corrected = 0
        for name, history in events.items():
            created, market_time, first = history[0]
            if first.get("kind") != INTENT:
                continue
            start = TrackedOrder(
                intent=intent_from_values(first), created=created, market_time=market_time
            )
            built = rebuilt(start, [event for _, _, event in history])
            if name in known and compared(known[name]) == compared(built):
                continue
            id_ = self._database.register(built.intent.symbol)
            with self._database.writing(durable=True) as connection:
                connection.execute("DELETE FROM orders WHERE client_order_id = ?", (name,))
                connection.execute(_INSERT, order_row(built, id_))
            corrected += 1
        return corrected

    def counts(self) -> dict[tuple[BookKey, str | None, OrderRole], int]:
        """Return the number of orders of each book, entry and role that were ever sent."""
        with self._database.reading() as connection:
            rows: list[Any] = connection.execute(
                "SELECT strategy, symbols.symbol, entry, role, count(*), max(sequence) FROM orders "
                "JOIN symbols ON symbols.id = orders.symbol "
                "GROUP BY strategy, symbols.symbol, entry, role"
            ).fetchall()
        return {
            (BookKey(row[0], row[1]), row[2], OrderRole(row[3])): max(row[4], row[5] + 1)
            for row in rows
        }

    # Books

    def save_book(self, book: StoredBook, *, now: int) -> None:
        """Store the target of a book, and its protection.

        Args:
            book: its state.
            now: wall time, ms.

        Raises:
            StoreError: it could not be stored; no order may be sent for it.
        """
        id_ = self._database.register(book.key.symbol)
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO books VALUES (?1, ?2, ?3, ?4, ?5, ?6) "
                "ON CONFLICT (strategy, symbol) DO UPDATE SET "
                "want = ?3, protection = ?4, released = ?5, updated = ?6",
                (
                    book.key.strategy,
                    id_,
                    None if book.want is None else json.dumps(book.want.to_dict()),
                    json.dumps(book.protection.to_dict()),
                    book.released,
                    now,
                ),
            )

    def books(self) -> list[StoredBook]:
        """Return every book that was ever stored."""
        with self._database.reading() as connection:
            rows: list[Any] = connection.execute(
                "SELECT strategy, symbols.symbol, want, protection, released FROM books "
                "JOIN symbols ON symbols.id = books.symbol ORDER BY strategy, symbols.symbol"
            ).fetchall()
        return [
            StoredBook(
                key=BookKey(row[0], row[1]),
                want=None if row[2] is None else Want.from_dict(json.loads(row[2])),
                protection=Protection.from_dict(json.loads(row[3])),
                released=row[4],
            )
            for row in rows
        ]

    # Halts and days

    def begin_halt(self, halt: StoredHalt) -> None:
        """Store that entries are stopped."""
        with self._database.writing(durable=True) as connection:
            connection.execute(
                "INSERT INTO halts (reason, source, began, symbol) VALUES (?, ?, ?, ?)",
                (halt.reason, halt.source, halt.began, halt.symbol),
            )

    def end_halts(self, because: str, *, now: int) -> None:
        """Store that a person allowed entries again, and why."""
        with self._database.writing(durable=True) as connection:
            connection.execute(
                "UPDATE halts SET ended = ?, ended_because = ? WHERE ended IS NULL",
                (now, because),
            )

    def halts(self) -> list[StoredHalt]:
        """Return the halts that have not ended, oldest first."""
        with self._database.reading() as connection:
            rows: list[Any] = connection.execute(
                "SELECT reason, source, began, symbol FROM halts WHERE ended IS NULL ORDER BY id"
            ).fetchall()
        return [
            StoredHalt(reason=row[0], source=row[1], began=row[2], symbol=row[3]) for row in rows
        ]

    def day_start(self, day: int) -> tuple[Decimal, Decimal] | None:
        """Return equity and booked profit at the first moment of a day (ms), if stored."""
        with self._database.reading() as connection:
            row: Any = connection.execute(
                "SELECT equity, profit FROM days WHERE day = ?", (day,)
            ).fetchone()
        return None if row is None else (Decimal(row[0]), Decimal(row[1]))

    def begin_day(self, day: int, equity: Decimal, profit: Decimal) -> None:
        """Store equity and booked profit at the start of a day (ms); the first values are kept."""
        with self._database.writing(durable=True) as connection:
            connection.execute(
                "INSERT INTO days VALUES (?, ?, ?) ON CONFLICT (day) DO NOTHING",
                (day, str(equity), str(profit)),
            )

    # Fills

    def save_fill(self, fill: Fill) -> bool:
        """Store a fill; return False if its trade id is known for the symbol."""
        return bool(self.save_fills([fill]))

    def save_fills(self, fills: Sequence[Fill]) -> list[Fill]:
        """Store fills in one transaction; return those that were not known."""
        new = []
        ids = {fill.symbol: self._database.register(fill.symbol) for fill in fills}
        with self._database.writing() as connection:
            for fill in fills:
                connection.execute(
                    _INSERT_FILL,
                    (
                        ids[fill.symbol],
                        fill.trade_id,
                        fill.venue_order_id,
                        fill.client_order_id,
                        fill.side.value,
                        str(fill.price),
                        str(fill.amount),
                        str(fill.fee),
                        fill.fee_asset,
                        fill.timestamp,
                        int(fill.maker),
                    ),
                )
                if connection.changes():
                    new.append(fill)
        return new

    # Reads for display

    def orders(self, unsettled: bool = False) -> list[Order]:
        """Return all orders, or only those whose status can still change, oldest first."""
        return [order.order for order in self.tracked(ended=not unsettled)]

    def order(self, client_order_id: str) -> Order | None:
        """Return one order, or None if it is not known."""
        found = self.tracked_order(client_order_id)
        return None if found is None else found.order

    def ours(self, symbol: str, venue_order_ids: Iterable[str]) -> dict[str, str]:
        """Return the client order ids of the known orders of a symbol, by venue order id."""
        with self._database.reading() as connection:
            rows: list[Any] = connection.execute(
                "SELECT venue_order_id, client_order_id FROM orders "
                "WHERE symbol = ? AND venue_order_id IN (SELECT value FROM json_each(?))",
                (self._database.id_of(symbol), json.dumps(list(venue_order_ids))),
            ).fetchall()
        return dict(rows)

    def decisions(self) -> list[tuple[str, str, int, str]]:
        """Return the decision of each order: strategy, symbol, candle open time (ms), reason."""
        with self._database.reading() as connection:
            rows: list[Any] = connection.execute(
                "SELECT strategy, symbols.symbol, signal_timestamp, reason FROM orders "
                "JOIN symbols ON symbols.id = orders.symbol WHERE signal_timestamp IS NOT NULL "
                "ORDER BY created, client_order_id"
            ).fetchall()
        return rows

    def fills(self, symbol: str | None = None) -> list[Fill]:
        """Return the fills of a symbol, or of all symbols for None, oldest first."""
        id_ = None if symbol is None else self._database.id_of(symbol)
        return self._fills("?1 IS NULL OR fills.symbol = ?1", id_)

    def known_trades(self, symbol: str, trade_ids: Iterable[int]) -> set[int]:
        """Return those trade ids of a symbol whose fills are stored."""
        with self._database.reading() as connection:
            rows: list[Any] = connection.execute(
                "SELECT trade_id FROM fills "
                "WHERE symbol = ? AND trade_id IN (SELECT value FROM json_each(?))",
                (self._database.id_of(symbol), json.dumps(list(trade_ids))),
            ).fetchall()
        return {row[0] for row in rows}

    def fills_of_strategy(self, strategy: str) -> list[Fill]:
        """Return the fills of the orders of a strategy, in the order they happened."""
        return self._fills(
            "client_order_id IN (SELECT client_order_id FROM orders WHERE strategy = ?)", strategy
        )

    def fills_of(self, client_order_id: str) -> list[Fill]:
        """Return the fills of an order, oldest first."""
        return self._fills("client_order_id = ?", client_order_id)

    def get_state(self, key: str) -> Any:
        """Return the value stored under ``key``, or None."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def set_state(self, key: str, value: Any) -> None:
        """Store a value that JSON can express under ``key``.

        Raises:
            InvalidInput: JSON cannot express it.
        """
        try:
            text = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InvalidInput(
                f"Cannot store the state {key!r}: {error}. Accepted: values that JSON can express."
            ) from error
        with self._database.writing(durable=True) as connection:
            connection.execute(
                "INSERT INTO state VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = ?2",
                (key, text),
            )

    def _fills(self, condition: str, binding: str | None) -> list[Fill]:
        with self._database.reading() as connection:
            rows: list[Any] = connection.execute(
                f"SELECT {FILL_COLUMNS} FROM fills JOIN symbols ON symbols.id = fills.symbol "
                f"WHERE ({condition}) ORDER BY timestamp, trade_id",
                (binding,),
            ).fetchall()
        return [fill_from_row(row) for row in rows]

    def _tracked(self, clause: str, bindings: tuple[str | int, ...]) -> list[TrackedOrder]:
        with self._database.reading() as connection:
            rows: list[Any] = connection.execute(
                f"SELECT {ORDER_COLUMNS} FROM orders "
                f"JOIN symbols ON symbols.id = orders.symbol {clause}",
                bindings,
            ).fetchall()
        return [order_from_row(row) for row in rows]
