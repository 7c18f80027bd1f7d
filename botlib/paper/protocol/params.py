"""The parameters of a request, by REST or by WebSocket."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

import orjson

from botlib.paper.protocol.refusals import Refusal, illegal, missing, refusal

_DECIMAL_RANGE: Final = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
_DECIMAL: Final = re.compile(_DECIMAL_RANGE)
_INTEGER_RANGE: Final = r"^[0-9]{1,20}$"
_INTEGER: Final = re.compile(_INTEGER_RANGE)

_SYMBOL_RANGE: Final = r"^[\w\-._&&[^a-z]]{1,50}$"
_SYMBOL: Final = re.compile(r"(?:(?![a-z])[\w.-]){1,50}")
"""Letters of any alphabet, as some assets have Chinese names."""
_LARGEST: Final = 2**63 - 1
_MICROSECONDS: Final = 10**14

DEFAULT_ACCOUNT: Final = "main"
"""The account of the exchange's own keys."""

PRECISION: Final = 8
"""Most decimals of a price or an amount that Binance accepts."""


class Params:
    """The parameters of one request as texts; all methods raise `Refusal` in Binance's words.

    Args:
        values: the parameters by name.
        account: name of the account of the request's key.

    Attributes:
        then: market time (ms) of which the answer shall be, None for the present.
    """

    def __init__(self, values: Mapping[str, str], account: str = DEFAULT_ACCOUNT) -> None:
        self._values = values
        self.account = account
        self.then: int | None = None

    @property
    def names_sent(self) -> Iterable[str]:
        """The names of all parameters in the order sent, empty ones included."""
        return self._values.keys()

    def __contains__(self, name: str) -> bool:
        return bool(self._values.get(name))

    def text(self, name: str) -> str | None:
        """Return a text, None if it is absent or empty."""
        return self._values.get(name) or None

    def need(self, name: str) -> str:
        """Return a mandatory text."""
        value = self.text(name)
        if value is None:
            raise missing(name)
        return value

    def integer(self, name: str) -> int | None:
        """Return a non-negative integer, None if it is absent."""
        value = self.text(name)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value):
            raise illegal(name, _INTEGER_RANGE)
        number = int(value)
        if number > _LARGEST:
            raise refusal(-1108, name)
        return number

    def moment(self, name: str) -> int | None:
        """Return a time in ms, which is sent in ms or in microseconds, None if it is absent."""
        value = self.integer(name)
        return value // 1_000 if value is not None and value > _MICROSECONDS else value

    def choice(self, name: str, accepted: Sequence[str], code: int) -> str | None:
        """Return one of the accepted texts, None if it is absent; ``code`` refuses any other."""
        value = self.text(name)
        if value is not None and value not in accepted:
            raise refusal(code, name)
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Return whether a value is ``true``, or the default if it is absent."""
        value = self.text(name)
        if value is None:
            return default
        if value not in ("true", "false"):
            raise illegal(name, "^(true|false)$")
        return value == "true"

    def symbol(self, name: str = "symbol") -> str:
        """Return a mandatory symbol, which is well-formed but may not be listed."""
        value = self.need(name)
        if not _SYMBOL.fullmatch(value):
            raise illegal(name, _SYMBOL_RANGE)
        return value

    def limit(self, default: int, most: int) -> int:
        """Return the parameter ``limit``, or ``most`` if it is larger."""
        value = self.integer("limit")
        if value is None:
            return default
        if value < 1:
            raise refusal(-1130, "limit")
        return min(value, most)

    def decimal(self, name: str) -> Decimal | None:
        """Return a positive decimal with eight decimals at most, None if it is absent."""
        value = self.text(name)
        if value is None:
            return None
        if not _DECIMAL.fullmatch(value):
            raise illegal(name, _DECIMAL_RANGE)
        if len(value.partition(".")[2].rstrip("0")) > PRECISION:
            raise refusal(-1111, name)
        number = Decimal(value)
        if not number:
            raise Refusal(-1013, f"Invalid {name}.")
        return number

    def names(self, name: str) -> list[str] | None:
        """Return a JSON list of symbols such as ``["BTCUSDT","ETHUSDT"]``, None if it is absent."""
        value = self.text(name)
        if value is None:
            return None
        try:
            names = orjson.loads(value)
        except orjson.JSONDecodeError:
            names = None
        if not isinstance(names, list) or not all(
            isinstance(one, str) and _SYMBOL.fullmatch(one) for one in names
        ):
            raise illegal(name, r'^\["[\w\-._&&[^a-z]]{1,50}"(,"[\w\-._&&[^a-z]]{1,50}"){0,}\]$')
        if not names:
            raise refusal(-1105, name)
        if len(set(names)) < len(names):
            raise refusal(-1151)
        return names
