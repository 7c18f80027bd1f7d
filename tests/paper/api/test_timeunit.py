"""Times in microseconds, for clients that choose them."""

from __future__ import annotations

import time
from typing import Any

import aiohttp
import orjson
import pytest

from botlib.paper.accounts.keys import PAPER_API_KEY
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.synthetic import SyntheticMarket
from botlib.paper.protocol.timeunit import (
    HEADER,
    answer_in_microseconds,
    event_in_microseconds,
    frame_in_microseconds,
)

STREAM = "btcusdt@kline_1m"
BUY = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01"


@pytest.fixture
async def served(serve: Any, start_time: int) -> Any:
    return await serve(SyntheticMarket(1), pace=MarketPace(None, lockstep=True), start=start_time)


@pytest.fixture
def ask(served: Any, signer: Any) -> Any:
    """Return a function that sends a request in a time unit and returns status and answer."""

    async def asked(method: str, path: str, unit: str, query: str = "", sign: bool = False) -> Any:
        headers = {HEADER: unit, "X-MBX-APIKEY": PAPER_API_KEY}
        if sign:
            query = signer(f"{query}&timestamp={time.time_ns() // 1_000}")
        target = f"{served.url}/api/v3/{path}?{query}"
        async with served.session.request(method, target, headers=headers) as response:
            return response.status, orjson.loads(await response.read())

    return asked


def micro(moment: int) -> bool:
    return moment > 10**15


@pytest.mark.parametrize("unit", ["MICROSECOND", "microsecond"])
async def test_a_header_chooses_answers_in_microseconds(
    ask: Any, served: Any, unit: str, start_time: int
) -> None:
    status, row = await ask("GET", "klines", unit, "symbol=BTCUSDT&interval=1m&limit=1")
    assert status == 200
    opened = start_time * 1_000
    assert (row[0][0], row[0][6]) == (opened, opened + 59_999_999)
    _, row = await ask("GET", "aggTrades", unit, "symbol=BTCUSDT&limit=1")
    assert micro(row[0]["T"]) and not micro(row[0]["a"])
    _, day = await ask("GET", "ticker/tradingDay", unit, "symbol=BTCUSDT")
    assert day["openTime"] == opened and day["closeTime"] == opened + 86_400_000_000 - 1
    _, order = await ask("POST", "order", unit, BUY, sign=True)
    assert order["transactTime"] == order["workingTime"] == opened
    _, account = await ask("GET", "account", unit, sign=True)
    assert account["updateTime"] == opened
    assert micro((await ask("GET", "time", unit))[1]["serverTime"])


async def test_other_answers_are_in_milliseconds_and_other_units_are_refused(
    ask: Any, served: Any, start_time: int
) -> None:
    assert (await served.get("klines", symbol="BTCUSDT", interval="1m"))[-1][0] == start_time
    assert not micro((await ask("GET", "time", "MILLISECOND"))[1]["serverTime"])
    status, answer = await ask("GET", "time", "SECOND")
    assert (status, answer["code"]) == (400, -1194)


async def test_minus_one_means_no_time_in_every_unit() -> None:
    answer = {"orders": [{"time": 5, "workingTime": -1, "updateTime": 0, "orderId": 7}]}
    found = answer_in_microseconds("order", answer)
    assert found["orders"] == [{"time": 5_000, "workingTime": -1, "updateTime": 0, "orderId": 7}]
    assert answer["orders"][0]["time"] == 5  # the venue's own record is not changed


@pytest.mark.parametrize("path", [f"/ws/{STREAM}", f"/stream?streams={STREAM}"])
async def test_a_parameter_chooses_frames_in_microseconds(
    served: Any, path: str, start_time: int
) -> None:
    sign = "&" if "?" in path else "?"
    fine = await served.session.ws_connect(f"{served.url}{path}{sign}timeUnit=MICROSECOND")
    plain = await served.session.ws_connect(f"{served.url}{path}")
    seen = {}
    for name, ws in (("fine", fine), ("plain", plain)):
        frame = orjson.loads(await ws.receive_str(timeout=60))
        seen[name] = frame.get("data", frame)
    await served.advance(STREAM)
    for name, ws in (("fine", fine), ("plain", plain)):
        while not seen[name]["k"]["x"]:
            frame = orjson.loads(await ws.receive_str(timeout=60))
            seen[name] = frame.get("data", frame)
    assert seen["plain"]["k"]["T"] == start_time + 59_999
    assert seen["fine"]["k"]["T"] == start_time * 1_000 + 59_999_999
    assert seen["fine"]["E"] == seen["plain"]["E"] * 1_000
    assert seen["fine"]["k"]["o"] == seen["plain"]["k"]["o"]


@pytest.mark.parametrize("path", ["/ws", "/stream", "/ws-api/v3"])
async def test_a_socket_with_an_unknown_time_unit_is_refused(served: Any, path: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await served.session.ws_connect(f"{served.url}{path}?timeUnit=hour")
    assert caught.value.status == 400


async def test_answers_and_events_of_a_session_in_microseconds(
    served: Any, signer: Any, start_time: int
) -> None:
    ws = await served.session.ws_connect(f"{served.url}/ws-api/v3?timeUnit=microsecond")
    params: dict[str, Any] = {"apiKey": PAPER_API_KEY, "timestamp": time.time_ns() // 1_000_000}
    query = "&".join(f"{name}={params[name]}" for name in sorted(params))
    params["signature"] = signer(query).rpartition("=")[2]
    method = "userDataStream.subscribe.signature"
    await ws.send_str(orjson.dumps({"id": 1, "method": method, "params": params}).decode())
    assert orjson.loads(await ws.receive_str(timeout=60))["status"] == 200
    await ws.send_str('{"id":2,"method":"session.status"}')
    status = orjson.loads(await ws.receive_str(timeout=60))["result"]
    assert micro(status["connectedSince"]) and micro(status["serverTime"])
    await served.order("BUY", "MARKET", quantity="0.01")
    while True:
        event = orjson.loads(await ws.receive_str(timeout=60))["event"]
        assert event["E"] == start_time * 1_000
        if event["e"] == "outboundAccountPosition":
            assert event["u"] == start_time * 1_000
            break
        assert event["T"] == event["O"] == event["W"] == start_time * 1_000
        assert event["i"] == 1


def test_ids_that_look_like_times_are_not_converted() -> None:
    trade = {"e": "trade", "E": 5, "T": 6, "t": 7}
    assert event_in_microseconds(trade) == {"e": "trade", "E": 5_000, "T": 6_000, "t": 7}
    book = {"u": 400, "s": "BTCUSDT"}
    assert event_in_microseconds([book]) == [book]
    prevented = {"e": "executionReport", "E": 5, "u": 9, "U": 8, "C": "mine"}
    assert event_in_microseconds(prevented) == {**prevented, "E": 5_000}


def test_a_damaged_frame_is_not_converted() -> None:
    assert frame_in_microseconds(b'{"e":"kline","E":1,"k":{"t":') == b'{"e":"kline","E":1,"k":{"t":'
    assert orjson.loads(frame_in_microseconds(b'{"e":"kline","E":1,"k":null}'))["E"] == 1_000
