"""The REST side described as OpenAPI 3.1, from the same tables that answer it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from botlib.exchange.paper.intervals import INTERVALS
from botlib.exchange.paper.operation import Key, Operation
from botlib.exchange.paper.quotes import Json
from botlib.exchange.paper.schema import ACCEPTED

PREFIX: Final = "/api/v3/"

_SYMBOL: Final[Json] = {"type": "string", "pattern": "^[A-Z0-9_.-]{1,20}$", "example": "BTCUSDT"}
_TEXT: Final[Json] = {"type": "string", "minLength": 1}
_WHOLE: Final[Json] = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
_DECIMAL: Final[Json] = {"type": "string", "pattern": r"^[0-9]{1,20}(\.[0-9]{1,20})?$"}
_FLAG: Final[Json] = {"type": "string", "enum": ["true", "false"]}
_CLIENT_ID: Final[Json] = {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,36}$"}

_FORMS: Final[dict[str, Json]] = {
    "symbol": _SYMBOL,
    "symbols": {"type": "string", "example": '["BTCUSDT","ETHUSDT"]'},
    "interval": {"type": "string", "enum": list(INTERVALS)},
    "timeZone": {"type": "string", "example": "8", "default": "0"},
    "windowSize": {"type": "string", "pattern": "^[1-9][0-9]?[mhd]$", "default": "1d"},
    "limit": {"type": "integer", "minimum": 1, "maximum": 2**63 - 1},
    "recvWindow": {"type": "number", "minimum": 0, "maximum": 60_000, "default": 5_000},
    "side": {"type": "string", "enum": ["BUY", "SELL"]},
    "newOrderRespType": {"type": "string", "enum": ["ACK", "RESULT", "FULL"]},
    "symbolStatus": {"type": "string", "enum": ["TRADING", "HALT", "BREAK", "END_OF_DAY"]},
    "cancelReplaceMode": {"type": "string", "enum": ["STOP_ON_FAILURE", "ALLOW_FAILURE"]},
    "cancelRestrictions": {"type": "string", "enum": ["ONLY_NEW", "ONLY_PARTIALLY_FILLED"]},
    "signature": _TEXT,
}
_LISTS: Final = frozenset(
    {
        *("klines", "uiKlines", "trades", "historicalTrades", "aggTrades", "rateLimit/order"),
        *("myTrades", "myPreventedMatches", "openOrders", "allOrders", "allOrderList"),
        "openOrderList",
    }
)
"""Paths that answer with a list."""

_EITHER: Final = frozenset(
    {"ticker", "ticker/24hr", "ticker/tradingDay", "ticker/price", "ticker/bookTicker"}
)
"""Paths that answer with an object for one symbol, with a list for several."""

_FLAGS: Final = frozenset({"showPermissionSets", "omitZeroBalances", "computeCommissionRates"})
_WHOLES: Final = ("Id", "Time", "timestamp", "Delta", "StrategyType", "strategyType", "fromId")
_DECIMALS: Final = ("Qty", "Quantity", "quantity", "Price", "price")
_TIMES_IN_FORCE: Final[Json] = {"type": "string", "enum": ["GTC", "IOC", "FOK"]}


def description(operations: Mapping[Key, Operation]) -> Json:
    """Return the OpenAPI document of these operations."""
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
                "schema": _form(name.rstrip("!")),
            }
            for name in names
        ],
        "responses": {
            "200": _answer("The answer.", {"type": _shapes(key)}),
            "4XX": _answer("A refusal.", {"$ref": "#/components/schemas/Error"}),
            "5XX": _answer("The outcome is unknown.", {"$ref": "#/components/schemas/Error"}),
        },
    }
    if operation.signed:
        described["security"] = [{"key": []}]
    return described


def _shapes(key: Key) -> str | list[str]:
    if key[1] in _EITHER:
        return ["object", "array"]
    return "array" if key[1] in _LISTS else "object"


def _answer(text: str, schema: Json) -> Json:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _form(name: str) -> Json:
    if name in _FORMS:
        return _FORMS[name]
    if name in _FLAGS:
        return _FLAG
    if name.lower().endswith("clientorderid"):
        return _CLIENT_ID
    if name.lower().endswith("timeinforce"):
        return _TIMES_IN_FORCE
    if name.lower().endswith("side"):
        return _FORMS["side"]
    if name.endswith(_WHOLES):
        return _WHOLE
    if name.endswith(_DECIMALS):
        return _DECIMAL
    return _TEXT
