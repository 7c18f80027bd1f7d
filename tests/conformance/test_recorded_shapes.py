"""The answers and events of the paper exchange, compared with recorded ones of Binance.

Names, types and number formats are compared; values and their order are not.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from botlib.paper import PAPER_API_KEY, PAPER_API_SECRET
from tests.support.paper_process import paper_exchange

pytestmark = pytest.mark.recorded

Find = Callable[[str], Path]
SYMBOL = "BTCUSDT"
PATIENCE = 60.0

SINCE: dict[str, set[str]] = {
    "": {"sors"},
    "symbols": {"opoAllowed", "pegInstructionsAllowed"},
    "filters": {"MAX_NUM_ORDER_LISTS", "MAX_NUM_ORDER_AMENDS"},
    "order": {"origQuoteOrderQty", "workingTime", "selfTradePreventionMode", "transactTime"},
    "executionReport": {"W", "V"},
}
"""Fields that Binance added after some recordings, by their place."""

LEVEL = ("number of 8 as text", "number of 8 as text")
"""Price and amount of a level of the book."""

_NUMBER = re.compile(r"-?\d+(?:\.(\d*))?")


def kind(value: object) -> str:
    """Return the JSON type of a value, and for a text with a number its number of decimals."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "whole number"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        found = _NUMBER.fullmatch(value)
        return f"number of {len(found[1] or '')} as text" if found else "text"
    return "list" if isinstance(value, list) else "object"


def same(ours: Any, recorded: Any, where: str, since: str, *either: str) -> None:
    """Compare two objects.

    Args:
        since: key of `SINCE` with the fields that may be new.
        either: fields whose types differ between events on Binance too.
    """
    assert ours.keys() >= recorded.keys(), (where, recorded.keys() - ours.keys())
    new = ours.keys() - recorded.keys()
    assert new <= SINCE.get(since, set()), (where, new)
    for name, value in recorded.items():
        if name not in either and not isinstance(value, list | dict):
            assert kind(ours[name]) == kind(value), (where, name, ours[name], value)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with paper_exchange() as found:
        yield found


