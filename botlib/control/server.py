"""`ControlServer`: health, task status and the kill switch over HTTP, on this computer only.

``GET /health`` answers 200, or 503 with the reasons; ``GET /api/v1/tasks/status`` returns the state
of every task. ``POST /api/v1/kill`` stops entries, also while a cell blocks: it needs the token of
this run in the header ``X-Botlib-Token``, from a file that only its owner can read. A GET changes
nothing, and no request allows entries again.

The server binds 127.0.0.1, answers only requests with that name in ``Host``, and refuses pages of
other origins. Answers quote the errors of tasks, so every text in them is masked.
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

from botlib.core.errors import BotlibError, EngineError
from botlib.store.atomic_files import draft

logger = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
PORTS_TRIED: Final = 50
"""Ports that are tried, from the configured one up."""

TOKEN_HEADER: Final = "X-Botlib-Token"
MAX_BODY: Final = 4_096
"""Most bytes of a request; a reason is a sentence."""

JsonObject = Mapping[str, object]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ControlServer:
    """The HTTP server of health, task status and the kill switch.

    Args:
        health: returns ``{"healthy": bool, "reasons": [...], ...}``.
        tasks: returns the status of all tasks.
        kill: stops entries for a reason, also sells every position if its second argument is
            true, and returns what was done.
        token_file: returns the file for the token, which is written at the start.
        port: the port to listen on; if it is in use the next free one, 0 for any.
        mask: returns a text with the secrets masked.
    """

    def __init__(
        self,
        *,
        health: Callable[[], JsonObject],
        tasks: Callable[[], JsonObject],
        kill: Callable[[str, bool], Awaitable[JsonObject]],
        token_file: Callable[[], Path],
        port: int,
        mask: Callable[[str], str] = str,
    ) -> None:
        self._mask = mask
        self._health = health
        self._tasks = tasks
        self._kill = kill
        self._token_file = token_file
        self._token_path = Path()
        self._token = ""
        self._wanted = port
        self._runner: web.AppRunner | None = None
        self.port: int | None = None
        """The port in use, None before the start."""

    @property
    def url(self) -> str | None:
        """Address of the server, None before the start."""
        return f"http://{HOST}:{self.port}" if self.port else None

    @property
    def token_file(self) -> Path | None:
        """File with the token of the kill switch, None before the start."""
        return self._token_path if self.port else None

    async def start(self) -> None:
        """Start to listen.

        Raises:
            EngineError: no port is free.
        """
        app = web.Application(middlewares=[self._guard], client_max_size=MAX_BODY)
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
        """Stop listening, and delete the token."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
            self.port = None
            self._token_path.unlink(missing_ok=True)

    def _write_token(self) -> None:
        """Write a new token of 256 bits to a file that only its owner can read."""
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
        # A page in the user's browser must not read this through a host name that resolves here.
        allowed = {f"{HOST}:{self.port}", f"localhost:{self.port}"}
        if request.headers.get("Host", "") not in allowed:
            return self._answer({"error": f"Unknown Host. Ask for {self.url}."}, 403)
        origin = request.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://") not in allowed:
            return self._answer({"error": f"Foreign Origin. Accepted: {self.url}, or none."}, 403)
        response = await handler(request)
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    async def _get_health(self, request: web.Request) -> web.Response:
        health = self._health()
        return self._answer(health, 200 if health["healthy"] else 503)

    async def _get_tasks(self, request: web.Request) -> web.Response:
        return self._answer(self._tasks())

    async def _post_kill(self, request: web.Request) -> web.Response:
        given = request.headers.get(TOKEN_HEADER, "")
        # Compared in constant time, so that the duration reveals nothing about the token.
        if not hmac.compare_digest(given.encode(errors="replace"), self._token.encode()):
            name = self._token_path.name
            text = f"The header {TOKEN_HEADER} must hold the token of this run, from {name!r}."
            return self._answer({"error": text}, 401)
        try:
            reason, close = _kill_request(await request.text())
        except ValueError as error:
            return self._answer({"error": str(error)}, 400)
        try:
            return self._answer(await self._kill(reason, close))
        except BotlibError as error:
            return self._answer({"error": str(error)}, 503)

    def _answer(self, values: JsonObject, status: int = 200) -> web.Response:
        return web.json_response(_plain(values, self._mask), status=status)


def _plain(value: object, mask: Callable[[str], str]) -> object:
    """Return a value as JSON can express it, with its texts masked; other objects as text."""
    if isinstance(value, Mapping):
        return {mask(str(key)): _plain(one, mask) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, mask) for one in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return mask(str(value))


def _kill_request(body: str) -> tuple[str, bool]:
    """Return the reason, and whether to sell every position; an empty body stops entries only.

    Raises:
        ValueError: the body is not as expected.
    """
    try:
        request = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict) or not request.keys() <= {"reason", "close_positions"}:
        raise ValueError(
            f"Cannot read {body[:100]!r} as a kill request. "
            'Accepted: {"reason": "text", "close_positions": false}, or no body.'
        )
    reason, close = request.get("reason", ""), request.get("close_positions", False)
    if not isinstance(reason, str) or not isinstance(close, bool):
        raise ValueError("reason is a text, close_positions is true or false.")
    return reason, close
