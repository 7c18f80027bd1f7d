"""What the session of a client is made of; runs with nothing but Python's own library.

A session is a script run by the client's own Python. It reads on standard input where the exchange
is and what opens it, prints one line for each check, and ends with 1 when a check has failed.
"""

from __future__ import annotations

import json
import sys
import traceback
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

SYMBOL = "BTCUSDT"
DEEP = 30_000
"""Quote units: more than stand at any level of the book, so they trade at several prices."""

PATIENCE = 60.0
"""Seconds any event is waited for."""

REFUSED = [
    ("a price off the grid", {"quantity": "0.01000", "price": "{0.9}1"}, -1013),
    ("an amount off the grid", {"quantity": "0.0100001", "price": "{0.9}"}, -1013),
    ("too small a cost", {"quantity": "0.00001", "price": "{0.9}"}, -1013),
    ("a price far away", {"quantity": "0.01000", "price": "1.00"}, -1013),
    ("more than there is", {"quantity": "500.00000", "price": "{0.9}"}, -2010),
]
"""Orders that are refused: what, the parameters of a LIMIT order, the error's code."""

ORDERS = [
    ("LIMIT", "BUY", {"timeInForce": "GTC", "quantity": "0.01", "price": "{0.9}"}, "NEW"),
    ("LIMIT", "BUY", {"timeInForce": "IOC", "quantity": "0.01", "price": "{0.9}"}, "EXPIRED"),
    ("LIMIT", "BUY", {"timeInForce": "FOK", "quantity": "0.01", "price": "{0.9}"}, "EXPIRED"),
    ("LIMIT", "BUY", {"timeInForce": "IOC", "quantity": "0.5", "price": "{1.02}"}, "FILLED"),
    (
        "LIMIT",
        "BUY",
        {"timeInForce": "GTC", "quantity": "0.1", "price": "{0.9}", "icebergQty": "0.02"},
        "NEW",
    ),
    ("LIMIT_MAKER", "SELL", {"quantity": "0.01", "price": "{1.1}"}, "NEW"),
    ("MARKET", "BUY", {"quantity": "0.01"}, "FILLED"),
    ("MARKET", "BUY", {"quoteOrderQty": "500"}, "FILLED"),
    ("STOP_LOSS", "SELL", {"quantity": "0.01", "stopPrice": "{0.9}"}, "NEW"),
    ("STOP_LOSS", "SELL", {"quantity": "0.01", "trailingDelta": "1900"}, "NEW"),
    (
        "STOP_LOSS_LIMIT",
        "SELL",
        {"timeInForce": "GTC", "quantity": "0.01", "price": "{0.89}", "stopPrice": "{0.9}"},
        "NEW",
    ),
    ("TAKE_PROFIT", "SELL", {"quantity": "0.01", "stopPrice": "{1.1}"}, "NEW"),
    (
        "TAKE_PROFIT_LIMIT",
        "SELL",
        {"timeInForce": "GTC", "quantity": "0.01", "price": "{1.1}", "stopPrice": "{1.1}"},
        "NEW",
    ),
]
"""Orders of every type: type, side, parameters, the status they come to at once."""

LISTS: dict[str, tuple[dict[str, str], int]] = {
    "OCO": (
        {
            "side": "SELL",
            "quantity": "0.01",
            "aboveType": "LIMIT_MAKER",
            "abovePrice": "{1.1}",
            "belowType": "STOP_LOSS_LIMIT",
            "belowStopPrice": "{0.9}",
            "belowPrice": "{0.89}",
            "belowTimeInForce": "GTC",
        },
        2,
    ),
    "OTO": (
        {
            "workingType": "LIMIT",
            "workingSide": "BUY",
            "workingPrice": "{0.9}",
            "workingQuantity": "0.01",
            "workingTimeInForce": "GTC",
            "pendingType": "LIMIT",
            "pendingSide": "SELL",
            "pendingPrice": "{1.1}",
            "pendingQuantity": "0.01",
            "pendingTimeInForce": "GTC",
        },
        2,
    ),
    "OTOCO": (
        {
            "workingType": "LIMIT",
            "workingSide": "BUY",
            "workingPrice": "{0.9}",
            "workingQuantity": "0.01",
            "workingTimeInForce": "GTC",
            "pendingSide": "SELL",
            "pendingQuantity": "0.01",
            "pendingAboveType": "LIMIT_MAKER",
            "pendingAbovePrice": "{1.1}",
            "pendingBelowType": "STOP_LOSS",
            "pendingBelowStopPrice": "{0.8}",
        },
        3,
    ),
}
"""Order lists: their parameters and how many orders each consists of."""


