"""Market streams, the WS-API, account events, and the faults that can be ordered."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from botlib.core.errors import PaperExchangeError
from botlib.core.timeframe import HOUR, MINUTE
from botlib.paper.accounts.keys import PAPER_API_KEY
from botlib.paper.market.depth import Depth
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.synthetic import SyntheticMarket

LOCKSTEP = MarketPace(None, lockstep=True)
STREAM = "btcusdt@kline_1m"
Recorded = Callable[[str], Path]


@pytest.fixture
async def served(serve: Any, start_time: int) -> Any:
    return await serve(SyntheticMarket(2), pace=LOCKSTEP, start=start_time)


# -- sockets


@pytest.mark.parametrize("path", [f"/ws/{STREAM}", f"/stream/ws/{STREAM}"])
async def test_a_stream_named_in_the_path_has_raw_payloads(served: Any, path: str) -> None:
    listener = await served.listen(path=path)
    assert (await listener.next())["e"] == "kline"


async def test_combined_streams_carry_their_names(served: Any) -> None:
    listener = await served.listen(path=f"/stream?streams={STREAM}/ethusdt@kline_5m")
    frames = await listener.many(2)
    assert [frame["stream"] for frame in frames] == [STREAM, "ethusdt@kline_5m"]
    assert frames[1]["data"]["k"]["i"] == "5m"
    await served.advance(STREAM)
    assert (await listener.next())["stream"] == STREAM


@pytest.mark.parametrize("path", ["/ws", "/ws/0", "/stream/ws", "/stream/ws/0"])
async def test_subscriptions_change_while_connected(served: Any, path: str) -> None:
    listener = await served.listen(path=path)
    assert await listener.ask("SUBSCRIBE", [STREAM, "btcusdt@trade"]) == {"result": None, "id": 1}
    assert (await listener.next())["e"] == "kline"
    answer = await listener.ask("LIST_SUBSCRIPTIONS", number="a")
    assert answer == {"result": [STREAM, "btcusdt@trade"], "id": "a"}
    await listener.ask("UNSUBSCRIBE", [STREAM, "never@trade"])
    await served.advance(STREAM)
    assert {frame["e"] for frame in await listener.many(4)} == {"trade"}


async def test_a_socket_becomes_combined_on_request(served: Any) -> None:
    listener = await served.listen()
    assert (await listener.ask("GET_PROPERTY", ["combined"]))["result"] is False
    await listener.ask("SET_PROPERTY", ["combined", True])
    assert (await listener.ask("GET_PROPERTY", ["combined"]))["result"] is True
    await listener.ask("SUBSCRIBE", [STREAM])
    assert (await listener.next())["stream"] == STREAM


async def test_invalid_messages_are_answered_and_unknown_streams_send_nothing(served: Any) -> None:
    listener = await served.listen()
    await listener.ws.send_str("{not json")
    assert (await listener.next())["error"]["code"] == 3
    for method, params in (("SHOUT", []), ("SUBSCRIBE", []), ("SUBSCRIBE", [1])):
        assert (await listener.ask(method, params))["error"]["code"] == 2
    await asyncio.sleep(1.1)
    names = ["nosuch", "BTCUSDT@trade", "btcusdt@kline_7m", "@trade", "btcusdt@nothing"]
    assert (await listener.ask("SUBSCRIBE", names))["result"] is None
    await listener.ask("SUBSCRIBE", [STREAM])
    assert (await listener.next())["s"] == "BTCUSDT"
    await served.advance(STREAM)
    assert {frame["e"] for frame in await listener.many(5)} == {"kline"}


async def test_more_than_five_messages_a_second_end_the_connection(served: Any) -> None:
    listener = await served.listen()
    for _ in range(3):
        await listener.ask("LIST_SUBSCRIPTIONS")
    # Many more than the remaining three, since a busy machine may take a second in between.
    with contextlib.suppress(aiohttp.ClientConnectionResetError):
        for _ in range(50):
            await listener.ws.ping()
    assert await listener.until_closed() == 1008


async def test_more_than_1024_streams_end_the_connection(served: Any) -> None:
    listener = await served.listen()
    names = [f"btcusdt@nothing{number}" for number in range(1_024)]
    await listener.ask("SUBSCRIBE", names)
    assert len((await listener.ask("LIST_SUBSCRIPTIONS"))["result"]) == 1_024
    await listener.ws.send_str('{"method":"SUBSCRIBE","params":["one@more"],"id":2}')
    assert await listener.until_closed() == 1008


async def test_one_frame_reaches_every_subscriber(served: Any) -> None:
    listeners = [await served.listen(STREAM) for _ in range(5)]
    await served.advance(STREAM)
    frames = [[await one.ws.receive_str(timeout=30) for _ in range(6)] for one in listeners]
    assert all(one == frames[0] for one in frames)


async def test_all_kinds_of_streams_have_the_same_price(served: Any, start_time: int) -> None:
    kinds = ["trade", "aggTrade", "miniTicker", "ticker", "bookTicker", "depth@100ms", "depth5"]
    kinds += ["avgPrice", "ticker_1h", "ticker_4h", "ticker_1d", "kline_1h@+08:00", "kline_1M"]
    wanted = [f"btcusdt@{kind}" for kind in kinds]
    everything = ("!miniTicker@arr", "!miniTicker@arr@1000ms", "!ticker_4h@arr")
    listener = await served.listen(*wanted, *everything, path="/stream")
    await served.advance(STREAM)
    received: dict[str, list[Any]] = {}
    while "!ticker_4h@arr" not in received:
        frame = await listener.next()
        received.setdefault(frame["stream"].removeprefix("btcusdt@"), []).append(frame["data"])
    one = {name: found[-1] for name, found in received.items()}
    price = one["trade"]["p"]
    named = ("trade", "aggTrade", "miniTicker", "ticker", "avgPrice", "ticker_1h", "kline_1M")
    assert {one[name]["E"] for name in named} == {start_time + 15_000}
    assert [one[name]["c"] for name in ("miniTicker", "ticker", "ticker_4h")] == [price] * 3
    assert [one[name]["k"]["c"] for name in ("kline_1h@+08:00", "kline_1M")] == [price] * 2
    trades, [aggregate] = received["trade"], received["aggTrade"]
    assert aggregate["p"] == price
    assert sum(float(trade["q"]) for trade in trades) == pytest.approx(float(aggregate["q"]))
    assert (aggregate["f"], aggregate["l"]) == (trades[0]["t"], trades[-1]["t"])
    assert float(one["bookTicker"]["b"]) < float(price) < float(one["bookTicker"]["a"])
    assert len(one["depth5"]["bids"]) == len(one["depth5"]["asks"]) == 5
    for name in everything:
        assert {ticker["s"] for ticker in one[name]} >= {"BTCUSDT", "ETHUSDT"}


async def test_a_day_of_another_time_zone_closes_at_its_midnight(
    serve: Any, start_time: int
) -> None:
    served = await serve(
        SyntheticMarket(2), pace=LOCKSTEP, start=start_time + 16 * HOUR - 2 * MINUTE
    )
    stream = "btcusdt@kline_1d@+08:00"
    listener = await served.listen(stream)
    assert await served.advance(stream) == [("BTCUSDT", "1d@+08:00", start_time - 8 * HOUR)]
    frames = [(await listener.next())["k"]]
    while not frames[-1]["x"]:
        frames.append((await listener.next())["k"])
    closed = frames[-1]
    assert (closed["t"], closed["T"]) == (start_time - 8 * HOUR, start_time + 16 * HOUR - 1)
    assert closed["i"] == "1d"
    answer = await served.get("klines", symbol="BTCUSDT", interval="1d", timeZone="8", limit=2)
    assert [answer[0][number] for number in range(6)] == [closed[name] for name in "tohlcv"]
    hours = await served.get("klines", symbol="BTCUSDT", interval="1h", limit=25)
    inside = [row for row in hours if closed["t"] <= row[0] <= closed["T"]]
    assert len(inside) == 24
    assert float(closed["h"]) == max(float(row[2]) for row in inside)
    assert float(closed["v"]) == pytest.approx(sum(float(row[5]) for row in inside))


async def test_every_second_closes_once(served: Any, start_time: int) -> None:
    listener = await served.listen("btcusdt@kline_1s")
    await served.advance(STREAM)
    frames = [(await listener.next())["k"]]
    while frames[-1]["t"] < start_time + MINUTE:
        frames.append((await listener.next())["k"])
    closed = [frame["t"] for frame in frames if frame["x"]]
    assert closed == list(range(start_time, start_time + MINUTE, 1_000))
    rows = await served.get(
        "klines", symbol="BTCUSDT", interval="1s", startTime=start_time, limit=60
    )
    assert [row[0] for row in rows] == closed
    minute = (await served.get("klines", symbol="BTCUSDT", interval="1m", limit=2))[0]
    assert [rows[0][1], rows[-1][4]] == [minute[1], minute[4]]
    assert sum(float(row[5]) for row in rows) == pytest.approx(float(minute[5]))


async def test_retired_streams_are_refused(served: Any) -> None:
    for path in ("/ws/!ticker@arr", "/stream?streams=btcusdt@trade/!ticker@arr"):
        async with served.session.get(served.url + path) as response:
            assert response.status == 410
    listener = await served.listen()
    assert (await listener.ask("SUBSCRIBE", ["!ticker@arr"]))["error"]["code"] == 2


async def test_depth_updates_follow_the_snapshot_without_a_gap(served: Any) -> None:
    listener = await served.listen("btcusdt@depth")
    snapshot = await served.get("depth", symbol="BTCUSDT", limit=1_000)
    book = dict(snapshot["bids"]), dict(snapshot["asks"])
    last = snapshot["lastUpdateId"]
    for _ in range(3):
        await served.advance(STREAM)
        for update in await listener.many(4):
            assert update["U"] == last + 1
            last = update["u"]
            for side, changes in zip(book, (update["b"], update["a"]), strict=True):
                side.update({price: amount for price, amount in changes})
    snapshot = await served.get("depth", symbol="BTCUSDT", limit=1_000)
    assert snapshot["lastUpdateId"] == last
    for side, levels in zip(book, (snapshot["bids"], snapshot["asks"]), strict=True):
        assert {p: a for p, a in side.items() if float(a)} == dict(levels)


def shape(value: Any) -> Any:
    """Return the structure of a frame: its keys, and the types of its values."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    return "number" if isinstance(value, int) and not isinstance(value, bool) else type(value)


