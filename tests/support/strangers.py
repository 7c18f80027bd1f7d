"""Attackers: programs of another local user, and web pages in a real browser."""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from aiohttp import web

SEARCHED = ("/usr/bin", "/usr/local/bin", "/bin", "/opt/bin")


@functools.cache
def stranger() -> tuple[int, str]:
    """Return the id of another user and a Python which that user can start, or skip the test."""
    if os.geteuid() != 0:
        pytest.skip("only root can run a program as another user")
    user = pwd.getpwnam("nobody").pw_uid
    own = [str(Path(sys.executable).resolve())]
    found = [shutil.which("python3", path=folder) for folder in SEARCHED]
    for python in filter(None, [*found, *own]):
        try:
            done = subprocess.run(
                [python, "-I", "-c", "import socket"], user=user, cwd="/", capture_output=True
            )
        except OSError:
            continue
        if done.returncode == 0:
            return user, python
    pytest.skip("no Python here can be started by another user")


@contextmanager
def as_another_user(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a program as another user until the context is left."""
    user, python = stranger()
    process = subprocess.Popen(
        [python, "-I", "-c", code, *map(str, arguments)],
        user=user,
        group=user,
        extra_groups=(),
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def said_by_another_user(code: str, *arguments: object, timeout: float = 120) -> str:
    """Run a program as another user to its end, and return what it printed."""
    with as_another_user(code, *arguments) as process:
        return process.communicate(timeout=timeout)[0]


@asynccontextmanager
async def hostile_site(html: str) -> AsyncIterator[str]:
    """Serve a page on another port of this computer, and yield its address."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=html, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()
