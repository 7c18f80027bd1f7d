"""The table of all operations, by REST path and by method of the WebSocket API.

Both APIs use this table, so that they give the same answers, weights and refusals.
"""

from __future__ import annotations

from typing import Final

from botlib.paper.api.market_data import MarketDataHandlers
from botlib.paper.api.market_operations import MARKET_METHODS, market_operations
from botlib.paper.api.order_lists import OrderListHandlers
from botlib.paper.api.orders import OrderHandlers
from botlib.paper.protocol.operation import Handler, Key, Operation, Weight, by_symbol, fixed
from botlib.paper.protocol.params import Params


def operations(data: MarketDataHandlers, orders: OrderHandlers) -> dict[Key, Operation]:
    """Return all operations by HTTP method and path below ``/api/v3/``."""
    return {
        **market_operations(data),
        **_account_operations(orders),
        **_order_operations(orders),
        **_list_operations(orders),
    }


def _query(handler: Handler, weight: Weight) -> Operation:
    return Operation(handler, weight, signed=True)


def _command(handler: Handler) -> Operation:
    return Operation(handler, fixed(1), signed=True, orders=True)


def _account_operations(orders: OrderHandlers) -> dict[Key, Operation]:
    accounts = orders.accounts
    return {
        ("GET", "account"): _query(accounts.account, fixed(20)),
        ("GET", "account/commission"): _query(accounts.commission, fixed(20)),
        ("GET", "rateLimit/order"): _query(accounts.order_limits, fixed(40)),
        ("GET", "myTrades"): _query(accounts.my_trades, _trades_weight),
        ("GET", "myAllocations"): _query(accounts.allocations, fixed(20)),
        ("GET", "myFilters"): _query(accounts.filters, fixed(40)),
        ("GET", "myPreventedMatches"): _query(accounts.prevented_matches, _prevented_weight),
    }


def _order_operations(orders: OrderHandlers) -> dict[Key, Operation]:
    return {
        ("POST", "order"): _command(orders.place),
        ("POST", "order/test"): _query(orders.test, _test_weight),
        ("GET", "order"): _query(orders.status, fixed(4)),
        ("DELETE", "order"): _command(orders.cancel),
        ("POST", "order/cancelReplace"): _command(orders.cancel_replace),
        ("PUT", "order/amend/keepPriority"): Operation(
            orders.amend, fixed(4), signed=True, orders=True, charged=True
        ),
        ("GET", "order/amendments"): _query(orders.amendments, fixed(4)),
        ("POST", "sor/order"): _command(orders.routed),
        ("POST", "sor/order/test"): _query(orders.routed, _test_weight),
        ("GET", "openOrders"): _query(orders.open_orders, by_symbol(6, 80)),
        ("DELETE", "openOrders"): _command(orders.cancel_all),
        ("GET", "allOrders"): _query(orders.all_orders, fixed(20)),
    }


def _list_operations(orders: OrderHandlers) -> dict[Key, Operation]:
    lists = OrderListHandlers(orders)
    return {
        ("POST", "order/oco"): _command(lists.deprecated_oco),
        ("POST", "orderList/oco"): _command(lists.oco),
        ("POST", "orderList/oto"): _command(lists.oto),
        ("POST", "orderList/otoco"): _command(lists.otoco),
        ("POST", "orderList/opo"): _command(lists.opo),
        ("POST", "orderList/opoco"): _command(lists.opoco),
        ("DELETE", "orderList"): _command(lists.cancel),
        ("GET", "orderList"): _query(lists.status, fixed(4)),
        ("GET", "allOrderList"): _query(lists.all, fixed(20)),
        ("GET", "openOrderList"): _query(lists.open, fixed(6)),
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
"""Methods of the WebSocket API and their operations."""
