"""Orders and trades of the paper exchange, and how Binance's answers and events show them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Self

import orjson

from botlib.exchange.paper.quotes import Json, eight

OPEN: Final = frozenset({"NEW", "PARTIALLY_FILLED"})
SELF_TRADE: Final = "EXPIRE_MAKER"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperOrder:
    """An order in Binance's words. Amounts in base, ``cost`` and ``quote_amount`` in quote units.

    ``locked`` is what the order still holds back: quote for a buy, base for a sale. An order with a
    ``stop_price`` is not in the book before the price reaches it; ``triggered`` is when it did, ms.
    """

    order_id: int
    client_order_id: str
    symbol: str
    side: str
    type: str
    time_in_force: str
    price: Decimal
    amount: Decimal
    quote_amount: Decimal
    executed: Decimal
    cost: Decimal
    locked: Decimal
    locked_asset: str
    status: str
    created: int
    updated: int
    stop_price: Decimal = Decimal(0)
    triggered: int = 0

    @property
    def open(self) -> bool:
        """Whether it can still trade."""
        return self.status in OPEN

    @property
    def conditional(self) -> bool:
        """Whether it was sent with a stop price."""
        return self.stop_price > 0

    @property
    def dormant(self) -> bool:
        """Whether it still waits for its stop price, outside the book."""
        return self.conditional and not self.triggered

    @property
    def working_since(self) -> int:
        """Market time (ms) at which it came into the book, -1 where it did not yet."""
        return -1 if self.dormant else self.triggered or self.created

    def dump(self) -> bytes:
        """Return the order as JSON."""
        return orjson.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def load(cls, text: bytes | str) -> Self:
        """Return the order that `dump` wrote."""
        return cls(**_decimals(orjson.loads(text), _ORDER_DECIMALS))


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTrade:
    """One execution. ``quote_amount`` is price times amount, before the commission."""

    trade_id: int
    order_id: int
    symbol: str
    side: str
    price: Decimal
    amount: Decimal
    quote_amount: Decimal
    commission: Decimal
    commission_asset: str
    time: int
    maker: bool

    def dump(self) -> bytes:
        """Return the trade as JSON."""
        return orjson.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def load(cls, text: bytes | str) -> Self:
        """Return the trade that `dump` wrote."""
        return cls(**_decimals(orjson.loads(text), _TRADE_DECIMALS))


_ORDER_DECIMALS: Final = (
    "price",
    "amount",
    "quote_amount",
    "executed",
    "cost",
    "locked",
    "stop_price",
)
_TRADE_DECIMALS: Final = ("price", "amount", "quote_amount", "commission")


def _decimals(values: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    # A ledger of an earlier version has no stop prices.
    return {**values, **{name: Decimal(str(values[name])) for name in names if name in values}}


def _common(order: PaperOrder) -> Json:
    answer: Json = {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_order_id,
        "price": eight(order.price),
        "origQty": eight(order.amount),
        "executedQty": eight(order.executed),
        "origQuoteOrderQty": eight(order.quote_amount),
        "cummulativeQuoteQty": eight(order.cost),
        "status": order.status,
        "timeInForce": order.time_in_force,
        "type": order.type,
        "side": order.side,
        "workingTime": order.working_since,
        "selfTradePreventionMode": SELF_TRADE,
    }
    if order.conditional:
        answer["stopPrice"] = eight(order.stop_price)
    return answer


def placed(order: PaperOrder, trades: Sequence[PaperTrade], detail: str) -> Json:
    """Return the answer to a new order; ``detail`` is ``ACK``, ``RESULT`` or ``FULL``."""
    if detail == "ACK":
        return {
            "symbol": order.symbol,
            "orderId": order.order_id,
            "orderListId": -1,
            "clientOrderId": order.client_order_id,
            "transactTime": order.updated,
        }
    answer = _common(order)
    answer["transactTime"] = order.updated
    if detail == "FULL":
        answer["fills"] = [
            {
                "price": eight(trade.price),
                "qty": eight(trade.amount),
                "commission": eight(trade.commission),
                "commissionAsset": trade.commission_asset,
                "tradeId": trade.trade_id,
            }
            for trade in trades
        ]
    return answer


def queried(order: PaperOrder) -> Json:
    """Return the answer to a question about an order."""
    answer = _common(order)
    answer.update(
        stopPrice=eight(order.stop_price),
        icebergQty=eight(0),
        time=order.created,
        updateTime=order.updated,
        isWorking=not order.dormant,
    )
    return answer


def canceled(order: PaperOrder, cancel_id: str) -> Json:
    """Return the answer to a cancellation, which carries an id of its own."""
    answer = _common(order)
    answer.pop("workingTime")
    answer.update(
        origClientOrderId=order.client_order_id,
        clientOrderId=cancel_id,
        transactTime=order.updated,
    )
    return answer


def my_trade(trade: PaperTrade) -> Json:
    """Return a row of ``/myTrades``."""
    return {
        "symbol": trade.symbol,
        "id": trade.trade_id,
        "orderId": trade.order_id,
        "orderListId": -1,
        "price": eight(trade.price),
        "qty": eight(trade.amount),
        "quoteQty": eight(trade.quote_amount),
        "commission": eight(trade.commission),
        "commissionAsset": trade.commission_asset,
        "time": trade.time,
        "isBuyer": trade.side == "BUY",
        "isMaker": trade.maker,
        "isBestMatch": True,
    }


def execution_report(
    order: PaperOrder,
    execution: str,
    *,
    number: int,
    trade: PaperTrade | None = None,
    cancel_id: str = "",
) -> Json:
    """Return an ``executionReport``.

    Args:
        execution: ``NEW``, ``TRADE``, ``CANCELED`` or ``EXPIRED``.
        number: execution id.
        cancel_id: a cancellation's own client id; the order's then moves to ``C``.
    """
    time = order.updated
    report: Json = {
        "e": "executionReport",
        "E": time,
        "s": order.symbol,
        "c": cancel_id or order.client_order_id,
        "S": order.side,
        "o": order.type,
        "f": order.time_in_force,
        "q": eight(order.amount),
        "p": eight(order.price),
        "P": eight(order.stop_price),
        "F": eight(0),
        "g": -1,
        "C": order.client_order_id if cancel_id else "",
        "x": execution,
        "X": order.status,
        "r": "NONE",
        "i": order.order_id,
        "l": eight(trade.amount if trade else 0),
        "z": eight(order.executed),
        "L": eight(trade.price if trade else 0),
        "n": eight(trade.commission) if trade else "0",
        "N": trade.commission_asset if trade else None,
        "T": time,
        "t": trade.trade_id if trade else -1,
        "I": number,
        "w": order.open and not order.dormant,
        "m": trade.maker if trade else False,
        "M": trade is not None,
        "O": order.created,
        "Z": eight(order.cost),
        "Y": eight(trade.quote_amount if trade else 0),
        "Q": eight(order.quote_amount),
        "V": SELF_TRADE,
    }
    if not order.dormant:
        report["W"] = order.working_since
    return report
