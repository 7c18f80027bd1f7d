"""Servers that answer in place of a venue: portals, firewalls, proxies, and those that stall."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

PORTAL = "<!doctype html><html><head><title>Hotel &amp; Wi-Fi</title></head><body>…</body></html>"

Answer = Callable[[web.Request], Any]


async def portal(request: web.Request) -> web.StreamResponse:
    return web.Response(text=PORTAL, content_type="text/html")


async def sign_in(request: web.Request) -> web.StreamResponse:
    if request.path == "/login":
        return await portal(request)
    raise web.HTTPFound("/login?to=venue")


def state(status: int, text: str = "", kind: str = "text/html") -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, content_type=kind)

    return answer


async def stalled(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(600)
    raise AssertionError("it was awaited for too long")


async def cut(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def empty(request: web.Request) -> web.StreamResponse:
    return web.Response()


BLOCKED = '{"code": 0, "msg": "Service unavailable from a restricted location."}'

OBSTACLES = {
    "a captive portal": (portal, r"is not the venue: an HTML page \('Hotel & Wi-Fi'\).*sign in"),
    "a redirection to a portal": (sign_in, r"an HTML page \('Hotel & Wi-Fi'\).*sign in"),
    "an empty answer": (empty, r"is not the venue: nothing came in place of its data"),
    "a blocked country": (
        state(451, BLOCKED, "application/json"),
        r"restricted location.*HTTP 451.*does not serve the country.*import_files",
    ),
    "a firewall": (
        state(403, "<html><title>ERROR: Request blocked</title></html>"),
        r"'ERROR: Request blocked' \(HTTP 403\).*firewall.*Try from another network",
    ),
    "a proxy with a sign-in": (state(407, "who are you"), r"HTTP 407.*proxy wants a sign-in"),
    "a failing proxy": (
        state(502, "<html><title>502 Bad Gateway</title></html>"),
        r"'502 Bad Gateway' \(HTTP 502\).*or a proxy in front of it, fails",
    ),
    "a stall": (stalled, r"no answer came within 0\.5 s: the venue or the line stalls"),
    "a cut connection": (cut, r"The connection was cut before the answer"),
}


@contextmanager
def serving() -> Iterator[Callable[[Answer], str]]:
    """Return a function that serves an answer to every request, and returns the address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runners: list[web.AppRunner] = []

    async def serve(answer: Answer) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def close() -> None:
        for runner in runners:
            await runner.cleanup()
        # Those that stall wait still.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    try:
        yield lambda answer: run(serve(answer))  # type: ignore[no-any-return]
    finally:
        run(close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
