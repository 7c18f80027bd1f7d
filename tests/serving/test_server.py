"""The guard of a server, on real sockets."""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from botlib.core.errors import EngineError
from botlib.serving import LoopbackServer, ServerRules, json_answer
from botlib.serving.door import ConnectionLimits
from botlib.serving.peers import user_of

LIMIT = 60.0
QUICK = ConnectionLimits(
    most=4, of_others=2, first_request=0.2, next_request=0.2, unread=0.2, interval=0.05
)


async def hello(request: web.Request) -> web.Response:
    return json_answer({"said": (await request.read()).decode()})


async def large(request: web.Request) -> web.Response:
    return web.Response(body=b"x" * 50_000_000)


async def broken(request: web.Request) -> web.Response:
    raise RuntimeError(request.headers["X-Text"])


async def refused(request: web.Request) -> web.Response:
    raise EngineError("The bot does not run.")


async def slow(request: web.Request) -> web.Response:
    await asyncio.sleep(3_600)
    raise AssertionError


@pytest.fixture
async def server() -> AsyncIterator[LoopbackServer]:
    routes = [
        web.route("*", "/", hello),
        web.get("/large", large),
        web.get("/broken", broken),
        web.get("/refused", refused),
        web.get("/slow", slow),
    ]
    found = LoopbackServer(routes, ServerRules(connections=QUICK, max_body=100, body_within=0.2))
    await found.start(0)
    yield found
    await found.stop()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as found:
        yield found


async def connect(server: LoopbackServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", server.port)


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """Return what is left to read, until the connection is closed or reset."""
    found = b""
    try:
        async with asyncio.timeout(LIMIT):
            while part := await reader.read(65_536):
                found += part
    except ConnectionResetError:
        pass
    return found


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Host": "127.0.0.1"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://[::bad"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_requests_of_pages_are_refused(
    server: LoopbackServer, session: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    async with session.post(str(server.url), headers=headers) as response:
        assert response.status == 403
        assert "error" in await response.json()


async def test_a_program_and_the_own_origin_are_answered(
    server: LoopbackServer, session: aiohttp.ClientSession
) -> None:
    for headers in ({}, {"Origin": str(server.url)}, {"Sec-Fetch-Site": "none"}):
        async with session.post(str(server.url), data=b"you", headers=headers) as response:
            assert await response.json() == {"said": "you"}
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Cache-Control"] == "no-store"


async def test_a_large_or_a_late_body_is_refused(
    server: LoopbackServer, session: aiohttp.ClientSession
) -> None:
    async with session.post(str(server.url), data=b"x" * 101) as response:
        assert response.status == 413
    host = f"Host: 127.0.0.1:{server.port}\r\n"
    bomb = gzip.compress(b"x" * 1_000_000)[:99]
    reader, writer = await connect(server)
    encoded = f"{host}Content-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
    writer.write(f"POST / HTTP/1.1\r\n{encoded}".encode() + bomb)
    assert (await reader.readline()).startswith((b"HTTP/1.1 413", b"HTTP/1.1 400"))
    writer.close()
    reader, writer = await connect(server)
    writer.write(f"POST / HTTP/1.1\r\n{host}Content-Length: 9\r\n\r\nhalf".encode())
    assert await end_of(reader) == b""
    writer.close()


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_a_silent_connection_is_closed(server: LoopbackServer, said: bytes) -> None:
    reader, writer = await connect(server)
    writer.write(said)
    assert await end_of(reader) == b""
    writer.close()


async def test_a_client_that_does_not_read_its_answer_is_cut_off(server: LoopbackServer) -> None:
    reader, writer = await connect(server)
    writer.write(f"GET /large HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
    async with asyncio.timeout(LIMIT):
        while not server.door.turned_away["does not read"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert len(await end_of(reader)) < 50_000_000
    writer.close()


async def test_the_longest_idle_connection_makes_room_for_a_new_one(
    server: LoopbackServer, session: aiohttp.ClientSession
) -> None:
    idle = [await connect(server) for _ in range(4)]
    async with session.get(str(server.url)) as response:
        assert response.status == 200
    assert await end_of(idle[0][0]) == b""
    assert server.door.turned_away["made room"] == 1
    for _, writer in idle:
        writer.close()


async def test_a_new_connection_is_refused_if_all_others_are_answered(
    server: LoopbackServer,
) -> None:
    asking = [await connect(server) for _ in range(4)]
    for _, writer in asking:
        writer.write(f"GET /slow HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
    async with asyncio.timeout(LIMIT):
        while sum(one.busy for one in server.door._open.values()) < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    reader, writer = await connect(server)
    assert await end_of(reader) == b""
    assert server.door.turned_away["too many"] == 1
    for _, other in [*asking, (reader, writer)]:
        other.close()


async def test_a_failure_is_logged_once_for_its_place_and_without_what_was_sent(
    server: LoopbackServer, session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        for _ in range(10):
            async with session.get(f"{server.url}/broken", headers={"X-Text": "mine"}) as response:
                assert response.status == 500
                assert "mine" not in await response.text()
        async with session.get(f"{server.url}/refused") as response:
            assert (response.status, await response.json()) == (
                503,
                {"error": "The bot does not run."},
            )
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("botlib")]
    assert len(lines) == 1 and "RuntimeError at test_server.py" in lines[0]


async def test_the_user_at_the_other_end_is_known(server: LoopbackServer) -> None:
    _, writer = await connect(server)
    connection = writer.get_extra_info("socket")
    # The other end of the client's socket is the server, which is of the same user.
    assert user_of(connection) in (os.geteuid(), None)
    writer.close()
    await writer.wait_closed()
    assert user_of(connection) in (-1, None)
    assert user_of(None) is None


async def test_a_taken_port_is_an_error_and_leaves_nothing_behind(server: LoopbackServer) -> None:
    other = LoopbackServer([], ServerRules(connections=QUICK, max_body=1))
    with pytest.raises(OSError):
        await other.start(server.port or 0)
    assert other.port is None and other.url is None
    await other.start(0)
    await other.stop()
