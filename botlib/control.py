"""Health, task status and the kill switch over HTTP, on this computer only.

``GET /health`` answers 200 or 503 with the reasons; ``GET /api/v1/tasks/status`` tells what every
task did. ``POST /api/v1/kill`` stops entries, also while a cell blocks: it needs the token of this
run in the header ``X-Botlib-Token``, which stands in a file only its owner can read. A GET changes
nothing, and nothing here allows entries again.

The server binds 127.0.0.1, answers only requests that name it so in ``Host``, and refuses pages of
other origins.
"""

from __future__ import annotations

import errno
import hmac
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from aiohttp import web

from botlib.errors import BotlibError, EngineError
from botlib.store.drafts import draft

logger = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
PORTS_TRIED: Final = 50
"""How many ports from the configured one up are tried before giving up."""

TOKEN_HEADER: Final = "X-Botlib-Token"
LARGEST_BODY: Final = 4_096
"""Bytes of a request; a reason is a sentence."""

JsonObject = Mapping[str, object]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ControlServer:
    """Serves health, task status and the kill switch.

    Args:
        health: returns ``{"healthy": bool, "reasons": [...], ...}``.
        tasks: returns the status of all tasks.
        kill: stops entries for a reason, sells everything where asked, and returns what it did.
        token_file: where the token of the kill switch is written at the start.
        port: where to listen; the next free one is taken where it is in use, 0 takes any.
    """

    def __init__(
        self,
        *,
        health: Callable[[], JsonObject],
        tasks: Callable[[], JsonObject],
        kill: Callable[[str, bool], Awaitable[JsonObject]],
        token_file: Callable[[], Path],
        port: int,
    ) -> None:
        self._health = health
        self._tasks = tasks
        self._kill = kill
        self._token_file = token_file
        self._token_path = Path()
        self._token = ""
        self._wanted = port
        self._runner: web.AppRunner | None = None
        self.port: int | None = None
        """The port that is listened on, None before the start."""

    @property
    def url(self) -> str | None:
        """Where the server answers, None before the start."""
        return f"http://{HOST}:{self.port}" if self.port else None

    @property
    def token_file(self) -> Path | None:
        """The file with the token of the kill switch, None before the start."""
        return self._token_path if self.port else None

    async def start(self) -> None:
        """Listen; raise `EngineError` where no port is free."""
        app = web.Application(middlewares=[self._guard], client_max_size=LARGEST_BODY)
        app.router.add_get("/health", self._get_health)
        app.router.add_get("/api/v1/tasks/status", self._get_tasks)
        app.router.add_post("/api/v1/kill", self._post_kill)
        self._write_token()
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
        await self.stop()
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
            self._token_path.unlink(missing_ok=True)

    def _write_token(self) -> None:
        """Make a token of 256 bits for this run, in a file for its owner alone."""
        self._token = secrets.token_urlsafe(32)
        self._token_path = self._token_file()
        with draft(self._token_path, durable=False, mode=0o600) as file:
            file.write(f"{self._token}\n".encode())

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

    async def _post_kill(self, request: web.Request) -> web.Response:
        given = request.headers.get(TOKEN_HEADER, "")
        # Compared in constant time: how long it takes tells nothing about the token.
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            text = f"The header {TOKEN_HEADER} must hold the token of this run."
            return web.json_response({"error": text}, status=401)
        try:
            reason, close = _wish(await request.text())
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        try:
            return web.json_response(dict(await self._kill(reason, close)))
        except BotlibError as error:
            return web.json_response({"error": str(error)}, status=503)


def _wish(body: str) -> tuple[str, bool]:
    """Return the reason, and whether to sell everything; an empty body stops entries only."""
    wish = json.loads(body) if body.strip() else {}
    if not isinstance(wish, dict) or not wish.keys() <= {"reason", "close_positions"}:
        raise ValueError('Accepted: {"reason": "text", "close_positions": false}, or no body.')
    reason, close = wish.get("reason", ""), wish.get("close_positions", False)
    if not isinstance(reason, str) or not isinstance(close, bool):
        raise ValueError("reason is a text, close_positions is true or false.")
    return reason, close
