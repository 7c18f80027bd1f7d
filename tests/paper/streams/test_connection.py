"""Clients that send invalid data or never read: they are refused, and the venue serves others."""

from __future__ import annotations

import asyncio
import io
import random
import socket
from typing import Any

import aiohttp
import orjson
import pytest

from botlib.paper import PaperOptions, exchange
from botlib.paper.accounts.keys import PAPER_API_KEY
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.synthetic import SyntheticMarket
from botlib.paper.streams import connection as module
from botlib.paper.streams.connection import framed

STREAM = "btcusdt@kline_1m"
PATIENT = 60.0
"""Seconds that a test waits for an expected event."""


@pytest.fixture
async def served(serve: Any, start_time: int) -> Any:
    return await serve(SyntheticMarket(1), pace=MarketPace(None, lockstep=True), start=start_time)


async def alive(served: Any) -> bool:
    return (await served.get("ping")) == {}


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENT):
        while not condition():  # noqa: ASYNC110 (the venue has no event for it)
            await asyncio.sleep(0.01)


async def deaf(served: Any, path: str) -> socket.socket:
    """Open a socket of streams and read nothing after the handshake."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    port = int(served.url.rpartition(":")[2])
    await loop.sock_connect(client, ("127.0.0.1", port))
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    await loop.sock_sendall(client, ("\r\n".join(lines) + "\r\n\r\n").encode())
    head = await loop.sock_recv(client, 4_096)
    assert head.startswith(b"HTTP/1.1 101")
    return client


async def test_a_client_that_never_reads_is_disconnected(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BACKLOG", 2**20)
    streams = served.venue.streams
    streams.waits_for_clients = False
    client = await deaf(served, f"/ws/{STREAM}")
    try:
        await until(lambda: streams.connections)
        reader = await served.listen("btcusdt@miniTicker")
        for _ in range(1_000):
            if len(streams.connections) == 1:
                break
            streams.publish(STREAM, "x" * 65_536)
            await streams.flush()
            await asyncio.sleep(0)
        await until(lambda: len(streams.connections) == 1)
        await served.advance(STREAM)
        assert (await reader.next())["e"] == "24hrMiniTicker"
    finally:
        client.close()


async def test_a_market_at_full_speed_waits_for_such_a_client_for_a_limited_time(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    streams = served.venue.streams
    client = await deaf(served, f"/ws/{STREAM}")
    try:
        await until(lambda: streams.connections)
        async with asyncio.timeout(PATIENT):
            while streams.connections:
                streams.publish(STREAM, "x" * 65_536)
                await streams.flush()
                await asyncio.sleep(0)
    finally:
        client.close()


async def test_five_hundred_sockets_are_too_many(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.exchange.limits, "_wall", lambda: 0)  # one window for all
    accepted = refused = 0
    for _ in range(500):
        try:
            await served.session.ws_connect(f"{served.url}/ws/{STREAM}")
            accepted += 1
        except aiohttp.WSServerHandshakeError as error:
            assert (error.status, error.headers is not None) == (429, True)
            refused += 1
    assert (accepted, refused) == (300, 200)
    assert await alive(served)
    connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
    async with aiohttp.ClientSession(connector=connector) as elsewhere:
        ws = await elsewhere.ws_connect(f"{served.url}/ws/{STREAM}")
        assert orjson.loads(await ws.receive_str(timeout=PATIENT))["e"] == "kline"
        await ws.close()


@pytest.mark.parametrize("path", ["/ws", "/stream", "/ws-api/v3"])
async def test_messages_that_are_too_long_or_binary_end_the_connection(
    served: Any, path: str
) -> None:
    for message, code in ((b"\x00", 1003), ("x" * (2**20 + 1), 1009)):
        ws = await served.session.ws_connect(served.url + path)
        if isinstance(message, bytes):
            await ws.send_bytes(message)
        else:
            await ws.send_str(message)
        answer = await ws.receive(timeout=PATIENT)
        assert answer.type is aiohttp.WSMsgType.CLOSE
        assert answer.data == code
        await ws.close()
    assert await alive(served)


async def test_random_bytes_do_not_stop_the_venue(served: Any) -> None:
    rng = random.Random(7)
    port = int(served.url.rpartition(":")[2])
    noises = [rng.randbytes(rng.randrange(1, 2_000)) for _ in range(20)]
    noises += [b"GET /ws HTTP/1.1\r\n\r\n", b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n"]
    for noise in noises:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(noise)
        writer.write_eof()
        async with asyncio.timeout(PATIENT):
            await reader.read()
        writer.close()
    assert await alive(served)


async def test_the_number_of_symbols_is_limited(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = len(served.venue.listings())
    monkeypatch.setattr("botlib.paper.venue.MAX_SYMBOLS", listed + 5)
    answers = [
        (await served.call("GET", "ticker/price", f"symbol=NEW{number}USDT"))[0]
        for number in range(10)
    ]
    assert answers == [200] * 5 + [400] * 5
    assert (await served.get("ticker/price", symbol="NEW0USDT"))["symbol"] == "NEW0USDT"
    assert len((await served.get("exchangeInfo"))["symbols"]) == listed + 5


async def test_long_names_of_streams_are_refused(served: Any) -> None:
    listener = await served.listen()
    answer = await listener.ask("SUBSCRIBE", ["btcusdt@" + "x" * 200])
    assert answer["error"]["code"] == 2
    async with served.session.get(f"{served.url}/ws/btcusdt@{'x' * 200}") as response:
        assert response.status == 400


async def test_an_invalid_frame_ends_only_its_connection(served: Any) -> None:
    listener = await served.listen(STREAM)
    await listener.next()
    client = await deaf(served, f"/ws/{STREAM}")
    await until(lambda: len(served.venue.streams.connections) == 2)
    client.send(b"\xff\xff\xff\xff\xff\xff")
    await until(lambda: len(served.venue.streams.connections) == 1)
    client.close()
    await served.advance(STREAM)
    assert (await listener.next())["e"] == "kline"


async def test_any_json_is_answered_on_a_socket(served: Any) -> None:
    rng = random.Random(3)
    pieces = [None, True, -1, 2**70, 1.5, "", "ping", "SUBSCRIBE", [], {}, ["btcusdt@trade"], "ü"]
    ws = await served.session.ws_connect(f"{served.url}/ws-api/v3")
    for _ in range(200):
        message = {name: rng.choice(pieces) for name in rng.sample(["id", "method", "params"], 2)}
        try:
            text = orjson.dumps(message).decode()
        except TypeError:
            text = '{"id":' + "9" * 70 + "}"
        await ws.send_str(text)
        answer = orjson.loads(await ws.receive_str(timeout=PATIENT))
        assert answer["status"] in (200, 400, 401), answer
    assert await alive(served)


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "status"),
    [
        ("GET", "klines", "symbol=%ff%fe&interval=1m", b"", 400),
        ("GET", "klines", "symbol=" + "A" * 5_000, b"", 400),
        ("GET", "klines", "=&&&=%zz", b"", 400),
        ("GET", "klines", "", b"\xff\x00\xfe", 400),
        ("GET", "klines", "symbol=BTCUSDT&interval=1m&endTime=0", b"", 200),
        ("GET", "aggTrades", "symbol=BTCUSDT&fromId=9223372036854775807", b"", 200),
        ("GET", "historicalTrades", "symbol=BTCUSDT&fromId=9223372036854775807", b"", 200),
        ("GET", "klines", "symbol=BTCUSDT&interval=1M&startTime=9223372036854775", b"", 200),
        (
            "GET",
            "klines",
            "symbol=BTCUSDT&interval=1s&startTime=0&endTime=999999999999999",
            b"",
            200,
        ),
        (
            "GET",
            "klines",
            "symbol=BTCUSDT&interval=1M&timeZone=-12&startTime=1735689600000",
            b"",
            200,
        ),
        ("POST", "order", "", b"x" * (2**20 + 1), 413),
        ("PATCH", "order", "", b"", 405),
        ("GET", "../../etc/passwd", "", b"", 404),
        ("POST", "userDataStream", "", b"", 410),
        ("PUT", "userDataStream", "listenKey=1", b"", 410),
        ("DELETE", "userDataStream", "", b"", 410),
    ],
)
async def test_every_request_is_answered(
    served: Any, method: str, path: str, query: str, body: bytes, status: int
) -> None:
    target = f"{served.url}/api/v3/{path}?{query}"
    headers = {"X-MBX-APIKEY": PAPER_API_KEY}
    async with served.session.request(
        method, target, data=io.BytesIO(body), headers=headers, allow_redirects=False
    ) as response:
        text = await response.text()
        assert response.status == status, text
    assert await alive(served)


async def test_a_day_old_connection_is_announced_and_closed(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = await served.listen(STREAM)
    await listener.next()
    ws = await served.session.ws_connect(f"{served.url}/ws-api/v3")
    await until(lambda: served.exchange._wsapi.connections)
    [stream], [session] = served.venue.streams.connections, served.exchange._wsapi.connections
    for one in (stream, session):
        await one.keep_alive()
        one.opened -= module.LIFETIME - module.SHUTDOWN_NOTICE
        await one.keep_alive()
        await one.keep_alive()
    assert (await listener.next())["e"] == "serverShutdown"
    received = orjson.loads(await ws.receive_str(timeout=PATIENT))
    assert received["event"]["e"] == "serverShutdown"
    for one in (stream, session):
        one.opened -= module.SHUTDOWN_NOTICE
    code, _ = await asyncio.gather(listener.until_closed(), stream.keep_alive())
    assert code == 1000
    closed, _ = await asyncio.gather(ws.receive(timeout=PATIENT), session.keep_alive())
    assert closed.data == 1000


async def test_a_connection_that_answers_no_pings_is_aborted(served: Any) -> None:
    ws = await served.session.ws_connect(f"{served.url}/ws/{STREAM}", autoping=False)
    await until(lambda: served.venue.streams.connections)
    [connection] = served.venue.streams.connections
    connection.last_pong -= module.PONG_DEADLINE + module.PING_INTERVAL + 1
    await connection.keep_alive()
    await until(lambda: not served.venue.streams.connections)
    await ws.close()


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536])
async def test_frames_are_encoded_as_in_rfc_6455(served: Any, length: int) -> None:
    listener = await served.listen(STREAM)
    await listener.next()
    [connection] = served.venue.streams.connections
    connection.put(framed(b"y" * length))
    connection.put(framed(b"{}"))
    await connection.flush(patient=False)
    assert await listener.ws.receive_str(timeout=PATIENT) == "y" * length
    assert await listener.next() == {}


async def test_the_openapi_description_covers_all_operations(served: Any) -> None:
    async with served.session.get(f"{served.url}/openapi.json") as response:
        document = await response.json()
    described = {
        (method.upper(), path.removeprefix("/api/v3/"))
        for path, methods in document["paths"].items()
        for method in methods
    }
    assert described == set(served.exchange._operations)
    order = document["paths"]["/api/v3/order"]["post"]
    needed = {one["name"] for one in order["parameters"] if one["required"]}
    assert needed == {"symbol", "side", "type", "timestamp", "signature"}


@pytest.mark.parametrize(
    "said", [b"", b"GET /api/v3/ping HTTP/1.1\r\nHost: 127.0.0.1\r\n"], ids=["nothing", "half"]
)
async def test_a_connection_without_a_complete_request_is_closed(
    serve: Any, start_time: int, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(exchange, "PING_INTERVAL", 0.05)
    monkeypatch.setattr(exchange, "FIRST_REQUEST", 0.2)
    served = await serve(SyntheticMarket(1), pace=MarketPace(None, lockstep=True), start=start_time)
    ws = await served.session.ws_connect(f"{served.url}/ws-api/v3")
    port = int(served.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    assert await asyncio.wait_for(reader.read(), PATIENT) == b""
    writer.close()
    # A connection with an earlier request stays open.
    await ws.send_str('{"id":7,"method":"ping"}')
    assert orjson.loads(await ws.receive_str(timeout=PATIENT))["id"] == 7
    assert await alive(served)


async def test_a_request_without_its_body_ends_the_connection(
    serve: Any, start_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "BODY_WITHIN", 0.1)
    served = await serve(SyntheticMarket(1), pace=MarketPace(None, lockstep=True), start=start_time)
    port = int(served.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = (
        "POST /api/v3/order HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        f"X-MBX-APIKEY: {PAPER_API_KEY}",
        "Content-Length: 100",
    )
    writer.write(("\r\n".join(lines) + "\r\n\r\nsymbol=").encode())
    try:
        assert await asyncio.wait_for(reader.read(), PATIENT) == b""
    except ConnectionResetError:
        pass
    writer.close()
    assert await alive(served)


async def test_an_unsolicited_pong_does_not_count(served: Any) -> None:
    ws = await served.session.ws_connect(f"{served.url}/ws/{STREAM}", autoping=False)
    await until(lambda: served.venue.streams.connections)
    [connection] = served.venue.streams.connections
    connection.last_pong = before = connection.last_pong - 30
    await ws.pong(b"unasked")
    await ws.ping(b"mine")
    while (message := await ws.receive(timeout=PATIENT)).type is not aiohttp.WSMsgType.PONG:
        pass
    assert message.data == b"mine"  # so the pong before it was read
    assert connection.last_pong == before
    await connection.keep_alive()
    while (message := await ws.receive(timeout=PATIENT)).type is not aiohttp.WSMsgType.PING:
        pass
    await ws.pong(message.data)
    await until(lambda: connection.last_pong > before)


async def test_a_client_that_reconnects_during_the_close_is_refused(start_time: int) -> None:
    options = PaperOptions(pace=MarketPace(None, lockstep=True), start=start_time)
    closed = exchange.PaperExchange(SyntheticMarket(1), options)
    url = (await closed.start()).url + "/ws"
    async with aiohttp.ClientSession() as session:
        # One client does not answer the close frame, so closing takes a while.
        await session.ws_connect(url)
        quick = await session.ws_connect(url)
        closing = asyncio.create_task(closed.close())
        message = await quick.receive(timeout=PATIENT)
        assert message.type is aiohttp.WSMsgType.CLOSE and message.data == 1001
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.ws_connect(url)
        await closing