async def test_klines_have_the_recorded_shape(served: Any, recorded: Recorded) -> None:
    path = recorded("fixtures/ws/btcusdt_kline_singletons.jsonl")
    line = orjson.loads(path.read_bytes().splitlines()[0])["frame"]
    listener = await served.listen(path=f"/stream?streams={STREAM}")
    assert shape(await listener.next()) == shape(line)


# -- account events


async def test_the_events_of_an_order_are_new_trade_and_balances(served: Any) -> None:
    listener = await served.user_stream()
    order = await served.order("BUY", "MARKET", quantity="0.01", newClientOrderId="mine")
    frames = await listener.many(3)
    assert {frame["subscriptionId"] for frame in frames} == {0}
    new, trade, position = (frame["event"] for frame in frames)
    assert (new["x"], new["X"], new["c"], new["z"]) == ("NEW", "NEW", "mine", "0.00000000")
    assert (trade["x"], trade["X"], trade["i"]) == ("TRADE", "FILLED", order["orderId"])
    [fill] = order["fills"]
    assert [trade[name] for name in ("L", "l", "n", "N", "t", "m")] == [
        fill["price"],
        fill["qty"],
        fill["commission"],
        "BTC",
        fill["tradeId"],
        False,
    ]
    assert new["I"] < trade["I"]
    assert {one["a"]: (one["f"], one["l"]) for one in position["B"]} == {
        "USDT": await served.balance("USDT"),
        "BTC": await served.balance("BTC"),
    }
    assert trade["E"] == trade["T"] == served.venue.market_time