def signed(**params: object) -> str:
    query = urlencode({**params, "timestamp": time.time_ns() // 1_000_000, "recvWindow": 60_000})
    digest = hmac.new(PAPER_API_SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()
    return f"{query}&signature={digest}"


def ask(url: str, path: str, method: str = "GET", **params: object) -> Any:
    """Send a request, signed unless it is for market data, and return the answer."""
    query = signed(**params) if path == "order" else urlencode(params)
    request = urllib.request.Request(
        f"{url}/api/v3/{path}?{query}", headers={"X-MBX-APIKEY": PAPER_API_KEY}, method=method
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


def test_exchange_info(url: str, recorded: Find) -> None:
    path = recorded("fixtures/rest/exchangeInfo_binance_spot_20250807_gct.json")
    theirs = json.loads(path.read_text())
    ours = ask(url, "exchangeInfo", symbol=SYMBOL)
    same(ours, theirs, "exchangeInfo", "")
    limits = {(one["rateLimitType"], one["interval"]): one for one in ours["rateLimits"]}
    for limit in theirs["rateLimits"]:
        ours_now = limits[limit["rateLimitType"], limit["interval"]]
        # Raised from 61,000 on 2026-04-02, after the recording.
        raised = {"limit": 300_000} if limit["rateLimitType"] == "RAW_REQUESTS" else {}
        assert ours_now == limit | raised
    [symbol] = ours["symbols"]
    [recording] = (one for one in theirs["symbols"] if one["symbol"] == SYMBOL)
    same(symbol, recording, "symbols", "symbols")
    assert symbol["orderTypes"] == recording["orderTypes"]
    filters = {one["filterType"]: one for one in symbol["filters"]}
    for one in recording["filters"]:
        same(filters.pop(one["filterType"]), one, one["filterType"], "")
    assert filters.keys() <= SINCE["filters"]


@pytest.fixture
def answers(recorded: Find) -> list[dict[str, Any]]:
    """Return the recorded answers to orders in the form in which Binance sent them."""
    lines = recorded("fixtures/rest/order_responses.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return [
        one["body"]
        for one in found
        if one.get("recorded", True) and isinstance(one["body"]["orderId"], int)
    ]


def test_order_answers(url: str, answers: list[dict[str, Any]]) -> None:
    price = float(ask(url, "ticker/price", symbol=SYMBOL)["price"])
    market = {"symbol": SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    limit = {**market, "type": "LIMIT", "timeInForce": "GTC", "price": f"{price * 0.9:.2f}"}
    traded = ask(url, "order", "POST", **market)
    crossed = ask(url, "order", "POST", **{**limit, "price": f"{price * 1.1:.2f}"})
    resting = ask(url, "order", "POST", **limit)
    gone = ask(url, "order", "DELETE", symbol=SYMBOL, orderId=resting["orderId"])
    ours = {(one["type"], one["status"]): one for one in (traded, crossed, resting, gone)}
    assert len(answers) == 4
    for recording in answers:
        case = f"{recording['type']} {recording['status']}"
        answer = ours[recording["type"], recording["status"]]
        same(answer, recording, case, "order", "clientOrderId", "origClientOrderId")
        for fill in recording.get("fills", []):
            same(answer["fills"][0], fill, f"{case} fills", "")


# -- frames


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_user_events(url: str, recorded: Find, http: aiohttp.ClientSession) -> None:
    text = recorded("fixtures/ws/user_data_frames.jsonl").read_text()
    recordings = [json.loads(line)["frame"] for line in text.splitlines()]
    params: dict[str, object] = {
        "apiKey": PAPER_API_KEY,
        "timestamp": time.time_ns() // 1_000_000,
    }
    payload = urlencode(sorted(params.items())).encode()
    params["signature"] = hmac.new(PAPER_API_SECRET.encode(), payload, hashlib.sha256).hexdigest()
    price = float(ask(url, "ticker/price", symbol=SYMBOL)["price"])
    market = {"symbol": SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    limit = {**market, "type": "LIMIT", "timeInForce": "GTC", "price": f"{price * 0.9:.2f}"}
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    async with http.ws_connect(f"{url}/ws-api/v3") as ws:
        method = "userDataStream.subscribe.signature"
        await ws.send_json({"id": 1, "method": method, "params": params})
        assert (await ws.receive_json(timeout=PATIENCE))["status"] == 200
        ask(url, "order", "POST", **market)
        resting = ask(url, "order", "POST", **limit)
        ask(url, "order", "DELETE", symbol=SYMBOL, orderId=resting["orderId"])
        wanted = {(one["e"], one.get("x", "")) for one in recordings}
        while not wanted <= seen.keys():
            event = (await ws.receive_json(timeout=PATIENCE))["event"]
            seen[event["e"], event.get("x", "")] = event
    texts = ("c", "C", "N", "n")
    for recording in recordings:
        event = seen[recording["e"], recording.get("x", "")]
        same(event, recording, f"{recording['e']} {recording.get('x')}", event["e"], *texts)
        for balance in recording.get("B", []):
            same(event["B"][0], balance, "balances", "")


async def test_market_frames(url: str, recorded: Find, http: aiohttp.ClientSession) -> None:
    names = ("binance_frames", "btcusdt_kline_singletons")
    lines = [
        line
        for name in names
        for line in recorded(f"fixtures/ws/{name}.jsonl").read_text().splitlines()
    ]
    frames = [json.loads(line)["frame"] for line in lines]
    recordings = [json.loads(one) if isinstance(one, str) else one for one in frames]
    wanted = {one["stream"].partition("@")[2] for one in recordings}
    assert wanted == {"depth@100ms", "bookTicker", "aggTrade", "kline_1m"}
    seen: dict[str, list[dict[str, Any]]] = {}
    names_asked = "/".join(f"{SYMBOL.lower()}@{one}" for one in sorted(wanted))
    async with http.ws_connect(f"{url}/stream?streams={names_asked}") as ws:
        while wanted - seen.keys() or not any(one["b"] and one["a"] for one in seen["depth@100ms"]):
            frame = await ws.receive_json(timeout=PATIENCE)
            assert frame.keys() == {"stream", "data"}
            seen.setdefault(frame["stream"].partition("@")[2], []).append(frame["data"])
    for recording in recordings:
        stream, theirs = recording["stream"].partition("@")[2], recording["data"]
        for ours in seen[stream]:
            same(ours, theirs, stream, "")
            if "k" in theirs:
                same(ours["k"], theirs["k"], stream, "")
            for side in {"b", "a"} & theirs.keys() if stream == "depth@100ms" else ():
                for levels in (ours[side], theirs[side]):
                    assert {tuple(map(kind, level)) for level in levels} <= {LEVEL}


def test_depth_and_its_levels(url: str, recorded: Find) -> None:
    theirs = json.loads(recorded("fixtures/rest/depth_NKNUSDT_20211012.json").read_text())
    ours = ask(url, "depth", symbol=SYMBOL)
    same(ours, theirs, "depth", "")
    for book in (ours, theirs):
        for side in ("bids", "asks"):
            assert {tuple(map(kind, level)) for level in book[side]} == {LEVEL}
