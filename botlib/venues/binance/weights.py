"""What requests count against the venue's limits, and where its answers say how much is used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from botlib.core.timeframe import DAY, MINUTE, SECOND
from botlib.venues.budget import Counted, RequestLimit

WEIGHTS: Final[Mapping[str, int]] = {
    "publicGetExchangeInfo": 20,
    "publicGetKlines": 2,
    "publicGetTrades": 25,
    "publicGetAggTrades": 4,
    "privateGetOrder": 4,
    "privateGetMyTrades": 20,
    "privateGetAccount": 20,
    "sapiGetAccountApiRestrictions": 0,
}
"""Request weight by endpoint; that of others is 1, which an order has only if it is refused. The
wallet's endpoints have limits of their own."""

OF_DEPTH: Final = ((100, 5), (500, 25), (1_000, 50))
"""Most levels of a side of an order book, and the weight up to there."""

ORDERS: Final[Mapping[str, int]] = {
    "privatePostOrder": 1,
    "privatePostOrderCancelReplace": 1,
    "privatePostOrderListOco": 2,
}
"""New orders by endpoint."""

HEADERS: Final = {
    "x-mbx-used-weight-1m": (Counted.WEIGHT, MINUTE),
    "x-mbx-order-count-10s": (Counted.ORDERS, 10 * SECOND),
    "x-mbx-order-count-1d": (Counted.ORDERS, DAY),
}
"""The headers of answers, and the limits they tell of."""

_KINDS: Final = {"REQUEST_WEIGHT": Counted.WEIGHT, "ORDERS": Counted.ORDERS}
_INTERVALS: Final = {"SECOND": SECOND, "MINUTE": MINUTE, "DAY": DAY}


def weight_of(endpoint: str, params: Mapping[str, object] | None = None) -> int:
    """Return the weight of a request."""
    params = params or {}
    if endpoint == "publicGetDepth":
        levels = int(str(params.get("limit", 100)))
        return next((weight for most, weight in OF_DEPTH if levels <= most), 250)
    if endpoint == "privateGetOpenOrders":
        return 6 if "symbol" in params else 80
    return WEIGHTS.get(endpoint, 1)


def announced(limits: Iterable[Mapping[str, Any]]) -> list[RequestLimit]:
    """Return the limits that ``exchangeInfo`` announces and whose use the answers tell of."""
    found = []
    for one in limits:
        counted, interval = _KINDS.get(one["rateLimitType"]), _INTERVALS.get(one["interval"])
        if counted is None or interval is None:
            continue
        period = interval * int(one["intervalNum"])
        if (counted, period) in HEADERS.values():
            found.append(RequestLimit(counted=counted, most=int(one["limit"]), period=period))
    return found
