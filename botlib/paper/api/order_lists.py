"""The operations on order lists: OCO, OTO, OTOCO, OPO and OPOCO."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from botlib.paper.accounts.archive import RecordRange
from botlib.paper.accounts.orders import OrderList, PaperOrder
from botlib.paper.accounts.record_cache import RecordCache
from botlib.paper.api.account import record_range, window
from botlib.paper.api.orders import OrderHandlers
from botlib.paper.api.responses import list_answer, list_reports_answer, new_order_answer
from botlib.paper.market.feed import Feed
from botlib.paper.market.quotes import Json
from botlib.paper.matching.requests import (
    OrderListRequest,
    OrderRequest,
    read_client_id,
    read_detail,
    read_order,
)
from botlib.paper.protocol.params import Params
from botlib.paper.protocol.refusals import Refusal, refusal, rejected

_LEG_PARAMETERS: Final = (
    "type",
    "price",
    "stopPrice",
    "trailingDelta",
    "icebergQty",
    "timeInForce",
    "strategyId",
    "strategyType",
    "pegPriceType",
    "pegOffsetType",
    "pegOffsetValue",
)

_UNPAID: Final = {"quantity": ""}
"""Names of an order whose amount is what another order receives: its amount cannot be sent."""
_UNSENT: Final = {"timeInForce": "", "stopPrice": "", "trailingDelta": ""}
"""Names of the limit order of the deprecated OCO, which has none of these parameters."""


class OrderListHandlers:
    """Handlers of the operations on order lists."""

    def __init__(self, handlers: OrderHandlers) -> None:
        self._handlers = handlers

    # -- new lists

    async def oco(self, params: Params) -> object:
        """``POST /orderList/oco``."""
        shared = {"quantity": "quantity", "side": "side"}
        above = read_order(params, _order_names("above", shared))
        below = read_order(params, _order_names("below", shared))
        return await self._place(params, None, [above, below])

    async def deprecated_oco(self, params: Params) -> object:
        """``POST /order/oco``: a limit order and a stop order, whose side says which is above."""
        kind = "STOP_LOSS_LIMIT" if "stopLimitPrice" in params else "STOP_LOSS"
        if kind == "STOP_LOSS_LIMIT" and "stopLimitTimeInForce" not in params:
            raise refusal(-1105, "stopLimitTimeInForce")
        params.need("price")
        params.need("stopPrice")
        shared = {"quantity": "quantity", "side": "side"}
        limit = read_order(
            params,
            _leg_names("limit", {**shared, "price": "price", **_UNSENT}),
            {"type": "LIMIT_MAKER"},
        )
        lower = {"price": "stopLimitPrice", "timeInForce": "stopLimitTimeInForce"}
        same = {"stopPrice": "stopPrice", "trailingDelta": "trailingDelta"}
        stop = read_order(params, _leg_names("stop", {**shared, **lower, **same}), {"type": kind})
        pair = [limit, stop] if limit.side == "SELL" else [stop, limit]
        return await self._place(params, None, pair)

    async def oto(self, params: Params) -> object:
        """``POST /orderList/oto``."""
        working = _working_order(params)
        return await self._place(params, working, [read_order(params, _order_names("pending", {}))])

    async def otoco(self, params: Params) -> object:
        """``POST /orderList/otoco``."""
        working = _working_order(params)
        shared = {"quantity": "pendingQuantity", "side": "pendingSide"}
        above = read_order(params, _order_names("pendingAbove", shared))
        below = read_order(params, _order_names("pendingBelow", shared))
        return await self._place(params, working, [above, below])

    async def opo(self, params: Params) -> object:
        """``POST /orderList/opo``: the pending order sells what the working order receives."""
        working = _working_order(params)
        pending = read_order(params, _order_names("pending", _UNPAID), paid=True)
        return await self._place(params, working, [pending], pays=True)

    async def opoco(self, params: Params) -> object:
        """``POST /orderList/opoco``."""
        working = _working_order(params)
        shared = {**_UNPAID, "side": "pendingSide"}
        above = read_order(params, _order_names("pendingAbove", shared), paid=True)
        below = read_order(params, _order_names("pendingBelow", shared), paid=True)
        return await self._place(params, working, [above, below], pays=True)

    async def _place(
        self,
        params: Params,
        working: OrderRequest | None,
        others: Sequence[OrderRequest],
        *,
        pays: bool = False,
    ) -> Json:
        handlers, feed = self._handlers, self._handlers.data.feed(params)
        if pays and working is not None:
            _check_paying(feed, working, others)
        detail = read_detail(params, "RESULT")
        request = OrderListRequest(
            working=working,
            others=others,
            client_id=read_client_id(params, "listClientOrderId"),
            pays=pays,
        )
        count = len(request.orders)
        handlers.limits.check_orders(count, params.account)
        with handlers.limits.counting(count, params.account):
            async with handlers.matching(feed) as time:
                found, orders, transaction = await handlers.engine.place_list(
                    feed, request, time, params.account
                )
        await handlers.publish(feed, transaction.user_events())
        reports = []
        for order in orders:
            trades = [trade for trade in transaction.trades if trade.order_id == order.order_id]
            reports.append(new_order_answer(order, trades, transaction.prevented, detail))
        return list_reports_answer(found, orders, reports)

    # -- cancelling

    async def cancel(self, params: Params) -> object:
        """``DELETE /orderList``."""
        handlers, feed = self._handlers, self._handlers.data.feed(params)
        cancel_id = read_client_id(params, "newClientOrderId")
        async with handlers.matching(feed) as time:
            found = self._find(params, "listClientOrderId", -2011, feed)
            if found.done:
                raise refusal(-2011)
            order = next(one for one in self._orders(found) if one.open)
            done = await handlers.engine.cancel(feed, order, cancel_id, time)
        await handlers.publish(feed, done.user_events)
        return handlers.cancel_answers(done)[0]

    # -- queries

    async def status(self, params: Params) -> object:
        """``GET /orderList``."""
        found = self._find(params, "origClientOrderId", -2018)
        return self._answers(params, [found])[0]

    async def all(self, params: Params) -> object:
        """``GET /allOrderList``."""
        limit, first = params.limit(500, 1_000), params.integer("fromId")
        timed = "startTime" in params or "endTime" in params
        if first is not None and timed:
            raise refusal(-1128)
        asked = record_range(params, first, limit)
        if params.then is None:
            owner = {"account": params.account}
            return self._answers(params, self._stored.select("created", owner, asked))
        mine = [one for one in self._earlier(params, params.then) if one.account == params.account]
        if first is not None:
            mine = [one for one in mine if one.list_id >= first]
        chosen = window(mine, params, lambda one: one.created)
        rows = chosen[:limit] if asked.oldest else chosen[-limit:]
        return self._answers(params, rows)

    async def open(self, params: Params) -> object:
        """``GET /openOrderList``."""
        if params.then is None:
            return self._answers(params, self._handlers.engine.state.open_lists(params.account))
        mine = [one for one in self._earlier(params, params.then) if one.account == params.account]
        return self._answers(params, [one for one in mine if not one.done])

    @property
    def _stored(self) -> RecordCache[OrderList]:
        """The lists of all accounts."""
        return self._handlers.engine.state.lists

    def _earlier(self, params: Params, then: int) -> list[OrderList]:
        """Return the lists of all accounts as they were at a market time (ms)."""
        return self._handlers.engine.history.lists(self._stored.values(), then)

    def _answers(self, params: Params, lists: Sequence[OrderList]) -> list[Json]:
        orders = self._handlers.accounts.account_of(params).orders
        return [list_answer(one, [orders[number] for number in one.order_ids]) for one in lists]

    def _orders(self, found: OrderList) -> list[PaperOrder]:
        account = self._handlers.engine.state.account(found.account)
        return [account.orders[number] for number in found.order_ids]

    def _find(
        self, params: Params, client_name: str, unknown: int, feed: Feed | None = None
    ) -> OrderList:
        number, client_id = params.integer("orderListId"), params.text(client_name)
        if number is None and client_id is None:
            raise Refusal(
                -1102,
                f"Param '{client_name}' or 'orderListId' must be sent, but both were empty/null!",
            )
        for found in self._candidates(params, client_name, number):
            if found.account != params.account or (feed is not None and found.symbol != feed.id):
                continue
            named = found.client_id == client_id
            if found.list_id == number if number is not None else named:
                return found
        text = "Unknown order list sent." if unknown == -2011 else "Order list does not exist."
        raise Refusal(unknown, text)

    def _candidates(
        self, params: Params, client_name: str, number: int | None
    ) -> Iterator[OrderList]:
        """Yield the lists that a request may mean, newest first."""
        if params.then is not None:
            yield from reversed(self._earlier(params, params.then))
        elif number is not None:
            if (found := self._stored.get(number)) is not None:
                yield found
        else:
            # No two active lists share a client id, so an active one is the newest with its id.
            named = self._stored.select(
                "created", {"client_id": params.text(client_name)}, RecordRange(oldest=False)
            )
            yield from sorted(named, key=lambda one: (one.done, -one.list_id))


def _check_paying(feed: Feed, working: OrderRequest, others: Sequence[OrderRequest]) -> None:
    """Check that the working order of a list can pay the others.

    Raises:
        Refusal: it cannot.
    """
    if working.side != "BUY":
        raise refusal(-1222)
    if any(one.side != "SELL" for one in others):
        raise refusal(-1223)
    if not feed.rules.paying_lists_allowed:
        raise rejected("OPO orders are not supported for this symbol.")


def _leg_names(prefix: str, shared: Mapping[str, str]) -> dict[str, str]:
    """Return the names under which a list sends the parameters of one order."""
    names = {name: f"{prefix}{name[0].upper()}{name[1:]}" for name in _LEG_PARAMETERS}
    return {**names, "newClientOrderId": f"{prefix}ClientOrderId", "quoteOrderQty": "", **shared}


def _order_names(prefix: str, shared: Mapping[str, str]) -> dict[str, str]:
    """Return the names of an order that has an amount and a side of its own."""
    own = {"quantity": f"{prefix}Quantity", "side": f"{prefix}Side"}
    return _leg_names(prefix, {**own, **shared})


def _working_order(params: Params) -> OrderRequest:
    working = read_order(params, _order_names("working", {}))
    if working.type not in ("LIMIT", "LIMIT_MAKER"):
        raise rejected("Order type not supported as working order.")
    return working
