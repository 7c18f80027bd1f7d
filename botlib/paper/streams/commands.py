"""The commands of a client on a market stream connection, such as SUBSCRIBE."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

import orjson

_METHODS: Final = (
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "LIST_SUBSCRIPTIONS",
    "SET_PROPERTY",
    "GET_PROPERTY",
)
LONGEST_NAME: Final = 128
"""Most characters of a stream's name, since all names of a connection are stored."""

_ACCEPTED: Final = ", ".join(f"`{name}`" for name in _METHODS)
_TEXT_ID: Final = re.compile(r"[A-Za-z0-9_-]{0,36}")


class InvalidCommand(Exception):
    """A message that is answered with an error.

    Args:
        code: Binance's code.
        message: Binance's text.
        number: id of the client's message.
    """

    def __init__(self, code: int, message: str, number: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.number = number

    def answer(self) -> dict[str, object]:
        """Return the answer's JSON object."""
        return {"error": {"code": self.code, "msg": self.message}, "id": self.number}


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a client; ``number`` is the id of its message."""

    method: str
    number: object
    streams: list[str] = field(default_factory=list)
    combined: bool | None = None


def read_command(text: str) -> Command:
    """Parse a client's message.

    Raises:
        InvalidCommand: it is not a command; the error has the answer.
    """
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        place = f"at line {error.lineno} column {error.colno}"
        raise InvalidCommand(3, f"Invalid JSON: expected value {place}") from None
    if not isinstance(message, dict):
        raise _invalid("expected an object")
    method, number = message.get("method"), message.get("id")
    if not _is_id(number):
        raise _invalid("request ID must be an unsigned integer")
    if method is None:
        raise _invalid("missing field `method`", number)
    if method not in _METHODS:
        raise _invalid(f"unknown variant `{method}`, expected one of {_ACCEPTED}", number)
    params = message.get("params")
    params = [] if params is None else params
    if not isinstance(params, list):
        raise _invalid("params must be a list", number)
    if method in ("SUBSCRIBE", "UNSUBSCRIBE"):
        if not params or not all(isinstance(name, str) for name in params):
            raise _invalid("params must be a list of stream names", number)
        if max(map(len, params)) > LONGEST_NAME:
            raise _invalid("stream name is too long", number)
        return Command(method, number, streams=params)
    if method == "LIST_SUBSCRIPTIONS":
        return Command(method, number)
    return _property(method, params, number)


def _property(method: str, params: list[object], number: object) -> Command:
    if not params or not isinstance(params[0], str):
        raise _invalid("property name must be a string", number)
    if params[0] != "combined":
        raise InvalidCommand(0, "Unknown property", number)
    if len(params) != (2 if method == "SET_PROPERTY" else 1):
        reason = "too many parameters" if len(params) > 1 else "property value is missing"
        raise _invalid(reason, number)
    if method == "GET_PROPERTY":
        return Command(method, number)
    if not isinstance(params[1], bool):
        raise InvalidCommand(1, "Invalid value type: expected Boolean", number)
    return Command(method, number, combined=params[1])


def _is_id(number: object) -> bool:
    if number is None:
        return True
    if isinstance(number, str):
        return _TEXT_ID.fullmatch(number) is not None
    return isinstance(number, int) and not isinstance(number, bool) and abs(number) < 2**63


def _invalid(reason: str, number: object = None) -> InvalidCommand:
    return InvalidCommand(2, f"Invalid request: {reason}", number)
