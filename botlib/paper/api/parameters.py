"""The parameters that every operation accepts, and which of them are mandatory.

Binance refuses a request with a parameter that the operation does not read, so that a misspelt
parameter is noticed.
"""

from __future__ import annotations

from typing import Final

from botlib.paper.protocol.operation import Key
from botlib.paper.protocol.params import Params
from botlib.paper.protocol.refusals import refusal

_SYMBOLS: Final = "symbol symbols"
_RANGE: Final = "startTime endTime limit"
_OPTIONS: Final = "newOrderRespType selfTradePreventionMode"
_PEG: Final = "pegPriceType pegOffsetType pegOffsetValue"
_ORDER: Final = (
    "symbol! side! type! timeInForce quantity quoteOrderQty price newClientOrderId strategyId "
    f"strategyType stopPrice trailingDelta icebergQty {_OPTIONS} {_PEG}"
)
_ROUTED: Final = (
    "symbol! side! type! quantity! timeInForce price newClientOrderId strategyId strategyType "
    f"icebergQty {_OPTIONS}"
)
_ORDER_ID: Final = "symbol! orderId origClientOrderId"


def _leg_parameters(prefix: str, mandatory: str, without: str = "") -> str:
    """Return the parameters of one leg of an order list."""
    names = (
        "Type Side Quantity ClientOrderId Price StopPrice TrailingDelta IcebergQty TimeInForce "
        "StrategyId StrategyType PegPriceType PegOffsetType PegOffsetValue"
    )
    required = mandatory.split()
    return " ".join(
        f"{prefix}{one}{'!' if one in required else ''}" for one in names.split() if one != without
    )


