"""The operations on orders: place, test, query, cancel, replace and amend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from botlib.paper.accounts.orders import PaperOrder
from botlib.paper.accounts.transaction import UserEvent
from botlib.paper.api.account import AccountHandlers, record_range
from botlib.paper.api.market_data import MarketDataHandlers
from botlib.paper.api.rate_limits import RateLimits
from botlib.paper.api.responses import (
    amend_answer,
    amendment_row,
    cancel_answer,
    list_reports_answer,
    new_order_answer,
    order_answer,
)
from botlib.paper.market.feed import Feed
from botlib.paper.market.quotes import Json
from botlib.paper.matching.engine import CancelledOrders, MatchingEngine
from botlib.paper.matching.requests import OrderRequest, read_client_id, read_detail, read_order
from botlib.paper.protocol.params import Params
from botlib.paper.protocol.refusals import Refusal, missing, refusal, unsupported
from botlib.paper.venue import Venue

_RESTRICTIONS = {"ONLY_NEW": "NEW", "ONLY_PARTIALLY_FILLED": "PARTIALLY_FILLED"}
_ROWS = 1_000
"""Most rows of an answer that are made between two turns of other tasks."""
_UNKNOWN, _ABSENT, _UNAMENDED = -2011, -2013, -2038


class OrderHandlers:
    """Handlers of the operations on orders."""

    def __init__(self, venue: Venue, data: MarketDataHandlers, limits: RateLimits) -> None:
        self.venue = venue
        self.data = data
        self.limits = limits
        self.accounts = AccountHandlers(venue, data, limits)

    @property
    def engine(self) -> MatchingEngine:
        """The matching engine of the venue."""
        return self.venue.engine

    # -- new orders

    async def place(self, params: Params) -> object:
        """``POST /order``."""
        feed, request, detail = self._read(params)
        self.limits.check_orders(1, params.account)
        return await self._place(feed, request, detail, params)

    def _read(self, params: Params) -> tuple[Feed, OrderRequest, str]:
        feed, request = self.data.feed(params), read_order(params)
        default = "FULL" if request.type in ("LIMIT", "MARKET") else "ACK"
        return feed, request, read_detail(params, default)

    async def _place(self, feed: Feed, request: OrderRequest, detail: str, params: Params) -> Json:
        with self.limits.counting(1, params.account):
            async with self.matching(feed) as time:
                done = await self.engine.place(feed, request, time, params.account)
        await self.publish(feed, done.user_events)
        return new_order_answer(done.order, done.trades, done.prevented, detail)

    async def test(self, params: Params) -> object:
        """``POST /order/test``."""
        feed, request, _ = self._read(params)
        await self.venue.catch_up(feed)
        async with self.venue.turn(feed) as time:
            await self.engine.check(feed, request, time, params.account)
        if not params.flag("computeCommissionRates", False):
            return {}
        answer = self.accounts.commissions(params)
        names = {"standard": "standardCommission", "special": "specialCommission"}
        rates = {f"{one}CommissionForOrder": _rates_for_order(answer[names[one]]) for one in names}
        rates["taxCommissionForOrder"] = _rates_for_order(answer["taxCommission"])
        return {**rates, "discount": answer["discount"]}

    async def routed(self, params: Params) -> object:
        """``POST /sor/order`` and its test, which no symbol here supports.

        Raises:
            Refusal: always.
        """
        self._read(params)
        raise unsupported()

    @asynccontextmanager
    async def matching(self, feed: Feed) -> AsyncIterator[int]:
        """Wait until an order reaches the matching, which is idle then; yield the time (ms).

        It waits for a late market and for the latency of the book.
        """
        await self.venue.catch_up(feed)
        if feed.book.latency:
            await asyncio.sleep(feed.book.latency / 1_000)
        async with self.venue.turn(feed) as time:
            yield time

    async def publish(self, feed: Feed, user_events: list[UserEvent]) -> None:
        """Wait until a change is on disk, then publish its user events and public trades."""
        self.venue.orders_changed(feed)
        try:
            await self.engine.durable()
        finally:
            self.venue.orders_changed(feed)
        self.venue.answer(user_events)
        await self.venue.users.delivered()
        traded = await self.venue.broadcast.account_trades(feed)
        await self.venue.broadcast.orders_changed(feed, traded=traded)

    # -- queries

    async def status(self, params: Params) -> object:
        """``GET /order``."""
        return order_answer(self._find(params, _ABSENT))

    async def open_orders(self, params: Params) -> object:
        """``GET /openOrders``."""
        symbol = self.data.feed(params).id if "symbol" in params else None
        orders = self.accounts.account_of(params).open_orders(symbol)
        rows: list[Json] = []
        # Accounts may have 200 open orders in each symbol; others are served meanwhile.
        for first in range(0, len(orders), _ROWS):
            rows += [order_answer(order) for order in orders[first : first + _ROWS]]
            await asyncio.sleep(0)
        return rows

    async def all_orders(self, params: Params) -> object:
        """``GET /allOrders``."""
        symbol, limit = self.data.feed(params).id, params.limit(500, 1_000)
        asked = record_range(params, params.integer("orderId"), limit)
        orders = self.accounts.account_of(params).orders
        return [order_answer(order) for order in orders.select(symbol, asked)]

    def _find(
        self,
        params: Params,
        unknown: int,
        number_name: str = "orderId",
        client_name: str = "origClientOrderId",
    ) -> PaperOrder:
        symbol = self.data.feed(params).id
        number, client_id = params.integer(number_name), params.text(client_name)
        if number is None and client_id is None:
            raise Refusal(
                -1102,
                f"Param '{client_name}' or '{number_name}' must be sent, but both were empty/null!",
            )
        account = self.accounts.account_of(params)
        if number is not None:
            order = account.orders.get(number)
        else:
            order = account.by_client_id(symbol, client_id or "")
        if order is None or order.symbol != symbol:
            raise refusal(unknown)
        if client_id is not None and order.client_order_id != client_id:
            # Only a query has an error code for two ids that contradict each other.
            raise refusal(-2039 if number is not None and unknown == _ABSENT else unknown)
        return order

    # -- cancelling

    async def cancel(self, params: Params) -> object:
        """``DELETE /order``."""
        feed = self.data.feed(params)
        restriction, cancel_id = _restriction(params), read_client_id(params, "newClientOrderId")
        async with self.matching(feed) as time:
            order = self._find(params, _UNKNOWN)
            done = await self.engine.cancel(feed, order, cancel_id, time, restriction)
        await self.publish(feed, done.user_events)
        return self.cancel_answers(done)[0]

    async def cancel_all(self, params: Params) -> object:
        """``DELETE /openOrders``."""
        feed = self.data.feed(params)
        async with self.matching(feed) as time:
            if not self.accounts.account_of(params).open_orders(feed.id):
                raise refusal(_UNKNOWN)
            done = await self.engine.cancel_all(feed, time, params.account)
        await self.publish(feed, done.user_events)
        return self.cancel_answers(done)

    def cancel_answers(self, done: CancelledOrders) -> list[Json]:
        """Return the answers to cancellations: one per order, or one per order list."""
        answers = [
            cancel_answer(order, number) for order, number in done.orders if order.list_id < 0
        ]
        for found in done.lists:
            account = self.engine.state.account(found.account)
            orders = [account.orders[number] for number in found.order_ids]
            reports = [
                cancel_answer(order, number)
                for order, number in done.orders
                if order.list_id == found.list_id
            ]
            answers.append(list_reports_answer(found, orders, reports))
        return answers

    # -- changing orders

    async def cancel_replace(self, params: Params) -> object:
        """``POST /order/cancelReplace``: cancel an order, then place another one."""
        mode = params.need("cancelReplaceMode")
        if mode not in ("STOP_ON_FAILURE", "ALLOW_FAILURE"):
            raise missing("cancelReplaceMode")
        feed, request, detail = self._read(params)
        restriction = _restriction(params)
        cancel_id = read_client_id(params, "cancelNewClientOrderId")
        if "cancelOrderId" not in params and "cancelOrigClientOrderId" not in params:
            self._find(params, _UNKNOWN, "cancelOrderId", "cancelOrigClientOrderId")
        await self.venue.catch_up(feed)
        self.engine.check_filters(feed, request)
        exceeded = self._limit_exceeded(params)
        cancelled: object
        result = "SUCCESS"
        try:
            async with self.matching(feed) as time:
                order = self._find(params, _UNKNOWN, "cancelOrderId", "cancelOrigClientOrderId")
                done = await self.engine.cancel(feed, order, cancel_id, time, restriction)
            await self.publish(feed, done.user_events)
            cancelled = self.cancel_answers(done)[0]
        except Refusal as refused:
            cancelled, result = refused.body(), "FAILURE"
            if mode == "STOP_ON_FAILURE":
                if exceeded is None:
                    # An order that was not attempted counts too.
                    self.limits.count_orders(1, params.account)
                raise _replace_refusal(
                    result, cancelled, "NOT_ATTEMPTED", None, exceeded=exceeded
                ) from None
        try:
            if exceeded is not None:
                raise exceeded
            answer = await self._place(feed, request, detail, params)
        except Refusal as refused:
            stopped = exceeded if mode == "STOP_ON_FAILURE" else None
            raise _replace_refusal(
                result, cancelled, "FAILURE", refused.body(), exceeded=stopped
            ) from None
        if result == "FAILURE":
            raise _replace_refusal(result, cancelled, "SUCCESS", answer)
        return {
            "cancelResult": result,
            "newOrderResult": "SUCCESS",
            "cancelResponse": cancelled,
            "newOrderResponse": answer,
        }

    def _limit_exceeded(self, params: Params) -> Refusal | None:
        """Return the refusal of a new order if the client wants the old one cancelled anyway.

        Raises:
            Refusal: the order limit is exceeded, and the old order has to stay.
        """
        mode = params.text("orderRateLimitExceededMode") or "DO_NOTHING"
        if mode not in ("DO_NOTHING", "CANCEL_ONLY"):
            raise refusal(-1130, "orderRateLimitExceededMode")
        try:
            self.limits.check_orders(1, params.account)
        except Refusal as refused:
            if mode == "DO_NOTHING":
                raise
            return refused
        return None

    async def amend(self, params: Params) -> object:
        """``PUT /order/amend/keepPriority``: reduce the amount of an order."""
        feed, amount = self.data.feed(params), params.decimal("newQty")
        if amount is None:
            raise missing("newQty")
        client_id = read_client_id(params, "newClientOrderId")
        async with self.matching(feed) as time:
            order = self._find(params, _UNAMENDED)
            changed, transaction = self.engine.amend(feed, order, amount, client_id, time)
        await self.publish(feed, transaction.user_events())
        found = transaction.list_of(changed)
        if found is None:
            return amend_answer(changed)
        members = [transaction.find_order(changed.account, number) for number in found.order_ids]
        return amend_answer(changed, found, members)

    async def amendments(self, params: Params) -> object:
        """``GET /order/amendments``."""
        symbol, limit = self.data.feed(params).id, params.limit(500, 1_000)
        number, first = params.integer("orderId"), params.integer("fromExecutionId") or 0
        if number is None:
            raise missing("orderId")
        order = self.accounts.account_of(params).orders.get(number)
        if order is None or order.symbol != symbol:
            raise refusal(-2013)
        return [amendment_row(order, row) for row in order.amended if row["execution"] >= first][
            :limit
        ]


def _restriction(params: Params) -> str | None:
    name = params.text("cancelRestrictions")
    if name is None:
        return None
    if name not in _RESTRICTIONS:
        raise refusal(-1145)
    return _RESTRICTIONS[name]


def _rates_for_order(rates: object) -> Json:
    assert isinstance(rates, dict)
    return {"maker": rates["maker"], "taker": rates["taker"]}


def _replace_refusal(
    cancel: str, cancelled: object, new: str, answer: object, *, exceeded: Refusal | None = None
) -> Refusal:
    data = {
        "cancelResult": cancel,
        "newOrderResult": new,
        "cancelResponse": cancelled,
        "newOrderResponse": answer,
    }
    code, words, status = -2022, "Order cancel-replace failed.", 400
    if "SUCCESS" in (cancel, new):
        code, words, status = -2021, "Order cancel-replace partially failed.", 409
    if exceeded is not None:
        status = exceeded.status
    return Refusal(code, words, status, data=data)