def priced(params: dict[str, str], price: float) -> dict[str, str]:
    """Fill prices in: ``{0.9}`` stands for nine tenths of ``price``."""
    filled = {}
    for name, value in params.items():
        if value.startswith("{"):
            factor, _, rest = value[1:].partition("}")
            value = f"{price * float(factor):.2f}{rest}"
        filled[name] = value
    return filled


def snake(params: dict[str, Any]) -> dict[str, Any]:
    """Return parameters under the names Python writes: ``time_in_force`` for ``timeInForce``."""
    return {
        "".join(f"_{one.lower()}" if one.isupper() else one for one in name): value
        for name, value in params.items()
    }


class Book:
    """A local order book as Binance's documentation says to keep one: a snapshot, then changes."""

    def __init__(self) -> None:
        self.update_id = 0
        self.sides: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}
        self._started = False

    def start(self, update_id: int, bids: list[Any], asks: list[Any]) -> None:
        """Begin with a snapshot."""
        self.update_id = update_id
        for side, levels in (("bids", bids), ("asks", asks)):
            self.sides[side] = {price: amount for price, amount in levels}

    def apply(self, first: int, last: int, bids: list[Any], asks: list[Any]) -> None:
        """Apply a change; one that leaves a gap behind is an error."""
        if last <= self.update_id:
            return
        gap = first > self.update_id + 1 if not self._started else first != self.update_id + 1
        assert not gap, f"a gap: {first} after {self.update_id}"
        self._started, self.update_id = True, last
        for side, levels in (("bids", bids), ("asks", asks)):
            for price, amount in levels:
                if float(amount) == 0:
                    self.sides[side].pop(price, None)
                else:
                    self.sides[side][price] = amount

    def best(self, count: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Return the best levels: bids from above, asks from below."""
        bids = sorted(self.sides["bids"].items(), key=lambda one: -float(one[0]))
        asks = sorted(self.sides["asks"].items(), key=lambda one: float(one[0]))
        return bids[:count], asks[:count]


class Session:
    """The checks of one client, and the exchange they are made against.

    Attributes:
        url: of the exchange, ``http://127.0.0.1:…``.
        ws: the same for sockets.
        key, secret: what opens its account, HMAC.
        signing_key, private_key: another key, Ed25519, and the path of its PEM file.
    """

    def __init__(self) -> None:
        given = json.load(sys.stdin)
        self.url: str = given["url"]
        self.ws = self.url.replace("http", "ws", 1)
        self.key, self.secret = given["key"], given["secret"]
        self.signing_key, self.private_key = given["signing_key"], given["private_key"]
        self._passed = self._failed = 0

    @contextmanager
    def check(self, name: str) -> Iterator[None]:
        """Run one check; what it raises fails it, and the session goes on."""
        try:
            yield
        except Exception as error:
            self._failed += 1
            _tell("FAILED", f"{name}: {type(error).__name__}: {error}"[:400].replace("\n", " "))
            traceback.print_exc()
        else:
            self._passed += 1
            _tell("ok", name)

    def control(self, name: str, **body: object) -> Any:
        """Ask something of the exchange's operator."""
        request = urllib.request.Request(
            f"{self.url}/paper/v1/{name}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def end(self) -> NoReturn:
        """Tell how it went, and end the script."""
        _tell("=", f"{self._passed} passed, {self._failed} failed")
        sys.exit(1 if self._failed else 0)


def _tell(mark: str, text: str) -> None:
    sys.stdout.write(f"{mark:<7} {text}\n")
    sys.stdout.flush()
