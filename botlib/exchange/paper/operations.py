"""Every operation of the exchange, reached by REST path or by WS-API method.

One table, so that both ways give the same answer, weight and refusals.
"""

from __future__ import annotations

from typing import Final

from botlib.exchange.paper.market_operations import MARKET_METHODS, market_operations
from botlib.exchange.paper.operation import Key, Operation, by_symbol, fixed
from botlib.exchange.paper.private import Trading
from botlib.exchange.paper.public import MarketData


def operations(data: MarketData, trading: Trading) -> dict[Key, Operation]:
    """Return the operations by HTTP method and path below ``/api/v3/``."""
    return {
        **market_operations(data),
        ("GET", "account"): Operation(trading.account, fixed(20), signed=True),
        ("GET", "account/commission"): Operation(trading.commission, fixed(20), signed=True),
        ("GET", "rateLimit/order"): Operation(trading.order_limits, fixed(40), signed=True),
        ("POST", "order"): Operation(trading.place, fixed(1), signed=True, orders=True),
        ("POST", "order/test"): Operation(trading.test, fixed(1), signed=True),
        ("GET", "order"): Operation(trading.status, fixed(4), signed=True),
        ("DELETE", "order"): Operation(trading.cancel, fixed(1), signed=True, orders=True),
        ("GET", "openOrders"): Operation(trading.open_orders, by_symbol(6, 80), signed=True),
        ("DELETE", "openOrders"): Operation(trading.cancel_all, fixed(1), signed=True, orders=True),
        ("GET", "allOrders"): Operation(trading.all_orders, fixed(20), signed=True),
        ("GET", "myTrades"): Operation(trading.my_trades, fixed(20), signed=True),
    }


WS_METHODS: Final[dict[str, Key]] = {
    **MARKET_METHODS,
    "account.status": ("GET", "account"),
    "account.commission": ("GET", "account/commission"),
    "account.rateLimits.orders": ("GET", "rateLimit/order"),
    "order.place": ("POST", "order"),
    "order.test": ("POST", "order/test"),
    "order.status": ("GET", "order"),
    "order.cancel": ("DELETE", "order"),
    "openOrders.status": ("GET", "openOrders"),
    "openOrders.cancelAll": ("DELETE", "openOrders"),
    "allOrders": ("GET", "allOrders"),
    "myTrades": ("GET", "myTrades"),
}
"""WS-API methods and the operations they stand for."""
