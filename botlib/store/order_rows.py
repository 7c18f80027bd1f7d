"""Rows of orders, events and fills, converted to the records of the order path and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from botlib.core.model import Fill, OrderIntent, OrderRole, OrderStatus, OrderType, Side
from botlib.trading.orders import OrderEvent, TrackedOrder, fold

ORDER_COLUMNS: Final = (
    "client_order_id, venue_order_id, strategy, symbols.symbol, side, type, amount, price, status, "
    "filled, cost, created, updated, message, stop_price, market_time, signal_timestamp, reason, "
    "role, entry, sequence, list_id, facts"
)
FILL_COLUMNS: Final = (
    "symbols.symbol, trade_id, venue_order_id, client_order_id, side, price, amount, fee, "
    "fee_asset, timestamp, maker"
)

_FACTS: Final = (
    "sent", "final", "final_filled", "refused", "retry", "lost", "absent", "cancels_sent",
    "cancels_refused", "conflict",
)  # fmt: skip


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def order_row(order: TrackedOrder, symbol_id: str) -> tuple[Any, ...]:
    """Return the values of the row of an order.

    Args:
        symbol_id: the id of its symbol in the database.
    """
    intent = order.intent
    return (
        order.id,
        order.venue_order_id,
        intent.strategy,
        symbol_id,
        intent.side.value,
        intent.type.value,
        str(intent.amount),
        _text(intent.price),
        order.status.value,
        str(order.filled),
        str(order.cost),
        order.created,
        order.updated or order.created,
        order.message,
        intent.signal_timestamp,
        intent.reason,
        _text(intent.stop_price),
        order.market_time,
        intent.role.value,
        intent.entry,
        intent.sequence,
        intent.list_id,
        json.dumps({name: _plain(getattr(order, name)) for name in _FACTS}),
    )


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Decimal) else value


def order_from_row(row: tuple[Any, ...]) -> TrackedOrder:
    """Return the order of a row of `ORDER_COLUMNS`."""
    intent = OrderIntent(
        client_order_id=row[0],
        strategy=row[2],
        symbol=row[3],
        side=Side(row[4]),
        type=OrderType(row[5]),
        amount=Decimal(row[6]),
        price=_number(row[7]),
        stop_price=_number(row[14]),
        signal_timestamp=row[16],
        reason=row[17],
        role=OrderRole(row[18]),
        protects=OrderRole(row[18]).protects,
        entry=row[19],
        sequence=row[20],
        list_id=row[21],
    )
    status, facts = OrderStatus(row[8]), json.loads(row[22])
    order = TrackedOrder(
        intent=intent,
        created=row[11],
        updated=row[12],
        market_time=row[15],
        venue_order_id=row[1],
        filled=Decimal(row[9]),
        cost=Decimal(row[10]),
        message=row[13],
    )
    if not facts:
        return _of_earlier(order, status)
    final = facts["final"]
    return replace(
        order,
        **{name: facts[name] for name in _FACTS if name not in ("final", "final_filled")},
        final=None if final is None else OrderStatus(final),
        final_filled=Decimal(facts["final_filled"]),
    )


def _of_earlier(order: TrackedOrder, status: OrderStatus) -> TrackedOrder:
    """Return an order that an earlier version stored with its status alone."""
    if status is OrderStatus.REJECTED and order.venue_order_id is None:
        return replace(order, refused=True)
    if status.final:
        return replace(order, sent=True, final=status, final_filled=order.filled)
    return replace(order, sent=status is not OrderStatus.INTENT, lost=status is OrderStatus.UNKNOWN)


def intent_values(intent: OrderIntent) -> dict[str, Any]:
    """Return an intent as JSON values."""
    return {
        "client_order_id": intent.client_order_id,
        "strategy": intent.strategy,
        "symbol": intent.symbol,
        "side": intent.side.value,
        "type": intent.type.value,
        "amount": str(intent.amount),
        "price": _text(intent.price),
        "stop_price": _text(intent.stop_price),
        "signal_timestamp": intent.signal_timestamp,
        "reason": intent.reason,
        "role": intent.role.value,
        "entry": intent.entry,
        "sequence": intent.sequence,
        "list_id": intent.list_id,
    }


def intent_from_values(values: dict[str, Any]) -> OrderIntent:
    """Return the intent that `intent_values` described."""
    role = OrderRole(values["role"])
    return OrderIntent(
        client_order_id=values["client_order_id"],
        strategy=values["strategy"],
        symbol=values["symbol"],
        side=Side(values["side"]),
        type=OrderType(values["type"]),
        amount=Decimal(values["amount"]),
        price=_number(values["price"]),
        stop_price=_number(values["stop_price"]),
        signal_timestamp=values["signal_timestamp"],
        reason=values["reason"],
        protects=role.protects,
        role=role,
        entry=values["entry"],
        sequence=values["sequence"],
        list_id=values["list_id"],
    )


def rebuilt(order: TrackedOrder, history: Sequence[dict[str, Any]]) -> TrackedOrder:
    """Return the order that a series of events adds up to; a journaled one may have been sent."""
    start = TrackedOrder(
        intent=intent_from_values(history[0]),
        created=order.created,
        market_time=order.market_time,
        sent=True,
    )
    return fold(start, (OrderEvent.from_dict(one) for one in history[1:]))


def compared(order: TrackedOrder) -> tuple[object, ...]:
    """Return what has to agree between the table of orders and the events."""
    return (order.intent, order.venue_order_id, order.status, order.filled, order.cost)


def fill_from_row(row: tuple[Any, ...]) -> Fill:
    """Return the fill of a row of `FILL_COLUMNS`."""
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
