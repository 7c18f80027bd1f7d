"""The control page, on real sockets of the loopback interface."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest

from botlib.control.requests import TOKEN_HEADER
from botlib.control.server import ControlServer
from botlib.core.errors import EngineError
from botlib.core.text.masking import forget, hide


class FakeEngine:
    """The health and the tasks that the page serves, and the kills that it requests."""

    def __init__(self, folder: Path) -> None:
        self.reasons: list[str] = []
        self.kills: list[tuple[str, bool]] = []
        self.status: list[object] = [{"name": "a"}]
        self.token_file = folder / "market.token"

    def server(self, port: int = 0, only_port: bool = False) -> ControlServer:
        return ControlServer(
            health=self.health,
            tasks=self.tasks,
            kill=self.kill,
            token_file=lambda: self.token_file,
            port=port,
            only_port=only_port,
        )

    async def kill(self, reason: str, close_positions: bool) -> Mapping[str, object]:
        self.kills.append((reason, close_positions))
        return {"killed": True}

    def health(self) -> Mapping[str, object]:
        return {"healthy": not self.reasons, "reasons": self.reasons}

    def tasks(self) -> Mapping[str, object]:
        return {"tasks": self.status}


@pytest.fixture
def fake(tmp_path: Path) -> FakeEngine:
    return FakeEngine(tmp_path)


@pytest.fixture
async def server(fake: FakeEngine) -> AsyncIterator[ControlServer]:
    server = fake.server()
    await server.start()
    yield server
    await server.stop()


async def get(url: str, **headers: str) -> tuple[int, dict[str, object]]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        return response.status, await response.json()


async def test_health_answers_200_or_503_with_the_reasons(
    server: ControlServer, fake: FakeEngine
) -> None:
    assert await get(f"{server.url}/health") == (200, {"healthy": True, "reasons": []})
    fake.reasons.append("no task is registered")
    status, body = await get(f"{server.url}/health")
    assert status == 503
    assert body["reasons"] == ["no task is registered"]


async def test_task_status_is_served(server: ControlServer) -> None:
    status, body = await get(f"{server.url}/api/v1/tasks/status")
    assert (status, body) == (200, {"tasks": [{"name": "a"}]})


async def test_answers_are_masked_and_other_objects_become_text(
    server: ControlServer, fake: FakeEngine, request: pytest.FixtureRequest
) -> None:
    hide("topsecret")
    request.addfinalizer(lambda: forget("topsecret"))
    fake.reasons.append("task 'a' failed for good: key topsecret was refused")
    _, body = await get(f"{server.url}/health")
    assert body["reasons"] == ["task 'a' failed for good: key ••• was refused"]
    fake.status = [{"last_error": "topsecret", "runs": 3, "metadata": {"topsecret": Path("a/b")}}]
    status, body = await get(f"{server.url}/api/v1/tasks/status")
    assert status == 200
    assert body == {"tasks": [{"last_error": "•••", "runs": 3, "metadata": {"•••": "a/b"}}]}


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example:8000"}, {"Host": "127.0.0.1"}, {"Origin": "http://evil.example"}],
)
async def test_a_foreign_host_or_origin_is_refused(
    server: ControlServer, headers: dict[str, str]
) -> None:
    status, _ = await get(f"{server.url}/health", **headers)
    assert status == 403


async def test_it_listens_on_the_loopback_interface_only(server: ControlServer) -> None:
    assert server.url is not None and server.url.startswith("http://127.0.0.1:")
    with socket.socket() as other, pytest.raises(ConnectionRefusedError):
        other.settimeout(60)
        other.connect(("127.0.0.2", server.port or 0))


async def test_the_next_free_port_is_used_if_one_is_taken(fake: FakeEngine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = fake.server(port)
        await server.start()
        try:
            assert server.port is not None and server.port != port
            assert (await get(f"{server.url}/health"))[0] == 200
        finally:
            await server.stop()


async def test_no_free_port_is_an_error_with_the_next_step(
    fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botlib.control.server.PORTS_TRIED", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = fake.server(port)
        with pytest.raises(EngineError, match=r"Set health\.port"):
            await server.start()
    assert not fake.token_file.exists()


async def post(url: str, body: str = "", **headers: str) -> tuple[int, dict[str, object]]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=body, headers=headers) as response,
    ):
        return response.status, await response.json()


async def test_the_kill_switch_needs_the_token_of_this_run(
    server: ControlServer, fake: FakeEngine
) -> None:
    url = f"{server.url}/api/v1/kill"
    token = fake.token_file.read_text().strip()
    assert len(token) >= 43  # 256 bits
    assert fake.token_file.stat().st_mode & 0o777 == 0o600
    for wrong in ({}, {TOKEN_HEADER: ""}, {TOKEN_HEADER: token[:-1]}, {TOKEN_HEADER: "\u00e9"}):
        assert (await post(url, **wrong))[0] == 401
    assert (await post(f"{url}?token={token}"))[0] == 401
    assert fake.kills == []
    assert await post(url, **{TOKEN_HEADER: token}) == (200, {"killed": True})
    body = '{"reason": "a wild market", "close_positions": true}'
    assert (await post(url, body, **{TOKEN_HEADER: token}))[0] == 200
    assert fake.kills == [("", False), ("a wild market", True)]


async def test_a_get_a_foreign_page_and_a_bad_body_do_not_throw_the_kill_switch(
    server: ControlServer, fake: FakeEngine
) -> None:
    url = f"{server.url}/api/v1/kill"
    good = {TOKEN_HEADER: fake.token_file.read_text().strip()}
    async with aiohttp.ClientSession() as session, session.get(url, headers=good) as response:
        assert response.status == 405
    assert (await post(url, **good, Origin="http://evil.example"))[0] == 403
    for body in ("nonsense", "[]", '{"reason": 1}', '{"close_positions": "yes"}', '{"rearm": 1}'):
        assert (await post(url, body, **good))[0] == 400
    assert (await post(url, "[" * 4_000, **good))[0] == 400
    _, answer = await post(url, "nonsense", **good)
    assert "'nonsense'" in str(answer["error"]) and '{"reason": "text"' in str(answer["error"])
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data="x" * 10_000, headers=good) as response,
    ):
        assert response.status == 413
    assert fake.kills == []


async def test_the_token_is_deleted_with_the_server(fake: FakeEngine) -> None:
    server = fake.server()
    await server.start()
    first = fake.token_file.read_text()
    assert server.token_file == fake.token_file
    await server.stop()
    assert not fake.token_file.exists() and server.token_file is None
    await server.start()
    assert fake.token_file.read_text() != first
    await server.stop()


async def test_in_live_trading_a_taken_port_is_an_error(fake: FakeEngine) -> None:
    """Whoever listens there would be given the token, and could say that the bot was killed."""
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        server = fake.server(squatter.getsockname()[1], only_port=True)
        with pytest.raises(EngineError, match="is in use, and another program may answer there"):
            await server.start()
    assert not fake.token_file.exists() and server.url is None


async def test_the_address_is_written_beside_the_token(fake: FakeEngine) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        server = fake.server(squatter.getsockname()[1])
        await server.start()
        beside = fake.token_file.with_suffix(".url")
        assert beside.read_text().strip() == server.url
        assert beside.stat().st_mode & 0o777 == 0o600
        await server.stop()
        assert not beside.exists()


async def test_a_body_in_another_charset_is_refused_and_a_charset_is_not_looked_up(
    server: ControlServer, fake: FakeEngine
) -> None:
    good = {TOKEN_HEADER: fake.token_file.read_text().strip()}
    named = {**good, "Content-Type": "application/json; charset=nonsense"}
    assert (await post(f"{server.url}/api/v1/kill", '{"reason": "x"}', **named))[0] == 200
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server.url}/api/v1/kill", data=b"\xff\xfe", headers=named) as response,
    ):
        assert response.status == 400


async def test_the_description_names_every_path(server: ControlServer) -> None:
    status, document = await get(f"{server.url}/openapi.json")
    assert status == 200
    routes = {(route.method, route.path) for route in server._server._routes}
    described = {
        (method.upper(), path)
        for path, methods in document["paths"].items()  # type: ignore[attr-defined]
        for method in methods
    }
    assert routes - {("GET", "/openapi.json")} == described
