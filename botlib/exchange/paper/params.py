"""Reading the parameters of a request, whichever way it came."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import orjson

from botlib.exchange.paper.refusals import Refusal, illegal, missing

_DECIMAL_RANGE: Final = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
_DECIMAL: Final = re.compile(_DECIMAL_RANGE)
_INTEGER_RANGE: Final = r"^[0-9]{1,20}$"
_INTEGER: Final = re.compile(_INTEGER_RANGE)

DEFAULT_ACCOUNT: Final = "main"
"""The account that the exchange's own keys belong to."""

PRECISION: Final = 8
"""Most decimals Binance reads in a price or an amount."""


class Params:
    """The parameters of one request, as texts; every reader refuses in Binance's words.

    Args:
        values: the parameters by name.
        account: whose request it is: the name of the account that the request's key belongs to.
    """

    def __init__(self, values: Mapping[str, str], account: str = DEFAULT_ACCOUNT) -> None:
        self._values = values
        self.account = account

    def __contains__(self, name: str) -> bool:
        return bool(self._values.get(name))

    def text(self, name: str) -> str | None:
        """Return a text, None where it is absent or empty."""
        return self._values.get(name) or None

    def need(self, name: str) -> str:
        """Return a mandatory text."""
        value = self.text(name)
        if value is None:
            raise missing(name)
        return value

    def integer(self, name: str) -> int | None:
        """Return a non-negative integer, None where it is absent."""
        value = self.text(name)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value):
            raise illegal(name, _INTEGER_RANGE)
        return int(value)

    def limit(self, default: int, most: int) -> int:
        """Return ``limit``, at most ``most``."""
        value = self.integer("limit")
        if value is None:
            return default
        if value < 1:
            raise Refusal(-1130, "Data sent for parameter 'limit' is not valid.")
        return min(value, most)

    def decimal(self, name: str) -> Decimal | None:
        """Return a positive decimal of at most eight places, None where it is absent."""
        value = self.text(name)
        if value is None:
            return None
        if not _DECIMAL.fullmatch(value):
            raise illegal(name, _DECIMAL_RANGE)
        if len(value.partition(".")[2].rstrip("0")) > PRECISION:
            raise Refusal(-1111, f"Parameter '{name}' has too much precision.")
        number = Decimal(value)
        if not number:
            raise Refusal(-1013, f"Invalid {name}.")
        return number

    def names(self, name: str) -> list[str] | None:
        """Return a JSON list of texts such as ``["BTCUSDT","ETHUSDT"]``."""
        value = self.text(name)
        if value is None:
            return None
        try:
            names = orjson.loads(value)
        except orjson.JSONDecodeError:
            names = None
        if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
            raise illegal(name, r'^\["[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}\]$')
        return names
