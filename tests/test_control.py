"""The health page: real sockets on the loopback interface."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping

import aiohttp
import pytest

from botlib.control import ControlServer
from botlib.errors import EngineError


class Facts:
    """What the page is told."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def health(self) -> Mapping[str, object]:
        return {"healthy": not self.reasons, "reasons": self.reasons}

    def tasks(self) -> Mapping[str, object]:
        return {"tasks": [{"name": "a"}]}


@pytest.fixture
def facts() -> Facts:
    return Facts()


@pytest.fixture
async def server(facts: Facts) -> AsyncIterator[ControlServer]:
    server = ControlServer(health=facts.health, tasks=facts.tasks, port=0)
    await server.start()
    yield server
    await server.stop()


async def get(url: str, **headers: str) -> tuple[int, dict[str, object]]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        return response.status, await response.json()


async def test_health_answers_200_or_503_with_the_reasons(
    server: ControlServer, facts: Facts
) -> None:
    assert await get(f"{server.url}/health") == (200, {"healthy": True, "reasons": []})
    facts.reasons.append("no task is registered")
    status, body = await get(f"{server.url}/health")
    assert status == 503
    assert body["reasons"] == ["no task is registered"]


async def test_the_status_of_tasks_is_served(server: ControlServer) -> None:
    status, body = await get(f"{server.url}/api/v1/tasks/status")
    assert (status, body) == (200, {"tasks": [{"name": "a"}]})


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
        other.settimeout(5)
        other.connect(("127.0.0.2", server.port or 0))


async def test_the_next_free_port_is_taken_where_one_is_in_use(facts: Facts) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = ControlServer(health=facts.health, tasks=facts.tasks, port=port)
        await server.start()
        try:
            assert server.port is not None and server.port != port
            assert (await get(f"{server.url}/health"))[0] == 200
        finally:
            await server.stop()


async def test_no_free_port_at_all_is_an_error_that_says_what_to_do(
    facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botlib.control.PORTS_TRIED", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = ControlServer(health=facts.health, tasks=facts.tasks, port=port)
        with pytest.raises(EngineError, match=r"Set health\.port"):
            await server.start()
