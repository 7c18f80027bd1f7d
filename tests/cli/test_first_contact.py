"""The comparison of a venue with what the kit expects, against a paper exchange in its place."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from botlib.cli import contact_steps
from botlib.engine import orchestrator
from botlib.venues.binance.first_contact import Comparison
from tests.support.paper_process import paper_exchange
from tests.support.scripted_venue import scripted_venue


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with paper_exchange("--speed", "1") as url:
        yield url


async def first_contact(url: str, tmp_path: Path) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "botlib", "first-contact", "--url", url),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 180)
    return process.returncode, out.decode(), err.decode()


def planted(path: str, answer: Any) -> Any:
    """Return an answer with a plant: a field, a filter, an order type, a status, an error code."""
    if path.endswith("/exchangeInfo"):
        first = answer["symbols"][0]
        first["filters"].append({"filterType": "MAX_PLANTED", "planted": 1})
        first["orderTypes"].append("PLANTED_LIMIT")
        first["status"] = "PLANTED_STATUS"
        del first["quotePrecision"]
        answer["symbols"][-1]["filters"] = ["no filter"]
    elif path.endswith("/depth"):
        answer["plantedField"] = 7
    elif isinstance(answer, dict) and answer.get("code") == -1121:
        answer["code"] = -1999
    elif isinstance(answer, dict) and answer.get("e") == "depthUpdate":
        answer["plantedUpdate"] = 1
    elif isinstance(answer, dict) and answer.get("id") == 2:
        answer["result"].append("btcusdt@planted")
    return answer


@asynccontextmanager
async def proxy(upstream: str) -> AsyncIterator[str]:
    """Run a proxy on loopback that plants something in the answers of an exchange."""

    async def rest(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await streams(request)
        body = await request.read()
        async with session.request(request.method, upstream + request.path_qs, data=body) as answer:
            raw = orjson.loads(await answer.read())
            return web.json_response(planted(request.path, raw), status=answer.status)

    async def streams(request: web.Request) -> web.StreamResponse:
        served = web.WebSocketResponse()
        await served.prepare(request)
        async with session.ws_connect(upstream + request.path_qs) as behind:

            async def forward() -> None:
                async for message in served:
                    await behind.send_str(message.data)
                await behind.close()

            forwarding = asyncio.create_task(forward())
            async for message in behind:
                frame = planted(request.path, orjson.loads(message.data))
                await served.send_str(orjson.dumps(frame).decode())
            await forwarding
        return served

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", rest)
    runner = web.AppRunner(app)
    async with aiohttp.ClientSession() as session:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        await runner.cleanup()


async def test_a_paper_exchange_does_not_differ(url: str, tmp_path: Path) -> None:
    code, out, err = await first_contact(url, tmp_path)
    assert (code, err) == (0, ""), out + err
    assert "No differences." in out
    steps = "time exchangeInfo klines trades depth streams download mirror watch"
    for step in steps.split():
        assert step in out
    # The candles were downloaded elsewhere, and deleted.
    assert not await asyncio.to_thread(lambda: list(tmp_path.iterdir()))


async def test_what_is_unknown_is_named_in_the_table(url: str, tmp_path: Path) -> None:
    async with proxy(url) as between:
        code, out, _ = await first_contact(between, tmp_path)
    rows = [" ".join(row.split()) for row in out.splitlines()]
    for expected in (
        "exchangeInfo unknown filter MAX_PLANTED 1",
        "exchangeInfo unknown order type PLANTED_LIMIT 1",
        "exchangeInfo unknown status PLANTED_STATUS 1",
        "exchangeInfo symbols missing field quotePrecision 1",
        "exchangeInfo unreadable AttributeError 1",
        "depth unknown field plantedField 1 7",
        "error of a bad symbol other code HTTP 400, -1999 1 Invalid symbol.",
        "frame depth@100ms unknown field plantedUpdate",
        "streams unknown name btcusdt@planted 1",
    ):
        assert any(row.startswith(expected) for row in rows), (expected, out)
    assert code == 1


async def test_without_a_venue_one_sentence_says_so(tmp_path: Path) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        port = reserved.getsockname()[1]
        code, out, err = await first_contact(f"http://127.0.0.1:{port}", tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith("Error: No answer from the venue") and len(err.splitlines()) == 1


async def test_only_this_computer_stands_in_for_the_venue(tmp_path: Path) -> None:
    code, _, err = await first_contact("http://192.0.2.1:9000", tmp_path)
    assert code == 2 and "not an address of this computer" in err


async def test_a_venue_that_sends_nothing_differs_in_mirror_and_watch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(contact_steps, "PATIENCE", 3.0)
    async with scripted_venue() as venue:
        found = Comparison()
        await contact_steps.take("mirror", venue.url, found, tmp_path / "mirror")
        [row] = found.differences
        assert (row.where, row.what) == ("mirror", "no frame")
        assert "after 3 s" in row.example
        # Its history is empty, so that a watch does not even start.
        monkeypatch.setattr(orchestrator, "READY_TIMEOUT", 2.0)
        await contact_steps.take("watch", venue.url, found, tmp_path / "watch")
        assert [(one.where, one.what) for one in found.differences][1:2] == [("watch", "refused")]
    assert found.compared == ["mirror", "watch"]


async def test_a_frame_that_a_mirror_cannot_read_is_in_the_table(tmp_path: Path) -> None:
    async with scripted_venue() as venue:
        found = Comparison()
        taking = asyncio.create_task(
            contact_steps.take("mirror", venue.url, found, tmp_path / "mirror")
        )
        while not taking.done():
            await venue.send("aggTrade", {"e": "aggTrade", "a": 10**9, "p": "none"})
            await venue.trade("100", "5", seller=False)
            await asyncio.sleep(0.05)
        await taking
    kinds = {(row.where, row.what) for row in found.differences}
    assert ("mirror", "unreadable frames") in kinds
    assert any("cannot be read" in row.example for row in found.differences)
