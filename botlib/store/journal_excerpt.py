"""`JournalExcerpt`: what a journal says since some order, however long it is altogether."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from botlib.core.model import Fill, Order
from botlib.store.database import Database
from botlib.store.order_rows import FILL_COLUMNS, ORDER_COLUMNS, fill_from_row, order_from_row

_LATER: Final = (
    "(CAST(venue_order_id AS INTEGER) > ?1 "
    "OR CAST(venue_order_id AS INTEGER) IN (SELECT value FROM json_each(?2)))"
)
_REPEATED: Final = (
    "SELECT strategy, symbols.symbol, signal_timestamp, reason FROM orders "
    "JOIN symbols ON symbols.id = orders.symbol WHERE (strategy, orders.symbol, signal_timestamp) "
    "IN (SELECT strategy, symbol, signal_timestamp FROM orders WHERE signal_timestamp IS NOT NULL "
    "GROUP BY 1, 2, 3 HAVING count(*) > 1) ORDER BY created, client_order_id"
)


class JournalExcerpt:
    """The fills of later orders of a journal, and the number of those before.

    Args:
        database: of the journal.
        after: a venue's order id; later orders have a greater one.
        others: order ids that count as later ones as well.
    """

    def __init__(self, database: Database, after: int = 0, others: Iterable[int] = ()) -> None:
        self._database = database
        self._bindings = (after, json.dumps(list(others)))

    def fills(self) -> list[Fill]:
        """Return the fills of the later orders, oldest first."""
        rows = self._rows(
            f"SELECT {FILL_COLUMNS} FROM fills JOIN symbols ON symbols.id = fills.symbol "
            f"WHERE {_LATER} ORDER BY timestamp, trade_id",
            *self._bindings,
        )
        return [fill_from_row(row) for row in rows]

    def earlier_fills(self) -> int:
        """Return the number of fills of all other orders."""
        query = f"SELECT count(*) FROM fills WHERE NOT {_LATER}"
        return int(self._rows(query, *self._bindings)[0][0])

    def orders(self, client_order_ids: Iterable[str]) -> list[Order]:
        """Return those orders of some client order ids that are known, later or not."""
        rows = self._rows(
            f"SELECT {ORDER_COLUMNS} FROM orders JOIN symbols ON symbols.id = orders.symbol "
            "WHERE client_order_id IN (SELECT value FROM json_each(?))",
            json.dumps(list(client_order_ids)),
        )
        return [order_from_row(row).order for row in rows]

    def repeated_decisions(self) -> list[tuple[str, str, int, str]]:
        """Return the decisions of each strategy on a candle of which it made several.

        Each is strategy, symbol, candle open time (ms) and reason, of later orders or not.
        """
        return self._rows(_REPEATED)

    def _rows(self, query: str, *bindings: int | str) -> list[Any]:
        with self._database.reading() as connection:
            return connection.execute(query, bindings).fetchall()
