"""The refusals of the paper exchange: Binance's error codes and texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TEXTS: Final[dict[int, tuple[int, str]]] = {
    -1000: (500, "An unknown error occurred while processing the request."),
    -1001: (500, "Internal error; unable to process your request. Please try again."),
    -1002: (401, "You are not authorized to execute this request."),
    -1006: (
        500,
        "An unexpected response was received from the message bus. Execution status unknown.",
    ),
    -1007: (
        504,
        "Timeout waiting for response from backend server. "
        "Send status unknown; execution status unknown.",
    ),
    -1008: (
        503,
        "Server is currently overloaded with other requests. Please try again in a few minutes.",
    ),
    -1014: (400, "Unsupported order combination."),
    -1016: (503, "This service is no longer available."),
    -1020: (400, "This operation is not supported."),
    -1021: (400, "Timestamp for this request is outside of the recvWindow."),
    -1022: (400, "Signature for this request is not valid."),
    -1101: (400, "Too many parameters; expected '{}' and received '{}'."),
    -1104: (400, "Not all sent parameters were read; read '{}' parameter(s) but was sent '{}'."),
    -1105: (400, "Parameter '{}' was empty."),
    -1106: (400, "Parameter '{}' sent when not required."),
    -1108: (400, "Parameter '{}' overflowed."),
    -1111: (400, "Parameter '{}' has too much precision."),
    -1112: (400, "No orders on book for symbol."),
    -1115: (400, "Invalid timeInForce."),
    -1116: (400, "Invalid orderType."),
    -1117: (400, "Invalid side."),
    -1120: (400, "Invalid interval."),
    -1121: (400, "Invalid symbol."),
    -1122: (400, "Invalid symbolStatus."),
    -1127: (400, "More than {} hours between startTime and endTime."),
    -1128: (400, "Combination of optional parameters invalid."),
    -1130: (400, "Data sent for parameter '{}' is not valid."),
    -1131: (400, "recvWindow must be less than 60000."),
    -1134: (400, "strategyType was less than 1000000."),
    -1135: (400, "Invalid JSON Request"),
    -1139: (400, "Invalid ticker type."),
    -1145: (400, "Invalid cancelRestrictions"),
    -1151: (400, "Symbol is present multiple times in the list."),
    -1194: (400, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND."),
    -1210: (400, "Invalid pegPriceType."),
    -1211: (400, "Invalid pegOffsetType."),
    -1220: (400, "The symbol's status does not match the requested symbolStatus."),
    -1222: (400, "Working order in an OPO list must be a bid."),
    -1223: (400, "Pending orders in an OPO list must be asks."),
    -2011: (400, "Unknown order sent."),
    -2013: (400, "Order does not exist."),
    -2014: (401, "API-key format invalid."),
    -2015: (401, "Invalid API-key, IP, or permissions for action."),
    -2035: (400, "User Data Stream subscription already active."),
    -2036: (400, "User Data Stream subscription not active."),
    -2038: (400, "Unknown order sent."),
    -2039: (400, "Client order ID is not correct for this order ID."),
    -2042: (400, "Maximum subscription ID reached for this connection."),
    -2043: (400, "This symbol doesn't have a reference price."),
    -4056: (401, "HMAC_SHA256 API key is not supported."),
}
"""HTTP status and text of the errors that have a fixed text; ``{}`` stands for values."""


def refusal(code: int, *values: object) -> Refusal:
    """Return the refusal of a code in `TEXTS` with values in its text."""
    status, text = TEXTS[code]
    return Refusal(code, text.format(*values), status)


class Refusal(Exception):
    """An answer ``{"code": …, "msg": …}``: a part of the protocol, not an error of botlib.

    Args:
        code: Binance's error code.
        message: Binance's text.
        status: HTTP status.
        headers: additional headers of the REST answer.
        data: additional data of the WS-API's answer.
    """

    def __init__(
        self,
        code: int,
        message: str,
        status: int = 400,
        headers: Mapping[str, str] | None = None,
        data: object | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.headers = dict(headers or {})
        self.data = data

    def body(self) -> dict[str, object]:
        """Return the answer's JSON object."""
        return {"code": self.code, "msg": self.message}


def missing(name: str) -> Refusal:
    """Return the refusal of a mandatory parameter that is absent or malformed."""
    return Refusal(
        -1102,
        f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.",
    )


def illegal(name: str, legal: str) -> Refusal:
    """Return the refusal of a parameter with characters outside the legal range."""
    return Refusal(
        -1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'."
    )


def unexpected(name: str) -> Refusal:
    """Return the refusal of a parameter that does not belong to this type of order."""
    return refusal(-1106, name)


def invalid_symbol() -> Refusal:
    """Return the refusal of a symbol that is not listed."""
    return refusal(-1121)


def filter_failure(name: str) -> Refusal:
    """Return the refusal of an order that breaks one of the symbol's filters."""
    return Refusal(-1013, f"Filter failure: {name}")


def account_filter_failure(name: str) -> Refusal:
    """Return the refusal of an order that breaks a filter about the account's own orders.

    The matching engine looks at those, and answers with the code of a rejected order.
    """
    return rejected(f"Filter failure: {name}")


def rejected(message: str) -> Refusal:
    """Return the refusal of a new order by the matching engine."""
    return Refusal(-2010, message)


def not_amended(message: str) -> Refusal:
    """Return the refusal of an amendment by the matching engine."""
    return Refusal(-2038, message)


def unsupported(status: int = 400) -> Refusal:
    """Return the refusal of an operation that the exchange does not have."""
    return Refusal(-1020, "This operation is not supported.", status)