async def test_a_resting_fill_and_a_cancellation_send_events(served: Any) -> None:
    listener = await served.user_stream()
    price = served.venue.feed("BTCUSDT").last_price
    resting = {"timeInForce": "GTC", "quantity": "0.01"}
    await served.order("BUY", "LIMIT", price=str(price - 500), newClientOrderId="a", **resting)
    await listener.many(2)
    await served.signed("DELETE", "order", symbol="BTCUSDT", origClientOrderId="a")
    canceled = (await listener.many(2))[0]["event"]
    assert (canceled["x"], canceled["C"], canceled["w"]) == ("CANCELED", "a", False)
    assert canceled["c"] != "a"
    await served.order("BUY", "LIMIT", price=str(price - 1), **resting)
    await listener.many(2)
    while served.venue.feed("BTCUSDT").resting:
        await served.advance(STREAM)
    filled = (await listener.next())["event"]
    assert (filled["x"], filled["m"], filled["L"]) == ("TRADE", True, f"{price - 1:.8f}")


async def test_account_events_have_the_recorded_shape(served: Any, recorded: Recorded) -> None:
    lines = recorded("fixtures/ws/user_data_frames.jsonl").read_bytes().splitlines()
    frames = [orjson.loads(line)["frame"] for line in lines if line.strip()]
    by_kind = {frame["x"]: frame for frame in frames if frame["e"] == "executionReport"}
    listener = await served.user_stream()
    await served.order("BUY", "MARKET", quantity="0.01")
    new, trade, position = (frame["event"] for frame in await listener.many(3))
    for ours, kind in ((new, "NEW"), (trade, "TRADE")):
        theirs = by_kind[kind]
        assert set(ours) >= set(theirs)
        for key, value in theirs.items():
            if ours[key] is not None and value is not None:
                assert shape(ours[key]) == shape(value), key
    balances = next(frame for frame in frames if frame["e"] == "outboundAccountPosition")
    assert shape({**position, "B": position["B"][0]}) == shape({**balances, "B": balances["B"][0]})


