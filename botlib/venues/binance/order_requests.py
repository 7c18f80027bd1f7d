"""Parameters of Binance's order requests, and its answers to two orders in one request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from botlib.core.errors import OrderRejected, OrderUnknown
from botlib.core.market import Market
from botlib.core.model import OrderIntent
from botlib.venues.base import OrderReport, ReplaceReport
from botlib.venues.binance import parse

NOT_ATTEMPTED: Final = "NOT_ATTEMPTED"
SUCCESS: Final = "SUCCESS"

REPLACE_FAILED: Final = frozenset({-2021, -2022})
"""Codes of a cancel-replace that failed in part or completely; the answer has one part for each."""


RULES: Final = frozenset({-1013, -1111, -1121})
"""Codes of a filter that failed, of too many decimals, and of a symbol that is not listed."""

_FORBIDDEN: Final = ("market is closed", "in this trading phase", "filter failure")
"""Words of refusals by the matching engine, which have one code: of a symbol that is not trading,
and of a filter about the account's own orders, such as their number."""


def by_rules(code: int | None, message: str) -> bool:
    """Return whether the rules of a market, or its status, forbid an order."""
    words = message.lower()
    return code in RULES or any(reason in words for reason in _FORBIDDEN)


def plain(number: Decimal) -> str:
    """Return a number without exponent, as the venue requires."""
    return f"{number:f}"


def order_params(market: Market, intent: OrderIntent) -> dict[str, object]:
    """Return the parameters of a new order.

    Raises:
        OrderRejected: a price is missing.
    """
    params: dict[str, object] = {
        "symbol": market.id,
        "side": intent.side.value.upper(),
        "type": intent.type.value.upper(),
        "quantity": plain(intent.amount),
        "newClientOrderId": intent.client_order_id,
        "newOrderRespType": "FULL",
    }
    if intent.type.limited:
        if intent.price is None:
            raise OrderRejected(f"Limit order {intent.client_order_id} has no price.")
        params |= {"price": plain(intent.price), "timeInForce": "GTC"}
    if intent.type.conditional:
        if intent.stop_price is None:
            raise OrderRejected(f"Stop order {intent.client_order_id} has no stop price.")
        params["stopPrice"] = plain(intent.stop_price)
    return params


def list_params(market: Market, target: OrderIntent, stop: OrderIntent) -> dict[str, object]:
    """Return the parameters of an OCO that sells: a target above the price, a stop below it."""
    assert target.price is not None and stop.stop_price is not None
    params: dict[str, object] = {
        "symbol": market.id,
        "side": target.side.value.upper(),
        "quantity": plain(target.amount),
        "listClientOrderId": target.list_id,
        "aboveType": "LIMIT_MAKER",
        "abovePrice": plain(target.price),
        "aboveClientOrderId": target.client_order_id,
        "belowType": stop.type.value.upper(),
        "belowStopPrice": plain(stop.stop_price),
        "belowClientOrderId": stop.client_order_id,
        "newOrderRespType": "FULL",
    }
    if stop.price is not None:
        params |= {"belowPrice": plain(stop.price), "belowTimeInForce": "GTC"}
    return params


def list_reports(symbol: str, raw: Mapping[str, Any]) -> list[OrderReport]:
    """Return the orders of an answer to an order list."""
    return [parse.order(symbol, report) for report in raw["orderReports"]]


def replace_report(symbol: str, raw: Mapping[str, Any]) -> ReplaceReport:
    """Return the result of a cancel-replace, part by part.

    Args:
        raw: the answer, or the ``data`` of its error.
    """
    report = ReplaceReport()
    if raw["cancelResult"] == SUCCESS:
        report.cancelled = parse.order(symbol, raw["cancelResponse"])
    else:
        report.cancel_error = _refusal(raw["cancelResponse"])
    result = raw["newOrderResult"]
    if result == SUCCESS:
        report.placed = parse.order(symbol, raw["newOrderResponse"])
    elif result != NOT_ATTEMPTED:
        report.place_error = _refusal(raw["newOrderResponse"])
    return report


def _refusal(raw: Mapping[str, Any] | None) -> OrderRejected | OrderUnknown:
    code, message = (raw or {}).get("code"), str((raw or {}).get("msg", ""))
    words = f"The venue answered {message!r} (code {code})."
    if code in (-1000, -1001, -1006, -1007):
        return OrderUnknown(words)
    if "duplicate" in message.lower():
        return OrderUnknown(words)
    return OrderRejected(words, rules=by_rules(code, message))


def in_order(intents: Sequence[OrderIntent]) -> tuple[OrderIntent, OrderIntent]:
    """Return the target and the stop of two intents."""
    target, stop = sorted(intents, key=lambda one: one.stop_price is not None)
    return target, stop
