"""The events of the user data stream about orders and order lists, with Binance's field names."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from botlib.paper.accounts.orders import OrderList, PaperOrder, PaperTrade, Peg, PreventedMatch
from botlib.paper.market.quotes import Json, eight_decimals

_PEG_NAMES: Final = ("gP", "gOT", "gOV", "gp")


def list_status(found: OrderList, orders: Sequence[PaperOrder], *, kind: str = "") -> Json:
    """Return a ``listStatus`` event.

    Args:
        found: the order list.
        orders: its orders.
        kind: type of the status, "" to derive it from the list.
    """
    return {
        "e": "listStatus",
        "E": found.updated,
        "s": found.symbol,
        "g": found.list_id,
        "c": found.contingency,
        "l": kind or ("ALL_DONE" if found.done else "EXEC_STARTED"),
        "L": "ALL_DONE" if found.done else "EXECUTING",
        "r": "NONE",
        "C": found.client_id,
        "T": found.updated,
        "O": [
            {"s": order.symbol, "i": order.order_id, "c": order.client_order_id} for order in orders
        ],
    }


def execution_report(
    order: PaperOrder,
    execution: str,
    *,
    number: int,
    trade: PaperTrade | None = None,
    cancel_id: str = "",
    original_id: str = "",
    reason: str = "NONE",
    prevented: PreventedMatch | None = None,
) -> Json:
    """Return an ``executionReport`` event.

    Args:
        order: the order after the execution.
        execution: ``NEW``, ``TRADE``, ``CANCELED``, ``EXPIRED``, ``REPLACED``, ``REJECTED`` or
            ``TRADE_PREVENTION``.
        number: execution id.
        trade: the trade, for a ``TRADE``.
        cancel_id: client id of the cancel request; the order's own id is then in field ``C``.
        original_id: client id of the order before it was amended.
        reason: why the order was rejected.
        prevented: the prevented match, for a ``TRADE_PREVENTION``.
    """
    time = order.updated
    none = Decimal(0)
    report: Json = {
        "e": "executionReport",
        "E": time,
        **_sent_fields(order, cancel_id=cancel_id, original_id=original_id),
        "x": execution,
        "X": order.status,
        "r": reason,
        "i": order.order_id,
        "l": eight_decimals(trade.amount if trade else none),
        "z": eight_decimals(order.executed),
        "L": eight_decimals(trade.price if trade else none),
        "n": eight_decimals(trade.commission) if trade else "0",
        "N": trade.commission_asset if trade else None,
        "T": time,
        "t": trade.trade_id if trade else -1,
        "I": number,
        "w": order.working,
        "m": trade.maker if trade else False,
        "M": trade is not None,
        "O": order.created,
        "Z": eight_decimals(order.cost),
        "Y": eight_decimals(trade.quote_amount if trade else none),
        "Q": eight_decimals(order.quote_amount),
        "V": order.self_trade,
    }
    report.update(_optional_fields(order, prevented))
    return report


def _sent_fields(order: PaperOrder, *, cancel_id: str, original_id: str) -> Json:
    """Return the fields of an ``executionReport`` that were sent with the request."""
    return {
        "s": order.symbol,
        "c": cancel_id or order.client_order_id,
        "S": order.side,
        "o": order.type,
        "f": order.time_in_force,
        "q": eight_decimals(order.amount),
        "p": eight_decimals(order.sent_price),
        "P": eight_decimals(order.stop_price),
        "F": eight_decimals(order.iceberg),
        "g": order.list_id,
        "C": order.client_order_id if cancel_id else original_id,
    }


def peg_fields(order: PaperOrder, peg: Peg, names: Sequence[str]) -> Json:
    """Return the fields about a pegged price.

    Args:
        order: the pegged order.
        peg: its peg.
        names: field names of peg type, offset type, offset value and present price.
    """
    fields: Json = {names[0]: peg.type}
    if peg.offset is not None:
        fields.update({names[1]: "PRICE_LEVEL", names[2]: peg.offset})
    if order.price:
        fields[names[3]] = eight_decimals(order.price)
    return fields


def _optional_fields(order: PaperOrder, prevented: PreventedMatch | None) -> Json:
    """Return the fields of an ``executionReport`` that only some orders have."""
    fields: Json = {}
    if order.working_since >= 0:
        fields["W"] = order.working_since
    if order.trailing_delta:
        fields["d"] = order.trailing_delta
        if order.trailing_since:
            fields["D"] = order.trailing_since
    if order.strategy_id:
        fields["j"] = order.strategy_id
    if order.strategy_type:
        fields["J"] = order.strategy_type
    if order.prevented:
        fields["A"] = eight_decimals(order.prevented)
    if order.expiry:
        fields["eR"] = order.expiry
    if order.peg is not None:
        fields.update(peg_fields(order, order.peg, _PEG_NAMES))
    if prevented is not None:
        taker = prevented.taker_id == order.order_id
        fields.update(
            v=prevented.match_id,
            B=eight_decimals(prevented.taker_amount if taker else prevented.maker_amount),
            u=prevented.group,
            U=prevented.maker_id if taker else prevented.taker_id,
            Cs=order.symbol,
            pl=eight_decimals(prevented.amount),
            pL=eight_decimals(prevented.price),
            pY=eight_decimals(prevented.amount * prevented.price),
        )
    return fields
