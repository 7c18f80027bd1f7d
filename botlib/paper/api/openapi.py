"""The OpenAPI 3.1 document of the REST API, built from the tables of its operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from botlib.paper.api.market_data import STATUSES
from botlib.paper.api.parameters import ACCEPTED
from botlib.paper.market.intervals import INTERVALS
from botlib.paper.market.quotes import Json
from botlib.paper.protocol.operation import Key, Operation
from botlib.paper.protocol.timeunit import HEADER, UNITS

PREFIX: Final = "/api/v3/"

_SYMBOL: Final[Json] = {"type": "string", "pattern": "^[^a-z\\s/]{1,50}$", "example": "BTCUSDT"}
_TEXT: Final[Json] = {"type": "string", "minLength": 1}
_INTEGER: Final[Json] = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
_DECIMAL: Final[Json] = {"type": "string", "pattern": r"^[0-9]{1,20}(\.[0-9]{1,20})?$"}
_FLAG: Final[Json] = {"type": "string", "enum": ["true", "false"]}
_CLIENT_ID: Final[Json] = {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,36}$"}

_SCHEMAS: Final[dict[str, Json]] = {
    "symbol": _SYMBOL,
    "symbols": {"type": "string", "example": '["BTCUSDT","ETHUSDT"]'},
    "interval": {"type": "string", "enum": list(INTERVALS)},
    "timeZone": {"type": "string", "example": "8", "default": "0"},
    "windowSize": {"type": "string", "pattern": "^[1-9][0-9]?[mhd]$", "default": "1d"},
    "limit": {"type": "integer", "minimum": 1, "maximum": 2**63 - 1},
    "recvWindow": {"type": "number", "minimum": 0, "maximum": 60_000, "default": 5_000},
    "side": {"type": "string", "enum": ["BUY", "SELL"]},
    "newOrderRespType": {"type": "string", "enum": ["ACK", "RESULT", "FULL"]},
    "symbolStatus": {"type": "string", "enum": list(STATUSES)},
    "cancelReplaceMode": {"type": "string", "enum": ["STOP_ON_FAILURE", "ALLOW_FAILURE"]},
    "cancelRestrictions": {"type": "string", "enum": ["ONLY_NEW", "ONLY_PARTIALLY_FILLED"]},
    "signature": _TEXT,
}
_LIST_PATHS: Final = frozenset(
    {
        *("klines", "uiKlines", "trades", "historicalTrades", "aggTrades", "rateLimit/order"),
        *("myTrades", "myPreventedMatches", "openOrders", "allOrders", "allOrderList"),
        *("openOrderList", "order/amendments", "historicalBlockTrades", "myAllocations"),
    }
)
"""Paths whose answer is a list."""

_OBJECT_OR_LIST_PATHS: Final = frozenset(
    {"ticker", "ticker/24hr", "ticker/tradingDay", "ticker/price", "ticker/bookTicker"}
)
"""Paths whose answer is an object for one symbol, and a list for several."""

_TRADE: Final = "id price qty quoteQty time isBuyerMaker isBestMatch"
_ORDER: Final = (
    "symbol orderId orderListId clientOrderId price origQty executedQty origQuoteOrderQty "
    "cummulativeQuoteQty status timeInForce type side selfTradePreventionMode"
)
_ORDER_QUERY: Final = f"{_ORDER} time updateTime isWorking workingTime"
_ORDER_LIST: Final = (
    "orderListId contingencyType listStatusType listOrderStatus listClientOrderId transactionTime "
    "symbol orders"
)
_REQUIRED_FIELDS: Final[dict[Key, str]] = {
    ("GET", "time"): "serverTime",
    ("GET", "exchangeInfo"): "timezone serverTime rateLimits exchangeFilters symbols",
    ("GET", "executionRules"): "symbolRules",
    ("GET", "myFilters"): "exchangeFilters symbolFilters assetFilters",
    ("GET", "depth"): "lastUpdateId bids asks",
    ("GET", "avgPrice"): "mins price closeTime",
    ("GET", "trades"): _TRADE,
    ("GET", "historicalTrades"): _TRADE,
    ("GET", "aggTrades"): "a p q f l T m M",
    ("GET", "account"): "canTrade canWithdraw canDeposit updateTime accountType balances",
    ("GET", "account/commission"): "symbol standardCommission taxCommission discount",
    ("GET", "rateLimit/order"): "rateLimitType interval intervalNum limit count",
    ("GET", "myTrades"): (
        "symbol id orderId orderListId price qty quoteQty commission commissionAsset time isBuyer "
        "isMaker isBestMatch"
    ),
    ("POST", "order"): "symbol orderId orderListId clientOrderId transactTime",
    ("GET", "order"): _ORDER_QUERY,
    ("GET", "openOrders"): _ORDER_QUERY,
    ("GET", "allOrders"): _ORDER_QUERY,
    ("DELETE", "order"): f"{_ORDER} origClientOrderId transactTime",
    ("POST", "order/cancelReplace"): (
        "cancelResult newOrderResult cancelResponse newOrderResponse"
    ),
    ("PUT", "order/amend/keepPriority"): "transactTime executionId amendedOrder",
    ("GET", "order/amendments"): (
        "symbol orderId executionId origClientOrderId newClientOrderId origQty newQty time"
    ),
    ("POST", "order/oco"): f"{_ORDER_LIST} orderReports",
    ("POST", "orderList/oco"): f"{_ORDER_LIST} orderReports",
    ("POST", "orderList/oto"): f"{_ORDER_LIST} orderReports",
    ("POST", "orderList/otoco"): f"{_ORDER_LIST} orderReports",
    ("POST", "orderList/opo"): f"{_ORDER_LIST} orderReports",
    ("POST", "orderList/opoco"): f"{_ORDER_LIST} orderReports",
    ("DELETE", "orderList"): f"{_ORDER_LIST} orderReports",
    ("GET", "orderList"): _ORDER_LIST,
    ("GET", "allOrderList"): _ORDER_LIST,
    ("GET", "openOrderList"): _ORDER_LIST,
}
"""Required fields of an answer, or of each row of an answer."""

_KLINE: Final[Json] = {"type": "array", "minItems": 12, "maxItems": 12}

_FLAG_NAMES: Final = frozenset({"showPermissionSets", "omitZeroBalances", "computeCommissionRates"})
_INTEGER_SUFFIXES: Final = (
    "Id",
    "Time",
    "timestamp",
    "Delta",
    "StrategyType",
    "strategyType",
    "fromId",
)
_DECIMAL_SUFFIXES: Final = ("Qty", "Quantity", "quantity", "Price", "price")
_TIME_UNIT: Final[Json] = {"type": "string", "enum": list(UNITS)}
_TIMES_IN_FORCE: Final[Json] = {"type": "string", "enum": ["GTC", "IOC", "FOK"]}


def openapi_document(operations: Mapping[Key, Operation]) -> Json:
    """Return the OpenAPI document of some operations."""
    paths: dict[str, dict[str, Json]] = {}
    for key, operation in operations.items():
        paths.setdefault(PREFIX + key[1], {})[key[0].lower()] = _operation(key, operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Paper exchange",
            "version": "3",
            "description": "The spot REST API of Binance, as the paper exchange serves it.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-MBX-APIKEY"},
            },
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["code", "msg"],
                    "properties": {"code": {"type": "integer"}, "msg": {"type": "string"}},
                }
            },
        },
    }


def _operation(key: Key, operation: Operation) -> Json:
    names = ACCEPTED[key].split()
    if operation.signed:
        names += ["recvWindow", "timestamp!", "signature!"]
    described: Json = {
        "operationId": f"{key[0].lower()}-{key[1].replace('/', '-')}",
        "parameters": [
            {
                "name": name.rstrip("!"),
                "in": "query",
                "required": name.endswith("!"),
                "schema": _schema(name.rstrip("!")),
            }
            for name in names
        ]
        + [{"name": HEADER, "in": "header", "required": False, "schema": _TIME_UNIT}],
        "responses": {
            "200": _response("The answer.", _answer_schema(key)),
            "4XX": _response("A refusal.", {"$ref": "#/components/schemas/Error"}),
            "5XX": _response("The outcome is unknown.", {"$ref": "#/components/schemas/Error"}),
        },
    }
    if operation.signed:
        described["security"] = [{"key": []}]
    return described


def _answer_schema(key: Key) -> Json:
    if key[1] in _OBJECT_OR_LIST_PATHS:
        return {"type": ["object", "array"]}
    one: Json = {"type": "object", "required": _REQUIRED_FIELDS.get(key, "").split()}
    if key[1] in ("klines", "uiKlines"):
        one = _KLINE
    return {"type": "array", "items": one} if key[1] in _LIST_PATHS else one


def _response(text: str, schema: Json) -> Json:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _schema(name: str) -> Json:
    if name in _SCHEMAS:
        return _SCHEMAS[name]
    if name in _FLAG_NAMES:
        return _FLAG
    if name.lower().endswith("clientorderid"):
        return _CLIENT_ID
    if name.lower().endswith("timeinforce"):
        return _TIMES_IN_FORCE
    if name.lower().endswith("side"):
        return _SCHEMAS["side"]
    if name.endswith(_INTEGER_SUFFIXES):
        return _INTEGER
    if name.endswith(_DECIMAL_SUFFIXES):
        return _DECIMAL
    return _TEXT
