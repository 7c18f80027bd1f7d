"""Every operation of the exchange, reached by REST path or by WS-API method.

One table, so that both ways give the same answer, weight and refusals.
"""

from __future__ import annotations

from typing import Final

from botlib.paper.api.market_data import MarketDataHandlers
from botlib.paper.api.market_operations import MARKET_METHODS, market_operations
from botlib.paper.api.order_lists import OrderListHandlers
from botlib.paper.api.orders import OrderHandlers
from botlib.paper.protocol.operation import Handler, Key, Operation, Weight, by_symbol, fixed
from botlib.paper.protocol.params import Params


def operations(data: MarketDataHandlers, trading: OrderHandlers) -> dict[Key, Operation]:
    """Return the operations by HTTP method and path below ``/api/v3/``."""
    return {**market_operations(data), **_account(trading), **_orders(trading), **_lists(trading)}


def _asks(handler: Handler, weight: Weight) -> Operation:
    return Operation(handler, weight, signed=True)


def _trades(handler: Handler) -> Operation:
    return Operation(handler, fixed(1), signed=True, orders=True)


def _account(trading: OrderHandlers) -> dict[Key, Operation]:
    accounts = trading.accounts
    return {
        ("GET", "account"): _asks(accounts.account, fixed(20)),
        ("GET", "account/commission"): _asks(accounts.commission, fixed(20)),
        ("GET", "rateLimit/order"): _asks(accounts.order_limits, fixed(40)),
        ("GET", "myTrades"): _asks(accounts.my_trades, _trades_weight),
        ("GET", "myAllocations"): _asks(accounts.allocations, fixed(20)),
        ("GET", "myFilters"): _asks(accounts.filters, fixed(40)),
        ("GET", "myPreventedMatches"): _asks(accounts.prevented_matches, _prevented_weight),
    }


def _orders(trading: OrderHandlers) -> dict[Key, Operation]:
    return {
        ("POST", "order"): _trades(trading.place),
        ("POST", "order/test"): _asks(trading.test, _test_weight),
        ("GET", "order"): _asks(trading.status, fixed(4)),
        ("DELETE", "order"): _trades(trading.cancel),
        ("POST", "order/cancelReplace"): _trades(trading.replace),
        ("PUT", "order/amend/keepPriority"): Operation(
            trading.amend, fixed(4), signed=True, orders=True, charged=True
        ),
        ("GET", "order/amendments"): _asks(trading.amendments, fixed(4)),
        ("POST", "sor/order"): _trades(trading.routed),
        ("POST", "sor/order/test"): _asks(trading.routed, _test_weight),
        ("GET", "openOrders"): _asks(trading.open_orders, by_symbol(6, 80)),
        ("DELETE", "openOrders"): _trades(trading.cancel_all),
        ("GET", "allOrders"): _asks(trading.all_orders, fixed(20)),
    }


def _lists(trading: OrderHandlers) -> dict[Key, Operation]:
    lists = OrderListHandlers(trading)
    return {
        ("POST", "order/oco"): _trades(lists.old_oco),
        ("POST", "orderList/oco"): _trades(lists.oco),
        ("POST", "orderList/oto"): _trades(lists.oto),
        ("POST", "orderList/otoco"): _trades(lists.otoco),
        ("POST", "orderList/opo"): _trades(lists.opo),
        ("POST", "orderList/opoco"): _trades(lists.opoco),
        ("DELETE", "orderList"): _trades(lists.cancel),
        ("GET", "orderList"): _asks(lists.status, fixed(4)),
        ("GET", "allOrderList"): _asks(lists.every, fixed(20)),
        ("GET", "openOrderList"): _asks(lists.open, fixed(6)),
    }


def _trades_weight(params: Params) -> int:
    return 5 if "orderId" in params else 20


def _prevented_weight(params: Params) -> int:
    return 20 if "orderId" in params else 2


def _test_weight(params: Params) -> int:
    return 20 if params.flag("computeCommissionRates", False) else 1


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
    "myPreventedMatches": ("GET", "myPreventedMatches"),
    "myAllocations": ("GET", "myAllocations"),
    "myFilters": ("GET", "myFilters"),
    "sor.order.place": ("POST", "sor/order"),
    "sor.order.test": ("POST", "sor/order/test"),
    "order.cancelReplace": ("POST", "order/cancelReplace"),
    "order.amend.keepPriority": ("PUT", "order/amend/keepPriority"),
    "order.amendments": ("GET", "order/amendments"),
    "orderList.place": ("POST", "order/oco"),
    "orderList.place.oco": ("POST", "orderList/oco"),
    "orderList.place.oto": ("POST", "orderList/oto"),
    "orderList.place.otoco": ("POST", "orderList/otoco"),
    "orderList.place.opo": ("POST", "orderList/opo"),
    "orderList.place.opoco": ("POST", "orderList/opoco"),
    "orderList.cancel": ("DELETE", "orderList"),
    "orderList.status": ("GET", "orderList"),
    "allOrderLists": ("GET", "allOrderList"),
    "openOrderLists.status": ("GET", "openOrderList"),
}
"""WS-API methods and the operations they stand for."""
