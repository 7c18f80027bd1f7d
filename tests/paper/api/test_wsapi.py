"""The WebSocket API: sessions, user data streams, rate limits, and the operations of REST."""

from __future__ import annotations

import base64
import time
from typing import Any

import aiohttp
import orjson
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from botlib.paper.accounts.keys import PAPER_API_KEY, PAPER_ED25519_API_KEY, paper_private_key
from botlib.paper.api.operations import WS_METHODS
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.synthetic import SyntheticMarket

BTC = {"symbol": "BTCUSDT"}
BUY = {"side": "BUY", "type": "MARKET", "quantity": "0.01", **BTC}


def now() -> int:
    return time.time_ns() // 1_000_000


def payload(params: dict[str, Any]) -> str:
    return "&".join(f"{name}={params[name]}" for name in sorted(params))


class Client:
    """A socket of the WebSocket API, with signed requests."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, signer: Any) -> None:
        self.ws = ws
        self.events: list[Any] = []
        self._signer = signer

    async def ask(self, method: str, **params: Any) -> Any:
        await self.ws.send_str(
            orjson.dumps({"id": "one", "method": method, "params": params}).decode()
        )
        while "event" in (answer := orjson.loads(await self.ws.receive_str(timeout=60))):
            self.events.append(answer)
        assert answer["id"] == "one"
        return answer

    async def sign(self, method: str, **params: Any) -> Any:
        params = {"recvWindow": 60_000, "apiKey": PAPER_API_KEY, "timestamp": now(), **params}
        signature = self._signer(payload(params)).rpartition("=")[2]
        return await self.ask(method, **params, signature=signature)

    async def log_on(self, **params: Any) -> Any:
        key = load_pem_private_key(paper_private_key().encode(), None)
        params = {"recvWindow": 60_000, "timestamp": now(), **params}
        params["apiKey"] = PAPER_ED25519_API_KEY
        signature = base64.b64encode(key.sign(payload(params).encode())).decode()
        return await self.ask("session.logon", **params, signature=signature)


@pytest.fixture
async def served(serve: Any, start_time: int) -> Any:
    return await serve(SyntheticMarket(1), pace=MarketPace(None, lockstep=True), start=start_time)


@pytest.fixture
async def client(served: Any, signer: Any) -> Client:
    return Client(await served.session.ws_connect(f"{served.url}/ws-api/v3"), signer)


# -- sessions


async def test_a_session_needs_no_signatures(served: Any, client: Client) -> None:
    before = (await client.ask("session.status"))["result"]
    assert (before["apiKey"], before["authorizedSince"]) == (None, None)
    assert (await client.ask("account.status", timestamp=now()))["error"]["code"] == -2014
    assert (await client.ask("userDataStream.subscribe"))["error"]["code"] == -1002
    session = (await client.log_on())["result"]
    assert session["apiKey"] == PAPER_ED25519_API_KEY
    assert session["authorizedSince"] >= session["connectedSince"]
    order = await client.ask("order.place", timestamp=now(), recvWindow=60_000, **BUY)
    assert order["result"]["status"] == "FILLED"
    assert (await client.ask("order.place", **BUY))["error"]["code"] == -1102  # no timestamp
    assert (await client.ask("order.place", timestamp=1, **BUY))["error"]["code"] == -1021
    # A request may carry an API key of its own.
    assert (await client.sign("account.status"))["status"] == 200
    gone = (await client.ask("session.logout"))["result"]
    assert (gone["apiKey"], gone["authorizedSince"]) == (None, None)
    assert (await client.ask("account.status", timestamp=now()))["error"]["code"] == -2014


async def test_a_logon_needs_a_known_ed25519_key(served: Any, client: Client) -> None:
    assert (await client.sign("session.logon"))["error"]["code"] == -4056
    key = {"apiKey": PAPER_ED25519_API_KEY, "timestamp": now(), "signature": "AAAA"}
    assert (await client.ask("session.logon", **key))["error"]["code"] == -1022
    assert (await client.log_on(recvWindow=70_000))["error"]["code"] == -1131
    await client.log_on()
    served.exchange.keys.add(PAPER_ED25519_API_KEY, "main", secret="s", permissions=[])
    assert (await client.ask("account.status", timestamp=now()))["error"]["code"] == -2015


async def test_a_logout_ends_the_subscription_of_the_logon(served: Any, client: Client) -> None:
    await client.log_on()
    first = (await client.ask("userDataStream.subscribe"))["result"]["subscriptionId"]
    await client.ask("session.logout")
    assert (await client.ask("session.subscriptions"))["result"] == []
    [event] = client.events
    assert (event["subscriptionId"], event["event"]["e"]) == (first, "eventStreamTerminated")
    await served.order("BUY", "MARKET", quantity="0.01")
    await client.ask("session.status")
    assert client.events == [event]


async def test_a_logout_leaves_a_subscription_by_signature(client: Client) -> None:
    await client.log_on()
    signed = (await client.sign("userDataStream.subscribe.signature"))["result"]
    await client.ask("session.logout")
    assert (await client.ask("session.subscriptions"))["result"] == [signed]


# -- user data


async def test_events_carry_the_subscription_id(served: Any, client: Client) -> None:
    assert (await client.sign("userDataStream.subscribe.signature"))["result"] == {
        "subscriptionId": 0
    }
    again = await client.sign("userDataStream.subscribe.signature")
    assert again["error"]["code"] == -2035
    assert (await client.ask("session.subscriptions"))["result"] == [{"subscriptionId": 0}]
    await client.sign("order.place", **BUY)
    while len(client.events) < 3:
        client.events.append(orjson.loads(await client.ws.receive_str(timeout=60)))
    assert {one["subscriptionId"] for one in client.events} == {0}
    kinds = [one["event"]["e"] for one in client.events]
    assert kinds == ["executionReport", "executionReport", "outboundAccountPosition"]
    wrong = await client.ask("userDataStream.unsubscribe", subscriptionId=7)
    assert wrong["error"]["code"] == -2036
    client.events.clear()
    assert (await client.ask("userDataStream.unsubscribe"))["result"] == {}
    assert [one["event"]["e"] for one in client.events] == ["eventStreamTerminated"]
    await client.log_on()
    assert (await client.ask("userDataStream.subscribe"))["result"] == {"subscriptionId": 1}


# -- the same operations


@pytest.mark.parametrize(
    ("method", "path", "params"),
    [
        ("ping", "ping", {}),
        ("depth", "depth", {"limit": 5, **BTC}),
        ("trades.recent", "trades", {"limit": 3, **BTC}),
        ("trades.historical", "historicalTrades", {"limit": 3, **BTC}),
        ("trades.aggregate", "aggTrades", {"limit": 3, **BTC}),
        ("klines", "klines", {"interval": "1M", "limit": 3, **BTC}),
        ("uiKlines", "uiKlines", {"interval": "1d", "timeZone": "8", "limit": 3, **BTC}),
        ("avgPrice", "avgPrice", BTC),
        ("ticker", "ticker", {"windowSize": "3h", **BTC}),
        ("ticker.24hr", "ticker/24hr", {"type": "MINI", **BTC}),
        ("ticker.tradingDay", "ticker/tradingDay", BTC),
        ("ticker.price", "ticker/price", BTC),
        ("ticker.book", "ticker/bookTicker", BTC),
    ],
)
async def test_websocket_answers_equal_rest_answers(
    served: Any, client: Client, method: str, path: str, params: dict[str, Any]
) -> None:
    answer = await client.ask(method, **params)
    assert answer["result"] == await served.get(path, **params)
    assert (await client.ask(f"v3/{method}", **params))["result"] == answer["result"]


async def test_symbols_are_sent_as_a_json_list(client: Client) -> None:
    answer = await client.ask("ticker.price", symbols=["BTCUSDT", "ETHUSDT"])
    assert [one["symbol"] for one in answer["result"]] == ["BTCUSDT", "ETHUSDT"]
    info = await client.ask("exchangeInfo", symbols=["ETHUSDT"], showPermissionSets=False)
    assert info["result"]["symbols"][0]["permissionSets"] == []


async def test_all_websocket_methods_exist(served: Any, client: Client) -> None:
    assert set(WS_METHODS.values()) <= set(served.exchange._operations)
    for method in WS_METHODS:
        answer = await client.ask(method)
        assert answer.get("error", {}).get("code") != -1020, method


async def test_orders_and_order_lists_by_websocket_and_rest(served: Any, client: Client) -> None:
    price = float((await served.get("ticker/price", **BTC))["price"])
    await client.sign("order.place", **BUY)
    placed = await client.sign(
        "orderList.place.oco",
        **{"side": "SELL", "quantity": "0.005", "aboveType": "LIMIT_MAKER", **BTC},
        **{"abovePrice": f"{price * 1.2:.2f}", "belowType": "STOP_LOSS"},
        belowStopPrice=f"{price * 0.8:.2f}",
    )
    assert placed["status"] == 200, placed
    number = placed["result"]["orderListId"]
    counts = {one["rateLimitType"]: one["count"] for one in placed["rateLimits"][1:]}
    assert counts["ORDERS"] == 2  # traded orders do not count
    _, told = await served.signed("GET", "orderList", orderListId=number)
    assert told["listOrderStatus"] == "EXECUTING"
    canceled = await client.sign("openOrders.cancelAll", **BTC)
    assert canceled["status"] == 200
    assert (await client.sign("openOrderLists.status"))["result"] == []


# -- rate limits


async def test_answers_carry_rate_limits_unless_switched_off(
    served: Any, client: Client, signer: Any
) -> None:
    [weight] = (await client.ask("ping"))["rateLimits"]
    assert (weight["rateLimitType"], weight["limit"]) == ("REQUEST_WEIGHT", 6_000)
    assert "rateLimits" not in await client.ask("ping", returnRateLimits=False)
    order = await client.sign("order.place", returnRateLimits="true", **BUY)
    kinds = [one["rateLimitType"] for one in order["rateLimits"]]
    assert kinds == ["ORDERS", "ORDERS", "REQUEST_WEIGHT"]
    url = f"{served.url}/ws-api/v3?returnRateLimits=false"
    quiet = Client(await served.session.ws_connect(url), signer)
    assert "rateLimits" not in await quiet.ask("ping")
    assert "rateLimits" in await quiet.ask("ping", returnRateLimits=True)


async def test_a_ban_has_an_end_and_closes_sessions(
    served: Any, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.exchange.limits, "_wall", lambda: 0)  # one window for all
    served.exchange.limits.change(weight=0)
    answers = [await client.ask("ping") for _ in range(21)]
    assert [answers[0]["status"], answers[-1]["status"]] == [429, 418]
    data = answers[-1]["error"]["data"]
    assert 0 < data["retryAfter"] - data["serverTime"] <= 120_000
    assert (await client.ws.receive(timeout=60)).data == 1008  # the session is closed
    status, _ = await served.call("GET", "ping")
    assert status == 418 and 0 < int(served.headers["Retry-After"]) <= 120
    with pytest.raises(aiohttp.ClientError):
        await served.session.ws_connect(f"{served.url}/ws-api/v3")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", -1135),
        ("[]", -1135),
        ("[" * 100_000, -1135),
        ('{"id":1,"method":"ping","params":[]}', -1135),
        ('{"id":1}', -1102),
        ('{"id":true,"method":"ping"}', -1100),
        ('{"id":"ö","method":"ping"}', -1100),
        ('{"id":1.5,"method":"ping"}', -1100),
        ('{"id":1,"method":"ping","params":{"a":1}}', -1101),
        ('{"id":1,"method":"klines","params":{"symbol":["BTCUSDT"],"interval":"1m"}}', -1100),
        ('{"id":1,"method":"klines","params":{"symbol":null,"interval":"1m"}}', -1100),
        ('{"id":1,"method":"userDataStream.ping"}', -1020),
    ],
)
async def test_unreadable_messages_are_refused_and_the_socket_stays_open(
    client: Client, text: str, code: int
) -> None:
    await client.ws.send_str(text)
    answer = orjson.loads(await client.ws.receive_str(timeout=60))
    assert answer["error"]["code"] == code, answer
    assert (await client.ask("ping"))["result"] == {}
