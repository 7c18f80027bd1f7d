"""The parts of a client session, which need Python's standard library only.

A session is a script that runs in the environment of the client. It reads the URL and API keys of
the exchange from standard input, prints one line per check, and exits with 1 if a check failed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
import time
import traceback
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn
from urllib.parse import urlencode

SYMBOL = "BTCUSDT"
DEEP = 30_000
"""Quote units: more than any level of the book has, so that it trades at several prices."""

PATIENCE = 60.0
"""Maximum seconds to wait for an event."""

REFUSED = [
    ("a price off the grid", {"quantity": "0.01000", "price": "{0.9}1"}, -1013),
    ("an amount off the grid", {"quantity": "0.0100001", "price": "{0.9}"}, -1013),
    ("too small a cost", {"quantity": "0.00001", "price": "{0.9}"}, -1013),
    ("a price far away", {"quantity": "0.01000", "price": "1.00"}, -1013),
    ("more than there is", {"quantity": "500.00000", "price": "{0.9}"}, -2010),
]
"""Refused orders: name, changed parameters of a LIMIT order, error code."""

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
"""Orders of every type: type, side, parameters, immediate status."""

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
"""Order lists: parameters and number of orders."""


def priced(params: dict[str, str], price: float) -> dict[str, str]:
    """Return parameters with prices filled in: ``{0.9}`` is nine tenths of ``price``."""
    filled = {}
    for name, value in params.items():
        if value.startswith("{"):
            factor, _, rest = value[1:].partition("}")
            value = f"{price * float(factor):.2f}{rest}"
        filled[name] = value
    return filled


def snake(params: dict[str, Any]) -> dict[str, Any]:
    """Return parameters with names in snake case: ``time_in_force`` for ``timeInForce``."""
    return {
        "".join(f"_{one.lower()}" if one.isupper() else one for one in name): value
        for name, value in params.items()
    }


class Book:
    """A local order book, built as Binance documents it: from a snapshot and changes."""

    def __init__(self) -> None:
        self.update_id = 0
        self.sides: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}
        self._started = False

    def start(self, update_id: int, bids: list[Any], asks: list[Any]) -> None:
        """Start from a snapshot."""
        self.update_id = update_id
        for side, levels in (("bids", bids), ("asks", asks)):
            self.sides[side] = {price: amount for price, amount in levels}

    def apply(self, first: int, last: int, bids: list[Any], asks: list[Any]) -> None:
        """Apply a change, which must follow the last one without a gap."""
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
        """Return the best levels of bids and asks, best first."""
        bids = sorted(self.sides["bids"].items(), key=lambda one: -float(one[0]))
        asks = sorted(self.sides["asks"].items(), key=lambda one: float(one[0]))
        return bids[:count], asks[:count]


class Session:
    """The checks of one client on one exchange.

    Attributes:
        url: URL of the exchange, ``http://127.0.0.1:…``.
        ws: the same for sockets.
        key, secret: API key with HMAC signatures, and its secret.
        signing_key, private_key: API key with Ed25519 signatures, and the path of its PEM file.
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
        """Run one check, which fails if it raises; the session continues."""
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
        """Send a request to the operator API of the exchange."""
        request = urllib.request.Request(
            f"{self.url}/paper/v1/{name}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def ask(self, method: str, path: str, **params: object) -> Any:
        """Send a request to the API as another program of the account's owner would."""
        query = urlencode(params)
        if path != "ticker/price":
            query = urlencode({**params, "timestamp": time.time_ns() // 1_000_000})
            digest = hmac.new(self.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
            query = f"{query}&signature={digest}"
        request = urllib.request.Request(
            f"{self.url}/api/v3/{path}?{query}", method=method, headers={"X-MBX-APIKEY": self.key}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def look(self, name: str) -> Any:
        """Read from the operator API of the exchange, such as its ``ledger``."""
        with urllib.request.urlopen(f"{self.url}/paper/v1/{name}", timeout=PATIENCE) as answer:
            return json.load(answer)

    def end(self) -> NoReturn:
        """Print the result and exit."""
        _tell("=", f"{self._passed} passed, {self._failed} failed")
        sys.exit(1 if self._failed else 0)


def _tell(mark: str, text: str) -> None:
    sys.stdout.write(f"{mark:<7} {text}\n")
    sys.stdout.flush()
