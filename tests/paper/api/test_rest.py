"""The REST API: public answers, API keys, signatures and request weights."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from botlib.core.timeframe import MINUTE
from botlib.paper.accounts.keys import PAPER_API_KEY
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.replay import ReplayMarket
from botlib.paper.market.synthetic import SyntheticMarket

LOCKSTEP = MarketPace(None, lockstep=True)
Candles = Callable[..., ReplayMarket]


@pytest.fixture
async def served(serve: Any, start_time: int) -> Any:
    return await serve(SyntheticMarket(2), pace=LOCKSTEP, start=start_time)


def now() -> int:
    return time.time_ns() // 1_000_000


async def test_server_time_is_wall_time(served: Any, start_time: int) -> None:
    told = (await served.get("time"))["serverTime"]
    assert abs(told - now()) < 60_000
    assert (await served.control.state())["market_time"] == start_time
    assert await served.get("ping") == {}


async def test_symbols_are_described_with_their_filters(served: Any) -> None:
    info = await served.get("exchangeInfo")
    assert {one["symbol"] for one in info["symbols"]} >= {"BTCUSDT", "ETHUSDT"}
    [one] = (await served.get("exchangeInfo", symbol="BTCUSDT"))["symbols"]
    filters = {entry["filterType"]: entry for entry in one["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01000000"
    assert filters["LOT_SIZE"]["stepSize"] == "0.00001000"
    assert filters["NOTIONAL"]["minNotional"] == "5.00000000"
    assert one["orderTypes"][:3] == ["LIMIT", "LIMIT_MAKER", "MARKET"]
    names = await served.get("exchangeInfo", symbols='["BTCUSDT","ETHUSDT"]')
    assert [one["symbol"] for one in names["symbols"]] == ["BTCUSDT", "ETHUSDT"]


async def test_an_account_lists_assets_it_never_held(served: Any) -> None:
    _, account = await served.signed("GET", "account")
    owned = {one["asset"]: one["free"] for one in account["balances"]}
    assert owned["BTC"] == "0.00000000"
    assert owned["USDT"] == "10000.00000000"
    listed = (await served.get("exchangeInfo"))["symbols"]
    assert {one[side] for one in listed for side in ("baseAsset", "quoteAsset")} <= owned.keys()
    _, short = await served.signed("GET", "account", omitZeroBalances="true")
    assert [one["asset"] for one in short["balances"]] == ["USDT"]


async def test_a_deposit_moves_the_update_time_of_an_account(served: Any) -> None:
    await served.control.fault("deposit", asset="USDT", amount=1)
    _, account = await served.signed("GET", "account")
    assert account["updateTime"] == served.venue.market_time


async def test_permission_sets_that_are_not_wanted_are_empty(served: Any) -> None:
    [one] = (await served.get("exchangeInfo", symbol="BTCUSDT", showPermissionSets="false"))[
        "symbols"
    ]
    assert one["permissionSets"] == []


async def test_an_iceberg_order_may_have_a_hundred_parts(served: Any) -> None:
    [one] = (await served.get("exchangeInfo", symbol="BTCUSDT"))["symbols"]
    assert {"filterType": "ICEBERG_PARTS", "limit": 100} in one["filters"]


@pytest.mark.parametrize(
    "path", ["/", "/api/v2/ping", "/fapi/v1/ping", "/sapi/v2/x", "/paper/v1/x"]
)
async def test_an_unknown_path_answers_json(served: Any, path: str) -> None:
    async with served.session.get(served.url + path) as response:
        assert response.status == 404
        answer = await response.json()
    if path.startswith("/paper/"):
        assert "/paper/v1/x" in answer["error"]
    else:
        assert answer["code"] == -1020


async def test_generated_client_ids_look_like_those_of_binance(served: Any) -> None:
    price = f"{float((await served.get('avgPrice', symbol='BTCUSDT'))['price']) * 0.5:.2f}"
    resting = {"timeInForce": "GTC", "quantity": "0.01", "price": price}
    orders = [await served.order("BUY", "LIMIT", **resting) for _ in range(3)]
    found = [one["clientOrderId"] for one in orders]
    _, gone = await served.signed("DELETE", "order", symbol="BTCUSDT", orderId=orders[0]["orderId"])
    found.append(gone["clientOrderId"])
    _, changed = await served.signed(
        "PUT",
        "order/amend/keepPriority",
        symbol="BTCUSDT",
        orderId=orders[1]["orderId"],
        newQty="0.005",
    )
    found.append(changed["amendedOrder"]["clientOrderId"])
    assert len(set(found)) == 5
    assert all(re.fullmatch("[A-Za-z0-9]{22}", one) for one in found)


async def test_every_readable_symbol_trades_on_the_synthetic_market(served: Any) -> None:
    assert float((await served.get("ticker/price", symbol="WIFUSDT"))["price"]) > 0
    rows = await served.get("klines", symbol="WIFUSDT", interval="1h", limit=1000)
    assert len(rows) == 1000


async def test_pages_of_klines_have_no_gaps(served: Any, start_time: int) -> None:
    first = start_time - 2_500 * MINUTE
    rows: list[Any] = []
    cursor = first
    while cursor <= start_time:
        page = await served.get(
            "klines", symbol="BTCUSDT", interval="1m", startTime=cursor, limit=1000
        )
        rows += page
        cursor = page[-1][0] + MINUTE
    assert [row[0] for row in rows] == list(range(first, start_time + MINUTE, MINUTE))
    assert all(row[6] == row[0] + MINUTE - 1 for row in rows)
    assert len(await served.get("klines", symbol="BTCUSDT", interval="1m")) == 500


async def test_tickers_book_and_klines_agree(served: Any) -> None:
    await served.advance("btcusdt@kline_1m")
    price = (await served.get("ticker/price", symbol="BTCUSDT"))["price"]
    day = await served.get("ticker/24hr", symbol="BTCUSDT")
    assert day["lastPrice"] == price
    assert float(day["lowPrice"]) <= float(price) <= float(day["highPrice"])
    book = await served.get("depth", symbol="BTCUSDT", limit=5)
    best = await served.get("ticker/bookTicker", symbol="BTCUSDT")
    assert book["bids"][0][0] == best["bidPrice"] < price < best["askPrice"] == book["asks"][0][0]
    assert len(book["bids"]) == len(book["asks"]) == 5
    trades = await served.get("trades", symbol="BTCUSDT", limit=10)
    assert trades[-1]["price"] == price
    assert len({trade["id"] for trade in trades}) == 10
    last = await served.get("aggTrades", symbol="BTCUSDT", limit=3)
    assert last[-1]["p"] == price
    later = await served.get("aggTrades", symbol="BTCUSDT", fromId=last[1]["a"], limit=9)
    assert [one["a"] for one in later] == [one["a"] for one in last[1:]]
    average = (await served.get("avgPrice", symbol="BTCUSDT"))["price"]
    assert float(day["lowPrice"]) <= float(average) <= float(day["highPrice"])


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("klines", "interval=1m", -1102),
        ("klines", "symbol=NOPE&interval=1m", -1121),
        ("klines", "symbol=BTC/USDT&interval=1m", -1100),
        ("klines", "symbol=BTCUSDT&interval=7m", -1120),
        ("klines", "symbol=BTCUSDT&interval=1m&startTime=soon", -1100),
        ("klines", "symbol=BTCUSDT&interval=1m&limit=0", -1130),
        ("depth", "", -1102),
        ("ticker/24hr", "symbols=BTCUSDT", -1100),
    ],
)
async def test_invalid_requests_are_refused(served: Any, path: str, query: str, code: int) -> None:
    status, answer = await served.call("GET", path, query)
    assert (status, answer["code"]) == (400, code)


async def test_removed_and_unknown_paths_are_refused(served: Any) -> None:
    assert (await served.call("POST", "userDataStream", key=PAPER_API_KEY))[0] == 410
    assert (await served.call("GET", "nothing"))[0] == 404
    assert (await served.call("POST", "klines"))[0] == 405


async def test_a_key_must_be_well_formed_and_known(served: Any, signer: Any) -> None:
    query = signer(f"timestamp={now()}")
    for key, code in ((None, -2014), ("short", -2014), ("x" * 64, -2015)):
        status, answer = await served.call("GET", "account", query, key=key)
        assert (status, answer["code"]) == (401, code)


async def test_a_signature_covers_query_and_body(served: Any, signer: Any) -> None:
    async def account(query: str, body: str = "") -> int:
        status, answer = await served.call("GET", "account", query, body, key=PAPER_API_KEY)
        return 0 if status == 200 else int(answer["code"])

    plain = f"timestamp={now()}&recvWindow=10000"
    assert await account(signer(plain)) == 0
    assert await account(plain) == -1102
    assert await account(signer(plain)[:-1] + "x") == -1022
    assert await account(signer(plain).replace("10000", "20000")) == -1022
    assert await account("", signer(plain)) == 0
    # Signed in the query, parameters in the body: the payload is query + body.
    signature = signer(plain + "omitZeroBalances=true").rpartition("=")[2]
    assert await account(f"{plain}&signature={signature}", "omitZeroBalances=true") == 0
    assert await account(f"{plain}&signature={signature}", "omitZeroBalances=false") == -1022


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("recvWindow=5000", -1102),
        ("timestamp={0}&recvWindow=60001", -1131),
        ("timestamp={0}&recvWindow=abc", -1102),
        ("timestamp={1}", -1021),
        ("timestamp={2}", -1021),
        ("timestamp=abc", -1100),
    ],
)
async def test_timestamps_are_checked_against_the_wall_clock(
    served: Any, signer: Any, query: str, code: int
) -> None:
    signed = signer(query.format(now(), now() - 60_000, now() + 60_000))
    _, answer = await served.call("GET", "account", signed, key=PAPER_API_KEY)
    assert answer["code"] == code


async def test_request_weights_are_counted_and_limited(served: Any) -> None:
    await served.get("klines", symbol="BTCUSDT", interval="1m")
    used = int(served.headers["X-MBX-USED-WEIGHT-1M"])
    await served.get("klines", symbol="BTCUSDT", interval="1m")
    assert int(served.headers["X-MBX-USED-WEIGHT-1M"]) in (used + 2, 2)
    price = float((await served.get("ticker/price", symbol="BTCUSDT"))["price"]) // 2
    await served.order("BUY", "LIMIT", quantity="0.01", price=price, timeInForce="GTC")
    assert served.headers["X-MBX-ORDER-COUNT-1D"] == "1"
    served.exchange.limits.change(weight=0)
    status, answer = await served.call("GET", "ping")
    assert (status, answer["code"]) == (429, -1003)
    assert 0 < int(served.headers["Retry-After"]) <= 60


async def test_paths_outside_the_api_answer(served: Any) -> None:
    async def get(path: str) -> tuple[int, Any]:
        async with served.session.get(f"{served.url}/sapi/v1/{path}") as response:
            return response.status, await response.json()

    assert await get("system/status") == (200, {"status": 0, "msg": "normal"})
    assert await get("capital/config/getall") == (200, [])
    assert (await get("asset/tradeFee?symbol=BTCUSDT"))[1][0]["makerCommission"] == "0.001"
    assert (await get("asset/transfer"))[0] == 404


async def test_market_data_is_served_below_the_v1_path_too(served: Any) -> None:
    async def get(path: str) -> int:
        async with served.session.get(f"{served.url}/api/v1/{path}") as response:
            return int(response.status)

    assert await get("trades?symbol=BTCUSDT") == 200
    assert await get("account") == 404
    assert await get("userDataStream") == 410


async def test_the_control_api_answers_local_requests_only(served: Any) -> None:
    target = f"{served.url}/paper/v1/pause"
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        async with served.session.post(target, headers=headers) as response:
            assert response.status == 403
    assert not served.venue.paused


async def test_many_requests_at_once_are_answered(served: Any) -> None:
    asked = [served.get("klines", symbol="BTCUSDT", interval="5m") for _ in range(50)]
    answers = await asyncio.gather(*asked)
    assert all(answer == answers[0] for answer in answers)
