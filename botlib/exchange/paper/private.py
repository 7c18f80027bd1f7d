"""Account and orders on request: what has to be signed."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar

from botlib.exchange.paper.feed import Feed
from botlib.exchange.paper.limits import Limits
from botlib.exchange.paper.matching import Desk, read_client_id, read_order
from botlib.exchange.paper.orders import PaperOrder, canceled, my_trade, placed, queried
from botlib.exchange.paper.params import Params
from botlib.exchange.paper.public import MarketData
from botlib.exchange.paper.quotes import Json, eight
from botlib.exchange.paper.refusals import Refusal, missing
from botlib.exchange.paper.venue import Venue

T = TypeVar("T")


class Trading:
    """Answers about the account, and takes orders."""

    def __init__(self, venue: Venue, data: MarketData, limits: Limits) -> None:
        self._venue = venue
        self._desk: Desk = venue.desk
        self._data = data
        self._limits = limits

    # -- the account

    async def account(self, params: Params) -> object:
        """``/account``."""
        basis_points = int(self._desk.fee * 10_000)
        omit = params.text("omitZeroBalances") == "true"
        return {
            "makerCommission": basis_points,
            "takerCommission": basis_points,
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": self._rates(),
            "canTrade": True,
            "canWithdraw": False,
            "canDeposit": False,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": self._desk.account.updated,
            "accountType": "SPOT",
            "balances": [
                {"asset": asset, "free": eight(balance.free), "locked": eight(balance.locked)}
                for asset, balance in sorted(self._desk.account.balances.items())
                if not omit or balance.free or balance.locked
            ],
            "permissions": ["SPOT"],
            "uid": 1,
        }

    async def commission(self, params: Params) -> object:
        """``/account/commission``."""
        feed = self._data.feed(params)
        none = {"maker": eight(0), "taker": eight(0), "buyer": eight(0), "seller": eight(0)}
        return {
            "symbol": feed.id,
            "standardCommission": self._rates(),
            "specialCommission": none,
            "taxCommission": none,
            "discount": {
                "enabledForAccount": False,
                "enabledForSymbol": False,
                "discountAsset": "BNB",
                "discount": eight(0),
            },
        }

    def _rates(self) -> Json:
        fee, none = eight(self._desk.fee), eight(Decimal(0))
        return {"maker": fee, "taker": fee, "buyer": none, "seller": none}

    async def order_limits(self, params: Params) -> object:
        """``/rateLimit/order``."""
        return self._limits.order_counts()

    async def trade_fees(self, params: Params) -> object:
        """``/sapi/v1/asset/tradeFee``."""
        feeds = [self._data.feed(params).listing] if "symbol" in params else self._venue.listings()
        fee = str(self._desk.fee)
        return [
            {"symbol": listing.id, "makerCommission": fee, "takerCommission": fee}
            for listing in feeds
        ]

    # -- orders

    async def place(self, params: Params) -> object:
        """``POST /order``."""
        feed, request = self._data.feed(params), read_order(params)
        default = "FULL" if request.type in ("LIMIT", "MARKET") else "ACK"
        detail = params.text("newOrderRespType") or default
        if detail not in ("ACK", "RESULT", "FULL"):
            raise missing("newOrderRespType")
        self._limits.check_orders()
        order, trades, events = self._desk.place(feed, request, self._venue.market_time)
        self._limits.count_order()
        self._venue.orders_changed(feed)
        await self._venue.users.publish(events)
        return placed(order, trades, detail)

    async def test(self, params: Params) -> object:
        """``POST /order/test``."""
        self._desk.check(self._data.feed(params), read_order(params), self._venue.market_time)
        return {}

    async def status(self, params: Params) -> object:
        """``GET /order``."""
        return queried(self._find(params, Refusal(-2013, "Order does not exist.")))

    async def cancel(self, params: Params) -> object:
        """``DELETE /order``."""
        feed = self._data.feed(params)
        unknown = Refusal(-2011, "Unknown order sent.")
        order = self._find(params, unknown)
        if not order.open:
            raise unknown
        done, number, events = self._desk.cancel(
            order, read_client_id(params, "newClientOrderId"), self._venue.market_time
        )
        await self._changed(feed, events)
        return canceled(done, number)

    async def open_orders(self, params: Params) -> object:
        """``GET /openOrders``."""
        symbol = self._data.feed(params).id if "symbol" in params else None
        return [queried(order) for order in self._desk.account.open_orders(symbol)]

    async def cancel_all(self, params: Params) -> object:
        """``DELETE /openOrders``."""
        feed = self._data.feed(params)
        if not self._desk.account.open_orders(feed.id):
            raise Refusal(-2011, "Unknown order sent.")
        done, events = self._desk.cancel_all(feed.id, self._venue.market_time)
        await self._changed(feed, events)
        return [canceled(order, number) for order, number in done]

    async def all_orders(self, params: Params) -> object:
        """``GET /allOrders``."""
        symbol, limit = self._data.feed(params).id, params.limit(500, 1_000)
        found = [order for order in self._desk.account.orders.values() if order.symbol == symbol]
        first = params.integer("orderId")
        if first is not None:
            found = [order for order in found if order.order_id >= first]
        chosen = _window(found, params, lambda order: order.created)
        oldest_first = first is not None or "startTime" in params
        return [queried(order) for order in (chosen[:limit] if oldest_first else chosen[-limit:])]

    async def my_trades(self, params: Params) -> object:
        """``GET /myTrades``."""
        symbol, limit = self._data.feed(params).id, params.limit(500, 1_000)
        found = list(self._desk.account.trades.get(symbol, ()))
        number, first = params.integer("orderId"), params.integer("fromId")
        if number is not None:
            found = [trade for trade in found if trade.order_id == number]
        if first is not None:
            found = [trade for trade in found if trade.trade_id >= first]
        chosen = _window(found, params, lambda trade: trade.time)
        oldest_first = first is not None or "startTime" in params
        return [my_trade(trade) for trade in (chosen[:limit] if oldest_first else chosen[-limit:])]

    async def _changed(self, feed: Feed, events: list[Json]) -> None:
        self._venue.orders_changed(feed)
        await self._venue.users.publish(events)

    def _find(self, params: Params, unknown: Refusal) -> PaperOrder:
        symbol = self._data.feed(params).id
        number, client_id = params.integer("orderId"), params.text("origClientOrderId")
        if number is None and client_id is None:
            raise Refusal(
                -1102,
                "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!",
            )
        account = self._desk.account
        if number is not None:
            order = account.orders.get(number)
        else:
            order = account.by_client_id(symbol, client_id or "")
        if order is None or order.symbol != symbol:
            raise unknown
        return order


def _window(rows: list[T], params: Params, time: Callable[[T], int]) -> list[T]:
    start, end = params.integer("startTime"), params.integer("endTime")
    return [
        row
        for row in rows
        if (start is None or time(row) >= start) and (end is None or time(row) <= end)
    ]
