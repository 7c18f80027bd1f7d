"""API keys: HMAC and Ed25519 signatures, permissions, and timestamps of signed requests."""

from __future__ import annotations

import base64
import time
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from botlib.core.errors import PaperExchangeError
from botlib.paper.accounts.keys import (
    PAPER_API_KEY,
    PAPER_ED25519_API_KEY,
    USER_DATA,
    KeyRegister,
    paper_private_key,
)
from botlib.paper.accounts.signatures import check_timing
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.synthetic import SyntheticMarket
from botlib.paper.protocol.params import Params
from botlib.paper.protocol.refusals import Refusal

NEW = "n" * 64
NOW = 1_767_571_200_000


@pytest.fixture
async def served(serve: Any, start_time: int) -> Any:
    return await serve(SyntheticMarket(1), pace=MarketPace(None, lockstep=True), start=start_time)


def milliseconds() -> int:
    return time.time_ns() // 1_000_000


def signed(key: Any, query: str) -> str:
    signature = base64.b64encode(key.sign(query.encode())).decode()
    return f"{query}&signature={quote(signature, safe='')}"


async def test_an_ed25519_key_signs_requests(served: Any) -> None:
    key = load_pem_private_key(paper_private_key().encode(), None)
    query = f"timestamp={milliseconds()}&recvWindow=59000.125"
    status, account = await served.call(
        "GET", "account", signed(key, query), key=PAPER_ED25519_API_KEY
    )
    assert status == 200 and account["balances"]
    other = signed(Ed25519PrivateKey.generate(), query)
    for wrong in (other, f"{query}&signature=%21%21", f"{query}&signature=AAAA"):
        status, answer = await served.call("GET", "account", wrong, key=PAPER_ED25519_API_KEY)
        assert (status, answer["code"]) == (400, -1022)


async def test_text_that_is_not_ascii_is_signed_as_it_is_sent(served: Any, signer: Any) -> None:
    pairs = {"symbol": "BTCUSDT", "origClientOrderId": "größe ½", "timestamp": milliseconds()}
    pairs["recvWindow"] = 60_000
    _, answer = await served.call("GET", "order", signer(urlencode(pairs)), key=PAPER_API_KEY)
    assert answer["code"] == -2013
    raw = "&".join(f"{name}={value}" for name, value in pairs.items())
    signature = signer(raw).rpartition("=")[2]
    query = f"{urlencode(pairs)}&signature={signature}"
    _, answer = await served.call("GET", "order", query, key=PAPER_API_KEY)
    assert answer["code"] == -1022


async def test_the_signature_may_be_anywhere_in_the_query(served: Any, signer: Any) -> None:
    query = f"recvWindow=60000&timestamp={milliseconds()}"
    signature = signer(query).rpartition("=")[2]
    first, last = query.split("&")
    for text in (f"signature={signature}&{query}", f"{first}&signature={signature}&{last}"):
        assert (await served.call("GET", "account", text, key=PAPER_API_KEY))[0] == 200


async def test_a_key_is_added_with_limited_permissions(served: Any) -> None:
    key = Ed25519PrivateKey.generate()
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    served.exchange.keys.add(NEW, "main", public_key=pem, permissions=[USER_DATA])

    async def code(method: str, path: str, query: str) -> tuple[int, int]:
        text = signed(key, f"{query}&recvWindow=60000&timestamp={milliseconds()}")
        status, answer = await served.call(method, path, text, key=NEW)
        return status, answer.get("code", 0)

    order = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01"
    assert await code("GET", "account", "omitZeroBalances=true") == (200, 0)
    assert await code("POST", "order", order) == (401, -2015)


@pytest.mark.parametrize(
    ("key", "details", "words"),
    [
        ("short", {"secret": "s"}, "64 letters"),
        (NEW, {}, "one way"),
        (NEW, {"secret": "s", "public_key": "p"}, "one way"),
        (NEW, {"public_key": "no PEM"}, "cannot be read"),
        (NEW, {"secret": "s", "permissions": ["LEND"]}, "LEND"),
    ],
)
def test_invalid_keys_are_refused(key: str, details: dict[str, Any], words: str) -> None:
    with pytest.raises(PaperExchangeError, match=words):
        KeyRegister().add(key, "main", **details)


@pytest.mark.parametrize(
    ("timestamp", "window", "code"),
    [
        (NOW, None, 0),
        (NOW + 999, None, 0),
        (NOW + 1_000, None, -1021),
        (NOW - 5_000, None, 0),
        (NOW - 5_001, None, -1021),
        (NOW - 60_000, "60000", 0),
        (NOW, "60000.001", -1131),
        (NOW - 6_000, "6000.346", 0),
        (NOW * 1_000 - 5_000_000, None, 0),
        (NOW * 1_000 - 5_000_001, None, -1021),
        (NOW * 1_000 + 999_999, None, 0),
        (NOW - 86_400_000, "nan", -1102),
        (NOW, "1e3", -1102),
        (NOW, "-1", -1102),
        (NOW, "1.2345", -1102),
        (2**63, None, -1108),
    ],
)
def test_timestamps_outside_the_receive_window_are_refused(
    timestamp: int, window: str | None, code: int
) -> None:
    values = {"timestamp": str(timestamp)}
    if window is not None:
        values["recvWindow"] = window
    if not code:
        check_timing(Params(values), NOW)
        return
    with pytest.raises(Refusal, match=str(code)):
        check_timing(Params(values), NOW)
