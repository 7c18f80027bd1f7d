"""What fuzzing draws: values of unusual kinds and sizes, and changed bytes."""

from __future__ import annotations

import hashlib
import hmac
import random
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from botlib.paper import PAPER_API_KEY, PAPER_API_SECRET

NASTY: Final[list[Any]] = [
    *("", " ", "0", "-1", "-0", "1e309", "-1e-309", "NaN", "Infinity", "null", "true", "0x10"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", "1" * 400),
    *("1e999999999", "0." + "0" * 300 + "1", "٣", "½", "1,5", "1_000", "+1", "1.", ".5", "--1"),
    *("\0", "\r\n", "%00", "%", "%zz", "../../etc/passwd", "a" * 5_000, "é", "日本", "\u202e"),
    *(
        "😀",
        "\ud800",
        "'",
        '"',
        "<script>",
        "{",
        "[",
        "]]",
        "\\",
        "; DROP TABLE orders",
        "__class__",
    ),
    *(None, True, False, 0, -1, 1.5, -0.0, 10**30, -(10**30), 2**63, 1e308, 5e-324),
    *([], {}, [[]], {"a": {}}, [None], ["BTCUSDT"] * 50, {"": ""}, [[1]] * 20),
]
"""Values that something may not expect."""

_USUAL: Final[Mapping[str, tuple[Any, ...]]] = {
    "symbol": ("BTCUSDT", "BTCUSDT", "ETHUSDT", "btcusdt", "BTC/USDT"),
    "symbols": ('["BTCUSDT","ETHUSDT"]', '["BTCUSDT"]', "[]"),
    "interval": ("1m", "1h", "1M", "1s", "7m"),
    "timeframe": ("1m", "1h", "1w"),
    "side": ("BUY", "SELL"),
    "type": (
        "LIMIT",
        "MARKET",
        "STOP_LOSS",
        "STOP_LOSS_LIMIT",
        "TAKE_PROFIT",
        "LIMIT_MAKER",
        "FULL",
    ),
    "timeInForce": ("GTC", "IOC", "FOK"),
    "limit": (1, 10, 500, 1_000),
    "account": ("alice", "bob", "default"),
    "asset": ("USDT", "BTC", "DOGE"),
    "amount": ("10", "0.5", 3),
    "status": ("TRADING", "HALT", "BREAK"),
    "apiKey": (PAPER_API_KEY,),
    "permissions": (["TRADE"], ["USER_DATA", "TRADE"]),
    "streams": (["btcusdt@kline_1m"],),
    "acknowledged": (0, 1_767_571_200_000),
}


def drawn(name: str, rng: random.Random) -> Any:
    """Return a value for a field: usually one that fits its name, or else any."""
    if rng.random() < 0.3:
        return rng.choice(NASTY)
    if name in _USUAL:
        return rng.choice(_USUAL[name])
    lowered = name.lower()
    if lowered.endswith("side"):
        return rng.choice(_USUAL["side"])
    if lowered.endswith("type"):
        return rng.choice(_USUAL["type"])
    if lowered.endswith("timeinforce"):
        return rng.choice(_USUAL["timeInForce"])
    if "price" in lowered:
        return rng.choice(("60000.00", "100000", "0.01", "123456.789"))
    if "quantity" in lowered or "qty" in lowered:
        return rng.choice(("0.01", "0.00001", "1", "9000"))
    if "time" in lowered or lowered in ("start", "end"):
        return rng.choice((0, 1_767_571_200_000, 1_767_571_260_000, time.time_ns() // 1_000_000))
    if lowered.endswith("id"):
        return rng.choice((1, 2, "x-1", "a1b2"))
    return rng.choice((1, "1", "x", True))


def signed(params: Mapping[str, Any], rng: random.Random) -> str:
    """Return parameters as a query with a timestamp and usually a good signature."""
    query = urlencode({name: _text(value) for name, value in params.items()}, quote_via=quote)
    query = f"{query}&timestamp={time.time_ns() // 1_000_000}&recvWindow=60000".lstrip("&")
    if rng.random() < 0.05:
        query = changed(query.encode(), rng).decode("latin-1")
        query = "".join(
            one for one in query if one.isascii() and one.isprintable() and one not in " #"
        )
    digest = hmac.new(PAPER_API_SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()
    return f"{query}&signature={digest}"


def _text(value: Any) -> str:
    return str(value).encode("utf-8", "replace").decode()


def changed(content: bytes, rng: random.Random) -> bytes:
    """Return bytes with one to six changes."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        size = min(rng.choice((1, 1, 2, 8, 64, 1_000)), len(data) - at)
        kind = rng.randrange(8)
        if kind == 0 and size:
            data[at : at + size] = rng.randbytes(size)
        elif kind == 1:
            del data[at : at + size]
        elif kind == 2:
            data[at:at] = data[at : at + size] * rng.choice((1, 2, 50))
        elif kind == 3:
            data[at:at] = _text(rng.choice(NASTY)).encode()
        elif kind == 4 and size:
            data[at : at + size] = bytes(size)
        elif kind == 5 and size:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 6:
            del data[at:]
        elif size:
            data[at : at + size] = b"\xff" * size
    return bytes(data[:300_000])