async def test_order_answers_have_the_recorded_shape(served: Any, recorded: Recorded) -> None:
    lines = recorded("fixtures/rest/order_responses.jsonl").read_bytes().splitlines()
    bodies = [line for line in map(orjson.loads, lines) if line["env"] == "testnet"]
    market = next(line["body"] for line in bodies if line["body"].get("fills"))
    order = await served.order("BUY", "MARKET", quantity="0.01")
    assert shape({**order, "fills": order["fills"][0]}) == shape(
        {**market, "fills": market["fills"][0]}
    )


# -- the WS-API


async def request(served: Any, ws: Any, method: str, signer: Any = None, **params: Any) -> Any:
    if signer is not None:
        params |= {"apiKey": PAPER_API_KEY, "timestamp": time.time_ns() // 1_000_000}
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
        params["signature"] = signer(payload).rpartition("=")[2]
    await ws.send_str(orjson.dumps({"id": 7, "method": method, "params": params}).decode())
    return orjson.loads(await ws.receive_str(timeout=30))


async def test_the_ws_api_runs_the_same_operations(served: Any, signer: Any) -> None:
    ws = await served.session.ws_connect(f"{served.url}/ws-api/v3")
    answer = await request(served, ws, "ping")
    assert (answer["id"], answer["status"], answer["result"]) == (7, 200, {})
    assert answer["rateLimits"][0]["rateLimitType"] == "REQUEST_WEIGHT"
    klines = await request(served, ws, "klines", symbol="BTCUSDT", interval="1m", limit=2)
    assert klines["result"] == await served.get("klines", symbol="BTCUSDT", interval="1m", limit=2)
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    placed = await request(served, ws, "order.place", signer, **order)
    assert placed["result"]["status"] == "FILLED"
    number = placed["result"]["orderId"]
    status = await request(served, ws, "order.status", signer, symbol="BTCUSDT", orderId=number)
    assert status["result"]["status"] == "FILLED"
    trades = await request(served, ws, "myTrades", signer, symbol="BTCUSDT")
    assert len(trades["result"]) == 1
    for method in ("account.status", "openOrders.status"):
        assert (await request(served, ws, method, signer))["status"] == 200


async def test_the_ws_api_refuses_as_binance_does(served: Any, signer: Any) -> None:
    ws = await served.session.ws_connect(f"{served.url}/ws-api/v3")
    for method, status, code in (
        ("nothing", 400, -1020),
        ("userDataStream.start", 410, -1020),
        ("account.status", 401, -2014),
        ("userDataStream.subscribe.signature", 401, -2014),
    ):
        answer = await request(served, ws, method)
        assert (answer["status"], answer["error"]["code"]) == (status, code)
    wrong = await request(served, ws, "account.status", lambda payload: payload + "=x")
    assert wrong["error"]["code"] == -1022
    await ws.send_str("{no json")
    assert orjson.loads(await ws.receive_str())["error"]["code"] == -1135
    subscribe = "userDataStream.subscribe.signature"
    assert (await request(served, ws, subscribe, signer))["status"] == 200
    assert (await request(served, ws, subscribe, signer))["error"]["code"] == -2035
    ended = await request(served, ws, "userDataStream.unsubscribe")
    assert ended["event"]["e"] == "eventStreamTerminated"


# -- faults


async def test_sockets_are_reset(served: Any) -> None:
    listener = await served.listen(STREAM)
    await listener.next()
    assert await served.control.fault("reset") == {"struck": 1}
    message = await listener.ws.receive(timeout=30)
    assert message.type in (aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSED)
    assert listener.ws.close_code == 1006


async def test_sockets_are_closed_with_a_code(served: Any) -> None:
    listener, user = await served.listen(STREAM), await served.user_stream()
    struck, code = await asyncio.gather(
        served.control.fault("close", code=1012, target="streams"), listener.until_closed()
    )
    assert (struck, code) == ({"struck": 1}, 1012)
    assert not user.ws.closed


async def test_a_stalled_socket_sends_only_pongs(served: Any) -> None:
    listener = await served.listen(STREAM)
    await listener.next()
    await served.control.fault("stall")
    await served.advance(STREAM)
    ws = await served.session.ws_connect(served.url + "/ws", autoping=False)
    fresh = type(listener)(ws)
    assert (await fresh.ask("SUBSCRIBE", [STREAM]))["result"] is None
    assert (await fresh.next())["k"]["t"] > 0  # a new connection is not stalled
    with pytest.raises(TimeoutError):
        await listener.next(timeout=0.2)


async def test_a_black_hole_sends_no_pongs(served: Any) -> None:
    for kind, answered in (("stall", True), ("blackhole", False)):
        ws = await served.session.ws_connect(served.url + f"/ws/{STREAM}", autoping=False)
        await ws.receive_str(timeout=30)
        await served.control.fault(kind)
        await served.advance(STREAM)
        await ws.ping()
        if answered:
            assert (await ws.receive(timeout=30)).type is aiohttp.WSMsgType.PONG
        else:
            with pytest.raises(TimeoutError):
                await ws.receive(timeout=0.3)
        ws._response.close()


async def test_a_malformed_frame_is_sent_unchanged(served: Any) -> None:
    listener = await served.listen(STREAM)
    await listener.next()
    await served.control.fault("malformed", text='{"e":')
    assert await listener.ws.receive_str(timeout=30) == '{"e":'


async def test_klines_are_dropped_repeated_and_late(served: Any, start_time: int) -> None:
    listener = await served.listen(STREAM, "ethusdt@kline_1m")
    await listener.many(2)

    async def frames() -> list[tuple[int, bool]]:
        await served.advance(STREAM)
        # Its answer is sent after all frames of the minute.
        await listener.ws.send_str('{"method":"LIST_SUBSCRIPTIONS","id":9}')
        found = []
        while "result" not in (frame := await listener.next()):
            if frame["s"] == "BTCUSDT":
                found.append(((frame["k"]["t"] - start_time) // MINUTE, frame["k"]["x"]))
        return found

    plain = [(0, False)] * 3 + [(0, True), (1, False)]
    assert await frames() == plain
    await served.control.fault("drop_closing", match="btcusdt")
    assert await frames() == [(1, False)] * 3 + [(2, False)]
    await served.control.fault("duplicate", count=2, match="btcusdt")
    assert await frames() == [(2, False)] * 5 + [(2, True), (3, False)]
    await served.control.fault("late", match="btcusdt")
    assert await frames() == [(3, False)] * 3 + [(3, True), (4, False), (3, False)]
    counters = (await served.control.state())["counters"]["faults"]
    assert counters == {"drop_closing": 1, "duplicate": 2, "late": 1}


async def test_an_http_status_is_answered_with_its_retry_after(served: Any) -> None:
    await served.control.fault("http_status", status=429, retry_after=3, match="klines")
    await served.get("time")
    query = "symbol=BTCUSDT&interval=1m"
    status, answer = await served.call("GET", "klines", query)
    assert (status, answer["code"], served.headers["Retry-After"]) == (429, -1003, "3")
    assert (await served.call("GET", "klines", query))[0] == 200


@pytest.mark.parametrize(("kind", "orders"), [("before_accept", 0), ("after_accept", 1)])
@pytest.mark.parametrize("reply", ["drop", "timeout"])
async def test_an_order_is_not_answered(served: Any, kind: str, orders: int, reply: str) -> None:
    await served.control.fault(kind, reply=reply)
    try:
        status, answer = await served.signed(
            "POST", "order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01"
        )
        assert reply == "timeout"
        assert (status, answer["code"]) == (504, -1007)
    except aiohttp.ClientError:
        assert reply == "drop"
    assert (await served.control.state())["counters"]["orders"] == orders
    await served.order("BUY", "MARKET", quantity="0.01")


async def test_an_unknown_fault_is_refused(served: Any) -> None:
    with pytest.raises(PaperExchangeError, match=r"Did you mean 'reset'\?"):
        await served.control.fault("resett")
    with pytest.raises(PaperExchangeError, match="target"):
        await served.control.fault("reset", target="nobody")
    with pytest.raises(PaperExchangeError, match="count"):
        await served.control.fault("late", count="many")


async def test_own_orders_reach_the_book_streams_at_once(serve: Any, candles: Any) -> None:
    flat = {minute: (100, 100.05, 100, 100, 1) for minute in range(5)}
    depth = Depth(spread=Decimal("0.01"), levels=5, size=Decimal(100))
    served = await serve(candles(BTCUSDT=flat), pace=LOCKSTEP, depth=depth)
    ticker = await served.listen("btcusdt@bookTicker")
    changes = await served.listen("btcusdt@depth")
    price = "99.90000000"
    order = await served.order("BUY", "LIMIT", timeInForce="GTC", quantity="1", price="99.90")
    # The market is held, so no step of it sends the book.
    best = await ticker.next(10)
    assert (best["b"], best["B"]) == (price, "1.00000000")
    first = await changes.next(10)
    assert [price, "1.00000000"] in first["b"]
    await served.signed("DELETE", "order", orderId=order["orderId"], symbol="BTCUSDT")
    assert (await ticker.next(10))["b"] != price
    after = await changes.next(10)
    assert [price, "0.00000000"] in after["b"] and after["U"] == first["u"] + 1
