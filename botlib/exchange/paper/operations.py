"""Every operation of the exchange, reached by REST path or by WS-API method.

One table, so that both ways give the same answer, weight and refusals.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from botlib.exchange.paper.params import Params
from botlib.exchange.paper.private import Trading
from botlib.exchange.paper.public import MarketData

Handler = Callable[[Params], Awaitable[object]]
Weight = Callable[[Params], int]


@dataclass(frozen=True, slots=True)
class Operation:
    """What a request leads to.

    ``orders`` marks one that sends or cancels orders: it weighs nothing when it succeeds.
    """

    handler: Handler
    weight: Weight
    signed: bool = False
    orders: bool = False


def operations(data: MarketData, trading: Trading) -> dict[tuple[str, str], Operation]:
    """Return the operations by HTTP method and path below ``/api/v3/``."""
    return {
        ("GET", "ping"): Operation(data.ping, _fixed(1)),
        ("GET", "time"): Operation(data.time, _fixed(1)),
        ("GET", "exchangeInfo"): Operation(data.exchange_info, _fixed(20)),
        ("GET", "klines"): Operation(data.klines, _fixed(2)),
        ("GET", "uiKlines"): Operation(data.klines, _fixed(2)),
        ("GET", "ticker/24hr"): Operation(data.ticker_24h, _ticker_weight),
        ("GET", "ticker/price"): Operation(data.ticker_price, _by_symbol(2, 4)),
        ("GET", "ticker/bookTicker"): Operation(data.ticker_book, _by_symbol(2, 4)),
        ("GET", "avgPrice"): Operation(data.average_price, _fixed(2)),
        ("GET", "depth"): Operation(data.depth, _depth_weight),
        ("GET", "trades"): Operation(data.trades, _fixed(25)),
        ("GET", "historicalTrades"): Operation(data.trades, _fixed(25)),
        ("GET", "aggTrades"): Operation(data.aggregated_trades, _fixed(4)),
        ("GET", "account"): Operation(trading.account, _fixed(20), signed=True),
        ("GET", "account/commission"): Operation(trading.commission, _fixed(20), signed=True),
        ("GET", "rateLimit/order"): Operation(trading.order_limits, _fixed(40), signed=True),
        ("POST", "order"): Operation(trading.place, _fixed(1), signed=True, orders=True),
        ("POST", "order/test"): Operation(trading.test, _fixed(1), signed=True),
        ("GET", "order"): Operation(trading.status, _fixed(4), signed=True),
        ("DELETE", "order"): Operation(trading.cancel, _fixed(1), signed=True, orders=True),
        ("GET", "openOrders"): Operation(trading.open_orders, _by_symbol(6, 80), signed=True),
        ("DELETE", "openOrders"): Operation(
            trading.cancel_all, _fixed(1), signed=True, orders=True
        ),
        ("GET", "allOrders"): Operation(trading.all_orders, _fixed(20), signed=True),
        ("GET", "myTrades"): Operation(trading.my_trades, _fixed(20), signed=True),
    }


WS_METHODS: Final[dict[str, tuple[str, str]]] = {
    "ping": ("GET", "ping"),
    "time": ("GET", "time"),
    "exchangeInfo": ("GET", "exchangeInfo"),
    "klines": ("GET", "klines"),
    "uiKlines": ("GET", "uiKlines"),
    "ticker.24hr": ("GET", "ticker/24hr"),
    "ticker.price": ("GET", "ticker/price"),
    "ticker.book": ("GET", "ticker/bookTicker"),
    "avgPrice": ("GET", "avgPrice"),
    "depth": ("GET", "depth"),
    "trades.recent": ("GET", "trades"),
    "trades.historical": ("GET", "historicalTrades"),
    "trades.aggregate": ("GET", "aggTrades"),
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


def _fixed(weight: int) -> Weight:
    return lambda params: weight


def _by_symbol(one: int, every: int) -> Weight:
    return lambda params: one if "symbol" in params else every


def _ticker_weight(params: Params) -> int:
    if "symbol" in params:
        return 2
    names = params.names("symbols")
    count = len(names) if names is not None else 101
    return 2 if count <= 20 else 40 if count <= 100 else 80


def _depth_weight(params: Params) -> int:
    limit = params.limit(100, 5_000)
    return 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1_000 else 250
