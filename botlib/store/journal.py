"""`OrderJournal`: intents before they are sent, orders, and every fill.

Each call is one durable transaction: when it returns, the entry is on disk.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from botlib.core.errors import InvalidInput
from botlib.core.model import Fill, Order, OrderIntent, OrderStatus, OrderType, Side
from botlib.store.database import Database

_ORDER: Final = (
    "client_order_id, venue_order_id, strategy, symbols.symbol, side, type, amount, price, status, "
    "filled, cost, created, updated, message, stop_price, market_time"
)
_FILL: Final = (
    "symbols.symbol, trade_id, venue_order_id, client_order_id, side, price, amount, fee, "
    "fee_asset, timestamp, maker"
)
_INTENT: Final = (
    "INSERT INTO orders VALUES (?, NULL, ?, ?, ?, ?, ?, ?, ?, '0', '0', ?, ?, '', ?, ?, ?, ?) "
    "ON CONFLICT (client_order_id) DO NOTHING"
)
_SAVE_ORDER: Final = (
    "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, '', ?, ?) "
    "ON CONFLICT (client_order_id) DO UPDATE SET "
    "venue_order_id = coalesce(excluded.venue_order_id, venue_order_id), "
    "status = excluded.status, amount = excluded.amount, price = excluded.price, "
    "stop_price = excluded.stop_price, "
    "filled = excluded.filled, cost = excluded.cost, updated = excluded.updated, "
    "message = excluded.message"
)
_FINAL: Final = tuple(status.value for status in OrderStatus if status.final)
_UNSETTLED: Final = f"status NOT IN ({', '.join('?' * len(_FINAL))})"


class OrderJournal:
    """The orders and fills of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record_intent(self, intent: OrderIntent, now: int, market_time: int | None = None) -> bool:
        """Store an intent before it is sent; return False if it is known already.

        Args:
            intent: identified by its ``client_order_id``.
            now: wall time, ms, UTC.
            market_time: ms, UTC; None if it is not known.

        Raises:
            StoreError: it could not be stored, and must not be sent.
        """
        id_ = self._database.register(intent.symbol)
        with self._database.writing(durable=True) as connection:
            connection.execute(
                _INTENT,
                (
                    intent.client_order_id,
                    intent.strategy,
                    id_,
                    intent.side.value,
                    intent.type.value,
                    str(intent.amount),
                    _text(intent.price),
                    OrderStatus.INTENT.value,
                    now,
                    now,
                    intent.signal_timestamp,
                    intent.reason,
                    _text(intent.stop_price),
                    market_time,
                ),
            )
            return bool(connection.changes())

    def save_order(self, order: Order) -> bool:
        """Store the state of an order.

        Returns:
            False, with nothing changed, if the stored order is final and this one is not: that is
            an older answer which arrived late.
        """
        id_ = self._database.register(order.symbol)
        with self._database.writing(durable=True) as connection:
            if not order.status.final:
                known = connection.execute(
                    "SELECT status FROM orders WHERE client_order_id = ?", (order.client_order_id,)
                ).fetchone()
                if known is not None and known[0] in _FINAL:
                    return False
            connection.execute(
                _SAVE_ORDER,
                (
                    order.client_order_id,
                    order.venue_order_id,
                    order.strategy,
                    id_,
                    order.side.value,
                    order.type.value,
                    str(order.amount),
                    _text(order.price),
                    order.status.value,
                    str(order.filled),
                    str(order.cost),
                    order.created,
                    order.updated,
                    order.message,
                    _text(order.stop_price),
                    order.market_time,
                ),
            )
        return True

    def save_fill(self, fill: Fill) -> bool:
        """Store a fill; return False if its trade id is known for the symbol."""
        id_ = self._database.register(fill.symbol)
        with self._database.writing(durable=True) as connection:
            connection.execute(
                "INSERT INTO fills VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (symbol, trade_id) DO NOTHING",
                (
                    id_,
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
            return bool(connection.changes())

    def orders(self, unsettled: bool = False) -> list[Order]:
        """Return all orders, or only those whose status can still change, oldest first.

        An intent that was never sent is an order with the status INTENT.
        """
        where, bindings = (f"WHERE {_UNSETTLED}", _FINAL) if unsettled else ("", ())
        return self._orders(f"{where} ORDER BY created, client_order_id", bindings)

    def order(self, client_order_id: str) -> Order | None:
        """Return one order, or None if it is not known."""
        return next(iter(self._orders("WHERE client_order_id = ?", (client_order_id,))), None)

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
                f"SELECT {_FILL} FROM fills JOIN symbols ON symbols.id = fills.symbol "
                f"WHERE ({condition}) ORDER BY timestamp, trade_id",
                (binding,),
            ).fetchall()
        return [_fill(row) for row in rows]

    def _orders(self, clause: str, bindings: tuple[str, ...]) -> list[Order]:
        with self._database.reading() as connection:
            rows: list[Any] = connection.execute(
                f"SELECT {_ORDER} FROM orders JOIN symbols ON symbols.id = orders.symbol {clause}",
                bindings,
            ).fetchall()
        return [_order(row) for row in rows]


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _order(row: tuple[Any, ...]) -> Order:
    return Order(
        client_order_id=row[0],
        venue_order_id=row[1],
        strategy=row[2],
        symbol=row[3],
        side=Side(row[4]),
        type=OrderType(row[5]),
        amount=Decimal(row[6]),
        price=None if row[7] is None else Decimal(row[7]),
        status=OrderStatus(row[8]),
        filled=Decimal(row[9]),
        cost=Decimal(row[10]),
        created=row[11],
        updated=row[12],
        message=row[13],
        stop_price=None if row[14] is None else Decimal(row[14]),
        market_time=row[15],
    )


def _fill(row: tuple[Any, ...]) -> Fill:
    return Fill(
        symbol=row[0],
        trade_id=row[1],
        venue_order_id=row[2],
        client_order_id=row[3],
        side=Side(row[4]),
        price=Decimal(row[5]),
        amount=Decimal(row[6]),
        fee=Decimal(row[7]),
        fee_asset=row[8],
        timestamp=row[9],
        maker=bool(row[10]),
    )
