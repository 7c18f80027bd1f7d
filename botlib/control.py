"""Health and task status over HTTP, on this computer only.

``GET /health`` answers 200 or 503 with the reasons; ``GET /api/v1/tasks/status`` tells what every
task did. The server binds 127.0.0.1, answers only requests that name it so in ``Host``, and refuses
pages of other origins; nothing here changes anything.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from botlib.errors import EngineError

logger = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
PORTS_TRIED: Final = 50
"""How many ports from the configured one up are tried before giving up."""

JsonObject = Mapping[str, object]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ControlServer:
    """Serves health and task status.

    Args:
        health: returns ``{"healthy": bool, "reasons": [...], ...}``.
        tasks: returns the status of all tasks.
        port: where to listen; the next free one is taken where it is in use, 0 takes any.
    """

    def __init__(
        self, *, health: Callable[[], JsonObject], tasks: Callable[[], JsonObject], port: int
    ) -> None:
        self._health = health
        self._tasks = tasks
        self._wanted = port
        self._runner: web.AppRunner | None = None
        self.port: int | None = None
        """The port that is listened on, None before the start."""

    @property
    def url(self) -> str | None:
        """Where the server answers, None before the start."""
        return f"http://{HOST}:{self.port}" if self.port else None

    async def start(self) -> None:
        """Listen; raise `EngineError` where no port is free."""
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/health", self._get_health)
        app.router.add_get("/api/v1/tasks/status", self._get_tasks)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        for port in self._candidates():
            site = web.TCPSite(self._runner, HOST, port)
            try:
                await site.start()
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                await site.stop()
                continue
            self.port = int(self._runner.addresses[0][1])
            if port and port != self._wanted:
                logger.warning("port %d is in use, health is at %s", self._wanted, self.url)
            return
        await self._runner.cleanup()
        raise EngineError(
            f"No free port from {self._wanted} to {self._wanted + PORTS_TRIED - 1} for the health "
            "page. Set health.port to another one, or to 0 for any."
        )

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
            self.port = None

    def _candidates(self) -> range:
        if self._wanted == 0:
            return range(1)
        return range(self._wanted, min(self._wanted + PORTS_TRIED, 65_536))

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        # A page in the user's browser must not read this through a name that resolves to us.
        allowed = {f"{HOST}:{self.port}", f"localhost:{self.port}"}
        if request.headers.get("Host", "") not in allowed:
            return web.json_response({"error": "unknown Host"}, status=403)
        origin = request.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://") not in allowed:
            return web.json_response({"error": "foreign Origin"}, status=403)
        response = await handler(request)
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    async def _get_health(self, request: web.Request) -> web.Response:
        health = self._health()
        return web.json_response(dict(health), status=200 if health["healthy"] else 503)

    async def _get_tasks(self, request: web.Request) -> web.Response:
        return web.json_response(dict(self._tasks()))
