"""The answers about orders, order lists and trades, with Binance's field names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from botlib.paper.accounts.orders import OrderList, PaperOrder, PaperTrade, PreventedMatch
from botlib.paper.accounts.user_events import peg_fields
from botlib.paper.market.quotes import Json, eight_decimals


def _order_fields(order: PaperOrder) -> Json:
    answer: Json = {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": order.list_id,
        "clientOrderId": order.client_order_id,
        "price": eight_decimals(order.sent_price),
        "origQty": eight_decimals(order.amount),
        "executedQty": eight_decimals(order.executed),
        "origQuoteOrderQty": eight_decimals(order.quote_amount),
        "cummulativeQuoteQty": eight_decimals(order.cost),
        "status": order.status,
        "timeInForce": order.time_in_force,
        "type": order.type,
        "side": order.side,
        "workingTime": order.working_since,
        "selfTradePreventionMode": order.self_trade,
    }
    if order.stop_price:
        answer["stopPrice"] = eight_decimals(order.stop_price)
    if order.iceberg:
        answer["icebergQty"] = eight_decimals(order.iceberg)
    if order.trailing_delta:
        answer["trailingDelta"] = order.trailing_delta
        answer["trailingTime"] = order.trailing_since or -1
    if order.strategy_id:
        answer["strategyId"] = order.strategy_id
    if order.strategy_type:
        answer["strategyType"] = order.strategy_type
    if order.prevented:
        answer["preventedMatchId"] = order.prevented_match
        answer["preventedQuantity"] = eight_decimals(order.prevented)
    if order.expiry:
        answer["expiryReason"] = order.expiry
    if order.peg is not None:
        answer.update(peg_fields(order, order.peg, _PEG_NAMES))
    return answer


_PEG_NAMES: Final = ("pegPriceType", "pegOffsetType", "pegOffsetValue", "peggedPrice")


def new_order_answer(
    order: PaperOrder,
    trades: Sequence[PaperTrade],
    prevented: Sequence[PreventedMatch],
    detail: str,
) -> Json:
    """Return the answer to a new order.

    Args:
        order: new order.
        trades: its immediate trades.
        prevented: prevented matches of the request.
        detail: ``ACK``, ``RESULT`` or ``FULL``.
    """
    if detail == "ACK":
        return {
            "symbol": order.symbol,
            "orderId": order.order_id,
            "orderListId": order.list_id,
            "clientOrderId": order.client_order_id,
            "transactTime": order.updated,
        }
    answer = _order_fields(order)
    answer["transactTime"] = order.updated
    if not order.amount and order.pending:
        # The amount is unknown until the working order of the list has received it.
        answer.pop("origQty")
    if detail != "FULL":
        return answer
    answer["fills"] = [
        {
            "price": eight_decimals(trade.price),
            "qty": eight_decimals(trade.amount),
            "commission": eight_decimals(trade.commission),
            "commissionAsset": trade.commission_asset,
            "tradeId": trade.trade_id,
        }
        for trade in trades
    ]
    matches = [_prevented_fields(one) for one in prevented if one.taker_id == order.order_id]
    if matches:
        answer["preventedMatches"] = matches
        group = max(one.group for one in prevented)
        if group >= 0:
            answer["tradeGroupId"] = group
    return answer


def _prevented_fields(match: PreventedMatch) -> Json:
    return {
        "preventedMatchId": match.match_id,
        "makerOrderId": match.maker_id,
        "price": eight_decimals(match.price),
        **_prevented_amounts(match),
    }


def _prevented_amounts(match: PreventedMatch) -> Json:
    amounts: Json = {}
    if match.mode != "EXPIRE_MAKER":
        amounts["takerPreventedQuantity"] = eight_decimals(match.taker_amount)
    if match.mode != "EXPIRE_TAKER":
        amounts["makerPreventedQuantity"] = eight_decimals(match.maker_amount)
    return amounts


def prevented_match_row(match: PreventedMatch) -> Json:
    """Return a row of ``/myPreventedMatches``."""
    return {
        "symbol": match.symbol,
        "preventedMatchId": match.match_id,
        "takerOrderId": match.taker_id,
        "makerSymbol": match.symbol,
        "makerOrderId": match.maker_id,
        "tradeGroupId": match.group,
        "selfTradePreventionMode": match.mode,
        "price": eight_decimals(match.price),
        **_prevented_amounts(match),
        "transactTime": match.time,
    }


def order_answer(order: PaperOrder) -> Json:
    """Return the answer to a query of an order."""
    answer = _order_fields(order)
    answer.update(
        stopPrice=eight_decimals(order.stop_price),
        icebergQty=eight_decimals(order.iceberg),
        time=order.created,
        updateTime=order.updated,
        isWorking=not order.dormant and not order.pending,
    )
    return answer


def cancel_answer(order: PaperOrder, cancel_id: str) -> Json:
    """Return the answer to a cancellation; ``cancel_id`` is the client id of the request."""
    answer = _order_fields(order)
    answer.pop("workingTime")
    answer.update(
        origClientOrderId=order.client_order_id,
        clientOrderId=cancel_id,
        transactTime=order.updated,
    )
    return answer


_AMENDED: Final = {
    "origQty": "qty",
    "origQuoteOrderQty": "quoteOrderQty",
    "cummulativeQuoteQty": "cumulativeQuoteQty",
}
"""Fields of an order that have another name in the answer to an amendment."""


def amend_answer(
    order: PaperOrder, found: OrderList | None = None, orders: Sequence[PaperOrder] = ()
) -> Json:
    """Return the answer to an amendment.

    Args:
        order: order after the amendment.
        found: order list of the order, None if it belongs to none.
        orders: orders of the list.
    """
    last = order.amended[-1]
    fields = {_AMENDED.get(name, name): value for name, value in _order_fields(order).items()}
    fields.update(origClientOrderId=last["before"], preventedQty=eight_decimals(order.prevented))
    if order.working_since < 0:
        fields.pop("workingTime")
    answer: Json = {
        "transactTime": order.updated,
        "executionId": last["execution"],
        "amendedOrder": fields,
    }
    if found is not None:
        status = list_answer(found, orders)
        answer["listStatus"] = {name: status[name] for name in _STATUS_OF_AMENDED}
    return answer


_STATUS_OF_AMENDED: Final = (
    *("orderListId", "contingencyType", "listOrderStatus", "listClientOrderId", "symbol"),
    "orders",
)


def amendment_row(order: PaperOrder, row: Mapping[str, Any]) -> Json:
    """Return a row of ``/order/amendments`` from a row of `PaperOrder.amended`."""
    return {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "executionId": row["execution"],
        "origClientOrderId": row["before"],
        "newClientOrderId": row["after"],
        "origQty": eight_decimals(Decimal(row["from"])),
        "newQty": eight_decimals(Decimal(row["to"])),
        "time": row["time"],
    }


def trade_row(trade: PaperTrade) -> Json:
    """Return a row of ``/myTrades``."""
    return {
        "symbol": trade.symbol,
        "id": trade.trade_id,
        "orderId": trade.order_id,
        "orderListId": trade.list_id,
        "price": eight_decimals(trade.price),
        "qty": eight_decimals(trade.amount),
        "quoteQty": eight_decimals(trade.quote_amount),
        "commission": eight_decimals(trade.commission),
        "commissionAsset": trade.commission_asset,
        "time": trade.time,
        "isBuyer": trade.side == "BUY",
        "isMaker": trade.maker,
        "isBestMatch": True,
    }


# -- order lists


def list_answer(found: OrderList, orders: Sequence[PaperOrder], *, updated: bool = False) -> Json:
    """Return the answer to a query of an order list.

    Args:
        found: order list.
        orders: its orders.
        updated: whether the time is that of the last change, instead of the creation.
    """
    state = "ALL_DONE" if found.done else "EXECUTING"
    return {
        "orderListId": found.list_id,
        "contingencyType": found.contingency,
        "listStatusType": "ALL_DONE" if found.done else "EXEC_STARTED",
        "listOrderStatus": state,
        "listClientOrderId": found.client_id,
        "transactionTime": found.updated if updated else found.created,
        "symbol": found.symbol,
        "orders": [
            {
                "symbol": order.symbol,
                "orderId": order.order_id,
                "clientOrderId": order.client_order_id,
            }
            for order in orders
        ],
    }


def list_reports_answer(
    found: OrderList, orders: Sequence[PaperOrder], reports: Sequence[Json]
) -> Json:
    """Return the answer to a new order list or to its cancellation."""
    return {**list_answer(found, orders, updated=True), "orderReports": list(reports)}