ACCEPTED: Final[dict[Key, str]] = {
    ("GET", "ping"): "",
    ("GET", "time"): "",
    ("GET", "exchangeInfo"): f"{_SYMBOLS} permissions showPermissionSets symbolStatus",
    ("GET", "depth"): "symbol! limit symbolStatus",
    ("GET", "trades"): "symbol! limit",
    ("GET", "historicalTrades"): "symbol! limit fromId",
    ("GET", "historicalBlockTrades"): "symbol! fromId! limit",
    ("GET", "aggTrades"): f"symbol! fromId {_RANGE}",
    ("GET", "executionRules"): f"{_SYMBOLS} symbolStatus",
    ("GET", "referencePrice"): "symbol!",
    ("GET", "referencePrice/calculation"): "symbol! symbolStatus",
    ("GET", "klines"): f"symbol! interval! timeZone {_RANGE}",
    ("GET", "uiKlines"): f"symbol! interval! timeZone {_RANGE}",
    ("GET", "avgPrice"): "symbol!",
    ("GET", "ticker/24hr"): f"{_SYMBOLS} type symbolStatus",
    ("GET", "ticker/tradingDay"): f"{_SYMBOLS} timeZone type symbolStatus",
    ("GET", "ticker/price"): f"{_SYMBOLS} symbolStatus",
    ("GET", "ticker/bookTicker"): f"{_SYMBOLS} symbolStatus",
    ("GET", "ticker"): f"{_SYMBOLS} windowSize type symbolStatus",
    ("POST", "order"): _ORDER,
    ("POST", "order/test"): f"{_ORDER} computeCommissionRates",
    ("GET", "order"): _ORDER_ID,
    ("DELETE", "order"): f"{_ORDER_ID} newClientOrderId cancelRestrictions",
    ("POST", "order/cancelReplace"): (
        f"{_ORDER} cancelReplaceMode! cancelNewClientOrderId cancelOrigClientOrderId "
        "cancelOrderId cancelRestrictions orderRateLimitExceededMode"
    ),
    ("POST", "sor/order"): _ROUTED,
    ("POST", "sor/order/test"): f"{_ROUTED} computeCommissionRates",
    ("PUT", "order/amend/keepPriority"): f"{_ORDER_ID} newClientOrderId newQty!",
    ("GET", "order/amendments"): "symbol! orderId! fromExecutionId limit",
    ("GET", "openOrders"): "symbol",
    ("DELETE", "openOrders"): "symbol!",
    ("GET", "allOrders"): f"symbol! orderId {_RANGE}",
    ("POST", "order/oco"): (
        "symbol! side! quantity! price! stopPrice! listClientOrderId limitClientOrderId "
        "limitStrategyId limitStrategyType limitIcebergQty trailingDelta stopClientOrderId "
        "stopStrategyId stopStrategyType stopLimitPrice stopIcebergQty stopLimitTimeInForce "
        f"{_OPTIONS}"
    ),
    ("POST", "orderList/oco"): (
        f"symbol! side! quantity! listClientOrderId {_leg_parameters('above', 'Type')} "
        f"{_leg_parameters('below', 'Type')} {_OPTIONS}"
    ),
    ("POST", "orderList/oto"): (
        f"symbol! listClientOrderId {_leg_parameters('working', 'Type Side Price Quantity')} "
        f"{_leg_parameters('pending', 'Type Side Quantity')} {_OPTIONS}"
    ),
    ("POST", "orderList/otoco"): (
        f"symbol! listClientOrderId {_leg_parameters('working', 'Type Side Price Quantity')} "
        f"pendingSide! pendingQuantity! {_leg_parameters('pendingAbove', 'Type')} "
        f"{_leg_parameters('pendingBelow', '')} {_OPTIONS}"
    ),
    ("POST", "orderList/opo"): (
        f"symbol! listClientOrderId {_leg_parameters('working', 'Type Side Price Quantity')} "
        f"{_leg_parameters('pending', 'Type Side', without='Quantity')} {_OPTIONS}"
    ),
    ("POST", "orderList/opoco"): (
        f"symbol! listClientOrderId {_leg_parameters('working', 'Type Side Price Quantity')} "
        f"pendingSide! {_leg_parameters('pendingAbove', 'Type', without='Quantity')} "
        f"{_leg_parameters('pendingBelow', '', without='Quantity')} {_OPTIONS}"
    ),
    ("DELETE", "orderList"): "symbol! orderListId listClientOrderId newClientOrderId",
    ("GET", "orderList"): "orderListId origClientOrderId",
    ("GET", "allOrderList"): f"fromId {_RANGE}",
    ("GET", "openOrderList"): "",
    ("GET", "account"): "omitZeroBalances",
    ("GET", "account/commission"): "symbol!",
    ("GET", "rateLimit/order"): "",
    ("GET", "myTrades"): f"symbol! orderId fromId {_RANGE}",
    ("GET", "myAllocations"): f"symbol! fromAllocationId orderId {_RANGE}",
    ("GET", "myFilters"): "symbol!",
    ("GET", "myPreventedMatches"): ("symbol! preventedMatchId orderId fromPreventedMatchId limit"),
}
"""Parameters of every operation; ``!`` marks mandatory ones."""

SIGNED_PARAMETERS: Final = frozenset({"apiKey", "timestamp", "recvWindow", "signature"})
"""Additional parameters of every signed request."""

_NAMES: Final = {key: frozenset(text.replace("!", "").split()) for key, text in ACCEPTED.items()}


def check_names(key: Key, params: Params) -> None:
    """Check that an operation reads all sent parameters, and that none is empty.

    Raises:
        Refusal: it does not, or one is empty.
    """
    known = _NAMES.get(key)
    if known is None:
        return
    sent = set(params.names_sent)
    unread = sent - known - SIGNED_PARAMETERS
    if unread:
        if not known and not sent & SIGNED_PARAMETERS:
            raise refusal(-1101, 0, len(sent))
        raise refusal(-1104, len(sent) - len(unread), len(sent))
    for name in params.names_sent:
        if name not in params:
            raise refusal(-1105, name)
